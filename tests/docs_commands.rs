//! Each shell command of the documentation is run by a test, or listed here with the
//! reason why not; and each link leads somewhere, to the very heading.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::tools::needs;

/// Who runs a command.
enum By {
    /// A test of this file.
    Here,
    /// Another file, which holds these words.
    Test(&'static str, &'static str),
    /// Nobody, for this reason.
    Nobody(&'static str),
}

use By::{Here, Nobody, Test};

const AZURE: By = Nobody("it changes a directory, and there is none to change");
const DOCKER: By =
    Nobody("it takes two optimized builds; tests/containers/run.sh does the same with podman");

/// Beginnings of commands; the first that fits counts.
const COMMANDS: &[(&str, By)] = &[
    (
        "cargo run --release -- demo",
        Test("tests/process.rs", "demo"),
    ),
    ("cargo run -- demo", Test("tests/process.rs", "demo")),
    (
        "defender-scan-exporter demo",
        Test("tests/process.rs", "demo"),
    ),
    ("tests/run.sh", Test(".ci/run", "tests/run.sh")),
    (
        "cargo test --lib",
        Test("tests/run.sh", "cargo test --locked"),
    ),
    (
        "cargo build --release && tests/measure/prometheus_cost.py",
        Nobody("it measures, for a quarter of an hour"),
    ),
    (
        "INTERVAL=5 TOLERANCE=50ms tests/measure/prometheus_cost.py",
        Nobody("it measures, for a quarter of an hour"),
    ),
    (
        "cargo build --release",
        Nobody("it takes minutes; the same is built unoptimized"),
    ),
    ("export PATH=", Nobody("it only names a folder")),
    (
        "defender-scan-exporter check-config --web.config.file",
        Test("tests/web_config.rs", "check-config"),
    ),
    ("defender-scan-exporter check-config", Here),
    (
        "defender-scan-exporter docs schema",
        Test("tests/process.rs", "schema"),
    ),
    (
        "defender-scan-exporter check ",
        Test("tests/check/main.rs", "check"),
    ),
    (
        "defender-scan-exporter healthcheck",
        Test("tests/process.rs", "healthcheck"),
    ),
    (
        "defender-scan-exporter --config.file",
        Test("tests/common/mod.rs", "--config.file"),
    ),
    (
        "(umask 077; cat >secret)",
        Test("tests/stranger.rs", "(umask 077"),
    ),
    ("kill -HUP", Test("tests/reload.rs", "HUP")),
    ("curl -X POST", Test("tests/reload.rs", "exporter.reload()")),
    ("openssl req", Here),
    ("sed -i -e 's|runbooks:", Here),
    (
        "for name in environment customer; do",
        Test("tests/routing.rs", "block(PAGE, \"sh\""),
    ),
    (
        "  sed -i 's/^",
        Test("tests/routing.rs", "block(PAGE, \"sh\""),
    ),
    ("done", Test("tests/routing.rs", "block(PAGE, \"sh\"")),
    (
        "deploy/local/run.sh",
        Test("tests/shipping/local.rs", "deploy/local/run.sh"),
    ),
    (
        "benches/run.sh",
        Nobody("it measures, on a machine that does nothing else"),
    ),
    (
        "EXPORTER=$PWD/target/release/defender-scan-exporter SETTLING_SECONDS=240 target/release/examples/many_tenants $PWD/tests/measure/restarted.sh 1000 2 300",
        Nobody("it measures for ten minutes, on a machine that does nothing else"),
    ),
    (
        "tests/measure/soak.sh",
        Nobody("it takes a quarter of an hour; tests/soak takes a minute"),
    ),
    (
        "tests/measure/fuzz.sh",
        Nobody("it takes another toolchain and hours; src/fuzzing.rs runs the same targets"),
    ),
    (
        "FUZZ_SECONDS=60 cargo test --lib fuzzing",
        Test("tests/run.sh", "cargo test --locked"),
    ),
    ("cargo test --", Test("tests/run.sh", "cargo test --locked")),
    ("docker ", DOCKER),
    (
        "EXPORTER_COMMAND=--config.file=/etc/defender-scan-exporter/exporter.yml docker",
        DOCKER,
    ),
    (
        "rustup target add",
        Test("tests/run.sh", "rustup target add"),
    ),
    (
        "cargo install --locked cargo-deb --version 3.8.0",
        Test("tests/run.sh", "cargo-deb 3.8.0"),
    ),
    ("cargo deb ", Test("tests/shipping/package.rs", "cargo-deb")),
    (
        "sudo apt-get install ./",
        Test("tests/shipping/installed.sh", "dpkg --install"),
    ),
    (
        "systemctl ",
        Test("tests/shipping/installed.sh", "systemctl enable --now"),
    ),
    (
        "helm install defender",
        Test("tests/kubernetes/lib.sh", "h upgrade --install"),
    ),
    (
        "helm upgrade defender",
        Test("tests/kubernetes/lib.sh", "h upgrade --install"),
    ),
    (
        "cargo build --locked --profile dist",
        Nobody("it takes minutes; the same is built unoptimized"),
    ),
    (
        "release/assets.sh",
        Test("tests/shipping/package.rs", "release/assets.sh"),
    ),
    ("api=", AZURE),
    ("role=$(az ", AZURE),
    ("app=$(az ", AZURE),
    ("az ", AZURE),
    ("(umask 077; az ", AZURE),
    ("echo \"$app\"", AZURE),
];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages of the project, by their path.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).expect("the folder is there");
    let names =
        docs.map(|entry| Path::new("docs").join(entry.expect("it can be read").file_name()));
    let mut names: Vec<_> = names
        .filter(|name| name.extension().is_some_and(|end| end == "md"))
        .collect();
    names.extend(["README.md", "CHANGELOG.md"].map(PathBuf::from));
    names.sort();
    names
        .into_iter()
        .map(|name| (name.clone(), read(name)))
        .collect()
}

