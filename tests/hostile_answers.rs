//! One strange record in every answer: it costs what is strange, and nothing else.

use std::collections::BTreeSet;

use defender_simulator::{Damage, Endpoint, Fault, Simulator};

use serde_json::json;

use crate::common::{Exporter, Metrics, eventually, messages, options};

const ENDPOINTS: [Endpoint; 3] = [Endpoint::Definitions, Endpoint::History, Endpoint::Agents];

async fn simulator() -> Simulator {
    let mut options = options();
    options.last_scanned = true;
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

/// An exporter that polled each endpoint, with `fault` in every answer.
async fn polled(simulator: &Simulator, fault: Option<&Fault>) -> (Exporter, Metrics) {
    for endpoint in ENDPOINTS {
        simulator.set_fault(endpoint, fault.cloned());
    }
    let exporter = Exporter::start(simulator).await;
    for collector in ["\"definitions\"", "\"history\"", "\"agents\""] {
        let name = "defender_collector_last_success_timestamp_seconds";
        exporter.shows(name, &[collector], |at| at > 0.0).await;
    }
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0), "{fault:?}");
    (exporter, metrics)
}

/// What does not change from one second to the next.
fn samples(metrics: &Metrics) -> BTreeSet<String> {
    let lasting = |line: &&str| {
        line.starts_with("defender_scan_")
            && !line.starts_with("defender_scan_last_age_seconds")
            && !line.starts_with("defender_scan_target_duration_seconds")
            && !line.starts_with("defender_scan_agent_last_")
    };
    let samples: Vec<_> = metrics
        .0
        .lines()
        .filter(lasting)
        .map(str::to_owned)
        .collect();
    let distinct: BTreeSet<_> = samples.iter().cloned().collect();
    assert_eq!(distinct.len(), samples.len(), "a series comes twice");
    distinct
}

/// The definitions and agents that samples are about.
fn subjects<'s>(samples: impl IntoIterator<Item = &'s String>) -> BTreeSet<&'s str> {
    let subject = |sample: &'s String| {
        let (_, rest) = sample
            .split_once("definition_id=\"")
            .or(sample.split_once("agent_id=\""))?;
        Some(rest.split_once('"')?.0)
    };
    samples.into_iter().filter_map(subject).collect()
}

