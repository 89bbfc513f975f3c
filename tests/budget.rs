//! The budget where it is not known what was spent: the server counts.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::common::process::in_namespaces;
use crate::common::settings::{self, Entry, entry};
use crate::common::{Exporter, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{CallRecord, Endpoint, Fault, Simulator};
use tempfile::TempDir;

/// What the API allows in a minute, as it is documented.
const MINUTE: usize = 100;

/// So many definitions, at one id a call, are more than a minute's calls.
const DEFINITIONS: usize = 300;

async fn simulator(tenants: usize) -> Simulator {
    let mut options = options();
    (options.per_minute, options.per_hour) = (MINUTE, 1_500);
    (options.tenants, options.definitions, options.max_batch) = (tenants, DEFINITIONS, 1);
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

/// A folder whose configuration keeps to the documented limits, and leaves a fifth of them.
fn folder(simulator: &Simulator, entries: &[Entry]) -> Arc<TempDir> {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    rewrite(simulator, &folder, entries);
    folder
}

fn rewrite(simulator: &Simulator, folder: &TempDir, entries: &[Entry]) {
    settings::write(simulator, folder.path(), entries, "5s");
    let file = folder.path().join("exporter.yml");
    let text = fs::read_to_string(&file).expect("it is there");
    let text = text.replace(&settings::budget(1_000, 50_000), "{use: 80%}");
    settings::write_text(folder.path(), &text);
}

fn of_api(simulator: &Simulator) -> Vec<CallRecord> {
    let mut calls = simulator.calls();
    calls.retain(|call| call.endpoint != Endpoint::Token);
    calls
}

/// The state is lost at each start, as on a volume that is empty each time.
#[tokio::test(flavor = "multi_thread")]
async fn starts_without_a_state_keep_to_the_limit_together() {
    let simulator = simulator(1).await;
    let folder = folder(&simulator, &[entry(0)]);
    for start in 1..=4 {
        fs::remove_dir_all(folder.path().join("state")).ok();
        let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
        exporter
            .says("the calls of the last hour are not known")
            .await;
        let labels = ["tenant=\"tenant-0\""];
        exporter
            .shows("defender_api_quota_reserve", &labels, |reserve| {
                reserve > 0.5
            })
            .await;
        eventually("the reserve is spent", async || {
            (of_api(&simulator).len() >= 20 * start).then_some(())
        })
        .await;
        drop(exporter);
    }
    let calls = of_api(&simulator).len();
    eprintln!("4 starts without a state: {calls} calls");
    assert_eq!(simulator.violations(), 0);
    assert!(calls <= MINUTE, "{calls}");
}

/// Where each endpoint has its own limits, all are used; after a change of `quota.scope`, all
/// calls so far count together, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_may_have_a_budget_of_its_own() {
    const LIMIT: usize = 20;
    let mut options = options();
    (options.per_minute, options.quota_by_endpoint) = (LIMIT, true);
    (options.definitions, options.max_batch, options.page_size) = (DEFINITIONS, 1, 100);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let write = |scope| {
        settings::write(&simulator, folder.path(), &[entry(0)], "5s");
        let file = folder.path().join("exporter.yml");
        let text = fs::read_to_string(&file).expect("it is there");
        let budget = format!("{{per_minute: {}, use: 50%, scope: {scope}}}", 2 * LIMIT);
        let text = text.replace(&settings::budget(1_000, 50_000), &budget);
        settings::write_text(folder.path(), &text);
    };
    write("endpoint");
    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
    let used = "defender_api_quota_used";
    let full = |used: f64| used >= 20.0;
    let of_history = ["\"history\"", "\"minute\""];
    exporter.shows(used, &of_history, full).await;
    let of_list = ["\"definitions\"", "\"minute\""];
    exporter.shows(used, &of_list, |used| used >= 6.0).await;
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("20 of 20"), "that of the fullest: {page}");
    assert_eq!(simulator.violations(), 0);

    write("application");
    exporter.process.signal("HUP");
    exporter.says("changed=1").await;
    let calls = of_api(&simulator).len();
    let together = ["\"minute\""];
    exporter.shows(used, &together, |used| used > 20.0).await;
    // Polls are due every second, and none may take place.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(of_api(&simulator).len(), calls, "all count together");
    let exporter = exporter.kill_and_restart().await;
    exporter.shows(used, &together, |used| used > 20.0).await;
    // The same.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(of_api(&simulator).len(), calls, "after a restart too");
    assert_eq!(simulator.violations(), 0);
}

