//! Servers of today: the rules, and every form in which they can ask for a scrape.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use defender_simulator::{Outcome, Simulator};

use super::{program, root, rules};
use crate::common::settings;
use crate::common::tools::needs;
use crate::common::{Exporter, Process, Prometheus, eventually, free_port, options};

fn succeeds(name: &str, arguments: &[&str]) {
    let output = Command::new(program(name)).args(arguments).output();
    let output = output.expect("the program is there");
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(output.status.success(), "{name} {arguments:?}\n{said}");
}

#[test]
fn todays_promtool_and_vmalert_accept_the_rules() {
    needs!("target/newer/complete");
    let rules = root().join(rules::RULES).display().to_string();
    succeeds("newer/promtool", &["check", "rules", &rules]);
    let rule = format!("-rule={rules}");
    succeeds("newer/vmalert", &["-dryRun", &rule]);
}

/// Among them what remembers: from Prometheus 3 on, a window no longer holds its first moment.
#[test]
fn alerts_fire_and_resolve_in_todays_promtool_too() {
    needs!("target/newer/complete");
    for name in ["absence", "absence-slow", "exporter"] {
        let file = root().join(format!("alerts/tests/{name}.yml"));
        succeeds(
            "newer/promtool",
            &["test", "rules", &file.display().to_string()],
        );
    }
}

/// Prometheus 3 with these scrape jobs.
fn todays_prometheus(jobs: &str, flags: &[&str]) -> Prometheus {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config =
        format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}");
    fs::write(folder.path().join("prometheus.yml"), config).expect("the folder can be written");
    let port = free_port();
    let mut command = Command::new(program("newer/prometheus"));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(flags);
    Prometheus {
        process: Process::start(folder, &mut command),
        url: format!("http://127.0.0.1:{port}"),
    }
}

/// Prometheus 3 can ask for each of these alone. What the exporter cannot write, it answers in
/// a form that it can.
#[tokio::test(flavor = "multi_thread")]
async fn every_scrape_protocol_of_today_brings_the_same() {
    needs!("target/newer/complete");
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let protocols = [
        "PrometheusProto",
        "OpenMetricsText1.0.0",
        "OpenMetricsText0.0.1",
        "PrometheusText1.0.0",
        "PrometheusText0.0.4",
    ];
    let target = exporter.url.trim_start_matches("http://");
    let jobs = protocols.map(|name| {
        format!(
            "  - {{job_name: {name}, scrape_protocols: [{name}], static_configs: [{{targets: ['{target}']}}]}}\n"
        )
    });
    let jobs = jobs.concat();
    let prometheus = todays_prometheus(&jobs, &[]);
    eventually("every protocol brought all series", async || {
        let query = "count by (job) ({__name__=~\"defender_scan_.+\"}) and on (job) up == 1";
        let found: BTreeMap<_, _> = prometheus.query(query, "job").await.into_iter().collect();
        let first = *found.values().next()?;
        let equal = found.values().all(|count| (count - first).abs() < 0.5);
        (equal && first > 10.0 && found.len() == protocols.len()).then_some(())
    })
    .await;
}

/// What was counted before the first scrape is an increase where the server takes the time at
/// which counting began, and nothing where it does not. A restart moves no such time.
#[tokio::test(flavor = "multi_thread")]
async fn todays_prometheus_counts_from_zero() {
    const SESSIONS: &str = "defender_scan_sessions_total{status=\"success\"}";
    needs!("target/newer/complete");
    let mut options = options();
    options.last_scanned = true;
    let simulator = Simulator::start(options).await;
    let simulator = simulator.expect("the simulator starts");
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    settings::write(&simulator, folder.path(), &[settings::entry(0)], "40s");
    let file = folder.path().join("exporter.yml");
    let text = fs::read_to_string(&file).expect("it was written")
        + "metrics: {created_timestamps: true}\n";
    settings::write_text(folder.path(), &text);
    let exporter = Exporter::start_with_flags(folder, &[]).await;
    exporter.has_history().await;
    let id = simulator.world().definitions(0)[0].id.clone();
    simulator.world().run_now(0, &id, Outcome::Success);
    let labels = [id.as_str(), "status=\"success\""];
    exporter
        .shows("defender_scan_sessions_total", &labels, |count| count > 0.5)
        .await;
    let exporter = exporter.kill_and_restart().await;
    exporter.ready().await;

    let target = exporter.url.trim_start_matches("http://");
    let job = format!("  - {{job_name: one, static_configs: [{{targets: ['{target}']}}]}}\n");
    let from_zero = todays_prometheus(&job, &["--enable-feature=created-timestamp-zero-ingestion"]);
    let plain = todays_prometheus(&job, &[]);
    let increase =
        format!("sum(increase({SESSIONS}[5m])) and sum(count_over_time({SESSIONS}[5m])) > 20");
    let lines = "count({__name__=~\".+_created\"}) or vector(0)";
    for (server, counts) in [(&from_zero, true), (&plain, false)] {
        eventually("Prometheus has scraped it some times", async || {
            let (_, increase) = server.query(&increase, "").await.pop()?;
            assert_eq!(increase > 0.5, counts, "{increase}");
            Some(())
        })
        .await;
        let (_, lines) = server.query(lines, "").await.pop().expect("it answers");
        assert_eq!(lines > 0.5, !counts, "{lines} series of their own");
    }
}
