//! Refusals: whose fault they are, when they are tried again, and what is said of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::common::settings::{self, entry};
use crate::common::tenants::simulator;
use crate::common::{Exporter, eventually, messages, options};
use defender_simulator::{Endpoint, Fault, Simulator};
use tempfile::TempDir;

const ERRORS: &str = "defender_collector_errors_total";
const NEXT: &str = "defender_collector_next_attempt_timestamp_seconds";

async fn start(simulator: &Simulator) -> Exporter {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    settings::write(simulator, folder.path(), &[entry(0)], "5s");
    Exporter::start_with_flags(folder, &["--web.enable-lifecycle"]).await
}

fn answered(simulator: &Simulator, endpoint: Endpoint, status: u16) -> usize {
    let calls = simulator.calls();
    let calls = calls.iter();
    calls
        .filter(|call| call.endpoint == endpoint && call.status == status)
        .count()
}

async fn is_counted(exporter: &Exporter, collector: &str, reason: &str) {
    let labels = [format!("\"{collector}\""), format!("\"{reason}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    exporter.shows(ERRORS, &labels, |count| count >= 1.0).await;
}

fn body(status: u16, content_type: &str, body: &str) -> Fault {
    Fault::Status {
        code: status,
        body: body.to_owned(),
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_for_want_of_a_licence_asks_for_no_new_token() {
    for message in [
        "reason of failure: No Tvm license",
        "Account mode is inactive",
    ] {
        let simulator = simulator().await;
        let fault = Fault::error(401, "Unauthorized", message);
        simulator.set_fault(Endpoint::Definitions, Some(fault));
        let exporter = start(&simulator).await;
        is_counted(&exporter, "definitions", "forbidden").await;
        exporter.says(messages::UNLICENSED).await;
        exporter
            .says(&format!("{message} (correlation id fa017ed0…retry_in=1m"))
            .await;
        assert_eq!(answered(&simulator, Endpoint::Token, 200), 1);
        assert_eq!(answered(&simulator, Endpoint::Definitions, 401), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_failing_collector_tries_again_is_shown() {
    let simulator = simulator().await;
    let fault = Fault::error(403, "DisabledFeature", "Tenant feature is not enabled");
    simulator.set_fault(Endpoint::Agents, Some(fault));
    let exporter = start(&simulator).await;
    is_counted(&exporter, "agents", "forbidden").await;
    exporter.says(messages::UNLICENSED).await;
    let now = simulator.world().now().unix_millis() / 1_000;
    let metrics = exporter.metrics().await;
    let next = metrics.value(NEXT, &["\"agents\""]).expect("it is there");
    let wait = next - f64::from(i32::try_from(now).expect("it is before 2038"));
    assert!((30.0..=61.0).contains(&wait), "{wait}");
    for collector in ["\"definitions\"", "\"history\""] {
        assert_eq!(metrics.value(NEXT, &[collector]), Some(0.0));
    }
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("Next attempt: <time"), "{page}");
}

/// Permissions spread slowly, and a token has those of the moment when it was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tries_at_once_and_with_a_new_token() {
    let simulator = simulator().await;
    let forbidden = || Some(Fault::error(403, "Forbidden", "Missing roles"));
    for endpoint in [Endpoint::Definitions, Endpoint::Agents] {
        simulator.set_fault(endpoint, forbidden());
    }
    let exporter = start(&simulator).await;
    for round in 1..=2 {
        is_counted(&exporter, "definitions", "forbidden").await;
        is_counted(&exporter, "agents", "forbidden").await;
        simulator.set_fault(Endpoint::Definitions, None);
        simulator.set_fault(Endpoint::Agents, None);
        let tokens = answered(&simulator, Endpoint::Token, 200);
        if round == 1 {
            assert_eq!(exporter.reload().await.0, 200);
        } else {
            exporter.process.signal("HUP");
        }
        exporter.shows("defender_up", &[], |up| up > 0.0).await;
        exporter.shows(NEXT, &["\"agents\""], |at| at == 0.0).await;
        assert_eq!(answered(&simulator, Endpoint::Token, 200), tokens + 1);
        simulator.set_fault(Endpoint::Definitions, forbidden());
        simulator.set_fault(Endpoint::Agents, forbidden());
        exporter.shows("defender_up", &[], |up| up == 0.0).await;
        exporter.shows(NEXT, &["\"agents\""], |at| at > 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_not_found_hides_no_other() {
    let mut options = options();
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let bad = simulator.world().definitions(0)[3].id.clone();
    let bad = Fault::UnknownIds(BTreeSet::from([bad]));
    simulator.set_fault(Endpoint::History, Some(bad));
    let exporter = start(&simulator).await;
    let quarantined = ["\"quarantined\""];
    exporter
        .shows("defender_definitions", &quarantined, |count| {
            (count - 1.0).abs() < 0.5
        })
        .await;
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_the_service_is_an_empty_list_and_that_of_a_gateway_a_failure() {
    let simulator = simulator().await;
    let exporter = start(&simulator).await;
    let active = ["\"active\""];
    let definitions = "defender_definitions";
    exporter
        .shows(definitions, &active, |count| count > 0.0)
        .await;
    let gateway = r#"{"statusCode": 404, "message": "Resource not found"}"#;
    let gateway = body(404, "application/json", gateway);
    simulator.set_fault(Endpoint::Definitions, Some(gateway));
    is_counted(&exporter, "definitions", "client").await;
    exporter.says("HTTP 404: Resource not found").await;
    exporter.shows("defender_up", &[], |up| up == 0.0).await;
    exporter
        .shows(definitions, &active, |count| count > 0.0)
        .await;
    let own = Fault::error(404, "ResourceNotFound", "There are none");
    simulator.set_fault(Endpoint::Definitions, Some(own));
    exporter
        .shows(definitions, &active, |count| count == 0.0)
        .await;
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gateways_say_is_not_lost() {
    let html = "<!DOCTYPE html><html><head><title>Service unavailable</title><style>p{}</style></head><body><h2>Our services aren&#39;t available right now</h2></body></html>";
    for (status, kind, text, said) in [
        (
            429,
            "application/json",
            r#"{"statusCode": 429, "message": "Rate limit is exceeded. Try again in 42 seconds."}"#,
            "HTTP 429: Rate limit is exceeded. Try again in 42 seconds.",
        ),
        (
            401,
            "application/json",
            r#"{"Message":"Authorization has been denied for this request."}"#,
            "HTTP 401: Authorization has been denied for this request.",
        ),
        (
            503,
            "text/html",
            html,
            "HTTP 503: Service unavailable Our services aren't available right now",
        ),
        (
            502,
            "text/plain",
            "upstream is down",
            "HTTP 502: upstream is down",
        ),
    ] {
        let simulator = simulator().await;
        simulator.set_fault(Endpoint::Definitions, Some(body(status, kind, text)));
        start(&simulator).await.says(said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_another_origin_are_asked_of_our_own() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let elsewhere = elsewhere.expect("a port is free");
    let address = elsewhere.local_addr().expect("it has an address");
    let mut options = options();
    options.page_size = 3;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    for endpoint in [Endpoint::Definitions, Endpoint::History, Endpoint::Agents] {
        let fault = Fault::NextLinkElsewhere(format!("http://{address}"));
        simulator.set_fault(endpoint, Some(fault));
    }
    let exporter = start(&simulator).await;
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
    assert_eq!(published(&exporter).await, 16);

    // Out of the API there is nothing to ask for: what came before is used, and nothing vanishes.
    let fault = Fault::NextLink(format!("http://{address}/elsewhere/api/x"));
    simulator.set_fault(Endpoint::Definitions, Some(fault));
    let refused = "defender_api_links_refused_total";
    exporter.shows(refused, &[], |count| count >= 3.0).await;
    exporter.says(messages::FOREIGN_PAGE).await;
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
    assert_eq!(published(&exporter).await, 16);
    let said = exporter.process.output();
    assert_eq!(said.matches("it was not followed").count(), 1, "{said}");
    simulator.set_fault(Endpoint::Definitions, None);
    exporter.says("responses are complete again").await;
    let fault = Fault::NextLink(format!("http://{address}/elsewhere/api/x"));
    simulator.set_fault(Endpoint::Definitions, Some(fault));
    eventually("it is said of each change", async || {
        let said = exporter.process.output();
        (said.matches("it was not followed").count() == 2).then_some(())
    })
    .await;
    let first = start(&simulator).await;
    first.shows("defender_up", &[], |up| up > 0.0).await;
    assert_eq!(published(&first).await, 3);
    let connected = tokio::time::timeout(Duration::from_millis(10), elsewhere.accept()).await;
    assert!(connected.is_err(), "something was sent to another origin");
    assert_eq!(simulator.misplaced(), 0);
}

/// How many definitions are published.
async fn published(exporter: &Exporter) -> usize {
    let text = exporter.metrics().await.0;
    text.matches("defender_scan_active{").count()
}

/// An exporter whose configuration names that version of the API.
async fn of_version(simulator: &Simulator, version: &str) -> Exporter {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    settings::write(simulator, folder.path(), &[entry(0)], "5s");
    let file = folder.path().join("exporter.yml");
    let text = std::fs::read_to_string(&file).expect("it was written");
    let version = format!("    api_version: {version}\n    poll:");
    settings::write_text(folder.path(), &text.replace("    poll:", &version));
    Exporter::start_with_flags(folder, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_api_does_not_have_is_no_empty_list() {
    let simulator = simulator().await;
    let exporter = of_version(&simulator, "v9").await;
    exporter.says(messages::NO_VERSION).await;
    exporter.shows("defender_up", &[], |up| up < 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_is_in_the_path_of_every_page() {
    let mut options = options();
    options.page_size = 3;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = of_version(&simulator, "v1.0").await;
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
    assert_eq!(published(&exporter).await, 16);
    let calls = simulator.calls();
    let api = calls.iter().filter(|call| call.endpoint != Endpoint::Token);
    assert!(api.clone().any(|call| call.next_page));
    for call in api {
        assert!(call.versioned, "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_endpoint_is_noticed() {
    const SUNSET: &str = "defender_api_sunset_timestamp_seconds";
    let simulator = simulator().await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let announced = Fault::Headers(vec![
        header("Deprecation", "@1767225600"),
        header("Sunset", "Mon, 01 Feb 2027 00:00:00 GMT"),
    ]);
    simulator.set_fault(Endpoint::Definitions, Some(announced));
    let exporter = start(&simulator).await;
    let end = 1_801_440_000.0;
    let label = ["\"definitions\""];
    exporter
        .shows(SUNSET, &label, |at| (at - end).abs() < 0.5)
        .await;
    exporter.shows("defender_up", &[], |up| up > 0.0).await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value(SUNSET, &["\"agents\""]), None);
    let (_, page) = exporter.get("/").await;
    assert!(
        page.contains("the service will retire it, <time datetime=\"2027-02-01T"),
        "{page}"
    );

    let calls = answered(&simulator, Endpoint::Definitions, 200);
    eventually("it is polled on", async || {
        (answered(&simulator, Endpoint::Definitions, 200) > calls + 2).then_some(())
    })
    .await;
    let said = exporter.process.output();
    let line = "the API announces the retirement of an endpoint";
    assert_eq!(said.matches(line).count(), 1, "{said}");

    let gone = Fault::error(410, "Gone", "Use Microsoft Graph");
    simulator.set_fault(Endpoint::Definitions, Some(gone.clone()));
    exporter.says(messages::GONE).await;
    is_counted(&exporter, "definitions", "client").await;
    exporter
        .shows(SUNSET, &label, |at| (at - end).abs() < 0.5)
        .await;

    // Of one that ended without a word before, the first 410 is remembered.
    simulator.set_fault(Endpoint::Agents, Some(gone));
    let label = ["\"agents\""];
    let since = eventually("the agents have ended", async || {
        exporter.metrics().await.value(SUNSET, &label)
    });
    let since = since.await;
    let (exporter, calls) = (
        exporter.kill_and_restart().await,
        answered(&simulator, Endpoint::Agents, 410),
    );
    eventually("it is gone again", async || {
        (answered(&simulator, Endpoint::Agents, 410) > calls + 1).then_some(())
    })
    .await;
    assert_eq!(exporter.metrics().await.value(SUNSET, &label), Some(since));

    let label = ["\"definitions\""];
    simulator.set_fault(Endpoint::Definitions, None);
    eventually("it is not gone any more", async || {
        let metrics = exporter.metrics().await;
        metrics.value(SUNSET, &label).is_none().then_some(())
    })
    .await;
}
