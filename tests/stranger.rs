//! Who has only the README gets to a real tenant's metrics: its quick start, command for
//! command, on a network where the real host names lead to the simulator.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::process::in_namespaces;
use crate::common::tools::needs;
use crate::common::{Process, eventually, get, options};
use defender_simulator::{Simulator, TenantIdentity};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const API: &str = "api.security.microsoft.com";
const SIGN_IN: &str = "login.microsoftonline.com";
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The blocks of the quick start in a language.
fn blocks(language: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.expect("it can be read");
    let (_, section) = readme
        .split_once("\n## Quick start")
        .expect("it has a quick start");
    let (section, _) = section.split_once("\n## ").expect("it has an end");
    let blocks = section.split("\n```").skip(1).step_by(2);
    blocks
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
        .fold(String::new(), |text, block| text + block + "\n")
}

/// The README's example, with the ids that one copies from the portal.
fn configuration(tenant: &TenantIdentity) -> String {
    let text = blocks("yaml");
    let filled = text
        .replace("3f0e6d0e-0000-4000-8000-000000000001", &tenant.tenant_id)
        .replace("9b6f0000-0000-4000-8000-000000000001", &tenant.client_id);
    assert_ne!(filled, text);
    filled
}

/// A line of the quick start, in a shell that finds the exporter.
fn shell(folder: &Path, line: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_defender-scan-exporter"));
    let programs = binary.parent().expect("it is in a folder").display();
    let mut command = Command::new("bash");
    command
        .args(["-euc", line])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin"));
    command
}

fn mount(folder: &Path, name: &str, text: &str, over: &str) {
    let file = folder.join(name);
    fs::write(&file, text).expect("the folder can be written");
    let status = Command::new("mount")
        .arg("--bind")
        .args([&file, Path::new(over)])
        .status();
    assert!(status.expect("mount runs").success(), "{over}");
}

/// Real names, the port that belongs to them, and a root that vouches for them.
async fn disguise(simulator: &Simulator, folder: &Path) {
    let hosts = format!("127.0.0.1 localhost {API} {SIGN_IN}\n");
    mount(folder, "hosts", &hosts, "/etc/hosts");
    mount(folder, "roots", simulator.ca_pem(), ROOTS);
    let url = simulator.https_url();
    let face = url.replace("https://localhost", "127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:443").await;
    let listener = listener.expect("the port is ours");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut service = TcpStream::connect(&face).await.expect("it listens");
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut service).await });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_leads_to_metrics() {
    needs!("ip", "mount");
    let test = "stranger::the_quick_start_leads_to_metrics";
    if !in_namespaces(&["--mount", "--net"], "ip link set lo up", test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut options = options();
    options.host_names = [API, SIGN_IN].map(str::to_owned).to_vec();
    let simulator = Simulator::start(options).await;
    let simulator = simulator.expect("the simulator starts");
    disguise(&simulator, folder.path()).await;
    let tenant = simulator.tenant(0).expect("there is a tenant");
    let portal = folder.path().join("portal");
    fs::write(&portal, format!("{}\n", tenant.client_secret)).expect("it can be written");
    let file = folder.path().join("exporter.yml");
    fs::write(file, configuration(&tenant)).expect("it can be written");

    let script = blocks("sh");
    let line = |start: &str| {
        let found = script.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("expected {start}, but found: {script}"))
    };
    let pasted = shell(folder.path(), line("(umask 077"))
        .stdin(fs::File::open(portal).expect("it is there"))
        .status();
    assert!(pasted.expect("the shell runs").success());
    let check = shell(folder.path(), line("defender-scan-exporter check "))
        .stdin(Stdio::null())
        .output()
        .expect("the shell runs");
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success(), "{said}");

    let start = format!("exec {}", line("defender-scan-exporter --config.file"));
    let mut start = shell(folder.path(), &start);
    let exporter = Process::start(folder, &mut start);
    eventually("the tenant's scans are shown", async || {
        let (_, body) = get("http://127.0.0.1:10063/metrics").await?;
        let shown = body.contains("defender_up{tenant=\"contoso\"} 1")
            && body.contains("defender_scan_status_code{tenant=\"contoso\"");
        shown.then_some(())
    })
    .await;
    for call in simulator.calls() {
        assert!([API, SIGN_IN].contains(&call.host.as_str()), "{call:?}");
    }
    let output = exporter.output();
    assert!(!output.contains("level=error"), "{output}");
}