/// The service counts by directory and application, whatever the tenant is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_tenant_keeps_its_budget() {
    let simulator = simulator(1).await;
    let folder = folder(&simulator, &[entry(0)]);
    let exporter =
        Exporter::start_with_flags(Arc::clone(&folder), &["--web.enable-lifecycle"]).await;
    let used = async |exporter: &Exporter, name: &str| {
        let metrics = exporter.metrics().await;
        let label = format!("tenant=\"{name}\"");
        metrics.value("defender_api_quota_used", &[&label, "\"hour\""])
    };
    eventually("calls are made", async || {
        (used(&exporter, "tenant-0").await? >= 15.0).then_some(())
    })
    .await;
    let mut renamed = entry(0);
    renamed.name = "renamed".to_owned();
    rewrite(&simulator, &folder, &[renamed]);
    exporter.process.signal("HUP");
    eventually("it is renamed, and its calls count", async || {
        (used(&exporter, "renamed").await? >= 15.0).then_some(())
    })
    .await;
    let exporter = exporter.kill_and_restart().await;
    let after = used(&exporter, "renamed").await.expect("it is published");
    assert!(after >= 15.0, "{after}");
    assert_eq!(simulator.violations(), 0);
}

/// Two tenants of one directory and application spend one budget.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_one_application_spend_one_budget() {
    let simulator = simulator(1).await;
    let mut twin = entry(0);
    twin.name = "twin".to_owned();
    let folder = folder(&simulator, &[entry(0), twin]);
    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
    eventually("both are polled", async || {
        let metrics = exporter.metrics().await;
        let up = |name| metrics.value("defender_up", &[name]);
        (up("tenant=\"tenant-0\"")? + up("tenant=\"twin\"")? > 1.5).then_some(())
    })
    .await;
    eventually("the reserve is spent", async || {
        (of_api(&simulator).len() >= 20).then_some(())
    })
    .await;
    // Polls are due every second, and no other may take place.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(of_api(&simulator).len(), 20, "not 20 each");
}

/// A tenant that is another directory under the same name has nothing of the former.
#[tokio::test(flavor = "multi_thread")]
async fn another_directory_under_the_same_name_starts_anew() {
    let mut options = options();
    options.tenants = 2;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    settings::write(&simulator, folder.path(), &[entry(0)], "5s");
    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
    let ids = async |exporter: &Exporter| -> Vec<String> {
        let metrics = exporter.metrics().await;
        let lines = metrics.0.lines();
        let lines = lines.filter(|line| line.starts_with("defender_scan_active{"));
        lines.map(str::to_owned).collect()
    };
    let before = eventually("it is polled", async || {
        let ids = ids(&exporter).await;
        (!ids.is_empty()).then_some(ids)
    })
    .await;
    let mut other = entry(1);
    other.name = "tenant-0".to_owned();
    settings::write(&simulator, folder.path(), &[other], "5s");
    // What the former has must not stay until the other's list is in.
    simulator.set_tenant_fault(1, Endpoint::Definitions, Some(Fault::Hang));
    exporter.process.signal("HUP");
    eventually("the former's are gone", async || {
        ids(&exporter).await.is_empty().then_some(())
    })
    .await;
    simulator.set_tenant_fault(1, Endpoint::Definitions, None);
    let is_other = |ids: &[String]| !ids.is_empty() && ids.iter().all(|id| !before.contains(id));
    eventually("only the other's are published", async || {
        is_other(&ids(&exporter).await).then_some(())
    })
    .await;
    let exporter = exporter.kill_and_restart().await;
    assert!(is_other(&ids(&exporter).await), "after a restart, too");
}

/// In a time namespace the time since boot is another one, though the boot has the same id.
#[test]
fn a_time_namespace_is_another_boot() {
    let kinds = ["--user", "--time", "--boottime=5000"];
    if !in_namespaces(&kinds, "true", "budget::a_time_namespace_is_another_boot") {
        return;
    }
    let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has it");
    let ours = Clock::system().boot_id().expect("Linux has it");
    assert_eq!(ours, format!("{} 5000.0", kernel.trim()));
}