fn skipped(metrics: &Metrics, reason: &str) -> f64 {
    let count = |endpoint| {
        let labels = [endpoint, reason];
        metrics.value("defender_api_records_skipped_total", &labels)
    };
    ["\"definitions\"", "\"history\"", "\"agents\""]
        .into_iter()
        .map(|endpoint| count(endpoint).expect("it starts at 0"))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_strange_record_costs_nothing_else() {
    let simulator = simulator().await;
    let (_, reference) = polled(&simulator, None).await;
    let reference = samples(&reference);
    let names: [&[u8]; 7] = [
        br#""half an emoji \ud83d""#,
        br#""\ude00""#,
        br#""\x""#,
        b"\"a tab \t and a bell \x07\"",
        b"\"NUL \x00\"",
        b"\"Latin-1 \xe9\"",
        b"NaN",
    ];
    let damages = names
        .map(|name| Damage::Name(name.to_vec()))
        .into_iter()
        .chain([
            Damage::Name(format!("\"{}\"", "🦀".repeat(250_000)).into_bytes()),
            Damage::Number("1e309".to_owned()),
            Damage::Number("-1e999".to_owned()),
            Damage::Number("\"many\"".to_owned()),
            Damage::Deep(200),
            Damage::Deep(1_000_000),
            Damage::NewProperty("owner".to_owned()),
            Damage::UpperCase,
            Damage::Time("2099-01-01T00:00:00Z".to_owned()),
            Damage::Time("9999-12-31T23:59:59.9999999Z".to_owned()),
            Damage::Time("1601-01-01T00:00:00Z".to_owned()),
            Damage::Time("yesterday".to_owned()),
        ]);
    for damage in damages {
        let name = format!("{damage:?}").chars().take(100).collect::<String>();
        let (_exporter, metrics) = polled(&simulator, Some(&Fault::Damaged(damage.clone()))).await;
        let found = samples(&metrics);
        if !matches!(damage, Damage::UpperCase) {
            let differing = reference.symmetric_difference(&found);
            let subjects = subjects(differing);
            // The middle one of each answer.
            assert!(subjects.len() <= 3, "{name}: {subjects:?}");
        }
        let known = |samples| subjects(samples).len();
        assert_eq!(known(&found), known(&reference), "{name}");
        assert!(
            metrics.0.lines().all(|line| line.len() < 2 * 4 * 512 + 600),
            "{name}"
        );
        let age = |line: &&str| line.starts_with("defender_scan_last_age_seconds");
        let young = metrics
            .0
            .lines()
            .filter(age)
            .filter(|line| line.ends_with(" 0"));
        assert_eq!(young.count(), 0, "{name}");
        assert!(skipped(&metrics, "\"unreadable\"") < 1.0, "{name}");
    }
    let (exporter, metrics) = polled(&simulator, Some(&Fault::Damaged(Damage::NoRecords))).await;
    assert_eq!(samples(&metrics), reference);
    assert!(
        skipped(&metrics, "\"unreadable\"") >= 15.0,
        "five in each answer"
    );
    exporter.says(messages::LEFT_OUT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_look_alike_are_one_series_and_what_is_left_out_is_counted() {
    let simulator = simulator().await;
    let (exporter, metrics) = polled(&simulator, Some(&Fault::Damaged(Damage::Twins))).await;
    let found = samples(&metrics);
    assert!(subjects(&found).contains("twin\u{fffd}"));
    assert!(
        skipped(&metrics, "\"duplicate\"") >= 2.0,
        "a definition and an agent"
    );
    let (exporter, again) = (
        exporter.kill_and_restart().await,
        skipped(&metrics, "\"duplicate\""),
    );
    exporter.ready().await;
    let metrics = exporter.metrics().await;
    assert!(
        skipped(&metrics, "\"duplicate\"") >= again,
        "the count survives"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_about_what_was_not_asked_for_are_counted_and_change_nothing() {
    let simulator = simulator().await;
    let (_, reference) = polled(&simulator, None).await;
    let strangers = Fault::Damaged(Damage::Strangers);
    simulator.set_fault(Endpoint::History, Some(strangers));
    let exporter = Exporter::start(&simulator).await;
    let name = "defender_api_records_skipped_total";
    for reason in ["\"unrelated\"", "\"unreadable\""] {
        let labels = ["\"history\"", reason];
        exporter.shows(name, &labels, |count| count >= 1.0).await;
    }
    exporter.says(messages::UNRELATED).await;
    exporter.next_polls(&simulator, 2).await;
    assert_eq!(samples(&exporter.metrics().await), samples(&reference));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_case_of_an_id_may_change_at_any_time() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    let upper = Fault::Damaged(Damage::UpperCase);
    for fault in [Some(upper), None] {
        for endpoint in ENDPOINTS {
            simulator.set_fault(endpoint, fault.clone());
        }
        exporter.next_polls(&simulator, 2).await;
        let definitions = |sample: &&String| !sample.starts_with("defender_scan_agent");
        let now = samples(&exporter.metrics().await);
        let [before, now] = [&before, &now].map(|all| all.iter().filter(definitions).count());
        assert_eq!(now, before);
    }
    let exporter = exporter.kill_and_restart().await;
    exporter.ready().await;
    let after = samples(&exporter.metrics().await);
    assert_eq!(subjects(&after), subjects(&before), "nothing is kept twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_the_future_hides_nothing_and_heals() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    let time = Damage::Time("2099-01-01T00:00:00Z".to_owned());
    for endpoint in ENDPOINTS {
        simulator.set_fault(endpoint, Some(Fault::Damaged(time.clone())));
    }
    exporter.next_polls(&simulator, 2).await;
    assert_eq!(samples(&exporter.metrics().await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrong_clock_made_believable_is_forgotten_at_the_next_answer() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    let id = simulator.world().definitions(0)[0].id.clone();
    let run = json!({ "status": "Success", "executionDateTime": "2098-01-01T00:00:00Z" });
    let date = (
        "Date".to_owned(),
        "Wed, 01 Jan 2098 12:00:00 GMT".to_owned(),
    );
    let fault = Fault::Status {
        code: 200,
        body: json!({ "value": [{ "id": id, "latestScan": run }] }).to_string(),
        headers: vec![date],
    };
    simulator.set_fault(Endpoint::History, Some(Fault::Hang));
    simulator.set_fault(Endpoint::Definitions, Some(fault));
    let name = "defender_scan_last_timestamp_seconds";
    exporter.shows(name, &[&id], |at| at > 4e9).await;
    simulator.set_fault(Endpoint::Definitions, None);
    exporter.shows(name, &[&id], |at| at < 4e9).await;
    simulator.set_fault(Endpoint::History, None);
    exporter.next_polls(&simulator, 2).await;
    assert_eq!(samples(&exporter.metrics().await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_can_read_is_a_failed_poll_that_names_the_fields() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    simulator.set_fault(
        Endpoint::Definitions,
        Some(Fault::Damaged(Damage::OtherNames)),
    );
    let labels = ["\"definitions\"", "\"decode\""];
    exporter
        .shows("defender_collector_errors_total", &labels, |errors| {
            errors >= 2.0
        })
        .await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), Some(0.0));
    assert_eq!(samples(&metrics), before, "the last good data stays");
    exporter
        .says("but none of … could be read, but found")
        .await;
    let said = exporter
        .process
        .output()
        .matches("expected records with an id")
        .count();
    assert_eq!(said, 1, "it is said once");
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("expected records with an id"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_nobody_can_read_are_a_failed_poll_and_not_a_scan_that_never_ran() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    for time in [json!("soon"), json!({}), json!(true)] {
        let labels = ["\"definitions\"", "\"decode\""];
        let name = "defender_collector_errors_total";
        let metrics = exporter.metrics().await;
        let known = metrics.value(name, &labels).unwrap_or(0.0);
        for endpoint in ENDPOINTS {
            let damage = Damage::Times(time.clone());
            simulator.set_fault(endpoint, Some(Fault::Damaged(damage)));
        }
        let more = |errors| errors > known;
        exporter.shows(name, &labels, more).await;
        let metrics = exporter.metrics().await;
        assert_eq!(metrics.value("defender_up", &[]), Some(0.0), "{time}");
        assert_eq!(samples(&metrics), before, "the last good data stays");
    }
    exporter
        .says("expected times of runs, but none of 15 could be read")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_is_counted_and_named() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    for endpoint in ENDPOINTS {
        let soon = Damage::Time("soon".to_owned());
        simulator.set_fault(endpoint, Some(Fault::Damaged(soon)));
    }
    let name = "defender_api_values_unreadable_total";
    exporter
        .shows(name, &["\"definitions\""], |values| values > 0.0)
        .await;
    exporter.says("values=\"executionDateTime 1\"").await;
    let metrics = exporter.metrics().await;
    assert_eq!(samples(&metrics), before, "what was known stays");
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_lost_takes_nothing_with_it() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    for endpoint in ENDPOINTS {
        simulator.set_fault(endpoint, Some(Fault::Damaged(Damage::Lost)));
    }
    exporter.next_polls(&simulator, 2).await;
    let metrics = exporter.metrics().await;
    assert!(skipped(&metrics, "\"unreadable\"") > 0.0);
    assert_eq!(
        samples(&metrics),
        before,
        "it may be the one that is not there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_none_ends_the_round_and_takes_nothing_with_it() {
    let simulator = simulator().await;
    let (exporter, before) = polled(&simulator, None).await;
    let before = samples(&before);
    let links = [
        json!(true),
        json!({}),
        json!(["a", "b"]),
        json!("/api/x".repeat(12_000)),
    ];
    let gone = simulator.world().definitions(0)[0].id.clone();
    let mut is_gone = false;
    for link in links {
        for endpoint in ENDPOINTS {
            let damage = Damage::Link(link.clone());
            simulator.set_fault(endpoint, Some(Fault::Damaged(damage)));
        }
        if !std::mem::replace(&mut is_gone, true) {
            simulator.world().remove_definition(0, &gone);
        }
        let counted = |metrics: &Metrics| metrics.value("defender_api_links_refused_total", &[]);
        let known = counted(&exporter.metrics().await).unwrap_or(0.0);
        let name = "defender_api_links_refused_total";
        exporter
            .shows(name, &[], |links| links >= known + 2.0)
            .await;
        let metrics = exporter.metrics().await;
        assert_eq!(samples(&metrics), before, "nothing vanishes");
        assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    }
    exporter
        .says("the link to the next page is not a string")
        .await;
    exporter
        .says("the link to the next page is longer than 16384 bytes")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_has_two_names_and_other_compressions_are_named() {
    let simulator = simulator().await;
    for name in ["gzip", "GZIP", "x-gzip", "X-GZip"] {
        let (exporter, _) = polled(&simulator, Some(&Fault::Encoded(name.to_owned()))).await;
        drop(exporter);
    }
    let exporter = Exporter::start(&simulator).await;
    for name in ["br", "deflate", "zstd"] {
        let labels = ["\"definitions\"", "\"decode\""];
        let metrics = exporter.metrics().await;
        let before = metrics
            .value("defender_collector_errors_total", &labels)
            .unwrap_or(0.0);
        simulator.set_fault(Endpoint::Definitions, Some(Fault::Encoded(name.to_owned())));
        exporter
            .shows("defender_collector_errors_total", &labels, |errors| {
                errors > before
            })
            .await;
        // An answer may have been under way that had the former.
        let expected = format!("expected gzip or no compression, but found &quot;{name}&quot;");
        eventually(&expected, async || {
            exporter.get("/").await.1.contains(&expected).then_some(())
        })
        .await;
    }
}
