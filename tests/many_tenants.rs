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
        (lists.len() > 10).then_some(lists)
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

/// The sign-in host sees no more than fifty a second, also after a reload that adds many tenants,
/// and after the tokens of all are of no use any more.
#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_spread_whatever_made_them_necessary() {
    const TENANTS: usize = 120;
    let mut options = options();
    (options.tenants, options.definitions) = (TENANTS, 1);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let entries: Vec<_> = (0..TENANTS).map(entry).collect();
    settings::write(&simulator, folder.path(), &entries[..1], TIMEOUT);
    let exporter = Exporter::start_with_flags(Arc::clone(&folder), &[]).await;
    exporter.ready().await;
    let arrived = || {
        let calls = simulator.calls().into_iter();
        let of_sign_in = calls.filter(|call| call.endpoint == Endpoint::Token);
        let mut arrived: Vec<_> = of_sign_in.map(|call| call.arrived).collect();
        arrived.sort_unstable();
        arrived
    };
    settings::write(&simulator, folder.path(), &entries, TIMEOUT);
    exporter.process.signal("HUP");
    eventually("all are added", async || {
        (arrived().len() >= TENANTS).then_some(())
    })
    .await;
    exporter.ready().await;
    let before = arrived().len();
    for tenant in 0..TENANTS {
        simulator.revoke_tokens(tenant);
    }
    eventually("all sign in again", async || {
        (arrived().len() >= before + TENANTS).then_some(())
    })
    .await;
    let arrived = arrived();
    let most = arrived.iter().enumerate().map(|(index, first)| {
        let rest = arrived[index..].iter();
        rest.take_while(|at| at.since(*first) < Duration::from_secs(1))
            .count()
    });
    // 42 leave within a second, and without a pace all 120 would. Other tests run on the same
    // processors, so some arrive late, together with the next.
    let most = most.max().unwrap_or_default();
    assert!((10..=100).contains(&most), "{most} sign-ins in a second");
}
