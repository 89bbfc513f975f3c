//! What the exporter does when the service misbehaves.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Exporter, eventually, options};
use defender_simulator::{Endpoint, Fault, Simulator};

/// Waits until a sample of the first tenant reaches `least`.
async fn reaches(exporter: &Exporter, name: &str, labels: &[&str], least: f64) {
    exporter.shows(name, labels, |value| value >= least).await;
}

fn calls(simulator: &Simulator, endpoint: Endpoint, status: u16) -> usize {
    simulator
        .calls()
        .iter()
        .filter(|call| call.endpoint == endpoint && call.status == status)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_batch_size_is_learned() {
    let mut options = options();
    options.definitions = 60;
    options.max_batch = 7;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    eventually("the batch size is learned", async || {
        (exporter
            .metrics()
            .await
            .value("defender_api_batch_size", &[])
            == Some(7.0))
        .then_some(())
    })
    .await;
    assert_eq!(
        calls(&simulator, Endpoint::History, 400),
        1,
        "one refusal teaches the size"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tight_budget_is_spent_and_never_exceeded() {
    let mut options = options();
    options.definitions = 300;
    options.max_batch = 5;
    options.per_minute = 10;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start_with_quota(&simulator, (10, 1_500)).await;
    eventually("the budget of a minute is spent", async || {
        (simulator.calls().len() > 10).then_some(())
    })
    .await;
    // More calls are due all the time, and none may leave.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(simulator.violations(), 0);
    let metrics = exporter.metrics().await;
    assert!(
        metrics
            .value("defender_api_quota_used", &["\"minute\""])
            .is_some_and(|used| used <= 10.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_id_is_quarantined_and_the_rest_is_kept() {
    let mut options = options();
    options.definitions = 16;
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let bad = simulator
        .world()
        .definitions(0)
        .iter()
        .find(|d| d.latest().is_some())
        .map(|d| d.id.clone());
    let bad = bad.expect("something ran");
    simulator.set_fault(
        Endpoint::History,
        Some(Fault::BadIds(BTreeSet::from([bad.clone()]))),
    );
    let exporter = Exporter::start(&simulator).await;
    reaches(&exporter, "defender_definitions", &["\"quarantined\""], 1.0).await;
    let metrics = exporter.metrics().await;
    assert_eq!(
        metrics.value("defender_definitions", &["\"quarantined\""]),
        Some(1.0)
    );
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    let alone = simulator
        .calls()
        .into_iter()
        .filter(|call| call.ids == [bad.clone()])
        .count();
    assert_eq!(alone, 1, "it stood alone once, and is not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_renewed_once_without_an_error() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let tokens = calls(&simulator, Endpoint::Token, 200);
    simulator.revoke_tokens(0);
    eventually("a new token is asked for", async || {
        (calls(&simulator, Endpoint::Token, 200) > tokens
            && simulator.calls().iter().any(|call| call.status == 401))
        .then_some(())
    })
    .await;
    let good = calls(&simulator, Endpoint::Definitions, 200);
    eventually("it goes on", async || {
        (calls(&simulator, Endpoint::Definitions, 200) > good).then_some(())
    })
    .await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    assert_eq!(
        metrics.value(
            "defender_collector_errors_total",
            &["\"definitions\"", "\"auth\""]
        ),
        Some(0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_refused_for_ever_is_counted_and_not_hammered() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    simulator.set_fault(Endpoint::Definitions, Some(Fault::Unauthorized(usize::MAX)));
    let exporter = Exporter::start(&simulator).await;
    reaches(
        &exporter,
        "defender_collector_errors_total",
        &["\"definitions\"", "\"auth\""],
        1.0,
    )
    .await;
    assert_eq!(
        exporter.metrics().await.value("defender_up", &[]),
        Some(0.0)
    );
    // Without back-off, this is time for many more calls.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(
        calls(&simulator, Endpoint::Definitions, 401) < 10,
        "back-off"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_never_follows_a_link_to_another_origin() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let origin = format!(
        "http://{}",
        elsewhere.local_addr().expect("it has an address")
    );
    for fault in [Fault::Redirect(format!("{origin}/api"))] {
        let name = format!("{fault:?}");
        let simulator = Simulator::start(options())
            .await
            .expect("the simulator starts");
        simulator.set_fault(Endpoint::Definitions, Some(fault));
        let exporter = Exporter::start(&simulator).await;
        reaches(
            &exporter,
            "defender_collector_errors_total",
            &["\"definitions\"", "\"client\""],
            2.0,
        )
        .await;
        let connected = tokio::time::timeout(Duration::from_millis(10), elsewhere.accept()).await;
        assert!(
            connected.is_err(),
            "{name}: something was sent to another origin"
        );
        assert_eq!(
            exporter.metrics().await.value("defender_up", &[]),
            Some(0.0),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    simulator.set_fault(
        Endpoint::Definitions,
        Some(Fault::Throttle {
            retry_after: Some("4".to_owned()),
        }),
    );
    let throttled = eventually("it is throttled", async || {
        simulator
            .calls()
            .into_iter()
            .find(|call| call.status == 429)
    })
    .await;
    reaches(
        &exporter,
        "defender_api_throttled_until_timestamp_seconds",
        &[],
        1.0,
    )
    .await;
    simulator.set_fault(Endpoint::Definitions, None);
    // What was under way at that moment is not meant.
    let known = simulator.calls().len();
    let next = eventually("it goes on", async || {
        let mut later = simulator.calls().into_iter().skip(known);
        later.find(|call| call.status == 200)
    })
    .await;
    assert!(next.arrived.since(throttled.arrived) >= Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_can_not_be_read_are_counted_and_the_last_good_data_stays() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let published = exporter
        .metrics()
        .await
        .0
        .matches("defender_scan_active{")
        .count();
    assert!(published > 0);
    let html = Fault::Body {
        content_type: "text/html".to_owned(),
        bytes: b"<html>proxy</html>".to_vec(),
    };
    for (fault, reason) in [
        (html, "\"decode\""),
        (Fault::CutOff, "\"connect\""),
        (Fault::Hang, "\"timeout\""),
        (Fault::Reset, "\"connect\""),
        (Fault::GzipBomb, "\"decode\""),
        (Fault::error(403, "Forbidden", "no"), "\"forbidden\""),
    ] {
        let name = format!("{fault:?}");
        simulator.set_fault(Endpoint::Definitions, Some(fault));
        let errors = ["\"definitions\"", reason];
        let before = exporter
            .metrics()
            .await
            .value("defender_collector_errors_total", &errors)
            .expect("it starts at 0");
        eventually(&format!("{name} is counted as {reason}"), async || {
            let now = exporter
                .metrics()
                .await
                .value("defender_collector_errors_total", &errors)?;
            (now > before).then_some(())
        })
        .await;
        let metrics = exporter.metrics().await;
        assert_eq!(
            metrics.0.matches("defender_scan_active{").count(),
            published,
            "{name}"
        );
        assert_eq!(metrics.value("defender_up", &[]), Some(0.0), "{name}");
        simulator.set_fault(Endpoint::Definitions, None);
        if reason == "\"forbidden\"" {
            break;
        }
        eventually(&format!("it recovers from {name}"), async || {
            (exporter.metrics().await.value("defender_up", &[]) == Some(1.0)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_list_leaves_the_configured_ids_to_be_swept() {
    let mut options = options();
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let ran = simulator
        .world()
        .definitions(0)
        .iter()
        .find(|d| d.latest().is_some())
        .map(|d| d.id.clone());
    let id = ran.expect("something ran");
    simulator.set_fault(
        Endpoint::Definitions,
        Some(Fault::error(403, "Forbidden", "no")),
    );
    let exporter = Exporter::start_with_ids(&simulator, &[&id]).await;
    let label = format!("definition_id=\"{id}\"");
    reaches(
        &exporter,
        "defender_scan_last_timestamp_seconds",
        &[&label],
        1.0,
    )
    .await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    assert_eq!(
        metrics.value(
            "defender_collector_errors_total",
            &["\"definitions\"", "\"forbidden\""]
        ),
        Some(1.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_list_and_token_it_is_down() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let id = simulator.world().definitions(0)[0].id.clone();
    let forbidden = Fault::error(403, "Forbidden", "no");
    simulator.set_fault(Endpoint::Definitions, Some(forbidden));
    let exporter = Exporter::start_with_ids(&simulator, &[&id]).await;
    reaches(&exporter, "defender_up", &[], 1.0).await;
    simulator.set_fault(Endpoint::Token, Some(Fault::error(500, "", "")));
    simulator.revoke_tokens(0);
    eventually("it is down", async || {
        (exporter.metrics().await.value("defender_up", &[]) == Some(0.0)).then_some(())
    })
    .await;
    simulator.set_fault(Endpoint::Token, None);
    reaches(&exporter, "defender_up", &[], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_history_ends_with_the_last_definition() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    simulator.set_fault(Endpoint::History, Some(Fault::error(500, "", "")));
    let exporter = Exporter::start(&simulator).await;
    let errors = ["\"history\"", "\"server\""];
    reaches(&exporter, "defender_collector_errors_total", &errors, 1.0).await;
    let listed = simulator.world().definitions(0).to_vec();
    for definition in listed {
        simulator.world().remove_definition(0, &definition.id);
    }
    reaches(&exporter, "defender_up", &[], 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_always_too_large_is_a_failure() {
    let mut options = options();
    options.definitions = 2;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    simulator.set_fault(Endpoint::History, Some(Fault::GzipBomb));
    let exporter = Exporter::start(&simulator).await;
    let errors = ["\"history\"", "\"client\""];
    reaches(&exporter, "defender_collector_errors_total", &errors, 1.0).await;
}
