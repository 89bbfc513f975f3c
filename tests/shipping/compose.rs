//! The composed set-up: each of its files is checked by the tool that it is for, laid
//! out as the containers see it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use saphyr::{LoadableYamlNode as _, Yaml};

use super::{read, root, run, succeeds};
use crate::common::tools::needs;

const FILE: &str = "deploy/compose/compose.yml";

/// What a test wants to know of a service.
struct Service {
    image: Option<String>,
    command: Vec<String>,
    /// Files of the project, and where the container sees them.
    mounts: Vec<(PathBuf, String)>,
    ports: Vec<String>,
}

fn strings(node: &Yaml<'_>, key: &str) -> Vec<String> {
    let list = node.as_mapping_get(key).and_then(Yaml::as_sequence);
    let list = list.map_or(&[][..], Vec::as_slice);
    list.iter()
        .filter_map(Yaml::as_str)
        .map(str::to_owned)
        .collect()
}

fn services() -> BTreeMap<String, Service> {
    let text = read(FILE);
    let documents = Yaml::load_from_str(&text).expect("it is YAML");
    let services = documents[0]
        .as_mapping_get("services")
        .and_then(Yaml::as_mapping);
    let service = |node: &Yaml<'_>| {
        let image = node.as_mapping_get("image").and_then(Yaml::as_str);
        let volumes = strings(node, "volumes").into_iter().filter_map(|volume| {
            let mut parts = volume.split(':');
            let (source, target) = (parts.next()?, parts.next()?);
            let source = source
                .starts_with('.')
                .then(|| root().join("deploy/compose").join(source));
            Some((source?, target.to_owned()))
        });
        Service {
            image: image.map(str::to_owned),
            command: strings(node, "command"),
            mounts: volumes.collect(),
            ports: strings(node, "ports"),
        }
    };
    services
        .expect("it has services")
        .iter()
        .map(|(name, node)| (name.as_str().expect("it is text").to_owned(), service(node)))
        .collect()
}

/// The linter of npm, with the schema of the Compose specification.
fn dclint(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("compose.yml");
    fs::write(&file, text).expect("it can be written");
    run(
        Command::new(root().join("target/node/node_modules/.bin/dclint"))
            .arg(file)
            .args(["--quiet", "--disable-rule", "services-alphabetical-order"]),
    )
}

#[test]
fn the_file_fits_the_schema_and_the_linter() {
    needs!("node", "target/node/node_modules");
    let text = read(FILE);
    let output = dclint(&text);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    for (good, bad) in [
        ("    read_only: true", "    readonly: true"),
        ("cap_drop:\n      - ALL", "cap_drop: {ALL: true}"),
        ("prom/prometheus:v3.5.0", "prom/prometheus:latest"),
    ] {
        let faulty = text.replace(good, bad);
        assert_ne!(faulty, text, "{good} is not there");
        assert!(!dclint(&faulty).status.success(), "{bad} was not found");
    }
}

#[test]
fn images_are_pinned_ports_are_local_and_mounts_are_there() {
    let services = services();
    let names: Vec<_> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["alertmanager", "exporter", "grafana", "prometheus"]);
    for (name, service) in &services {
        if let Some(image) = &service.image {
            let version = image.rsplit_once(':').map_or("", |(_, version)| version);
            assert_eq!(version.split('.').count(), 3, "{name}: {image}");
        } else {
            assert_eq!(name, "exporter");
        }
        assert!(!service.ports.is_empty());
        for port in &service.ports {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for (source, _) in &service.mounts {
            assert!(source.exists(), "{name}: {}", source.display());
        }
    }
    let grafana = &services["grafana"].mounts;
    let provided = read("deploy/grafana/provisioning/dashboards/defender-scans.yml");
    let dashboards = grafana
        .iter()
        .find(|(source, _)| source.ends_with("../../dashboards"));
    let (_, target) = dashboards.expect("the dashboards are mounted");
    assert!(provided.contains(&format!("path: {target}\n")), "{target}");
}

/// Copies what a service mounts to where it sees it, below `folder`.
fn lay_out(service: &Service, folder: &Path) {
    for (source, target) in &service.mounts {
        let target = folder.join(target.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("it is in a folder")).expect("it can be made");
        succeeds(Command::new("cp").arg("-r").arg(source).arg(target));
    }
}

/// The file that `--config.file` of a command names, below `folder`.
fn named(command: &[String], folder: &Path) -> PathBuf {
    let file = command
        .iter()
        .find_map(|word| word.strip_prefix("--config.file=/"));
    folder.join(file.expect("a file is named"))
}

#[test]
fn each_configuration_passes_its_own_check() {
    needs!(
        "prometheus",
        "promtool",
        "prometheus-alertmanager",
        "amtool"
    );
    let services = services();
    for (name, check) in [
        ("prometheus", &["promtool", "check", "config"][..]),
        ("alertmanager", &["amtool", "check-config"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        lay_out(&services[name], folder.path());
        let file = named(&services[name].command, folder.path());
        let said = succeeds(Command::new(check[0]).args(&check[1..]).arg(file));
        assert!(said.contains("SUCCESS"), "{said}");
        // Flags that Debian's version knows too.
        let program = ["prometheus", "prometheus-alertmanager"];
        let program = program.into_iter().find(|program| program.ends_with(name));
        let help = run(Command::new(program.expect("it is known")).arg("--help"));
        let help = [help.stdout, help.stderr].concat();
        let help = String::from_utf8_lossy(&help);
        for word in &services[name].command {
            let flag = word.split('=').next().expect("it has a name");
            assert!(help.contains(&format!("{flag}=")), "{name}: {flag}");
        }
    }
}

/// The demo by default; by one variable, the file that the comment of `compose.yml` names.
#[test]
fn the_exporter_is_a_demo_or_a_real_tenant() {
    let services = services();
    let exporter = &services["exporter"];
    assert_eq!(exporter.command, ["${EXPORTER_COMMAND:-demo}"]);
    let text = read(FILE);
    let real = text
        .lines()
        .find_map(|line| line.split("EXPORTER_COMMAND=").nth(1));
    let real = real
        .and_then(|rest| rest.split(' ').next())
        .expect("it is named");
    let folder = tempfile::tempdir().expect("a folder can be made");
    lay_out(exporter, folder.path());
    let file = named(&[real.to_owned()], folder.path());
    let secret = file.with_file_name("secret");
    if !secret.exists() {
        fs::write(secret, "not a real secret").expect("it can be written");
    }
    succeeds(
        Command::new(env!("CARGO_BIN_EXE_defender-scan-exporter"))
            .args(["check-config", "--config.file"])
            .arg(file),
    );
}
