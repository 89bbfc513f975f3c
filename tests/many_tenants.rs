//! One tenant's trouble is its own.

use std::sync::Arc;
use std::time::Duration;

use crate::common::settings::{self, entry};
use crate::common::{Exporter, eventually, options};
use defender_simulator::{CallRecord, Endpoint, Fault, Simulator};
use tempfile::TempDir;

/// How long a request may take: if a tenant waited for another's, it would be seen.
const TIMEOUT: &str = "30s";
/// The longest time between two lists that are a second apart.
const LONGEST: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_trouble_delays_no_other() {
    let throttle = Fault::Throttle {
        retry_after: Some("3600".to_owned()),
    };
    let troubles = [
        (Endpoint::Definitions, Fault::error(500, "", "")),
        (Endpoint::Definitions, Fault::Hang),
        (Endpoint::Definitions, throttle),
        (Endpoint::Definitions, Fault::SlowDrip),
        (Endpoint::Definitions, Fault::GzipBomb),
        (Endpoint::Definitions, Fault::NextLinkLoop),
        (Endpoint::Definitions, Fault::Reset),
        (Endpoint::Definitions, Fault::CutOff),
        (Endpoint::History, Fault::Hang),
        (Endpoint::Token, Fault::Hang),
        (Endpoint::Token, Fault::SlowDrip),
    ];
    let healthy = troubles.len();
    let mut options = options();
    options.tenants = healthy + 1;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    for (tenant, (endpoint, fault)) in troubles.iter().enumerate() {
        simulator.set_tenant_fault(tenant, *endpoint, Some(fault.clone()));
    }
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let entries: Vec<_> = (0..=healthy).map(entry).collect();
    settings::write(&simulator, folder.path(), &entries, TIMEOUT);
    let exporter = Exporter::start_with_flags(folder, &[]).await;
    let lists = || {
        let of_healthy = |call: &CallRecord| {
            call.tenant == Some(healthy) && call.endpoint == Endpoint::Definitions
        };
        let mut calls = simulator.calls();
        calls.retain(of_healthy);
        calls
    };
    let label = format!("tenant=\"tenant-{healthy}\"");
    exporter
        .shows("defender_up", &[&label], |up| up > 0.5)
        .await;
    let lists = eventually("the healthy one is polled", async || {
        let lists = lists();
        (lists.len() > 20).then_some(lists)
    })
    .await;
    for pair in lists.windows(2) {
        let gap = pair[1].arrived.since(pair[0].arrived);
        assert!(gap < LONGEST, "{gap:?}");
    }
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[&label]), Some(1.0));
    for (tenant, (endpoint, fault)) in troubles.iter().enumerate() {
        let calls = simulator.calls();
        let met = |call: &CallRecord| call.tenant == Some(tenant) && call.endpoint == *endpoint;
        assert!(calls.iter().any(met), "tenant {tenant} met {fault:?}");
    }
    assert_eq!(simulator.violations(), 0);
}
