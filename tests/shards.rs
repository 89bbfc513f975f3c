//! Sharing tenants out among several exporters.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use crate::common::settings::{self, entry};
use crate::common::{Exporter, binary, options};
use defender_scan_exporter::cli::Cli;
use defender_scan_exporter::config::Config;
use defender_simulator::{Endpoint, Simulator};
use saphyr_parser::{Event, Parser};
use tempfile::TempDir;

const TENANTS: usize = 6;

/// The tenants whose series a scrape has.
fn shown(metrics: &str) -> BTreeSet<usize> {
    let labels = metrics
        .lines()
        .flat_map(|line| line.split("tenant=\"tenant-").skip(1));
    labels
        .filter_map(|rest| rest.split('"').next()?.parse().ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_is_on_exactly_one_shard() {
    let mut options = options();
    options.tenants = TENANTS;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let mut exporters = Vec::new();
    for ordinal in 0..3 {
        let folder = Arc::new(TempDir::new().expect("a folder can be made"));
        let entries: Vec<_> = (0..TENANTS).map(entry).collect();
        settings::write(&simulator, folder.path(), &entries, "30s");
        let shard = format!("--shard={ordinal}");
        let flags = [shard.as_str(), "--total-shards=3"];
        exporters.push(Exporter::start_with_flags(folder, &flags).await);
    }
    let mut all = Vec::new();
    for exporter in &exporters {
        exporter.ready().await;
        all.extend(shown(&exporter.metrics().await.0));
    }
    all.sort_unstable();
    assert_eq!(all, (0..TENANTS).collect::<Vec<_>>());
    for tenant in 0..TENANTS {
        let calls = simulator.calls();
        let signed_in = calls
            .iter()
            .filter(|call| call.tenant == Some(tenant) && call.endpoint == Endpoint::Token);
        assert_eq!(signed_in.count(), 1, "tenant {tenant} has one exporter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_tenants_is_ready() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    settings::write(&simulator, folder.path(), &[entry(0)], "30s");
    // `tenant-0` belongs to shard 1 of 3.
    let flags = ["--shard=0", "--total-shards=3"];
    let exporter = Exporter::start_with_flags(folder, &flags).await;
    exporter.ready().await;
    for path in ["/", "/metrics"] {
        let (status, text) = exporter.get(path).await;
        assert!(status == 200 && shown(&text).is_empty(), "{text}");
    }
    assert!(simulator.calls().is_empty());
}

#[test]
fn a_shard_beyond_the_last_is_a_clear_error() {
    let output = binary()
        .args(["--shard=2", "--total-shards=2"])
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("expected `--shard` below 2"), "{text}");
}

/// The scalars of a YAML stream, mappings and lists flattened.
fn scalars(text: &str) -> Vec<String> {
    let events = Parser::new_from_str(text).map(|event| event.expect("it is YAML").0);
    let scalars = events.filter_map(|event| match event {
        Event::Scalar(text, ..) => Some(text.into_owned()),
        _ => None,
    });
    scalars.collect()
}

#[test]
fn the_example_of_the_scaling_page_is_complete() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scaling.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let (_, rest) = page.split_once("```yaml\n").expect("it has an example");
    let (example, _) = rest.split_once("\n```").expect("it ends");
    let scalars = scalars(example);
    for kind in ["ConfigMap", "Service", "StatefulSet"] {
        assert!(scalars.iter().any(|scalar| scalar == kind), "{kind}");
    }
    let file = scalars.iter().position(|scalar| scalar == "exporter.yml");
    let file = &scalars[file.expect("it has a configuration") + 1];
    let (config, _) = Config::parse(file, path).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.tenants.len() > 1);
    let flags = scalars.iter().filter(|scalar| scalar.starts_with("--"));
    let words = std::iter::once("defender-scan-exporter").chain(flags.map(String::as_str));
    let cli = Cli::read(words).unwrap_or_else(|error| panic!("{error}"));
    assert!(cli.flags.config_file.is_some());
    let variable = "DEFENDER_EXPORTER_SHARD";
    assert!(scalars.iter().any(|scalar| scalar == variable));
    let replicas = scalars.iter().position(|scalar| scalar == "replicas");
    let replicas = &scalars[replicas.expect("it says how many") + 1];
    let total = scalars
        .iter()
        .position(|scalar| scalar == "DEFENDER_EXPORTER_TOTAL_SHARDS");
    assert_eq!(&scalars[total.expect("it says of how many") + 2], replicas);
}
