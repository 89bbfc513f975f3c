//! Reloading: what did not change goes on undisturbed, nothing is forgotten, nothing leaks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::settings::{self, Entry, entry};
use crate::common::tenants::run_by_hand;
use crate::common::{self, Exporter, binary, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{CallRecord, Draft, Endpoint, Fault, Outcome, Simulator};
use tempfile::TempDir;

const LIFECYCLE: &str = "--web.enable-lifecycle";
const IN_MEMORY: &str = "--storage.path=";
/// The longest that is allowed: what hangs stays under way until the end of the test.
const TIMEOUT: &str = "2m";

async fn simulator(tenants: usize) -> Simulator {
    let mut options = options();
    options.tenants = tenants;
    options.last_scanned = true;
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

async fn start(simulator: &Simulator, entries: &[Entry], flags: &[&str]) -> Exporter {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    settings::write(simulator, folder.path(), entries, TIMEOUT);
    Exporter::start_with_flags(folder, flags).await
}

fn folder(exporter: &Exporter) -> &Path {
    exporter.process.folder.path()
}

/// Writes the configuration of `entries`, and waits until it is in force.
async fn reload(exporter: &Exporter, simulator: &Simulator, entries: &[Entry]) {
    settings::write(simulator, folder(exporter), entries, TIMEOUT);
    let (status, text) = exporter.reload().await;
    assert_eq!(status, 200, "{text}\n{}", exporter.process.output());
}

fn calls(simulator: &Simulator, tenant: usize, endpoint: Endpoint) -> Vec<CallRecord> {
    let mut calls = simulator.calls();
    calls.retain(|call| call.tenant == Some(tenant) && call.endpoint == endpoint);
    calls
}

async fn called(simulator: &Simulator, tenant: usize, endpoint: Endpoint) {
    eventually("there is a call", async || {
        (!calls(simulator, tenant, endpoint).is_empty()).then_some(())
    })
    .await;
}

fn label(entry: &Entry) -> String {
    format!("tenant=\"{}\"", entry.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_goes_on_undisturbed() {
    let simulator = simulator(4).await;
    let rarely = "{definitions: 1h, agents: 1h}";
    let [mut idle, mut busy, mut changed, added] = [0, 1, 2, 3].map(entry);
    idle.poll = rarely.to_owned();
    busy.poll = rarely.to_owned();
    simulator.set_tenant_fault(1, Endpoint::Definitions, Some(Fault::Hang));
    let base = [idle.clone(), busy.clone(), changed.clone()];
    let exporter = start(&simulator, &base, &[LIFECYCLE]).await;
    for tenant in [0, 1] {
        called(&simulator, tenant, Endpoint::Definitions).await;
        called(&simulator, tenant, Endpoint::Agents).await;
    }
    let up = [label(&idle)];
    let up: Vec<&str> = up.iter().map(String::as_str).collect();
    exporter.shows("defender_up", &up, |up| up > 0.5).await;
    for round in 0..10 {
        changed.poll = format!("{{definitions: 1s, agents: {}s}}", 20 + round);
        let mut entries = vec![changed.clone(), busy.clone(), idle.clone()];
        entries.extend((round % 2 == 0).then(|| added.clone()));
        let listed = calls(&simulator, 2, Endpoint::Definitions).len();
        reload(&exporter, &simulator, &entries).await;
        eventually("the changed tenant is polled anew", async || {
            (calls(&simulator, 2, Endpoint::Definitions).len() > listed).then_some(())
        })
        .await;
    }
    for tenant in [0, 1] {
        for endpoint in [Endpoint::Token, Endpoint::Definitions, Endpoint::Agents] {
            let calls = calls(&simulator, tenant, endpoint);
            assert_eq!(calls.len(), 1, "{calls:?}");
        }
    }
    let under_way = &calls(&simulator, 1, Endpoint::Definitions)[0];
    assert_eq!(under_way.status, 0, "it is still under way");
    assert_eq!(simulator.violations(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_every_mistake_is_told() {
    let simulator = simulator(1).await;
    let exporter = start(&simulator, &[entry(0)], &[LIFECYCLE]).await;
    exporter.ready().await;
    let ok = "defender_exporter_config_last_reload_successful";
    let time = "defender_exporter_config_last_reload_success_timestamp_seconds";
    let started = exporter.metrics().await.value(time, &[]);
    let bad = "tenants:\n  - nome: x\nhttp: {timeout: soon}\n";
    settings::write_text(folder(&exporter), bad);
    let (status, text) = exporter.reload().await;
    assert_eq!(status, 500);
    for mistake in [
        "exporter.yml:2: tenants[0].nome",
        "exporter.yml:3: http.timeout",
    ] {
        assert!(text.contains(mistake), "{text}");
        exporter.says(mistake).await;
    }
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value(ok, &[]), Some(0.0));
    assert_eq!(metrics.value(time, &[]), started);
    settings::write(&simulator, folder(&exporter), &[entry(0)], TIMEOUT);
    let ca = folder(&exporter).join("ca.pem");
    std::fs::write(&ca, "no certificate").expect("it can be written");
    let (status, text) = exporter.reload().await;
    assert!(status == 500 && text.contains("http.ca_file"), "{text}");
    let listed = calls(&simulator, 0, Endpoint::Definitions).len();
    eventually("it polls on", async || {
        (calls(&simulator, 0, Endpoint::Definitions).len() > listed).then_some(())
    })
    .await;
    assert_eq!(calls(&simulator, 0, Endpoint::Token).len(), 1);

    settings::write(&simulator, folder(&exporter), &[entry(0)], TIMEOUT);
    exporter.process.signal("HUP");
    exporter.shows(ok, &[], |ok| ok > 0.5).await;
    let reloaded = exporter.metrics().await.value(time, &[]);
    assert!(reloaded > started, "{reloaded:?} {started:?}");
    let both = tokio::join!(exporter.reload(), exporter.reload());
    assert_eq!((both.0.0, both.1.0), (200, 200));
    assert_eq!(exporter.get("/-/reload").await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_metrics_vanish_and_come_back() {
    let simulator = simulator(1).await;
    let exporter = start(&simulator, &[entry(0)], &[LIFECYCLE]).await;
    exporter.ready().await;
    let tokens = || calls(&simulator, 0, Endpoint::Token).len();
    let signed_in = tokens();
    let excluded = [
        "defender_scan_sessions_total",
        "defender_api_request_duration_seconds",
        "defender_scan_last_age_seconds",
        "process_threads",
    ];
    let read = async || {
        let plain = exporter.metrics().await.0;
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("it builds");
        let request = client.get(format!("{}/metrics", exporter.url));
        let request = request.header("accept", "application/openmetrics-text");
        let answer = request.send().await.expect("it answers");
        let open_metrics = answer.text().await.expect("it is text");
        [plain, open_metrics]
    };
    let has = |text: &String, name: &str| text.contains(name.trim_end_matches("_total"));
    settings::write(&simulator, folder(&exporter), &[entry(0)], TIMEOUT);
    let file = folder(&exporter).join("exporter.yml");
    let all = std::fs::read_to_string(file).expect("it was written");
    let fewer = format!("{all}metrics: {{exclude: [{}]}}\n", excluded.join(", "));
    for (text, published) in [(&all, true), (&fewer, false), (&all, true)] {
        settings::write_text(folder(&exporter), text);
        let (status, said) = exporter.reload().await;
        assert_eq!(status, 200, "{said}");
        for page in read().await {
            for name in excluded {
                assert_eq!(has(&page, name), published, "{name}\n{page}");
            }
            assert!(has(&page, "defender_scan_last_timestamp_seconds{"));
            assert!(has(&page, "process_open_fds"));
        }
        let (_, one) = exporter.get("/metrics?name[]=process_threads").await;
        assert_eq!(one.is_empty(), !published, "{one}");
        let (_, shown) = exporter.get("/config").await;
        assert_eq!(shown.contains("exclude: []\n"), published, "{shown}");
    }
    exporter
        .says("is needed by the dashboards definition and fleet")
        .await;
    assert_eq!(tokens(), signed_in, "the tenant goes on undisturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http_only_where_that_is_enabled() {
    let simulator = simulator(1).await;
    let exporter = start(&simulator, &[entry(0)], &[]).await;
    let (status, text) = exporter.reload().await;
    assert_eq!(status, 403);
    assert!(text.contains(LIFECYCLE), "{text}");
    settings::write_text(folder(&exporter), "");
    exporter.process.signal("HUP");
    let ok = "defender_exporter_config_last_reload_successful";
    exporter.shows(ok, &[], |ok| ok < 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azures_variables_are_read_again() {
    let mut command = binary();
    command.args(["--web.listen-address=127.0.0.1:0", IN_MEMORY]);
    command.envs([
        ("AZURE_TENANT_ID", "contoso.example"),
        ("AZURE_CLIENT_ID", "9b6f0000-0000-4000-8000-000000000001"),
        ("AZURE_CLIENT_SECRET", "not a secret"),
        ("AZURE_AUTHORITY_HOST", "https://localhost:1"),
    ]);
    let folder = TempDir::new().expect("a folder can be made");
    let exporter = common::Process::start(folder, &mut command);
    let says = async |text: &str| {
        eventually("it says so", async || {
            exporter.output().contains(text).then_some(())
        })
        .await;
    };
    says("message=polling").await;
    exporter.signal("HUP");
    says("command line and environment").await;
    says("unchanged=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_tenant_goes_on_with_all_that_was_known() {
    for storage in [&[LIFECYCLE][..], &[LIFECYCLE, IN_MEMORY]] {
        let simulator = simulator(1).await;
        let id = run_by_hand(&simulator);
        let mut tenant = entry(0);
        let exporter = start(&simulator, std::slice::from_ref(&tenant), storage).await;
        let last_success = "defender_collector_last_success_timestamp_seconds";
        let history = ["collector=\"history\""];
        exporter.shows(last_success, &history, |_| true).await;
        simulator.world().run_now(0, &id, Outcome::Success);
        let sessions = "defender_scan_sessions_total";
        let label = format!("definition_id=\"{id}\"");
        let counted = [label.as_str(), "status=\"success\""];
        exporter
            .shows(sessions, &counted, |count| count > 0.5)
            .await;

        tenant.secret = Some("wrong".to_owned());
        tenant.per_minute = 500;
        let used = ["window=\"hour\""];
        let budget = |metrics: &common::Metrics| metrics.value("defender_api_quota_used", &used);
        let before = budget(&exporter.metrics().await);
        reload(&exporter, &simulator, std::slice::from_ref(&tenant)).await;
        let metrics = exporter.metrics().await;
        let limit = metrics.value("defender_api_quota_limit", &["window=\"minute\""]);
        assert_eq!(limit, Some(500.0));
        assert!(budget(&metrics) >= before, "its calls still count");
        assert_eq!(metrics.value(sessions, &counted), Some(1.0));
        assert!(metrics.value("defender_up", &[]).is_some());
        assert_eq!(exporter.get("/-/ready").await.0, 200);
        exporter.shows("defender_up", &[], |up| up < 0.5).await;

        tenant.secret = None;
        reload(&exporter, &simulator, std::slice::from_ref(&tenant)).await;
        exporter.shows("defender_up", &[], |up| up > 0.5).await;
        simulator.world().run_now(0, &id, Outcome::Success);
        exporter
            .shows(sessions, &counted, |count| count > 1.5)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_tenant_vanishes_at_once_and_may_come_back() {
    let simulator = simulator(2).await;
    let (stays, leaves) = (entry(0), entry(1));
    let both = [stays.clone(), leaves.clone()];
    let exporter = start(&simulator, &both, &[LIFECYCLE]).await;
    exporter.ready().await;
    let of_tenant = label(&leaves);
    let manual = simulator
        .world()
        .add_definition(1, Draft::manual("by hand"));
    let id = manual.expect("there is a tenant");
    let of_definition = format!("definition_id=\"{id}\"");
    let success = [of_definition.as_str(), "status=\"success\""];
    let sessions = "defender_scan_sessions_total";
    for count in [0.0, 1.0] {
        simulator.world().run_now(1, &id, Outcome::Success);
        exporter.shows(sessions, &success, |now| now >= count).await;
        // What ran before the first look at its history is known, and not counted.
        eventually("its history is known", async || {
            let calls = calls(&simulator, 1, Endpoint::History);
            let told = |call: &CallRecord| call.ids.contains(&id) && call.status == 200;
            calls.iter().any(told).then_some(())
        })
        .await;
    }
    reload(&exporter, &simulator, &[stays]).await;
    let of_leaving =
        |calls: &[CallRecord]| calls.iter().filter(|call| call.tenant == Some(1)).count();
    let metrics = exporter.metrics().await;
    assert!(!metrics.0.contains(&of_tenant), "{}", metrics.0);
    assert_eq!(exporter.get("/-/ready").await.0, 200);
    // Not before: what had left may arrive a little later.
    let calls = simulator.calls();
    let stayed = calls.len() - of_leaving(&calls);
    eventually("the other is polled on", async || {
        let now = simulator.calls();
        (now.len() - of_leaving(&now) > stayed + 3).then_some(())
    })
    .await;
    assert_eq!(of_leaving(&simulator.calls()), of_leaving(&calls));
    simulator.set_tenant_fault(1, Endpoint::Token, Some(Fault::Hang));
    reload(&exporter, &simulator, &both).await;
    exporter.shows(sessions, &success, |now| now >= 1.0).await;
}

/// Reloads over and over, changing a tenant, or removing it and adding it again,
/// with a call under way.
async fn reloads_within_the_budget(flags: &[&str], removing: bool) {
    const LIMIT: usize = 30;
    let mut options = options();
    options.per_minute = LIMIT;
    options.tenants = 2;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    simulator.set_tenant_fault(0, Endpoint::History, Some(Fault::Hang));
    let mut tenant = entry(0);
    tenant.per_minute = LIMIT;
    let mut other = entry(1);
    other.per_minute = LIMIT;
    let exporter = start(&simulator, &[tenant.clone(), other.clone()], flags).await;
    let of_api = |call: &&CallRecord| call.tenant == Some(0) && call.endpoint != Endpoint::Token;
    let spent = || simulator.calls().iter().filter(of_api).count();
    let enough = LIMIT * 2 / 3;
    for round in 0.. {
        if removing {
            reload(&exporter, &simulator, std::slice::from_ref(&other)).await;
        } else {
            tenant.poll = format!("{{definitions: 1s, agents: {}s}}", 10 + round);
        }
        reload(&exporter, &simulator, &[tenant.clone(), other.clone()]).await;
        // Time for some calls, and more of it where that was too little for them.
        tokio::time::sleep(Duration::from_millis(100) * (1 + round / 60)).await;
        if round >= 59 && (spent() >= enough || round >= 240) {
            break;
        }
    }
    assert_eq!(simulator.violations(), 0, "{flags:?} {removing}");
    let spent = spent();
    assert!(spent >= enough, "the budget was tried: {spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_do_not_renew_the_budget() {
    reloads_within_the_budget(&[LIFECYCLE], false).await;
    reloads_within_the_budget(&[LIFECYCLE, IN_MEMORY], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_and_adding_does_not_renew_the_budget() {
    reloads_within_the_budget(&[LIFECYCLE], true).await;
    reloads_within_the_budget(&[LIFECYCLE, IN_MEMORY], true).await;
}

/// Saves of tenants that are polled every few minutes wait for each other for some seconds. A
/// reload that removes such a tenant does not, and neither does the end of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_goes_holds_up_no_reload() {
    let simulator = simulator(2).await;
    let [mut stays, mut goes] = [0, 1].map(entry);
    for entry in [&mut stays, &mut goes] {
        entry.poll = "{definitions: 5m, agents: 5m}".to_owned();
    }
    let mut exporter = start(&simulator, std::slice::from_ref(&stays), &[LIFECYCLE]).await;
    exporter.ready().await;
    let clock = Clock::system();
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        reload(&exporter, &simulator, &[stays.clone(), goes.clone()]).await;
        // Sometimes before, sometimes after its first answers.
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        let begun = clock.uptime();
        reload(&exporter, &simulator, std::slice::from_ref(&stays)).await;
        slowest = slowest.max(clock.uptime().since(begun));
    }
    reload(&exporter, &simulator, &[stays.clone(), goes.clone()]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = clock.uptime();
    exporter.process.signal("TERM");
    assert!(exporter.process.exit().await.success());
    let stopped = clock.uptime().since(begun);
    println!("slowest reload {slowest:?}, SIGTERM {stopped:?}");
    // Those saves wait for longer.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert!(stopped < Duration::from_secs(4), "{stopped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_leak_nothing() {
    let simulator = simulator(3).await;
    let [stays, mut changes, comes] = [0, 1, 2].map(entry);
    let exporter = start(&simulator, std::slice::from_ref(&stays), &[LIFECYCLE]).await;
    exporter.ready().await;
    let mut warm = None;
    let measure = async || {
        let metrics = exporter.metrics().await;
        [
            "process_open_fds",
            "process_threads",
            "process_resident_memory_bytes",
        ]
        .map(|name| metrics.value(name, &[]).expect("it is measured"))
    };
    for round in 0..1_200 {
        changes.poll = format!("{{definitions: 1s, agents: {}s}}", 10 + round);
        let mut entries = vec![stays.clone(), changes.clone()];
        entries.extend((round % 2 == 0).then(|| comes.clone()));
        reload(&exporter, &simulator, &entries).await;
        if round == 199 {
            warm = Some(measure().await);
        }
    }
    let [fds, threads, memory] = measure().await;
    let [fds_before, threads_before, memory_before] = warm.expect("it was measured");
    println!(
        "{fds_before} → {fds} files, {threads_before} → {threads} threads, {memory_before} → {memory} bytes"
    );
    assert!(fds <= fds_before + 10.0, "{fds_before} → {fds} files");
    assert!(
        threads <= threads_before + 10.0,
        "{threads_before} → {threads} threads"
    );
    assert!(
        memory <= memory_before + f64::from(4 << 20),
        "{memory_before} → {memory} bytes"
    );
    reload(&exporter, &simulator, &[stays]).await;
    let of_old = || {
        let calls = simulator.calls();
        calls.iter().filter(|call| call.tenant != Some(0)).count()
    };
    let listed = async |more: usize| {
        let lists = || calls(&simulator, 0, Endpoint::Definitions).len();
        let before = lists();
        eventually("the one that stays is polled on", async || {
            (lists() >= before + more).then_some(())
        })
        .await;
    };
    // What had left before may arrive a little later.
    listed(1).await;
    let old = of_old();
    listed(4).await;
    assert_eq!(of_old(), old, "no old task calls");
    assert_eq!(calls(&simulator, 0, Endpoint::Token).len(), 1);
}

const AUTO: &str = "--config.auto-reload-interval=1s";

/// `exporter.yml` as the kubelet lays out a config map: a link by way of `..data` into a folder
/// that is never changed.
fn publish(folder: &Path, version: u32, text: &str) {
    use std::os::unix::fs::symlink;
    let name = format!("..version-{version}");
    std::fs::create_dir(folder.join(&name)).expect("it can be made");
    std::fs::write(folder.join(&name).join("exporter.yml"), text).expect("it can be written");
    symlink(name, folder.join("..data_tmp")).expect("it can be linked");
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("it can be moved");
    symlink("..data/exporter.yml", folder.join("exporter.yml.tmp")).expect("it can be linked");
    std::fs::rename(folder.join("exporter.yml.tmp"), folder.join("exporter.yml"))
        .expect("it can be moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_reloaded_by_itself() {
    let simulator = simulator(2).await;
    let [one, two] = [0, 1].map(entry);
    let text = |entries: &[Entry]| {
        let draft = TempDir::new().expect("a folder can be made");
        settings::write(&simulator, draft.path(), entries, TIMEOUT);
        let text = std::fs::read_to_string(draft.path().join("exporter.yml"));
        let ca = |folder: &Path| folder.join("ca.pem").display().to_string();
        // It lasts as long as the simulator does.
        text.expect("it was written")
            .replace(&ca(draft.path()), "ca.pem")
    };
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let ca = folder.path().join("ca.pem");
    std::fs::write(ca, simulator.ca_pem()).expect("it can be written");
    publish(folder.path(), 1, &text(std::slice::from_ref(&one)));
    let exporter = Exporter::start_with_flags(Arc::clone(&folder), &[AUTO]).await;
    exporter.ready().await;

    // A swap of `..data`, as of a ConfigMap.
    let both = text(&[one.clone(), two.clone()]);
    publish(folder.path(), 2, &both);
    let second = [label(&two)];
    let second: Vec<&str> = second.iter().map(String::as_str).collect();
    exporter.shows("defender_up", &second, |up| up > 0.5).await;

    // A file that stays half written is one mistake, told once; nothing changes.
    let half = &both[..both.len() / 2];
    assert!(half.contains("tenant-0"), "{half}");
    publish(folder.path(), 3, &format!("{half}\"\n"));
    let ok = "defender_exporter_config_last_reload_successful";
    exporter.shows(ok, &[], |ok| ok < 0.5).await;
    let listed = calls(&simulator, 1, Endpoint::Definitions).len();
    eventually("it polls on, for some intervals", async || {
        (calls(&simulator, 1, Endpoint::Definitions).len() > listed + 4).then_some(())
    })
    .await;
    let told = exporter.process.output();
    let told = told.matches("the configuration was not reloaded").count();
    assert_eq!(told, 1, "{}", exporter.process.output());

    // One that is gone is a mistake too, and one that comes back is taken.
    std::fs::remove_file(folder.path().join("..data")).expect("it can be removed");
    exporter.says("No such file").await;
    publish(folder.path(), 4, &text(std::slice::from_ref(&one)));
    exporter.shows(ok, &[], |ok| ok > 0.5).await;
    assert!(!exporter.metrics().await.0.contains(second[0]));
    assert_eq!(calls(&simulator, 0, Endpoint::Token).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_left_alone_unless_asked_for() {
    let simulator = simulator(1).await;
    let exporter = start(&simulator, &[entry(0)], &[]).await;
    exporter.ready().await;
    settings::write_text(folder(&exporter), "");
    let listed = calls(&simulator, 0, Endpoint::Definitions).len();
    eventually("it polls on", async || {
        (calls(&simulator, 0, Endpoint::Definitions).len() > listed + 3).then_some(())
    })
    .await;
    let ok = "defender_exporter_config_last_reload_successful";
    assert_eq!(exporter.metrics().await.value(ok, &[]), Some(1.0));
}
