//! What a release needs.

use std::fs;
use std::process::Command;

use super::{read, root, run, succeeds};

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
        "release/assets.sh",
        "release/chart.sh",
        "release/checksums.sh",
        "release/draft.sh",
        "release/packages.sh",
        "release/publish.sh",
        "release/reproducible.sh",
        "release/sbom.sh",
        "release/toolchain.sh",
        "release/version.sh",
        "deploy/local/run.sh",
        "tests/containers/bases.sh",
        "tests/containers/compose.sh",
        "tests/containers/image.sh",
        "tests/containers/run.sh",
        "tests/kubernetes/checks.sh",
        "tests/kubernetes/cluster.sh",
        "tests/kubernetes/environment.sh",
        "tests/kubernetes/inside.sh",
        "tests/kubernetes/lib.sh",
        "tests/kubernetes/run.sh",
        "tests/measure/fuzz.sh",
        "tests/measure/soak.sh",
        "tests/run.sh",
        "tests/shipping/boot.sh",
        "tests/shipping/installed.sh",
    ] {
        succeeds(Command::new("bash").arg("-n").arg(root().join(script)));
    }
}

/// All shell steps of the workflows are scripts of the project, which tests run.
#[test]
fn workflows_run_scripts_and_pinned_actions_alone() {
    for file in [".github/workflows/ci.yml", ".github/workflows/release.yml"] {
        for line in read(file).lines() {
            let line = line.trim_start().trim_start_matches("- ");
            if let Some(command) = line.strip_prefix("run: ") {
                let script = command.split(' ').next().expect("it has a word");
                assert!(root().join(script).exists(), "{file}: {line}");
            }
            if let Some(action) = line.strip_prefix("uses: ") {
                let (_, rest) = action.split_once('@').expect("it has a version");
                let (hash, version) = rest.split_once(" # v").expect("it names the tag");
                assert!(hash.len() == 40 && version.contains('.'), "{file}: {line}");
            }
        }
    }
}

#[test]
fn what_is_released_has_one_version() {
    let check = |tag: &str| run(Command::new(root().join("release/version.sh")).arg(tag));
    let right = check(concat!("v", env!("CARGO_PKG_VERSION")));
    assert!(right.status.success(), "{right:?}");
    let wrong = check("v99.0.0");
    let said = String::from_utf8(wrong.stderr).expect("it is text");
    assert_eq!(wrong.status.code(), Some(1));
    for place in [
        "Cargo.toml",
        "Cargo.lock",
        "Dockerfile",
        "version",
        "appVersion",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
}

#[test]
fn checksums_are_those_of_the_files() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for name in ["one", "two with a space"] {
        fs::write(folder.path().join(name), name).expect("it can be written");
    }
    for _ in 0..2 {
        succeeds(Command::new(root().join("release/checksums.sh")).arg(folder.path()));
    }
    let check = || {
        run(Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(folder.path()))
    };
    let said = String::from_utf8(check().stdout).expect("it is text");
    assert_eq!(said, "one: OK\ntwo with a space: OK\n");
    fs::write(folder.path().join("one"), "changed").expect("it can be written");
    assert!(!check().status.success());
}

/// The chart, plain manifests and rule groups follow from other files, by a script.
#[test]
fn what_is_generated_is_up_to_date() {
    let output = run(super::python("python3")
        .arg(root().join("deploy/generate.py"))
        .arg("--check"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
