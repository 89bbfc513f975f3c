//! Tells the crate which compiler builds it, and out of which revision.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    // "rustc 1.95.0 (59807616e 2026-04-14)"
    let number = version
        .as_deref()
        .and_then(|text| text.split_whitespace().nth(1))
        .unwrap_or("unknown");
    println!("cargo::rustc-env=DEFENDER_EXPORTER_RUSTC_VERSION={number}");
    let revision = env::var("DEFENDER_EXPORTER_REVISION")
        .ok()
        .or_else(checked_out)
        .or_else(archived);
    println!(
        "cargo::rustc-env=DEFENDER_EXPORTER_REVISION={}",
        revision.as_deref().unwrap_or("unknown")
    );
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.revision");
    println!("cargo::rerun-if-env-changed=DEFENDER_EXPORTER_REVISION");
}

/// The commit that is checked out, if this is a clone, and not an archive within another.
fn checked_out() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).ok())?
    };
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", log.trim());
    }
    Some(git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned())
}

/// The commit of an archive that git made: it writes it into this file.
fn archived() -> Option<String> {
    let text = fs::read_to_string(".revision").ok()?;
    let revision = text.trim().get(..12)?;
    let is_written = revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_written.then(|| revision.to_owned())
}
