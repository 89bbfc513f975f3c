//! What a release needs.

use std::fs;
use std::process::Command;

use super::{read, root, succeeds};

/// The build script, run in a folder that holds only a `.revision`.
fn revision(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join(".revision"), text).expect("it can be written");
    let script = folder.path().join("script");
    succeeds(
        Command::new("rustc")
            .args(["--edition", "2024", "-o"])
            .arg(&script)
            .arg(root().join("build.rs")),
    );
    let mut script = Command::new(script);
    let said = succeeds(
        script
            .current_dir(folder.path())
            .env_remove("DEFENDER_EXPORTER_REVISION"),
    );
    let line = said
        .lines()
        .find_map(|line| line.split("EXPORTER_REVISION=").nth(1));
    line.expect("it is said").to_owned()
}

#[test]
fn an_archive_knows_its_revision() {
    let commit = "0123456789abcdef0123456789abcdef01234567\n";
    assert_eq!(revision(commit), "0123456789ab");
    assert_eq!(revision(&read(".revision")), "unknown");
    assert!(
        read(".gitattributes")
            .lines()
            .any(|line| line == ".revision export-subst")
    );
}

#[test]
fn the_version_names_revision_and_compiler() {
    let said =
        succeeds(Command::new(env!("CARGO_BIN_EXE_defender-scan-exporter")).arg("--version"));
    let (version, rest) = said.split_once(" (revision ").expect("it names a revision");
    assert_eq!(
        version,
        concat!("defender-scan-exporter ", env!("CARGO_PKG_VERSION"))
    );
    let (revision, compiler) = rest.split_once(", rustc ").expect("it names a compiler");
    assert!(revision == "unknown" || revision.len() == 12, "{said}");
    assert!(compiler.starts_with("1."), "{said}");
}

/// Alerts link to runbooks that can be opened, or nothing is published.
#[test]
fn a_release_refuses_addresses_that_are_placeholders() {
    let rules = "alerts/defender-scan.rules.yml";
    let placeholder = "https://defender-scan-exporter.example/docs/runbooks.md";
    let folder = tempfile::tempdir().expect("a folder can be made");
    let copy = folder.path().join("rules.yml");
    let check = |text: &str| {
        fs::write(&copy, text).expect("it can be written");
        let mut script = Command::new(root().join("release/addresses.sh"));
        script.arg(&copy).output().expect("the script can be run")
    };
    assert_eq!(read(rules).matches(placeholder).count(), 1, "one place");
    for (address, published) in [
        (placeholder, false),
        ("https://docs.example", false),
        ("", false),
        ("https://docs.example.org/runbooks", true),
    ] {
        let output = check(&read(rules).replace(placeholder, address));
        assert_eq!(output.status.success(), published, "{address}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("expected the public address"), !published);
    }
}

#[test]
fn scripts_are_understood_by_the_shell() {
    for script in [
        "release/addresses.sh",
        "release/reproducible.sh",
        "release/sbom.sh",
        "deploy/local/run.sh",
        "tests/containers/bases.sh",
        "tests/containers/compose.sh",
        "tests/containers/image.sh",
        "tests/containers/run.sh",
        "tests/measure/fuzz.sh",
        "tests/measure/soak.sh",
        "tests/run.sh",
        "tests/shipping/boot.sh",
        "tests/shipping/installed.sh",
    ] {
        succeeds(Command::new("bash").arg("-n").arg(root().join(script)));
    }
}
