//! Statuses that change, end to end: running, unknown, corrected; and what is counted.

use std::fs;

use crate::common::{self, Exporter, Metrics, eventually, messages, options};
use defender_simulator::{Endpoint, Fault, Options, Outcome, Simulator};

const STATUSES: [&str; 4] = ["success", "partial_success", "failure", "unknown"];

/// A definition with one run, which succeeded, and an exporter that knows both.
struct Bench {
    simulator: Simulator,
    exporter: Exporter,
    id: String,
}

impl Bench {
    async fn new(timed: bool) -> Self {
        Self::adjusted(|options| options.last_scanned = timed, "").await
    }

    /// One whose simulator is adjusted, with more keys below `poll`.
    async fn adjusted(adjust: impl FnOnce(&mut Options), poll: &str) -> Self {
        let mut options = options();
        adjust(&mut options);
        let simulator = Simulator::start(options)
            .await
            .expect("the simulator starts");
        let id = common::tenants::run_by_hand(&simulator);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = common::configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
        let text = fs::read_to_string(&file).expect("it was written");
        let text = text.replace("poll: {", &format!("poll: {{{poll}"));
        fs::write(&file, text).expect("it can be written");
        let exporter = Exporter::start_adjusted(folder, |_| ()).await;
        let bench = Self {
            simulator,
            exporter,
            id,
        };
        bench.asked_since(0).await;
        bench.shows(1.0, [0.0; 4]).await;
        bench
    }

    fn run(&self, outcome: Outcome) -> String {
        let session = self.simulator.world().run_now(0, &self.id, outcome);
        session.expect("there is the definition")
    }

    fn set(&self, session: &str, outcome: Outcome) {
        let mut world = self.simulator.world();
        assert!(world.set_outcome(0, &self.id, session, outcome));
    }

    /// How often history of the definition was asked for.
    fn fetches(&self) -> usize {
        let calls = self.simulator.calls();
        let of_it =
            |endpoint, ids: &[String]| endpoint == Endpoint::History && ids.contains(&self.id);
        let answered = calls.iter().filter(|call| call.status == 200);
        answered
            .filter(|call| of_it(call.endpoint, &call.ids))
            .count()
    }

    /// Waits until history of the definition has been asked for once more than `before`.
    async fn asked_since(&self, before: usize) {
        eventually("history is asked for", async || {
            (self.fetches() > before).then_some(())
        })
        .await;
    }

