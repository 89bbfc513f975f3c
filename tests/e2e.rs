//! From the service to Prometheus: the real binary, over real TLS, scraped by a
//! real Prometheus; its values are compared with the simulator's world.

use std::collections::BTreeMap;

use crate::common::tenants::run_by_hand;
use crate::common::tools::needs;
use crate::common::{Exporter, Prometheus, eventually, options};
use defender_scan_exporter::clock::Timestamp;
use defender_simulator::{Endpoint, Fault, Outcome, Simulator, Spelling};

/// What the world says each definition's newest run is: status code and time.
fn truth(simulator: &Simulator, tenant: usize) -> BTreeMap<String, (f64, Timestamp)> {
    let code = |outcome: &Outcome| match outcome {
        Outcome::Failure => 0.0,
        Outcome::Success => 1.0,
        Outcome::Partial => 2.0,
        Outcome::Other(_) | Outcome::Running => -1.0,
    };
    let world = simulator.world();
    let ran = world.definitions(tenant).iter().filter_map(|definition| {
        let run = definition.latest()?;
        Some((definition.id.clone(), (code(&run.status), run.at)))
    });
    ran.collect()
}

fn near(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance
}

#[tokio::test(flavor = "multi_thread")]
async fn values_in_prometheus_equal_the_world() {
    needs!("prometheus");
    let mut options = options();
    options.definitions = 24;
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    let prometheus = Prometheus::start(&exporter);
    let expected = truth(&simulator, 0);
    assert!(expected.len() >= 8);
    let sorted = |values: Vec<(String, f64)>| values.into_iter().collect::<BTreeMap<_, _>>();

    let statuses = expected
        .iter()
        .map(|(id, (status, _))| (id.clone(), *status))
        .collect::<BTreeMap<_, _>>();
    eventually("all statuses are in Prometheus", async || {
        let found = sorted(
            prometheus
                .query("defender_scan_status_code", "definition_id")
                .await,
        );
        (found == statuses).then_some(())
    })
    .await;
    for code in [0.0, 1.0, 2.0] {
        assert!(
            statuses.values().any(|status| near(*status, code, 0.0)),
            "nothing with status {code}"
        );
    }

    // A scrape that took too long leaves nothing behind.
    let all = async |expression: &str| {
        eventually(expression, async || {
            let found = sorted(prometheus.query(expression, "definition_id").await);
            (found.len() >= expected.len()).then_some(found)
        })
        .await
    };
    let times = all("defender_scan_last_timestamp_seconds").await;
    // At each scrape, its own time less the age is when the scan ran.
    let ran =
        all("timestamp(defender_scan_last_age_seconds) - defender_scan_last_age_seconds").await;
    for (id, (_, at)) in &expected {
        assert!(
            near(times[id], at.unix_seconds(), 0.002),
            "{id} ran at {at}"
        );
        let scrape_interval = 1.0;
        assert!(
            near(ran[id], at.unix_seconds(), scrape_interval),
            "{id} ran at {at}, but its age says {}",
            ran[id]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_shows_and_a_vanished_definition_goes_stale() {
    needs!("prometheus");
    let mut options = options();
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let id = run_by_hand(&simulator);
    let exporter = Exporter::start(&simulator).await;
    exporter.has_history().await;
    let prometheus = Prometheus::start(&exporter);
    let expression = format!("defender_scan_status_code{{definition_id=\"{id}\"}}");
    let status = async |expected: Option<f64>| {
        eventually(&format!("the status is {expected:?}"), async || {
            let found = prometheus.query(&expression, "definition_id").await;
            (found.first().map(|(_, value)| *value) == expected).then_some(())
        })
        .await;
    };
    status(Some(1.0)).await;
    simulator.world().run_now(0, &id, Outcome::Partial);
    status(Some(2.0)).await;
    let label = format!("definition_id=\"{id}\"");
    let metrics = exporter.metrics().await;
    let counted = metrics.value(
        "defender_scan_sessions_total",
        &[&label, "status=\"partial_success\""],
    );
    assert_eq!(counted, Some(1.0), "{}", metrics.0);
    assert_eq!(
        metrics.value(
            "defender_scan_sessions_total",
            &[&label, "status=\"success\""]
        ),
        Some(0.0)
    );
    simulator.world().remove_definition(0, &id);
    status(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fails_keeps_its_last_values_and_disturbs_no_other() {
    needs!("prometheus");
    let mut options = options();
    options.tenants = 2;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let prometheus = Prometheus::start(&exporter);
    let up = async |expected: [f64; 2]| {
        eventually(&format!("the tenants are up: {expected:?}"), async || {
            let found: BTreeMap<_, _> = prometheus
                .query("defender_up", "tenant")
                .await
                .into_iter()
                .collect();
            (found.values().copied().eq(expected)).then_some(())
        })
        .await;
    };
    up([1.0, 1.0]).await;
    let count = "count(defender_scan_status_code) by (tenant)";
    let before = eventually("both are there", async || {
        let found = prometheus.query(count, "tenant").await;
        (found.len() == 2).then_some(found)
    })
    .await;
    simulator.set_tenant_fault(
        1,
        Endpoint::Definitions,
        Some(Fault::error(500, "InternalError", "broken")),
    );
    up([1.0, 0.0]).await;
    eventually("the values stay", async || {
        (prometheus.query(count, "tenant").await == before).then_some(())
    })
    .await;
    let metrics = exporter.metrics().await;
    let errors = |tenant| {
        metrics.value(
            "defender_collector_errors_total",
            &[tenant, "\"definitions\"", "\"server\""],
        )
    };
    assert!(errors("tenant-1").is_some_and(|errors| errors >= 1.0));
    assert_eq!(errors("tenant-0"), Some(0.0));
    simulator.set_tenant_fault(1, Endpoint::Definitions, None);
    up([1.0, 1.0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spelling_of_the_reference_pages_gives_the_same_statuses() {
    let mut options = options();
    options.spelling = Spelling::Pascal;
    options.definitions = 16;
    options.page_size = 5;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    let expected = truth(&simulator, 0);
    eventually("all statuses are published", async || {
        let metrics = exporter.metrics().await;
        let agrees = |(id, (status, _)): (&String, &(f64, Timestamp))| {
            metrics.value(
                "defender_scan_status_code",
                &[&format!("definition_id=\"{id}\"")],
            ) == Some(*status)
        };
        expected.iter().all(agrees).then_some(())
    })
    .await;
}
