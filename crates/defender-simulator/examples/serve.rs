//! A simulator for exporters that run elsewhere, such as in pods of a cluster.
//!
//! ```text
//! serve TENANTS ADDRESS CONTROL FOLDER [FEDERATION]
//! ```
//!
//! The https face is forwarded from ADDRESS, under the name `simulator.test`. FOLDER gets what an
//! exporter needs: `ca.pem`, `exporter.yml`, and in `secrets` a file for each tenant. CONTROL
//! answers each connection with one JSON object of what was asked so far, and closes it.
//! FEDERATION is a JSON file with `issuer`, `subject`, `audience` and `keys`, trusted by tenant 0.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use defender_simulator::{Endpoint, Federation, Options, Simulator};
use exporter_clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([tenants, address, control, folder, rest @ ..], true) =
        (arguments.as_slice(), arguments.len() <= 5)
    else {
        return Err("expected TENANTS ADDRESS CONTROL FOLDER [FEDERATION]".into());
    };
    let mut options = Options::new(Clock::system());
    options.tenants = tenants.parse()?;
    options.host_names = vec!["simulator.test".to_owned()];
    options.last_scanned = true;
    let simulator = Arc::new(Simulator::start(options).await?);
    if let Some(file) = rest.first() {
        simulator.world().federate(0, federation(file)?);
    }
    let entrance = TcpListener::bind(address).await?;
    let control = TcpListener::bind(control).await?;
    let port = entrance.local_addr()?.port();
    write(&simulator, Path::new(folder), port)?;
    let inner = simulator.https_url().replace("https://", "");
    loop {
        tokio::select! {
            Ok((mut outer, _)) = entrance.accept() => {
                let inner = inner.clone();
                tokio::spawn(async move {
                    let mut inner = TcpStream::connect(inner).await?;
                    copy_bidirectional(&mut outer, &mut inner).await
                });
            }
            Ok((asker, _)) = control.accept() => {
                let text = format!("{}\n", report(&simulator));
                tokio::spawn(answer(asker, text));
            }
        }
    }
}

async fn answer(mut asker: TcpStream, text: String) -> std::io::Result<()> {
    // Clients take an answer that comes before their question for a broken connection.
    let _ = asker.read(&mut [0; 1024]).await?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    asker.write_all((head + &text).as_bytes()).await
}

fn federation(file: &str) -> Outcome<Federation> {
    let text = fs::read_to_string(file)?;
    let read: Value = serde_json::from_str(&text)?;
    let field = |name: &str| {
        read[name]
            .as_str()
            .map(str::to_owned)
            .ok_or(format!("expected {name} in {file}"))
    };
    Ok(Federation {
        issuer: field("issuer")?,
        subject: field("subject")?,
        audience: field("audience")?,
        keys: read["keys"].clone(),
    })
}

/// What an exporter needs that sees FOLDER at `/etc/defender-scan-exporter`, and the secrets at
/// `/run/secrets/defender`.
fn write(simulator: &Simulator, folder: &Path, port: u16) -> Outcome<()> {
    fs::create_dir_all(folder.join("secrets"))?;
    fs::write(folder.join("ca.pem"), simulator.ca_pem())?;
    let url = format!("https://simulator.test:{port}");
    let mut text = "http: {ca_file: /run/secrets/defender/ca.pem}\ntenants:\n".to_owned();
    fs::write(folder.join("secrets/ca.pem"), simulator.ca_pem())?;
    for number in 0.. {
        let Some(tenant) = simulator.tenant(number) else {
            break;
        };
        fs::write(
            folder.join(format!("secrets/tenant-{number}")),
            &tenant.client_secret,
        )?;
        writeln!(
            text,
            "  - name: tenant-{number}\n    tenant_id: {}\n    api_base_url: {url}\n    authority_host: {url}\n    \
             poll: {{definitions: 10s, agents: 1m}}\n    credential:\n      type: client_secret\n      client_id: {}\n      \
             client_secret_file: /run/secrets/defender/tenant-{number}",
            tenant.tenant_id, tenant.client_id
        )?;
    }
    fs::write(folder.join("exporter.yml"), text)?;
    Ok(())
}

fn report(simulator: &Simulator) -> Value {
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    let mut tokens = BTreeMap::new();
    for call in simulator.calls() {
        let tenant = call
            .tenant
            .map_or("none".to_owned(), |n| format!("tenant-{n}"));
        if call.endpoint != Endpoint::Token {
            *calls.entry(tenant).or_default() += 1;
        } else if call.status == 200 {
            *tokens.entry(tenant).or_insert(0) += 1;
        }
    }
    json!({ "calls": calls, "tokens": tokens, "violations": simulator.violations(), "misplaced": simulator.misplaced() })
}
