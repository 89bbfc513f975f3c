//! Through a real proxy, `tinyproxy`: from the configuration or the environment,
//! with and without a password; and what is said when it fails.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::messages;
use crate::common::tenants::{folder, is_up, secret, simulator};
use crate::common::tools::{self, needs};
use crate::common::{Exporter, Process, binary, eventually, free_port};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use defender_simulator::Simulator;

/// And the same as an address may have it.
const PASSWORD: &str = "pa55-w0rd.with_letters";
const ESCAPED: &str = "pa55%2Dw0rd%2Ewith_letters";

/// A running proxy.
struct Proxy {
    process: Process,
    port: u16,
}

impl Proxy {
    /// Starts one that wants a password, or none, or lets nobody out.
    async fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (port, file) = (free_port(), folder.path().join("tinyproxy.conf"));
        let text =
            format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\n{settings}\n");
        fs::write(&file, text).expect("it can be written");
        let program = tools::find("tinyproxy").expect("tinyproxy is installed");
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(file);
        let process = Process::start(folder, &mut command);
        eventually("the proxy (Debian's tinyproxy-bin) listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        Self { process, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn url_with(&self, password: &str) -> String {
        format!("http://exporter:{password}@127.0.0.1:{}", self.port)
    }

    /// Whether anybody asked it for the simulator.
    fn was_asked(&self, simulator: &Simulator) -> bool {
        let host = simulator.https_url().replace("https://", "");
        self.process.output().contains(&format!("CONNECT {host}"))
    }
}

/// An exporter with that proxy in its configuration, and those variables.
async fn start(
    simulator: &Simulator,
    proxy_url: Option<&str>,
    variables: &[(&str, &str)],
) -> Exporter {
    let http = proxy_url.map(|url| format!(", proxy_url: '{url}'"));
    let folder = folder(simulator, &secret(simulator), &http.unwrap_or_default());
    Exporter::start_adjusted(folder, |command| {
        command.envs(variables.iter().copied());
    })
    .await
}

/// Searches everything that is printed and served for the password.
async fn keeps_the_password(exporter: &Exporter) {
    let mut seen = exporter.process.output();
    for path in ["/", "/metrics", "/-/ready"] {
        seen += &exporter.get(path).await.1;
    }
    let basic = STANDARD.encode(format!("exporter:{PASSWORD}"));
    for secret in [PASSWORD, ESCAPED, &basic] {
        assert!(!seen.contains(secret), "{secret} leaked: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_proxy_of_the_configuration_or_of_the_environment() {
    needs!("tinyproxy");
    let simulator = simulator().await;
    let configured = Proxy::start("").await;
    let dead = "http://127.0.0.1:1";
    let exporter = start(
        &simulator,
        Some(&configured.url()),
        &[("HTTPS_PROXY", dead)],
    )
    .await;
    is_up(&exporter).await;
    assert!(configured.was_asked(&simulator));
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Proxy::start("").await;
        let exporter = start(&simulator, None, &[(name, &proxy.url())]).await;
        is_up(&exporter).await;
        assert!(proxy.was_asked(&simulator), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_goes_without_one() {
    let simulator = simulator().await;
    let dead = "http://127.0.0.1:1";
    for name in ["NO_PROXY", "no_proxy"] {
        let exempt = (name, "example.com, localhost");
        is_up(&start(&simulator, Some(dead), &[exempt]).await).await;
        is_up(&start(&simulator, None, &[exempt, ("HTTPS_PROXY", dead)]).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_password_that_nobody_sees() {
    needs!("tinyproxy");
    let simulator = simulator().await;
    let proxy = Proxy::start(&format!("BasicAuth exporter {PASSWORD}")).await;
    let url = proxy.url_with(ESCAPED);
    let configured = start(&simulator, Some(&url), &[]).await;
    is_up(&configured).await;
    keeps_the_password(&configured).await;
    let variable = start(&simulator, None, &[("HTTPS_PROXY", &url)]).await;
    is_up(&variable).await;
    keeps_the_password(&variable).await;
    assert!(proxy.was_asked(&simulator));
    drop(proxy);
    simulator.revoke_tokens(0);
    for exporter in [&configured, &variable] {
        exporter.says(messages::BROKEN).await;
        keeps_the_password(exporter).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_password_is_said_so() {
    needs!("tinyproxy");
    let simulator = simulator().await;
    let proxy = Proxy::start("BasicAuth exporter another").await;
    let wrong = proxy.url_with(ESCAPED);
    for (configured, variables, message) in [
        (Some(proxy.url()), None, messages::PROXY_PASSWORD),
        (Some(wrong.clone()), None, messages::PROXY_REFUSES),
        (
            None,
            Some(("HTTPS_PROXY", wrong.as_str())),
            messages::PROXY_REFUSES,
        ),
    ] {
        let variables: Vec<_> = variables.into_iter().collect();
        let exporter = start(&simulator, configured.as_deref(), &variables).await;
        exporter.says(message).await;
        keeps_the_password(&exporter).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_or_refuses_is_said_so() {
    needs!("tinyproxy");
    let simulator = simulator().await;
    let nobody = format!("http://exporter:{ESCAPED}@127.0.0.1:1");
    let exporter = start(&simulator, Some(&nobody), &[]).await;
    exporter.says(messages::PROXY_DOWN).await;
    keeps_the_password(&exporter).await;
    let strict = Proxy::start("ConnectPort 1").await;
    let exporter = start(&simulator, Some(&strict.url()), &[]).await;
    exporter.says(messages::PROXY_REFUSES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_root_the_host_is_not_trusted() {
    let simulator = simulator().await;
    let folder = folder(&simulator, &secret(&simulator), "");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it is made");
    fs::write(folder.path().join("ca.pem"), other.cert.pem()).expect("it can be written");
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    exporter.says(messages::UNKNOWN_ROOT).await;
}

#[test]
fn a_bad_file_of_roots_names_the_file() {
    let check = |path: &Path| {
        let output = binary()
            .arg("check-config")
            .arg("--config.file")
            .arg(path)
            .output();
        String::from_utf8(output.expect("it starts").stderr).expect("it is text")
    };
    let said = check(Path::new("tests/config/bad/http_ca_empty.yml"));
    assert!(
        said.contains("http.ca_file: expected a PEM file of certificates"),
        "{said}"
    );
}
