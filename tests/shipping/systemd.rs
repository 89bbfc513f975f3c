//! The unit and the socket, as systemd's own tools see them.

use std::fs;
use std::process::Command;

use super::{read, root, run, succeeds};
use crate::common::tools::needs;

const SERVICE: &str = "deploy/systemd/defender-scan-exporter.service";
const SOCKET: &str = "deploy/systemd/socket/defender-scan-exporter.socket";

/// Both units in a folder, with a binary that is there.
fn verify(service: &str) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let unit = folder.path().join("defender-scan-exporter.service");
    let binary = env!("CARGO_BIN_EXE_defender-scan-exporter");
    let text = service.replace("/usr/bin/defender-scan-exporter", binary);
    assert_ne!(text, service);
    fs::write(&unit, text).expect("it can be written");
    let socket = folder.path().join("defender-scan-exporter.socket");
    fs::copy(root().join(SOCKET), &socket).expect("it can be copied");
    run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([unit, socket]))
}

#[test]
fn systemd_understands_the_units() {
    needs!("systemd-analyze");
    let text = read(SERVICE);
    let output = verify(&text);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let output = verify(&text.replace("ProtectSystem=strict", "ProtectSystem=stricter"));
    assert!(!output.stderr.is_empty(), "a mistake was not found");
}

/// The figure that the documentation gives.
#[test]
fn the_unit_is_as_hardened_as_the_documentation_says() {
    needs!("systemd-analyze");
    let security = |threshold: &str| {
        run(Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={threshold}"))
            .arg(root().join(SERVICE)))
    };
    assert!(security("12").status.success(), "exposed more than 1.2");
    assert!(
        !security("11").status.success(),
        "the documentation is behind"
    );
    assert!(read("docs/security.md").contains("`systemd-analyze security` gives it 1.2"));
}

#[test]
fn the_user_and_the_folders_can_be_made() {
    needs!("systemd-sysusers");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = format!("--root={}", folder.path().display());
    let file = |name: &str| root().join(format!("deploy/systemd/defender-scan-exporter.{name}"));
    fs::create_dir(folder.path().join("etc")).expect("it can be made");
    succeeds(
        Command::new("systemd-sysusers")
            .arg(&at)
            .arg(file("sysusers")),
    );
    let users = fs::read_to_string(folder.path().join("etc/passwd")).expect("it is written");
    let user = users
        .lines()
        .find(|line| line.starts_with("defender-scan-exporter:"));
    assert!(user.expect("it is there").ends_with("/nologin"), "{users}");
}