    /// Waits for the status code, and checks the counters that go with it.
    async fn shows(&self, code: f64, counts: [f64; 4]) {
        let label = format!("definition_id=\"{}\"", self.id);
        let count = |metrics: &Metrics, status: &str| {
            let status = format!("status=\"{status}\"");
            metrics.value("defender_scan_sessions_total", &[&label, &status])
        };
        eventually(&format!("status {code}, sessions {counts:?}"), async || {
            let metrics = self.exporter.metrics().await;
            let shown = STATUSES.map(|status| count(&metrics, status).unwrap_or(-1.0));
            let status = metrics.value("defender_scan_status_code", &[&label])?;
            ([status].into_iter().chain(shown).map(f64::to_bits))
                .eq([code].into_iter().chain(counts).map(f64::to_bits))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_counts_when_its_status_is_final_whatever_happens_in_between() {
    for timed in [true, false] {
        let mut bench = Bench::new(timed).await;
        let before = bench.fetches();
        let session = bench.run(Outcome::Running);
        bench.asked_since(before).await;
        bench.shows(1.0, [0.0; 4]).await;
        let before = bench.fetches();
        bench.exporter = bench.exporter.kill_and_restart().await;
        bench.asked_since(before).await;
        bench.shows(1.0, [0.0; 4]).await;
        bench.set(&session, Outcome::Failure);
        bench.shows(0.0, [0.0, 0.0, 1.0, 0.0]).await;
        bench.exporter = bench.exporter.kill_and_restart().await;
        bench.shows(0.0, [0.0, 0.0, 1.0, 0.0]).await;
        assert_eq!(bench.simulator.violations(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_service_corrects_changes_its_status_and_no_counter() {
    for timed in [true, false] {
        let bench = Bench::new(timed).await;
        let session = bench.run(Outcome::Success);
        bench.shows(1.0, [1.0, 0.0, 0.0, 0.0]).await;
        let before = bench.fetches();
        bench.set(&session, Outcome::Failure);
        bench.asked_since(before).await;
        bench.shows(0.0, [1.0, 0.0, 0.0, 0.0]).await;
        let success = "defender_scan_last_success_timestamp_seconds";
        let label = format!("definition_id=\"{}\"", bench.id);
        let first = bench
            .simulator
            .world()
            .definition(0, &bench.id)
            .expect("it is there")
            .runs[0]
            .at;
        let near = |value: f64| (value - first.unix_seconds()).abs() < 0.002;
        bench.exporter.shows(success, &[&label], near).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_status_is_shown_at_once_and_counted_when_it_is_known() {
    let bench = Bench::new(true).await;
    let session = bench.run(Outcome::Other("Odd".to_owned()));
    bench.shows(-1.0, [0.0; 4]).await;
    bench.set(&session, Outcome::Success);
    bench.shows(1.0, [1.0, 0.0, 0.0, 0.0]).await;
}

impl Bench {
    /// The sessions that were asked for by their ids, call by call.
    fn asked_by_id(&self) -> Vec<Vec<String>> {
        let calls = self.simulator.calls().into_iter();
        let by_id = calls.filter(|call| call.endpoint == Endpoint::Sessions);
        by_id.map(|call| call.ids).collect()
    }

    /// Waits until the newest run's targets are shown, or none.
    async fn shows_targets(&self, known: bool) {
        let label = format!("definition_id=\"{}\"", self.id);
        let run = {
            let world = self.simulator.world();
            let definition = world.definition(0, &self.id).expect("it is there");
            definition.latest().expect("it ran").clone()
        };
        let truth = |count: Option<u32>| count.filter(|_| known).map(f64::from).map(f64::to_bits);
        let truth = [run.targets, run.succeeded].map(truth);
        assert_eq!(truth[0].is_some(), known, "try another seed");
        eventually(&format!("the targets are known: {known}"), async || {
            let metrics = self.exporter.metrics().await;
            let names = ["defender_scan_targets", "defender_scan_targets_succeeded"];
            let shown = names.map(|name| metrics.value(name, &[&label]).map(f64::to_bits));
            (shown == truth).then_some(())
        })
        .await;
    }
}

/// Nothing else is asked about, and the runs have counts, which history does not tell.
fn bare(options: &mut Options) {
    options.definitions = 0;
    options.seed = 2;
    options.bare_history = 0..1;
    options.last_scanned = true;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_sessions_of_which_too_little_is_told_are_asked_for_by_their_ids() {
    for timed in [true, false] {
        let adjust = |options: &mut Options| {
            bare(options);
            options.last_scanned = timed;
        };
        let mut bench = Bench::adjusted(adjust, "").await;
        bench.shows_targets(false).await;
        let expected = vec![vec![bench.run(Outcome::Partial)]];
        bench.shows(2.0, [0.0, 1.0, 0.0, 0.0]).await;
        bench.shows_targets(true).await;
        assert_eq!(
            bench.asked_by_id(),
            expected,
            "those of first sight are not"
        );

        // What was told stays, and nobody asks again.
        bench.exporter = bench.exporter.kill_and_restart().await;
        bench.shows_targets(true).await;
        assert_eq!(bench.asked_by_id(), expected);

        // What fails is asked for again, also after a restart, and costs nothing else.
        let fault = Fault::error(503, "Busy", "");
        bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
        let session = bench.run(Outcome::Failure);
        bench.shows(0.0, [0.0, 1.0, 1.0, 0.0]).await;
        eventually("it was asked", async || {
            (bench.asked_by_id().last() == Some(&vec![session.clone()])).then_some(())
        })
        .await;
        bench
            .exporter
            .shows("defender_up", &[], |up| up > 0.0)
            .await;
        bench.exporter = bench.exporter.kill_and_restart().await;
        let history = async || {
            let name = "defender_collector_last_success_timestamp_seconds";
            let metrics = bench.exporter.metrics().await;
            metrics
                .value(name, &["collector=\"history\""])
                .map(f64::to_bits)
        };
        let succeeded = history().await;
        bench.simulator.set_fault(Endpoint::Sessions, None);
        bench.shows_targets(true).await;
        assert_eq!(
            history().await,
            succeeded,
            "that was not history by definition"
        );

        // What is refused is given up.
        let fault = Fault::error(404, "ResourceNotFound", "");
        bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
        let refused = bench.run(Outcome::Success);
        bench.shows(1.0, [1.0, 1.0, 1.0, 0.0]).await;
        bench.exporter.says(messages::NO_DETAILS).await;
        let name = "defender_collector_errors_total";
        let of = ["collector=\"sessions\"", "reason=\"client\""];
        bench.exporter.shows(name, &of, |count| count > 0.0).await;
        let (_, page) = bench.exporter.get("/").await;
        assert!(!page.contains("The details of scans"), "nothing waits");
        bench.simulator.set_fault(Endpoint::Sessions, None);
        bench.run(Outcome::Success);
        bench.shows_targets(true).await;
        let asked = bench.asked_by_id();
        assert_eq!(asked.iter().filter(|ids| ids.contains(&refused)).count(), 1);
        assert_eq!(bench.simulator.violations(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_by_session_is_not_of_history_and_a_reload_tries_it_at_once() {
    let bench = Bench::adjusted(bare, "").await;
    let sunset = ("Sunset", "Mon, 01 Feb 2027 00:00:00 GMT");
    let fault = Fault::Status {
        code: 403,
        body: r#"{"error": {"code": "Forbidden", "message": "No"}}"#.to_owned(),
        headers: vec![(sunset.0.to_owned(), sunset.1.to_owned())],
    };
    bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
    bench.run(Outcome::Partial);
    bench.exporter.says(messages::NO_DETAILS).await;
    bench.shows(2.0, [0.0, 1.0, 0.0, 0.0]).await;
    let of = |metrics: &Metrics, name: &str, of: &str, label: &str| {
        let of = format!("\"{of}\"");
        metrics.value(name, &[&of, label]).map(|value| value > 0.0)
    };
    let (errors, next) = (
        "defender_collector_errors_total",
        "defender_collector_next_attempt_timestamp_seconds",
    );
    let (requests, ends) = (
        "defender_api_requests_total",
        "defender_api_sunset_timestamp_seconds",
    );
    let forbidden = ["collector=\"sessions\"", "reason=\"forbidden\""];
    let is_counted = |count: f64| count > 0.0;
    bench.exporter.shows(errors, &forbidden, is_counted).await;
    let metrics = bench.exporter.metrics().await;
    for (name, label) in [
        (errors, "reason=\"forbidden\""),
        (requests, "code=\"403\""),
        (next, ""),
        (ends, ""),
    ] {
        assert_eq!(of(&metrics, name, "sessions", label), Some(true), "{name}");
        let history = of(&metrics, name, "history", label);
        assert_ne!(history, Some(true), "{name}");
    }
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    bench.simulator.set_fault(Endpoint::Sessions, None);
    let asked = bench.asked_by_id().len();
    bench.exporter.process.signal("HUP");
    bench.shows_targets(true).await;
    assert_eq!(bench.asked_by_id().len(), asked + 1);
    let works = |value: f64| value.abs() < f64::EPSILON;
    let sessions = ["collector=\"sessions\""];
    bench.exporter.shows(next, &sessions, works).await;

    let fault = Fault::Unauthorized(1_000);
    bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
    bench.run(Outcome::Partial);
    let name = "defender_auth_errors_total";
    let refused = ["reason=\"refused\""];
    let counted = |count: f64| count > 0.0;
    bench.exporter.shows(name, &refused, counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_by_session_need_not_name_the_definition() {
    let bench = Bench::adjusted(bare, "").await;
    let fault = Fault::error(500, "Busy", "");
    bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
    let session = bench.run(Outcome::Partial);
    eventually("it was asked", async || {
        (!bench.asked_by_id().is_empty()).then_some(())
    })
    .await;
    let id = session.to_uppercase();
    let record = serde_json::json!({"SessionIds": [id], "numberOfTargets": 1_234});
    let fault = Fault::Body {
        content_type: "application/json".to_owned(),
        bytes: serde_json::json!({ "value": [record] }).to_string().into(),
    };
    bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
    let known = |targets: f64| (targets - 1_234.0).abs() < 0.5;
    let label = format!("definition_id=\"{}\"", bench.id);
    let name = "defender_scan_targets";
    bench.exporter.shows(name, &[&label], known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_run_is_asked_for_by_its_id_again() {
    let bench = Bench::adjusted(bare, "").await;
    let session = bench.run(Outcome::Success);
    bench.shows_targets(true).await;
    bench.set(&session, Outcome::Failure);
    bench.shows(0.0, [1.0, 0.0, 0.0, 0.0]).await;
    eventually("it was asked again", async || {
        (bench.asked_by_id() == vec![vec![session.clone()]; 2]).then_some(())
    })
    .await;
    bench.shows_targets(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_not_asked_for_by_their_ids_where_that_is_off() {
    let bench = Bench::adjusted(|options| options.bare_history = 0..1, "sessions: off, ").await;
    for count in [1.0, 2.0] {
        bench.run(Outcome::Success);
        bench.shows(1.0, [count, 0.0, 0.0, 0.0]).await;
    }
    bench.shows_targets(false).await;
    assert_eq!(bench.asked_by_id(), Vec::<Vec<String>>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_not_first_sight() {
    let mut options = options();
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let empty = Fault::Body {
        content_type: "application/json".to_owned(),
        bytes: br#"{"value": []}"#.to_vec(),
    };
    simulator.set_fault(Endpoint::History, Some(empty));
    let exporter = Exporter::start(&simulator).await;
    let succeeded = ["collector=\"history\""];
    let name = "defender_collector_last_success_timestamp_seconds";
    exporter.shows(name, &succeeded, |_| true).await;
    simulator.set_fault(Endpoint::History, None);
    let exporter = exporter.kill_and_restart().await;
    exporter
        .shows(
            "defender_scan_target_duration_seconds_count",
            &[],
            |count| count > 0.0,
        )
        .await;
    let metrics = exporter.metrics().await.0;
    let mut counts = metrics
        .lines()
        .filter(|line| line.starts_with("defender_scan_sessions_total"));
    assert!(counts.all(|line| line.ends_with(" 0")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_details_alone_refuse_is_good_for_the_rest() {
    let bench = Bench::adjusted(bare, "").await;
    let fault = Fault::Unauthorized(usize::MAX);
    bench.simulator.set_fault(Endpoint::Sessions, Some(fault));
    let tokens = || {
        let calls = bench.simulator.calls();
        calls
            .iter()
            .filter(|call| call.endpoint == Endpoint::Token)
            .count()
    };
    let before = tokens();
    bench.run(Outcome::Partial);
    let errors = "defender_collector_errors_total";
    let of = ["collector=\"sessions\"", "reason=\"auth\""];
    let is_counted = |count: f64| count > 0.0;
    bench.exporter.shows(errors, &of, is_counted).await;
    let metrics = bench.exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    let of = ["collector=\"definitions\"", "reason=\"auth\""];
    assert_eq!(metrics.value(errors, &of), Some(0.0));
    assert_eq!(tokens(), before, "no other is asked for");
}
