//! `docs/routing.md`, end to end: labels of the configuration reach queries, and take alerts of
//! the shipped rules to the receiver that Alertmanager has for them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use regex::Regex;

use crate::common::tenants::simulator;
use crate::common::tools::needs;
use crate::common::{Exporter, Process, eventually, free_port, get, settings};
use crate::dashboards::webhook::{Inbox, webhook};
use crate::docs_commands::{block, root, shell};

const PAGE: &str = "docs/routing.md";

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("the folder can be written");
}

/// The shipped rules with the labels, in a hurry.
fn rules(folder: &Path) {
    let name = "defender-scan.rules.yml";
    let shipped = root().join("alerts").join(name);
    fs::copy(shipped, folder.join(name)).expect("it can be copied");
    shell(folder, &block(PAGE, "sh", "sed"));
    let rules = fs::read_to_string(folder.join(name)).expect("it is there");
    let patience = Regex::new(r"(?m)^( +for:) \w+$").expect("it is a pattern");
    write(folder, name, &patience.replace_all(&rules, "$1 1s"));
    let checked = Command::new("promtool")
        .args(["check", "rules", name])
        .current_dir(folder)
        .output()
        .expect("promtool runs");
    assert!(checked.status.success(), "{checked:?}");
}

fn alertmanager(webhook: &str) -> (Process, u16) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config = block(PAGE, "yaml", "receivers:");
    assert!(config.contains("127.0.0.1:9099"));
    let quick = "  group_wait: 1s\n  group_interval: 1s\n";
    let config = config
        .replace("127.0.0.1:9099", webhook)
        .replace("  routes:\n", &format!("{quick}  routes:\n"));
    write(folder.path(), "alertmanager.yml", &config);
    let port = free_port();
    let mut command = Command::new("prometheus-alertmanager");
    command.args([
        "--config.file=alertmanager.yml",
        "--storage.path=data",
        "--cluster.listen-address=",
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    (Process::start(folder, &mut command), port)
}

fn prometheus(exporter: &Exporter, alertmanager: u16) -> (Process, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    rules(folder.path());
    let target = exporter.url.trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: [defender-scan.rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n\
         scrape_configs: [{{job_name: defender, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    write(folder.path(), "prometheus.yml", &config);
    let url = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address={url}"));
    (
        Process::start(folder, &mut command),
        format!("http://{url}"),
    )
}

/// The results of a query of the page, once there are any.
async fn ask(prometheus: &str, query: &str) -> serde_json::Value {
    eventually(query, async || {
        let mut url = url::Url::parse(&format!("{prometheus}/api/v1/query")).expect("it is one");
        url.query_pairs_mut().append_pair("query", query);
        let (_, text) = get(url.as_str()).await?;
        let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
        let found = answer["data"]["result"].clone();
        found.get(0).is_some().then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_finds_its_customer() {
    needs!("prometheus", "promtool", "prometheus-alertmanager");
    let simulator = simulator().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let good = settings::entry(0);
    let mut contoso = settings::entry(0);
    contoso.name = "contoso".to_owned();
    contoso.secret = Some("not the secret".to_owned());
    let mut staging = contoso.clone();
    staging.name = "staging".to_owned();
    settings::write(&simulator, folder.path(), &[good, contoso, staging], "5s");
    let file = folder.path().join("exporter.yml");
    let text = fs::read_to_string(&file).expect("it is there");
    let labelled = |name, labels| {
        (
            format!("name: {name}\n"),
            format!("name: {name}\n    labels: {labels}\n"),
        )
    };
    let text = [
        labelled("tenant-0", "{customer: northwind}"),
        labelled("contoso", "{customer: contoso, environment: production}"),
        labelled("staging", "{customer: contoso, environment: test}"),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to));
    write(folder.path(), "exporter.yml", &text);

    let exporter = Exporter::start_with_flags(folder, &[]).await;
    let labels = [
        "tenant=\"contoso\"",
        "customer=\"contoso\"",
        "cloud=\"public\"",
    ];
    exporter
        .shows("defender_tenant_info", &labels, |value| value > 0.0)
        .await;
    exporter.says("first poll succeeded").await;
    exporter.says("sign-in failed").await;
    let inbox = Inbox::default();
    let (_alertmanager, port) = alertmanager(&webhook(&inbox).await);
    let (_prometheus, url) = prometheus(&exporter, port);

    let page = fs::read_to_string(root().join(PAGE)).expect("it is there");
    let queries = page.split("```promql\n").skip(1);
    for query in queries.map(|rest| rest.split("\n```").next().unwrap_or_default()) {
        let found = ask(&url, query).await;
        assert_eq!(
            found[0]["metric"]["customer"], "northwind",
            "{query}: {found}"
        );
    }
    let (receiver, alert) = eventually("the alert is routed", async || {
        let inbox = inbox.lock().expect("nobody panicked");
        inbox.iter().find_map(|message| {
            let labels = &message["commonLabels"];
            (labels["tenant"] == "contoso").then(|| (message["receiver"].clone(), labels.clone()))
        })
    })
    .await;
    assert_eq!(receiver, "contoso", "{alert}");
    assert_eq!(alert["customer"], "contoso", "{alert}");
    assert_eq!(alert["environment"], "production", "{alert}");
    for message in inbox.lock().expect("nobody panicked").iter() {
        assert_ne!(message["commonLabels"]["tenant"], "staging", "{message}");
    }
}
