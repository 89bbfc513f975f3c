//! Sharing tenants out among several exporters.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::settings::{self, entry};
use crate::common::{Exporter, binary, options};
use defender_simulator::{Endpoint, Simulator};
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