/// The commands of the shell blocks; what goes on in the next line is one.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("\n```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let lines = shell.map(|block| block.replace("\\\n", ""));
    lines
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn each_command_is_run_or_excused() {
    let mut unused: BTreeSet<&str> = COMMANDS.iter().map(|(start, _)| *start).collect();
    for (page, text) in pages() {
        for command in commands(&text) {
            let known = COMMANDS
                .iter()
                .find(|(start, _)| command.starts_with(start));
            let (start, by) = known.unwrap_or_else(|| {
                panic!(
                    "{}: expected a test, or a reason here, for: {command}",
                    page.display()
                )
            });
            unused.remove(start);
            match by {
                Here => {}
                Test(file, words) => assert!(read(file).contains(words), "{file}: {words}"),
                Nobody(reason) => assert!(!reason.is_empty()),
            }
        }
    }
    assert!(unused.is_empty(), "no page has {unused:?}");
}

/// The block of that language that holds `words`.
pub fn block(page: &str, language: &str, words: &str) -> String {
    let text = read(page);
    let blocks = text.split("\n```").skip(1).step_by(2);
    let mut fitting = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    let found = fitting.find(|block| block.contains(words));
    found
        .unwrap_or_else(|| panic!("{page}: no {language} with {words}"))
        .to_owned()
}

pub fn shell(folder: &Path, script: &str) {
    let binary = Path::new(env!("CARGO_BIN_EXE_defender-scan-exporter"));
    let path = format!(
        "{}:{}",
        binary.parent().expect("it is in a folder").display(),
        std::env::var("PATH").expect("there is a path")
    );
    let output = Command::new("bash")
        .args(["-euc", script])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("bash starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{script}\n{}",
        String::from_utf8_lossy(&said)
    );
}

/// Who follows the page has a configuration that passes.
#[test]
fn getting_started_leads_to_a_configuration_that_passes() {
    let page = "docs/getting-started.md";
    let folder = tempfile::tempdir().expect("a folder can be made");
    let configuration = block(page, "yaml", "tenants:");
    fs::write(folder.path().join("exporter.yml"), configuration).expect("it can be written");
    fs::write(folder.path().join("secret"), "not a real one\n").expect("it can be written");
    let script = block(page, "sh", "check-config");
    let check = script.lines().next().expect("it has a line");
    shell(folder.path(), check);
}

#[test]
fn the_certificate_is_one_that_the_exporter_takes() {
    needs!("openssl");
    let folder = tempfile::tempdir().expect("a folder can be made");
    shell(
        folder.path(),
        &block("docs/configuration.md", "sh", "openssl"),
    );
    let configuration = "tenants:\n  - name: contoso\n    tenant_id: contoso.onmicrosoft.com\n    credential:\n      \
        type: client_certificate\n      client_id: 9b6f0000-0000-4000-8000-000000000001\n      \
        certificate_file: certificate.pem\n      key_file: key.pem\n";
    fs::write(folder.path().join("exporter.yml"), configuration).expect("it can be written");
    shell(
        folder.path(),
        "defender-scan-exporter check-config --config.file exporter.yml",
    );
}

#[test]
fn runbooks_get_an_address() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let rules = folder.path().join("defender-scan.rules.yml");
    fs::copy(root().join("alerts/defender-scan.rules.yml"), &rules).expect("it can be copied");
    shell(folder.path(), &block("docs/dashboards.md", "sh", "sed"));
    let rules = fs::read_to_string(rules).expect("it is there");
    for placeholder in ["scan-exporter.example/", "grafana.example\n"] {
        assert!(!rules.contains(placeholder), "{placeholder}");
    }
    assert_eq!(rules.matches(": https://git.example.com/").count(), 1);
}

/// The anchor that a heading gets, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn prose(text: &str) -> String {
    text.split("\n```")
        .step_by(2)
        .collect::<Vec<_>>()
        .join("\n")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let text = prose(text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let (mut files, mut headings) = (0, 0);
    for (page, text) in pages() {
        for link in prose(&text).split("](").skip(1) {
            let (target, _) = link.split_once(')').expect("the link is closed");
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.parent().expect("it is in a folder");
            let file = if file.is_empty() {
                page.clone()
            } else {
                folder.join(file)
            };
            assert!(root().join(&file).exists(), "{}: {target}", page.display());
            files += 1;
            if !heading.is_empty() {
                assert!(
                    anchors(&read(&file)).contains(heading),
                    "{}: {target}",
                    page.display()
                );
                headings += 1;
            }
        }
    }
    assert!(files >= 40 && headings >= 5, "{files} {headings}");
}

/// Each page is reached from the README, directly or through others.
#[test]
fn no_page_is_lost() {
    let pages = pages();
    let mut reached = BTreeSet::from([PathBuf::from("README.md")]);
    loop {
        let before = reached.clone();
        for (page, text) in pages.iter().filter(|(page, _)| before.contains(page)) {
            for link in prose(text).split("](").skip(1) {
                let target = link.split([')', '#']).next().unwrap_or_default();
                let folder = page.parent().expect("it is in a folder");
                let target = folder.join(target);
                reached.insert(target.to_string_lossy().replace("docs/../", "").into());
            }
        }
        if reached == before {
            break;
        }
    }
    for (page, _) in &pages {
        assert!(
            reached.contains(page),
            "nothing leads to {}",
            page.display()
        );
    }
}
