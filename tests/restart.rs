//! Nothing is forgotten: `kill -9` at random moments, and a restart goes on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use crate::common::tenants::run_by_hand;
use crate::common::{Exporter, Metrics, binary, eventually, options};
use defender_simulator::{CallRecord, Endpoint, Fault, Outcome, Simulator};

/// Every counter of every tenant: what a restart must not turn back.
fn counters(metrics: &Metrics) -> BTreeMap<String, f64> {
    let is_counter = |name: &str| {
        let of_process = name.starts_with("process_") || name.starts_with("defender_exporter_");
        !of_process
            && ["_total", "_count", "_sum", "_bucket"]
                .iter()
                .any(|end| name.ends_with(end))
    };
    let samples = metrics
        .0
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '));
    let counters =
        samples.filter(|(series, _)| is_counter(series.split('{').next().unwrap_or(series)));
    counters
        .map(|(series, value)| (series.to_owned(), value.parse().expect("it is a number")))
        .collect()
}

/// The families of the scans without their ages, which grow, and without what each list of agents
/// says anew.
fn scans(metrics: &Metrics) -> Vec<String> {
    let lasting = |line: &&str| {
        line.starts_with("defender_scan_")
            && !line.contains("_age_")
            && !line.starts_with("defender_scan_agent_last_")
    };
    let scans = metrics.0.lines().filter(lasting);
    scans.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_data_is_served_before_the_first_call() {
    let mut options = options();
    options.last_scanned = true;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let id = run_by_hand(&simulator);
    let exporter = Exporter::start(&simulator).await;
    let label = format!("definition_id=\"{id}\"");
    let counted = async |exporter: &Exporter, expected: f64| {
        let labels = [label.as_str(), "status=\"partial_success\""];
        let equal = |value: f64| value.to_bits() == expected.to_bits();
        exporter
            .shows("defender_scan_sessions_total", &labels, equal)
            .await;
    };
    let labels = ["collector=\"history\""];
    exporter
        .shows(
            "defender_collector_last_success_timestamp_seconds",
            &labels,
            |_| true,
        )
        .await;
    simulator.world().run_now(0, &id, Outcome::Partial);
    counted(&exporter, 1.0).await;
    let before = exporter.metrics().await;
    for endpoint in [
        Endpoint::Token,
        Endpoint::Definitions,
        Endpoint::History,
        Endpoint::Agents,
    ] {
        simulator.set_fault(endpoint, Some(Fault::Hang));
    }
    let exporter = exporter.kill_and_restart().await;
    let after = exporter.metrics().await;
    assert_eq!(scans(&after), scans(&before));
    assert_eq!(
        after.value("defender_up", &[]),
        None,
        "it has not polled yet"
    );
    for (series, value) in counters(&before) {
        assert!(
            counters(&after)
                .get(&series)
                .is_some_and(|now| *now >= value),
            "{series} went back"
        );
    }
    assert_eq!(
        exporter.get("/-/ready").await.0,
        200,
        "restored state is enough"
    );
    for endpoint in [
        Endpoint::Token,
        Endpoint::Definitions,
        Endpoint::History,
        Endpoint::Agents,
    ] {
        simulator.set_fault(endpoint, None);
    }
    simulator.world().run_now(0, &id, Outcome::Partial);
    counted(&exporter, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_neither_exceed_the_budget_nor_turn_a_counter_back() {
    let mut options = options();
    options.per_minute = 20;
    options.max_batch = 3;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let mut exporter = Exporter::start_with_quota(&simulator, (20, 50_000)).await;
    let mut random = fastrand::Rng::with_seed(11);
    let mut last = BTreeMap::new();
    for kill in 0..100 {
        // Each kill comes at another moment of a life.
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        let now = counters(&exporter.metrics().await);
        for (series, value) in &last {
            assert!(
                now.get(series).is_some_and(|now| now >= value),
                "{series} went back before kill {kill}"
            );
        }
        last = now;
        exporter = exporter.kill_and_restart().await;
    }
    assert_eq!(simulator.violations(), 0);
    assert!(
        simulator.calls().len() > 20,
        "it went on calling: {}",
        simulator.calls().len()
    );
    assert!(last.len() > 20, "there are counters: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_still_obeyed_after_a_restart() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    simulator.set_fault(
        Endpoint::Definitions,
        Some(Fault::Throttle {
            retry_after: Some("6".to_owned()),
        }),
    );
    let throttled = eventually("it is throttled", async || {
        exporter
            .metrics()
            .await
            .value("defender_api_throttled_until_timestamp_seconds", &[])
            .filter(|until| *until > 0.0)?;
        simulator
            .calls()
            .into_iter()
            .find(|call| call.status == 429)
    })
    .await;
    simulator.set_fault(Endpoint::Definitions, None);
    let _exporter = exporter.kill_and_restart().await;
    let later =
        |call: &CallRecord| call.endpoint != Endpoint::Token && call.arrived > throttled.arrived;
    let next = eventually("it goes on", async || {
        simulator.calls().into_iter().find(later)
    })
    .await;
    assert!(next.arrived.since(throttled.arrived) >= Duration::from_secs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_state_is_refused() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    let folder = exporter.process.folder.path();
    let mut second = binary();
    second
        .arg("--config.file")
        .arg(folder.join("exporter.yml"))
        .arg("--storage.path")
        .arg(folder.join("state"));
    let output = second
        .args(["--web.listen-address", "127.0.0.1:0"])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("is locked by another process"), "{text}");
    let mode = fs::metadata(folder.join("state/state.redb"))
        .expect("the state is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_moved_aside_and_the_exporter_goes_on() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let mut exporter = Exporter::start(&simulator).await;
    for damage in ["garbage", "truncated", "empty"] {
        exporter.ready().await;
        let folder = exporter.process.folder.path().to_owned();
        let state = folder.join("state/state.redb");
        exporter.process.signal("KILL");
        exporter.process.exit().await;
        let whole = fs::read(&state).expect("the state is there");
        let damaged = match damage {
            "garbage" => vec![0xA5; whole.len()],
            "truncated" => whole[..whole.len() / 3].to_vec(),
            _ => Vec::new(),
        };
        fs::write(&state, damaged).expect("it can be written");
        exporter = exporter.kill_and_restart().await;
        let metrics = exporter.metrics().await;
        assert_eq!(
            metrics.value("defender_exporter_store_errors_total", &[]),
            Some(1.0),
            "{damage}"
        );
        let aside = fs::read_dir(folder.join("state"))
            .expect("it is a folder")
            .flatten();
        let aside: Vec<_> = aside
            .filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-"))
            .collect();
        assert_eq!(aside.len(), 1, "{damage}: {aside:?}");
        for entry in aside {
            fs::remove_file(entry.path()).expect("it can be removed");
        }
    }
    exporter.ready().await;
}

/// Sets how large a file the process may write, in bytes.
fn limit_files(exporter: &Exporter, limit: &str) {
    let process = exporter.process.id().to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &process, &format!("--fsize={limit}:unlimited")])
        .status();
    assert!(status.expect("prlimit is part of util-linux").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_no_call_leaves_and_serving_goes_on() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    limit_files(&exporter, "4096");
    exporter
        .shows("defender_exporter_store_errors_total", &[], |failures| {
            failures >= 1.0
        })
        .await;
    let of_api = || {
        simulator
            .calls()
            .iter()
            .filter(|call| call.endpoint != Endpoint::Token)
            .count()
    };
    let calls = of_api();
    // Some polls are due meanwhile, and do not take place.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(of_api(), calls, "no call leaves without its row");
    assert!(!scans(&exporter.metrics().await).is_empty());
    limit_files(&exporter, "unlimited");
    eventually("it goes on", async || (of_api() > calls).then_some(())).await;
}
