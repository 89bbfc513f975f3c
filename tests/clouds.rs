//! Every row of the table of clouds, with the real host names: a proxy inside the
//! test takes each of them to the simulator, whose certificate has all of them.

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};

use crate::common::{Exporter, eventually, options};
use defender_simulator::{Endpoint, Simulator};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const PUBLIC: &str = "api.securitycenter.microsoft.com";
const COMMERCIAL: &str = "login.microsoftonline.com";
const GOVERNMENT: &str = "login.microsoftonline.us";

/// Settings of a tenant; hosts of the API, of the sign-in and of the scope that they imply.
const ROWS: &[[&str; 4]] = &[
    ["", "api.security.microsoft.com", COMMERCIAL, PUBLIC],
    [
        "cloud: public",
        "api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: us",
        "us.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: eu",
        "eu.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: uk",
        "uk.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: au",
        "au.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: swa",
        "swa.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: ina",
        "ina.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "region: aea",
        "aea.api.security.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "cloud: gcc",
        "api-gcc.securitycenter.microsoft.us",
        COMMERCIAL,
        "api-gcc.securitycenter.microsoft.us",
    ],
    [
        "cloud: gcc-high",
        "api-gov.securitycenter.microsoft.us",
        GOVERNMENT,
        "api-gov.securitycenter.microsoft.us",
    ],
    [
        "cloud: dod",
        "api-gov.securitycenter.microsoft.us",
        GOVERNMENT,
        "api-gov.securitycenter.microsoft.us",
    ],
    // What the addresses were called before.
    [
        "api_base_url: https://api.securitycenter.microsoft.com",
        PUBLIC,
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "api_base_url: https://api-us.securitycenter.microsoft.com",
        "api-us.securitycenter.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "api_base_url: https://api-eu.securitycenter.microsoft.com",
        "api-eu.securitycenter.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "api_base_url: https://api-uk.securitycenter.microsoft.com",
        "api-uk.securitycenter.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    [
        "api_base_url: https://api-au.securitycenter.microsoft.com",
        "api-au.securitycenter.microsoft.com",
        COMMERCIAL,
        PUBLIC,
    ],
    // Each can be set on its own.
    [
        "cloud: dod, authority_host: https://login.microsoftonline.com",
        "api-gov.securitycenter.microsoft.us",
        COMMERCIAL,
        "api-gov.securitycenter.microsoft.us",
    ],
    [
        "cloud: gcc, scope: https://api.securitycenter.microsoft.com/.default",
        "api-gcc.securitycenter.microsoft.us",
        COMMERCIAL,
        PUBLIC,
    ],
];

/// What a proxy was asked to connect to.
type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy that connects to `port` of this machine, whatever it is asked for.
async fn proxy(port: u16) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let url = format!(
        "http://{}",
        listener.local_addr().expect("it has an address")
    );
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tunnel(client, port, Arc::clone(&seen)));
        }
    });
    (url, asked)
}

async fn tunnel(client: TcpStream, port: u16, asked: Asked) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    let target = line
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1\r\n"))
        .unwrap_or_else(|| panic!("no CONNECT: {line}"));
    asked.lock().expect("unpoisoned").push(target.to_owned());
    let mut header = String::new();
    while header != "\r\n" {
        header.clear();
        client.read_line(&mut header).await?;
    }
    let mut service = TcpStream::connect(("127.0.0.1", port)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut service)
        .await
        .map(drop)
}

