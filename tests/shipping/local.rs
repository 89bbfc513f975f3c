//! The set-up without containers: `deploy/local/run.sh`.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;
use crate::common::tools::needs;
use crate::common::{Process, eventually, free_port, get};

/// The ports of exporter, Prometheus and Alertmanager.
fn start(ports: [u16; 3]) -> Process {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).expect("it can be made");
    // A shell cannot heed an interrupt that was ignored when it began, as it is for all that
    // was started in the background.
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT")
        .arg(root().join("deploy/local/run.sh"))
        .env("TMPDIR", temporary)
        .env("EXPORTER", env!("CARGO_BIN_EXE_defender-scan-exporter"));
    let names = ["EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"];
    for (name, port) in names.iter().zip(ports) {
        command.env(name, port.to_string());
    }
    Process::start(folder, &mut command)
}

/// The processes that `parent` started.
fn children(parent: u32) -> Vec<String> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let list = list.expect("it runs");
    list.split_whitespace().map(str::to_owned).collect()
}

async fn json(url: &str) -> Option<Value> {
    serde_json::from_str(&get(url).await?.1).ok()
}

fn nothing_is_left(process: &Process, processes: &[String]) {
    for id in processes {
        assert!(
            !fs::exists(format!("/proc/{id}")).expect("it can be told"),
            "{id} still runs"
        );
    }
    let left = fs::read_dir(process.folder.path().join("temporary")).expect("it can be read");
    assert_eq!(left.count(), 0, "files were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_all_and_ends_all() {
    needs!("prometheus", "prometheus-alertmanager", "curl");
    for signal in ["INT", "TERM"] {
        let ports = [free_port(), free_port(), free_port()];
        let mut process = start(ports);
        eventually("all are ready", async || {
            process.output().contains("Stop all of them").then_some(())
        })
        .await;
        let prometheus = format!("http://127.0.0.1:{}/api/v1", ports[1]);
        eventually("the target is up", async || {
            let answer = json(&format!("{prometheus}/targets")).await?;
            let target = &answer["data"]["activeTargets"][0];
            let up =
                target["health"] == "up" && target["labels"]["job"] == "defender-scan-exporter";
            up.then_some(())
        })
        .await;
        eventually("the rules are evaluated, without errors", async || {
            let answer = json(&format!("{prometheus}/rules")).await?;
            let groups = answer["data"]["groups"].as_array()?.clone();
            let rules: Vec<_> = groups
                .iter()
                .filter_map(|group| group["rules"].as_array())
                .flatten()
                .collect();
            // Some groups are evaluated rarely, and not known to be well for a while.
            let well = rules.iter().filter(|rule| rule["health"] == "ok").count();
            assert!(rules.iter().all(|rule| rule["health"] != "err"), "{answer}");
            (well > 20).then_some(())
        })
        .await;
        eventually("Alertmanager is known", async || {
            let answer = json(&format!("{prometheus}/alertmanagers")).await?;
            let url = answer["data"]["activeAlertmanagers"][0]["url"]
                .as_str()?
                .to_owned();
            url.contains(&ports[2].to_string()).then_some(())
        })
        .await;
        let processes = children(process.id());
        assert!(processes.len() >= 3, "{processes:?}");
        process.signal(signal);
        assert_eq!(process.exit().await.code(), Some(0), "{}", process.output());
        nothing_is_left(&process, &processes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_can_not_start_none_stays() {
    needs!("prometheus", "prometheus-alertmanager", "curl");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = holder.local_addr().expect("it has an address").port();
    let mut process = start([free_port(), taken, free_port()]);
    assert_eq!(process.exit().await.code(), Some(1), "{}", process.output());
    let said = process.output();
    assert!(said.contains(&format!("expected port {taken} to be free for prometheus, but found it in use; set PROMETHEUS_PORT to another")), "{said}");
    nothing_is_left(&process, &[]);
}
