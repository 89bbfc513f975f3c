//! The image: its recipe, and its content in an empty root, as a container runtime
//! would run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use defender_simulator::Simulator;
use tempfile::TempDir;

use super::{address, copy, descendant, python, read, root, run, static_binary, succeeds};
use crate::common::process::kill;
use crate::common::tools::needs;
use crate::common::{Process, eventually, get, tenants};

/// Where the exporter looks for certificates, as the Dockerfile puts them.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// The last stage's instructions.
struct Image(Vec<(String, String)>);

impl Image {
    fn read() -> Self {
        let text = read("Dockerfile").replace("\\\n", " ");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let instructions: Vec<_> = lines
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let last = instructions.iter().rposition(|(name, _)| name == "FROM");
        Self(instructions[last.expect("it has a stage")..].to_vec())
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        &found
            .unwrap_or_else(|| panic!("expected {name}, but found none"))
            .1
    }

    /// A value in exec form.
    fn words(&self, name: &str) -> Vec<String> {
        let value = self.value(name);
        let list = value.find('[').map_or(value, |start| &value[start..]);
        serde_json::from_str(list).unwrap_or_else(|error| panic!("{name} {value}: {error}"))
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let pairs = self.value("ENV").split_whitespace();
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

#[test]
fn the_dockerfile_is_sound() {
    needs!("target/python/bin/hadolint");
    let hadolint = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("Dockerfile");
        fs::write(&file, text).expect("it can be written");
        run(python("hadolint")
            .args([
                "--no-color",
                "--failure-threshold",
                "style",
                "--strict-labels",
            ])
            .args(["--require-label", "org.opencontainers.image.version:semver"])
            .args(["--require-label", "org.opencontainers.image.licenses:spdx"])
            .args(["--require-label", "org.opencontainers.image.title:text"])
            .args(["--require-label", "org.opencontainers.image.revision:text"])
            .args([
                "--require-label",
                "org.opencontainers.image.description:text",
            ])
            .arg(file))
    };
    let text = read("Dockerfile");
    let output = hadolint(&text);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    for (good, bad, rule) in [
        ("rust:1.95.0-slim-bookworm", "rust:latest", "DL3007"),
        ("rust:1.95.0-slim-bookworm", "rust", "DL3006"),
        ("COPY src src", "ADD src src", "DL3020"),
        (
            r#"ENTRYPOINT ["/defender-scan-exporter"]"#,
            "ENTRYPOINT /defender-scan-exporter",
            "DL3025",
        ),
        ("USER 65532:65532", "USER root", "DL3002"),
    ] {
        let faulty = text.replace(good, bad);
        assert_ne!(faulty, text, "{good} is not there");
        let said = String::from_utf8(hadolint(&faulty).stdout).expect("it is text");
        assert!(said.contains(rule), "expected {rule}, but found: {said}");
    }
}

#[test]
fn the_image_is_empty_but_for_what_it_needs() {
    let image = Image::read();
    assert_eq!(image.value("FROM"), "scratch");
    assert_eq!(image.value("USER"), "65532:65532");
    assert_eq!(image.words("VOLUME"), ["/data"]);
    assert_eq!(image.words("ENTRYPOINT"), ["/defender-scan-exporter"]);
    assert!(
        image
            .words("HEALTHCHECK")
            .ends_with(&["healthcheck".to_owned()])
    );
    assert_eq!(
        image.environment()["DEFENDER_EXPORTER_STORAGE_PATH"],
        "/data"
    );
    // For OpenShift, which chooses a user, of group 0.
    let text = read("Dockerfile");
    assert!(text.contains("chmod 770 /image/data\n"));
    assert!(text.contains("--chown=65532:0 /image /\n"));
    let version = concat!(
        "org.opencontainers.image.version=\"",
        env!("CARGO_PKG_VERSION"),
        "\""
    );
    assert!(image.value("LABEL").contains(version), "{version}");
    let compiler = read("Cargo.toml");
    let compiler = compiler
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let compiler = compiler.expect("it is there").trim_matches('"').to_owned();
    assert!(
        read("Dockerfile").contains(&format!("rust:{compiler}.")),
        "{compiler}"
    );
}

/// What the build copies must get past `.dockerignore`, and nothing else does.
#[test]
fn the_build_sees_its_sources_alone() {
    let ignored = read(".dockerignore");
    let mut seen: Vec<_> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    seen.sort_unstable();
    let text = read("Dockerfile");
    let steps = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let mut copied: Vec<_> = steps
        .filter(|rest| !rest.starts_with("--from"))
        .flat_map(|rest| {
            let words: Vec<_> = rest.split(' ').collect();
            words[..words.len() - 1].to_vec()
        })
        .collect();
    copied.sort_unstable();
    assert_eq!(seen, copied);
    assert!(copied.iter().all(|name| root().join(name).exists()));
}

/// The image's root, and beside it a folder for its volume.
fn unpacked(folder: &Path, certificates: &str) -> PathBuf {
    let root = folder.join("root");
    for name in ["data", "etc/ssl/certs", "etc/defender-scan-exporter"] {
        fs::create_dir_all(root.join(name)).expect("it can be made");
    }
    fs::create_dir(folder.join("data")).expect("it can be made");
    copy(&static_binary(), &root.join("defender-scan-exporter"));
    let public = fs::read_to_string(Path::new("/").join(BUNDLE))
        .expect("the machine has certificates; run tests/run.sh, which installs ca-certificates");
    fs::write(root.join(BUNDLE), public + certificates).expect("it can be written");
    // Each runtime mounts one; without it the C library does not know the own machine's name.
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").expect("it can be written");
    root
}

/// Runs `words` as a container would: alone in `root`, which is read-only, as user
/// 65532, who may nothing, with the image's environment and the machine's network.
fn contained(folder: &Path, image: &Image, words: &[String]) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-user", "--unshare-ipc", "--unshare-uts"])
        .args(["--uid", "65532", "--gid", "65532", "--cap-drop", "ALL"])
        .args(["--new-session", "--die-with-parent", "--clearenv"])
        .arg("--ro-bind")
        .args([&folder.join("root"), Path::new("/")])
        .arg("--bind")
        .args([&folder.join("data"), Path::new("/data")])
        .args(["--chdir", "/"]);
    for (key, value) in image.environment() {
        command.args(["--setenv", &key, &value]);
    }
    command.args(words);
    command
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let found = status.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_default().trim_start_matches(':').trim()
}

