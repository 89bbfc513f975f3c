//! Servers of today: the rules, and every form in which they can ask for a scrape.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use defender_simulator::Simulator;

use super::{program, root, rules};
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
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config =
        format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}");
    fs::write(folder.path().join("prometheus.yml"), config).expect("the folder can be written");
    let port = free_port();
    let mut command = Command::new(program("newer/prometheus"));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let prometheus = Prometheus {
        process: Process::start(folder, &mut command),
        url: format!("http://127.0.0.1:{port}"),
    };
    eventually("every protocol brought all series", async || {
        let query = "count by (job) ({__name__=~\"defender_scan_.+\"}) and on (job) up == 1";
        let found: BTreeMap<_, _> = prometheus.query(query, "job").await.into_iter().collect();
        let first = *found.values().next()?;
        let equal = found.values().all(|count| (count - first).abs() < 0.5);
        (equal && first > 10.0 && found.len() == protocols.len()).then_some(())
    })
    .await;
}
