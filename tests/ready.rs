//! Readiness does not wait for what may not be done: a pause that the service asked for, or a
//! budget that is used up, would keep a whole exporter out of rotation for an hour.

use std::fs;

use crate::common::{Exporter, configuration, eventually, options};
use defender_simulator::{Endpoint, Fault, Simulator};

async fn asked(simulator: &Simulator) {
    eventually("the list is asked for", async || {
        let calls = simulator.calls();
        let mut lists = calls
            .iter()
            .filter(|call| call.endpoint == Endpoint::Definitions);
        lists.next().map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_poll_that_a_pause_forbids_is_not_waited_for() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let pause = Fault::Throttle {
        retry_after: Some("3600".to_owned()),
    };
    simulator.set_fault(Endpoint::Definitions, Some(pause));
    let exporter = Exporter::start(&simulator).await;
    let labels = ["reason=\"throttled\"", "collector=\"definitions\""];
    exporter
        .shows("defender_collector_errors_total", &labels, |n| n > 0.0)
        .await;
    let exporter = exporter.kill_and_restart().await;
    exporter.ready().await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), None, "nothing is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_poll_that_the_budget_forbids_is_not_waited_for() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    simulator.set_fault(Endpoint::Definitions, Some(Fault::Hang));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = configuration(&simulator, folder.path(), (1, 60), &[]);
    let text = fs::read_to_string(&file).expect("it was written");
    let patient = text.replace("timeout: 5s", "timeout: 2m");
    assert_ne!(patient, text);
    fs::write(file, patient).expect("it can be written");
    let exporter = Exporter::start_with_flags(folder.into(), &[]).await;
    asked(&simulator).await;
    assert_eq!(exporter.get("/-/ready").await.0, 503, "a call is under way");
    let exporter = exporter.kill_and_restart().await;
    exporter.ready().await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), None, "nothing is known");
}
