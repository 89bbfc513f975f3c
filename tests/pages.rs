//! A link to a next page that is good no longer: the round begins anew, and no id is blamed.

use crate::common::{Exporter, eventually, options};
use defender_simulator::{CallRecord, Endpoint, Fault, Simulator};

const DEFINITIONS: usize = 6;

async fn simulator() -> Simulator {
    let mut options = options();
    (options.definitions, options.page_size) = (DEFINITIONS, 2);
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

fn calls(simulator: &Simulator, endpoint: Endpoint) -> Vec<CallRecord> {
    let calls = simulator.calls().into_iter();
    calls.filter(|call| call.endpoint == endpoint).collect()
}

/// Failures of a collector that were counted.
async fn errors(exporter: &Exporter, collector: &str) -> f64 {
    let labels = [&format!("\"{collector}\"")[..], "\"client\""];
    let metrics = exporter.metrics().await;
    let errors = metrics.value("defender_collector_errors_total", &labels);
    errors.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_expired_once_costs_one_round_and_nothing_else() {
    for endpoint in [Endpoint::Definitions, Endpoint::History] {
        let simulator = simulator().await;
        let once = Fault::Times(2, Box::new(Fault::ExpiredPages));
        simulator.set_fault(endpoint, Some(once));
        let exporter = Exporter::start(&simulator).await;
        exporter.ready().await;
        eventually("history is complete", async || {
            let metrics = exporter.metrics().await;
            let name = "defender_collector_last_success_timestamp_seconds";
            metrics.value(name, &["\"history\""])
        })
        .await;
        let asked = calls(&simulator, endpoint);
        let statuses: Vec<u16> = asked.iter().map(|call| call.status).collect();
        assert_eq!(statuses[..3], [200, 400, 200], "{endpoint:?}");
        let first: Vec<bool> = asked[..3].iter().map(|call| !call.next_page).collect();
        assert_eq!(first, [true, false, true], "it begins at the first page");
        assert_eq!(asked[0].ids, asked[2].ids, "with the same ids");
        for collector in ["definitions", "history"] {
            assert!(errors(&exporter, collector).await <= 0.0, "{collector}");
        }
        assert!(
            !exporter
                .process
                .output()
                .contains("the API rejected a batch of definitions")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_never_work_are_backed_off_from_and_blame_no_id() {
    let simulator = simulator().await;
    simulator.set_fault(Endpoint::History, Some(Fault::ExpiredPages));
    let exporter = Exporter::start(&simulator).await;
    exporter
        .says("the link to the next page was refused repeatedly: ")
        .await;
    eventually("it tries again", async || {
        (errors(&exporter, "history").await >= 3.0).then_some(())
    })
    .await;
    let asked = calls(&simulator, Endpoint::History);
    let refused = asked.iter().filter(|call| call.status == 400).count();
    let counted = errors(&exporter, "history").await;
    assert!(
        f64::from(u32::try_from(refused).expect("few")) <= counted + 2.0,
        "only the first begins anew at once, and the last may not be counted yet: {refused}, {counted}"
    );
    for call in asked.iter().filter(|call| !call.next_page) {
        assert_eq!(call.ids.len(), DEFINITIONS, "no batch is halved");
    }
    let metrics = exporter.metrics().await;
    let quarantined = metrics.value("defender_definitions", &["\"quarantined\""]);
    assert_eq!(quarantined, Some(0.0));
}
