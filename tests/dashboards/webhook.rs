//! An alert all the way: a scan goes stale in the simulator, and the real
//! exporter, Prometheus and Alertmanager carry it to a webhook.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{Draft, Outcome, Simulator};
use regex::Regex;
use serde_json::Value;

use super::lint::list;
use super::{read, rules};
use crate::common::tools::needs;
use crate::common::{Exporter, Process, eventually, free_port, options};

const NAME: &str = "Zürich \"core\" switches";

pub type Inbox = Arc<Mutex<Vec<Value>>>;

/// A webhook that keeps what it gets; its address.
pub async fn webhook(inbox: &Inbox) -> String {
    let inbox = Arc::clone(inbox);
    let keep = async move |Json(message): Json<Value>| {
        inbox.lock().expect("nobody panicked").push(message);
    };
    let router = Router::new().route("/{receiver}", post(keep));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address.to_string()
}

/// The example, but in a hurry, and with the webhook as every receiver.
fn alertmanager(webhook: &str, program: &str) -> (Process, u16) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut config = read("alerts/alertmanager.example.yml");
    for (from, to) in [
        ("127.0.0.1:9099", webhook),
        ("group_wait: 1m", "group_wait: 1s"),
        ("group_interval: 10m", "group_interval: 1s"),
    ] {
        assert!(config.contains(from), "{from}");
        config = config.replace(from, to);
    }
    fs::write(folder.path().join("alertmanager.yml"), config).expect("the folder can be written");
    let port = free_port();
    let mut command = Command::new(super::program(program));
    command.args([
        "--config.file=alertmanager.yml",
        "--storage.path=data",
        "--cluster.listen-address=",
    ]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    (Process::start(folder, &mut command), port)
}

/// Our rules, which do not wait either.
fn rules_in_a_hurry() -> String {
    let patience = Regex::new(r"(?m)^( +for:) \w+$").expect("it is a pattern");
    patience
        .replace_all(&read(rules::RULES), "$1 1s")
        .into_owned()
}

/// A Prometheus with these rules.
fn prometheus(exporter: &Exporter, alertmanager: u16, program: &str) -> Vec<Process> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("rules.yml"), rules_in_a_hurry())
        .expect("the folder can be written");
    let target = exporter.url.trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n\
         scrape_configs: [{{job_name: defender, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    fs::write(folder.path().join("prometheus.yml"), config).expect("the folder can be written");
    let mut command = Command::new(super::program(program));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{}", free_port()));
    vec![Process::start(folder, &mut command)]
}

/// `VictoriaMetrics`, and vmalert with the same rules.
fn victoria_metrics(exporter: &Exporter, alertmanager: u16) -> Vec<Process> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let target = exporter.url.trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 3s, scrape_timeout: 3s}}\n\
         scrape_configs: [{{job_name: defender, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    fs::write(folder.path().join("scrape.yml"), config).expect("the folder can be written");
    let port = free_port();
    let mut command = Command::new(super::program("newer/victoria-metrics"));
    command.args([
        "-promscrape.config=scrape.yml",
        "-storageDataPath=data",
        "-search.latencyOffset=0s",
    ]);
    command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    let storage = Process::start(folder, &mut command);
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("rules.yml"), rules_in_a_hurry())
        .expect("the folder can be written");
    let mut command = Command::new(super::program("newer/vmalert"));
    command.args([
        "-rule=rules.yml",
        "-evaluationInterval=1s",
        "-rule.evalDelay=0s",
    ]);
    command.args(["-remoteWrite.flushInterval=100ms"]);
    for option in ["datasource", "remoteWrite", "remoteRead"] {
        command.arg(format!("-{option}.url=http://127.0.0.1:{port}"));
    }
    command.arg(format!("-notifier.url=http://127.0.0.1:{alertmanager}"));
    command.arg(format!("-httpListenAddr=127.0.0.1:{}", free_port()));
    vec![storage, Process::start(folder, &mut command)]
}

/// Descriptions of the alerts of that name and status that came in.
fn received(inbox: &Inbox, status: &str, alert: &str) -> Vec<String> {
    let inbox = inbox.lock().expect("nobody panicked");
    let alerts = inbox.iter().flat_map(|message| list(&message["alerts"]));
    alerts
        .filter(|found| found["status"] == status && found["labels"]["alertname"] == alert)
        .map(|found| {
            found["annotations"]["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_scan_is_told_by_name_and_its_next_run_ends_it() {
    needs!("prometheus", "prometheus-alertmanager");
    told("prometheus-alertmanager", |exporter, alertmanager| {
        prometheus(exporter, alertmanager, "prometheus")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_servers_of_today() {
    needs!("target/newer/complete");
    told("newer/prometheus-alertmanager", |exporter, alertmanager| {
        prometheus(exporter, alertmanager, "newer/prometheus")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_victoria_metrics() {
    needs!("target/newer/complete");
    told("newer/prometheus-alertmanager", victoria_metrics).await;
}

/// A scan becomes stale and runs again: what `servers` and this Alertmanager make of it.
async fn told(receiver: &str, servers: impl Fn(&Exporter, u16) -> Vec<Process>) {
    // A daily scan that last ran so long ago that it becomes stale in a few seconds.
    let almost = Duration::from_hours(48) - Duration::from_secs(15);
    let mut options = options();
    options.clock = Clock::anchored(Clock::system().wall() - almost);
    options.definitions = 0;
    // The first agent never falls silent.
    options.agents = 1;
    options.last_scanned = true;
    let clock = options.clock.clone();
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let (scan, other) = {
        let mut world = simulator.world();
        let mut add = |name| {
            world
                .add_definition(0, Draft::manual(name))
                .expect("there is a tenant")
        };
        (add(NAME), add("on time"))
    };
    simulator.world().run_now(0, &scan, Outcome::Success);
    clock.jump(i64::try_from(almost.as_millis()).expect("it is not long"));
    simulator.world().run_now(0, &other, Outcome::Success);

    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let age = exporter
        .metrics()
        .await
        .value("defender_scan_last_age_seconds", &[&scan]);
    let inbox = Inbox::default();
    let (_alertmanager, port) = alertmanager(&webhook(&inbox).await, receiver);
    let _servers = servers(&exporter, port);
    assert!(age.is_some_and(|age| age > 47.0 * 3600.0), "{age:?}");

    let firing = eventually("the alert fires", async || {
        received(&inbox, "firing", "DefenderScanStale").pop()
    })
    .await;
    assert!(
        firing.starts_with(&format!("\"{NAME}\" of tenant tenant-0 last ran 2d 0h 0m")),
        "{firing}"
    );
    assert_eq!(
        received(&inbox, "resolved", "DefenderScanStale"),
        Vec::<String>::new()
    );

    simulator.world().run_now(0, &scan, Outcome::Success);
    let resolved = eventually("the alert resolves", async || {
        received(&inbox, "resolved", "DefenderScanStale").pop()
    })
    .await;
    assert!(resolved.contains(NAME), "{resolved}");
    for message in inbox.lock().expect("nobody panicked").iter() {
        let expected = ["DefenderScanStale"];
        let found = message["commonLabels"]["alertname"]
            .as_str()
            .unwrap_or_default();
        assert!(expected.contains(&found), "{message}");
    }
}