/// A simulator that goes by all names of the table, with a tenant for each row.
async fn simulator() -> Simulator {
    let mut options = options();
    (options.tenants, options.definitions, options.agents) = (ROWS.len(), 2, 1);
    options.host_names = ROWS
        .iter()
        .flat_map(|row| &row[1..])
        .map(|&name| name.to_owned())
        .collect();
    options.host_names.sort();
    options.host_names.dedup();
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

fn port(simulator: &Simulator) -> u16 {
    let url = simulator.https_url();
    let (_, port) = url.rsplit_once(':').expect("there is a port");
    port.parse().expect("it is a number")
}

/// Waits until a tenant's list was answered, and compares where it was asked for what.
async fn went(simulator: &Simulator, tenant: usize, row: &[&str; 4]) {
    let [settings, api, authority, scope] = row;
    let of = |endpoint| move |call: &&_| is_answered(call, tenant, endpoint);
    eventually(&format!("row {settings:?} is polled"), async || {
        let calls = simulator.calls();
        let polled = |endpoint| calls.iter().any(|call| of(endpoint)(&call));
        (polled(Endpoint::Definitions) && polled(Endpoint::History) && polled(Endpoint::Agents))
            .then_some(())
    })
    .await;
    for call in simulator
        .calls()
        .iter()
        .filter(|call| call.tenant == Some(tenant))
    {
        let expected = if call.endpoint == Endpoint::Token {
            (*authority, Some(format!("https://{scope}/.default")))
        } else {
            (*api, None)
        };
        assert_eq!(
            (call.host.as_str(), call.scope.clone()),
            expected,
            "{settings:?}: {call:?}"
        );
    }
}

fn is_answered(call: &defender_simulator::CallRecord, tenant: usize, endpoint: Endpoint) -> bool {
    call.tenant == Some(tenant) && call.endpoint == endpoint && call.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_the_table_leads_to_its_hosts_with_its_scope() {
    let simulator = simulator().await;
    let (proxy, asked) = proxy(port(&simulator)).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, simulator.ca_pem()).expect("it can be written");
    let mut text = String::from("tenants:\n");
    for (number, [settings, ..]) in ROWS.iter().enumerate() {
        let identity = simulator.tenant(number).expect("there is a tenant");
        let separator = if settings.is_empty() { "" } else { ", " };
        writeln!(
            text,
            "  - {{name: tenant-{number}, tenant_id: {}{separator}{settings}, credential: {{type: client_secret, client_id: {}, client_secret: '{}'}}}}",
            identity.tenant_id, identity.client_id, identity.client_secret
        ).expect("a string can be written");
    }
    writeln!(
        text,
        "http: {{proxy_url: '{proxy}', ca_file: {}}}",
        ca.display()
    )
    .expect("a string can be written");
    fs::write(folder.path().join("exporter.yml"), text).expect("it can be written");
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    for (number, row) in ROWS.iter().enumerate() {
        went(&simulator, number, row).await;
        let tenant = format!("tenant=\"tenant-{number}\"");
        exporter
            .shows("defender_up", &[&tenant], |up| up > 0.0)
            .await;
    }
    let asked = asked.lock().expect("unpoisoned").clone();
    for [_, api, authority, _] in ROWS {
        for host in [api, authority] {
            assert!(asked.contains(&format!("{host}:443")), "{host}: {asked:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_environment_a_variable_or_the_sign_in_host_names_the_cloud() {
    for (variable, value, settings) in [
        ("AZURE_AUTHORITY_HOST", "", ""),
        (
            "AZURE_AUTHORITY_HOST",
            "https://login.microsoftonline.us",
            "cloud: gcc-high",
        ),
        ("DEFENDER_EXPORTER_CLOUD", "gcc", "cloud: gcc"),
    ] {
        let row = ROWS.iter().find(|row| row[0] == settings);
        let row = row.expect("it is a row");
        let simulator = simulator().await;
        let (proxy, _) = proxy(port(&simulator)).await;
        let identity = simulator.tenant(0).expect("there is a tenant");
        let folder = tempfile::tempdir().expect("a folder can be made");
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, simulator.ca_pem()).expect("it can be written");
        let exporter = Exporter::start_adjusted(folder, |command| {
            command
                .env("AZURE_TENANT_ID", &identity.tenant_id)
                .env("AZURE_CLIENT_ID", &identity.client_id)
                .env("AZURE_CLIENT_SECRET", &identity.client_secret)
                .env("SSL_CERT_FILE", &ca)
                .env("HTTPS_PROXY", &proxy)
                .env(variable, value);
        })
        .await;
        went(&simulator, 0, row).await;
        exporter
            .shows("defender_up", &["tenant=\"default\""], |up| up > 0.0)
            .await;
    }
}
