//! The certificates that are trusted: as they are now, and checked as the start checks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use defender_simulator::{LineFault, Simulator};

use super::configure;
use crate::common::{Exporter, binary, messages, options};

fn other_root() -> String {
    let made = rcgen::generate_simple_self_signed(["other.example".to_owned()]);
    made.expect("it is made").cert.pem()
}

async fn simulator() -> Simulator {
    let mut options = options();
    (options.definitions, options.agents) = (3, 1);
    Simulator::start(options).await.expect("it starts")
}

/// An exporter whose system has the roots in `roots.pem`.
async fn start(folder: Arc<tempfile::TempDir>) -> Exporter {
    let roots = folder.path().join("roots.pem");
    Exporter::start_adjusted(folder, |command| {
        command
            .env("SSL_CERT_FILE", roots)
            .arg("--web.enable-lifecycle");
    })
    .await
}

/// The same, of `url` and with another root only; and the file of the roots.
async fn start_with_other_root(simulator: &Simulator, url: &str) -> (Exporter, PathBuf) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, other_root()).expect("it can be written");
    let (timeout, interval) = ("timeout: 5s", "definitions: 1s");
    configure(simulator, folder.path(), [url, url], timeout, interval);
    (start(folder).await, roots)
}

async fn is_up(exporter: &Exporter) {
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_installed_in_mid_life_is_trusted_after_a_reload() {
    let simulator = simulator().await;
    let (exporter, roots) = start_with_other_root(&simulator, &simulator.https_url()).await;
    exporter.says(messages::UNKNOWN_ROOT).await;
    fs::write(&roots, simulator.ca_pem()).expect("it can be written");
    assert_eq!(exporter.reload().await.0, 200);
    is_up(&exporter).await;
    let said = exporter.process.output();
    assert!(said.contains("unchanged=1 changed=0"), "{said}");
    let of_library = said.lines().filter(|line| line.contains("rustls"));
    assert_eq!(
        of_library.collect::<Vec<_>>(),
        [""; 0],
        "libraries keep silent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_issuer_makes_it_read_the_roots_again() {
    let simulator = simulator().await;
    let front = simulator.front().await.expect("a port is free");
    front.set(Some(LineFault::Refused));
    let (exporter, roots) = start_with_other_root(&simulator, &front.url()).await;
    exporter.says(messages::NO_SIGN_IN_HOST).await;
    fs::write(&roots, simulator.ca_pem()).expect("it can be written");
    front.set(None);
    is_up(&exporter).await;
    let said = exporter.process.output();
    assert!(
        said.contains("the root certificates have changed"),
        "{said}"
    );
}

/// What `check-config` says of `exporter.yml` in a folder, and its exit code.
fn check(folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = binary();
    let file = folder.join("exporter.yml");
    command.arg("check-config").arg("--config.file").arg(file);
    let output = command.envs(variables.iter().copied()).output();
    let output = output.expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("it is text");
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_finds_what_would_end_the_start() {
    let simulator = simulator().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let url = simulator.https_url();
    configure(
        &simulator,
        folder.path(),
        [&url, &url],
        "ca_file: ca.pem",
        "definitions: 1s",
    );
    let file = folder.path().join("ca.pem");
    let damaged = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
    assert_eq!(check(folder.path(), &[]).0, Some(0));

    fs::write(&file, damaged).expect("it can be written");
    let (code, said) = check(folder.path(), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&file.display().to_string()), "{said}");

    fs::write(&file, simulator.ca_pem().to_owned() + damaged).expect("it can be written");
    let (code, said) = check(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let warns = said.contains("\nwarning: skipped certificates in http.ca_file ")
        && said.contains("ca.pem");
    assert!(warns, "{said}");
    is_up(&start(Arc::clone(&folder)).await).await;
}

/// None of these was an error, and with each the hosts were asked directly.
#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_names_no_usable_proxy_ends_the_start() {
    let simulator = simulator().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let url = simulator.https_url();
    configure(
        &simulator,
        folder.path(),
        [&url, &url],
        "ca_file: ca.pem",
        "definitions: 1s",
    );
    for (name, value) in [
        ("HTTPS_PROXY", "socks5://127.0.0.1:1080"),
        ("https_proxy", "http://proxy:99999"),
        ("ALL_PROXY", "http://user:pa/ss@proxy:3128"),
        ("all_proxy", "\"http://proxy:3128\""),
        ("HTTP_PROXY", "http://[fe80::1%eth0]:3128"),
        ("http_proxy", "ftp://proxy"),
    ] {
        let (code, said) = check(folder.path(), &[(name, value)]);
        assert_eq!(code, Some(1), "{name}={value}: {said}");
        assert!(said.contains(&format!(" in {name}, but found ")), "{said}");
        assert!(!said.contains("pa/ss"), "{said}");
        let mut command = binary();
        let file = folder.path().join("exporter.yml");
        command
            .arg("--config.file")
            .arg(file)
            .arg("--storage.path=");
        let flags = ["--web.listen-address", "127.0.0.1:0"];
        let output = command.args(flags).env(name, value).output();
        let output = output.expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{name}={value}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(name), "{said}");
    }
    assert_eq!(simulator.calls(), [], "nothing was sent directly");
}
