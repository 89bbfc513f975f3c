//! `check`: the real binary against the simulator over TLS. What it says of each
//! failure is pinned in `tests/check/`; `UPDATE_GOLDEN=1 cargo test --test suite check::`
//! writes these files anew: read the difference.

mod running;
mod transcripts;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::common::tenants::{certificate, configure, secret, simulator, trust};
use crate::common::{self, Exporter, Process, binary, options};
use defender_simulator::{Damage, Endpoint, Fault, Simulator};
use tempfile::TempDir;

/// Calls of one check to the API of one tenant, at most.
const CALLS: usize = 4;

/// What a check printed, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

/// A folder with the configuration of a tenant that leaves a reserve.
fn folder(simulator: &Simulator, credential: &str) -> Arc<TempDir> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    configure(simulator, folder.path(), credential, "");
    edit(
        folder.path(),
        "per_minute: 200, per_hour: 3000, use: 50%",
        "use: 80%",
    );
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.path().join("exporter.yml"), private).expect("it is ours");
    folder.into()
}

/// Changes the configuration in a folder.
fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("exporter.yml");
    let text = fs::read_to_string(&file).expect("it can be read");
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(file, text.replace(from, to)).expect("it can be written");
}

async fn check(folder: &Arc<TempDir>, arguments: &[&str]) -> Said {
    checked(folder, arguments, |_| ()).await
}

async fn checked(
    folder: &Arc<TempDir>,
    arguments: &[&str],
    adjust: impl FnOnce(&mut Command),
) -> Said {
    let own = tempfile::tempdir().expect("a folder can be made");
    let mut command = binary();
    command.arg("check").args(arguments);
    command.arg("--config.file");
    command.arg(folder.path().join("exporter.yml"));
    command.arg("--storage.path");
    command.arg(folder.path().join("state"));
    adjust(&mut command);
    let mut process = Process::start(own, &mut command);
    let code = process.exit().await.code();
    let read = |name| fs::read_to_string(process.folder.path().join(name)).expect("it is text");
    Said {
        stdout: read("stdout"),
        stderr: read("stderr"),
        code,
    }
}

/// Calls to the API, not to the sign-in host.
fn calls(simulator: &Simulator) -> usize {
    let calls = simulator.calls();
    let api = calls
        .iter()
        .filter(|call| !matches!(call.endpoint, Endpoint::Token | Endpoint::Metadata));
    api.count()
}

/// What was said, without what differs from run to run.
fn normal(simulator: &Simulator, folder: &Path, said: &Said) -> String {
    let identity = simulator.tenant(0).expect("there is a tenant");
    let mut text = format!(
        "{}{}exit code {}\n",
        said.stdout,
        said.stderr,
        said.code.expect("it ended by itself")
    );
    text = text.replace(&folder.display().to_string(), "FOLDER");
    text = text.replace(&simulator.https_url(), "https://localhost:PORT");
    text = text.replace(&identity.client_id, "CLIENT-ID");
    for (pattern, instead) in [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"(ID: )[0-9a-f-]*…", "${1}GUID…"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "GUID"),
    ] {
        let pattern = regex::Regex::new(pattern).expect("it is a pattern");
        text = pattern.replace_all(&text, instead).into_owned();
    }
    text
}

/// Compares what was said with `tests/check/NAME.txt`.
fn pinned(name: &str, simulator: &Simulator, folder: &Path, said: &Said) {
    assert!(calls(simulator) <= CALLS, "{name}: {}", calls(simulator));
    assert_eq!(simulator.violations(), 0);
    let printed = format!("{}{}", said.stdout, said.stderr);
    for secret in simulator.secrets() {
        assert!(!printed.contains(&secret), "{name}: a secret leaked");
    }
    assert!(!printed.contains("canary"), "{name}: a password leaked");
    same(name, &normal(simulator, folder, said));
}

/// Writes a file with a secret, which nobody else can read.
fn write_private(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// Compares a text with `tests/check/NAME.txt`.
fn same(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/check/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).expect("it can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{name}: expected\n{expected}\nbut found\n{text}"
    );
}
