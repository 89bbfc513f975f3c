//! The Debian and the RPM package: built, and then installed, run and removed under a systemd
//! that boots on a copy of this machine. It has a network of its own, with a simulated tenant.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use defender_simulator::Simulator;

use super::{copy, root, run, static_binary, static_target, succeeds};
use crate::common::tenants;
use crate::common::tools::needs;

/// Where the inner run of the test finds the package.
const FOLDER: &str = "PACKAGE_FOLDER";

/// `cargo deb` and `cargo generate-rpm`, of the static binary that the tests have anyway.
fn package(folder: &Path) {
    let target = folder.join("target");
    let binary = target
        .join(static_target())
        .join("release/defender-scan-exporter");
    copy(&static_binary(), &binary);
    succeeds(
        Command::new(root().join("release/assets.sh"))
            .arg(&binary)
            .arg(root().join("target/assets")),
    );
    succeeds(
        Command::new(root().join("target/tools/bin/cargo-deb"))
            .current_dir(root())
            .args([
                "--no-build",
                "--strip",
                "--fast",
                "--target",
                &static_target(),
                "--output",
            ])
            .arg(folder.join("exporter.deb"))
            .env("CARGO_TARGET_DIR", &target),
    );
    succeeds(
        Command::new(root().join("target/tools/bin/cargo-generate-rpm"))
            .current_dir(root())
            .args(["--payload-compress", "none", "--target", &static_target()])
            .arg("--target-dir")
            .arg(&target)
            .arg("--output")
            .arg(folder.join("exporter.rpm")),
    );
}

/// Runs this test once more, as root and in namespaces that end with it.
fn in_namespaces(folder: &Path) -> Output {
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", "env"]);
    if rustix::process::getuid().is_root() {
        command = Command::new("env");
    }
    command
        .arg(format!("{FOLDER}={}", folder.display()))
        .args(["timeout", "--signal=KILL", "660"])
        .args(["unshare", "--mount", "--net", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc", "/bin/sh", "-c"])
        .arg("ip link set lo up && exec \"$0\" --exact --nocapture shipping::package::systemd_runs_it_from_installation_to_purge")
        .arg(env::current_exe().expect("it has a path"));
    run(&mut command)
}

/// What `installed.sh` gives the exporter: NAME is a tenant's name of its choice.
fn configure(simulator: &Simulator, folder: &Path) {
    let identity = simulator.tenant(0).expect("there is a tenant");
    let (id, url, client) = (
        identity.tenant_id,
        simulator.https_url(),
        identity.client_id,
    );
    let text = format!(
        "tenants:\n  - name: NAME\n    tenant_id: {id}\n    api_base_url: {url}\n    authority_host: {url}\n    \
         credential:\n      type: client_secret\n      client_id: {client}\n      \
         client_secret_file: /run/credentials/defender-scan-exporter.service/secrets_contoso\n    \
         quota: {{per_minute: 1000, per_hour: 60000}}\nhttp: {{ca_file: ca.pem}}\n"
    );
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("the folder can be written");
    };
    write("exporter.yml", &text);
    write("ca.pem", simulator.ca_pem());
    write("secret", &identity.client_secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_runs_it_from_installation_to_purge() {
    needs!(
        "root or sudo",
        "systemd-nspawn",
        "dpkg-deb",
        "rpm",
        "curl",
        "ip",
        "mount",
        "clang and Rust's musl target",
        "target/tools/bin/cargo-deb",
        "target/tools/bin/cargo-generate-rpm"
    );
    let Some(folder) = env::var_os(FOLDER) else {
        let folder = tempfile::tempdir().expect("a folder can be made");
        package(folder.path());
        let output = in_namespaces(folder.path());
        let log = fs::read(folder.path().join("log")).unwrap_or_default();
        let said = [output.stdout, output.stderr, log]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        assert!(
            output.status.success() && said.ends_with("all is well\n"),
            "{said}"
        );
        return;
    };
    let folder = PathBuf::from(folder);
    let simulator = tenants::simulator().await;
    configure(&simulator, &folder);
    let boot = root().join("tests/shipping/boot.sh");
    succeeds(Command::new(boot).arg(&folder));
}
