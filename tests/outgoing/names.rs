//! Name servers that do not answer, in a network of their own.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use defender_scan_exporter::clock::Clock;
use defender_simulator::Simulator;

use super::configure;
use crate::common::names::{NETWORK, NameServer};
use crate::common::process::in_namespaces;
use crate::common::tools::needs;
use crate::common::{Exporter, eventually, messages, options};

/// As many as leave no thread of the runtime's 512.
const SILENT: usize = 600;

/// How many threads look names up.
fn look_ups(process: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "look-up").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_name_servers_hold_up_nothing_else() {
    needs!("ip", "mount");
    let test = "outgoing::names::silent_name_servers_hold_up_nothing_else";
    if !in_namespaces(&["--net", "--mount"], NETWORK, test) {
        return;
    }
    NameServer::start().await;
    let mut options = options();
    (options.definitions, options.agents, options.tenants) = (3, 1, SILENT + 2);
    let simulator = Simulator::start(options).await.expect("it starts");
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let (url, port) = (simulator.https_url(), simulator.https_url());
    let port = port.rsplit(':').next().expect("it has a port").to_owned();
    let poll = "definitions: 10s, agents: 1h";
    let http = "ca_file: ca.pem, timeout: 10s";
    configure(&simulator, folder.path(), [&url, &url], http, poll);
    // Each but the first has a host of its own.
    let file = folder.path().join("exporter.yml");
    let before = fs::read_to_string(&file).expect("it is there");
    let mut tenants = before.split("  - name: ");
    let mut after = tenants.next().expect("its head").to_owned();
    for (number, tenant) in tenants.enumerate() {
        let host = match number {
            0 => "localhost".to_owned(),
            1 => "unknown.test".to_owned(),
            _ => format!("silent-{number}.test"),
        };
        let other = format!("https://{host}:{port}");
        after += "  - name: ";
        after += &tenant.replace(&url, &other);
    }
    fs::write(&file, after).expect("it can be written");
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;

    let good = ["tenant=\"tenant-0\""];
    exporter.shows("defender_up", &good, |up| up > 0.0).await;
    exporter.says(messages::NAME_NOT_KNOWN).await;
    exporter.says(messages::NO_NAME_SERVER).await;
    let unanswered = ["reason=\"connect\"", "tenant=\"tenant-601\""];
    let name = "defender_auth_errors_total";
    exporter.shows(name, &unanswered, |count| count > 0.0).await;
    // All of them wait for a name by now. The good one goes on, and so do answers.
    let clock = Clock::system();
    let polls = || {
        let calls = simulator.calls();
        calls.iter().filter(|call| call.status == 200).count()
    };
    let enough = polls();
    let start = clock.uptime();
    exporter.get("/-/healthy").await;
    let health = clock.uptime().since(start);
    let threads = look_ups(exporter.process.id());
    println!("with {SILENT} silent hosts: health after {health:?}, {threads} look-ups");
    assert!(health < Duration::from_secs(5), "{health:?}");
    assert!((1..=16).contains(&threads), "{threads} look-ups");
    eventually("the good one goes on", async || {
        (polls() > enough).then_some(())
    })
    .await;
}
