//! What is shipped: the image's content, the composed set-up, the service and its
//! package, each run as far as a machine without a registry of containers can.

mod compose;
mod container;
mod local;
mod package;
mod release;
mod systemd;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Process, eventually};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!(
            "expected {command:?} to run, but found {error}; run tests/run.sh, which installs it"
        )
    })
}

/// What it prints; it must succeed.
fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// A command of the project's Python, which `tests/run.sh` makes.
fn python(name: &str) -> Command {
    Command::new(root().join("target/python/bin").join(name))
}

/// The target of the image, on this machine's architecture.
fn static_target() -> String {
    format!("{}-unknown-linux-musl", env::consts::ARCH)
}

/// The binary of the image: static, but not optimized, for that takes minutes.
fn static_binary() -> PathBuf {
    let folder = root().join("target/static");
    let target = static_target();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .current_dir(root())
        .args(["build", "--locked", "--quiet", "--target", &target])
        .args(["--bin", "defender-scan-exporter", "--target-dir"])
        .arg(&folder)
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    let output = run(&mut build);
    assert!(
        output.status.success(),
        "expected a static binary, but found: {}\ninstall clang and `rustup target add {target}`, as tests/run.sh does",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.join(target).join("debug/defender-scan-exporter")
}

/// The address on which a process says that it listens.
async fn address(process: &Process) -> String {
    let port = eventually("it listens", async || {
        let output = process.output();
        let after = output.split("address=127.0.0.1:").nth(1)?;
        let port = after.split(|c: char| !c.is_ascii_digit()).next()?;
        (port.len() < after.len()).then(|| port.to_owned())
    });
    format!("http://127.0.0.1:{}", port.await)
}

/// The last of the processes that `parent` started one out of the other.
fn descendant(parent: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let child = children
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok());
    child.map_or(parent, descendant)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("it is in a folder")).expect("it can be made");
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}