/// What the kernel says of a process that ought to be confined.
fn is_confined(process: u32) {
    let of = |name: &str| {
        fs::read_to_string(format!("/proc/{process}/{name}")).expect("the process runs")
    };
    let status = of("status");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    let users = of("uid_map");
    assert_eq!(users.split_whitespace().next(), Some("65532"), "{users}");
    let mounts = of("mountinfo");
    let mut mounted = BTreeMap::new();
    for line in mounts.lines() {
        let words: Vec<_> = line.split(' ').collect();
        mounted.insert(
            words[4].to_owned(),
            words[5].split(',').any(|option| option == "ro"),
        );
    }
    let expected = [("/".to_owned(), true), ("/data".to_owned(), false)];
    assert_eq!(mounted, expected.into(), "{mounts}");
}

fn configuration(simulator: &Simulator, root: &Path) {
    let identity = simulator.tenant(0).expect("there is a tenant");
    let (id, url, client) = (
        identity.tenant_id,
        simulator.https_url(),
        identity.client_id,
    );
    let folder = root.join("etc/defender-scan-exporter");
    let text = format!(
        "tenants:\n  - name: contoso\n    tenant_id: {id}\n    api_base_url: {url}\n    authority_host: {url}\n    \
         credential: {{type: client_secret, client_id: {client}, client_secret_file: secret}}\n    \
         poll: {{definitions: 10s}}\n"
    );
    fs::write(folder.join("exporter.yml"), text).expect("it can be written");
    fs::write(folder.join("secret"), identity.client_secret).expect("it can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_alone_read_only_and_without_rights() {
    needs!(
        "bwrap",
        "clang and Rust's musl target",
        "/etc/ssl/certs/ca-certificates.crt"
    );
    let simulator = tenants::simulator().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let root = unpacked(folder.path(), simulator.ca_pem());
    configuration(&simulator, &root);
    let image = Image::read();
    let mut words = [image.words("ENTRYPOINT"), image.words("CMD")].concat();
    words.push("--web.listen-address=127.0.0.1:0".to_owned());
    let mut process = Process::start(
        Arc::clone(&folder),
        &mut contained(folder.path(), &image, &words),
    );
    let url = address(&process).await;
    eventually("the tenant is polled over TLS", async || {
        let (_, body) = get(&format!("{url}/metrics")).await?;
        body.contains("defender_up{tenant=\"contoso\"} 1")
            .then_some(())
    })
    .await;
    let inner = descendant(process.id());
    assert_ne!(inner, process.id());
    is_confined(inner);
    let state = fs::read_dir(folder.path().join("data")).expect("it can be read");
    assert!(state.count() > 0, "expected state in /data, but found none");

    let mut health = image.words("HEALTHCHECK");
    health.extend(["--url".to_owned(), format!("{url}/-/healthy")]);
    succeeds(&mut contained(folder.path(), &image, &health));
    health.pop();
    health.push("http://127.0.0.1:1/-/healthy".to_owned());
    let unhealthy = run(&mut contained(folder.path(), &image, &health));
    assert_eq!(unhealthy.status.code(), Some(1));

    stops(&mut process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_needs_nothing_but_the_volume() {
    needs!(
        "bwrap",
        "clang and Rust's musl target",
        "/etc/ssl/certs/ca-certificates.crt"
    );
    let folder: Arc<TempDir> = tempfile::tempdir().expect("a folder can be made").into();
    unpacked(folder.path(), "");
    let image = Image::read();
    let mut words = image.words("ENTRYPOINT");
    words.extend(["demo", "--web.listen-address=127.0.0.1:0"].map(str::to_owned));
    let mut process = Process::start(
        Arc::clone(&folder),
        &mut contained(folder.path(), &image, &words),
    );
    let url = address(&process).await;
    eventually("the demo shows scans", async || {
        let (_, body) = get(&format!("{url}/metrics")).await?;
        body.contains("defender_scan_status_code{").then_some(())
    })
    .await;
    stops(&mut process).await;
}

/// As AKS's webhook starts it: with Azure's variables, and no configuration mounted.
#[tokio::test(flavor = "multi_thread")]
async fn azures_variables_take_the_place_of_the_file_that_the_image_names() {
    needs!(
        "bwrap",
        "clang and Rust's musl target",
        "/etc/ssl/certs/ca-certificates.crt"
    );
    let folder: Arc<TempDir> = tempfile::tempdir().expect("a folder can be made").into();
    unpacked(folder.path(), "");
    let image = Image::read();
    let file = format!(
        "--config.file={}",
        defender_scan_exporter::cli::DEFAULT_FILE
    );
    assert_eq!(image.words("CMD"), [file]);
    let words = |last: &str| {
        [
            image.words("ENTRYPOINT"),
            image.words("CMD"),
            vec![last.to_owned()],
        ]
        .concat()
    };
    let without = run(&mut contained(
        folder.path(),
        &image,
        &words("--storage.path="),
    ));
    assert_eq!(without.status.code(), Some(1));
    let mut image = Image::read();
    let variables = image.0.iter_mut().find(|(name, _)| name == "ENV");
    variables.expect("it has variables").1.push_str(
        " AZURE_TENANT_ID=contoso.example AZURE_CLIENT_ID=9b6f0000-0000-4000-8000-000000000001 \
         AZURE_CLIENT_SECRET=not-a-secret AZURE_AUTHORITY_HOST=https://localhost:1",
    );
    let words = words("--web.listen-address=127.0.0.1:0");
    let mut process = Process::start(
        Arc::clone(&folder),
        &mut contained(folder.path(), &image, &words),
    );
    let url = address(&process).await;
    let (_, body) = get(&format!("{url}/metrics")).await.expect("it answers");
    assert!(body.contains("tenant=\"default\""), "{body}");
    stops(&mut process).await;
}

/// At SIGTERM, in good order: bubblewrap ends as the exporter in it did.
async fn stops(process: &mut Process) {
    let inner = descendant(process.id()).to_string();
    assert!(kill("TERM", &inner).status.success());
    assert_eq!(process.exit().await.code(), Some(0), "{}", process.output());
}
