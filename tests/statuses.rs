//! Statuses that change, end to end: running, unknown, corrected; and what is counted.

use crate::common::{Exporter, Metrics, eventually, options};
use defender_scan_exporter::simulator::{Draft, Endpoint, Fault, Outcome, Simulator};

const STATUSES: [&str; 4] = ["success", "partial_success", "failure", "unknown"];

/// A definition with one run, which succeeded, and an exporter that knows both.
struct Bench {
    simulator: Simulator,
    exporter: Exporter,
    id: String,
}

impl Bench {
    async fn new(timed: bool) -> Self {
        let mut options = options();
        options.last_scanned = timed;
        let simulator = Simulator::start(options)
            .await
            .expect("the simulator starts");
        let id = simulator
            .world()
            .add_definition(0, Draft::manual("by hand"))
            .expect("there is a tenant");
        simulator.world().run_now(0, &id, Outcome::Success);
        let exporter = Exporter::start(&simulator).await;
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
