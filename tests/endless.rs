//! Lists that never end, that take long, or that are cut short: what they brought is
//! published, nothing vanishes, and the other collectors go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::common::settings;
use crate::common::{Exporter, Metrics, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{CallRecord, Endless, Endpoint, Fault, Options, Simulator, Skip};

const ENDPOINTS: [(Endpoint, &str); 3] = [
    (Endpoint::Definitions, "\"definitions\""),
    (Endpoint::History, "\"history\""),
    (Endpoint::Agents, "\"agents\""),
];

async fn simulator(change: impl FnOnce(&mut Options)) -> Simulator {
    let mut options = options();
    options.last_scanned = true;
    change(&mut options);
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

/// Two definitions and agents a page.
async fn paged(definitions: usize) -> Simulator {
    simulator(|options| {
        (options.definitions, options.agents) = (definitions, 4);
        options.page_size = 2;
    })
    .await
}

fn calls(simulator: &Simulator, endpoint: Endpoint) -> Vec<CallRecord> {
    let calls = simulator.calls().into_iter();
    calls.filter(|call| call.endpoint == endpoint).collect()
}

fn shown(metrics: &Metrics) -> BTreeSet<String> {
    let lines = metrics.0.lines();
    let active = lines.filter(|line| line.starts_with("defender_scan_active{"));
    active.map(ToOwned::to_owned).collect()
}

/// Waits until rounds of that collector were counted as without an end, and says how many.
async fn endless(exporter: &Exporter, label: &str, least: f64) {
    exporter
        .shows("defender_api_endless_total", &[label], |rounds| {
            rounds >= least
        })
        .await;
}

/// Waits for the end of a first round.
async fn polled(exporter: &Exporter, label: &str) {
    let name = "defender_collector_last_success_timestamp_seconds";
    exporter.shows(name, &[label], |_| true).await;
}

async fn is_well(exporter: &Exporter) {
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("defender_up", &[]), Some(1.0));
    for line in metrics.0.lines() {
        let failed = line.starts_with("defender_collector_errors_total{") && !line.ends_with(" 0");
        assert!(!failed, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_an_end_are_published_counted_and_cost_a_call_or_two() {
    // The definitions of a list, and the calls that a round of it takes.
    for (kind, definitions, pages) in [
        (Fault::NextLinkLoop, 2, 2),
        (Fault::Endless(Endless::Growing), 4, 3),
        (Fault::Endless(Endless::Blank), 4, 4),
        (Fault::Endless(Endless::Circle(2)), 6, 3),
        (Fault::Endless(Endless::Circle(3)), 8, 4),
    ] {
        let simulator = paged(definitions).await;
        for (endpoint, _) in ENDPOINTS {
            simulator.set_fault(endpoint, Some(kind.clone()));
        }
        let exporter = Exporter::start(&simulator).await;
        for (_, label) in ENDPOINTS {
            endless(&exporter, label, 1.0).await;
        }
        let metrics = exporter.metrics().await;
        assert_eq!(shown(&metrics).len(), definitions, "{kind:?}");
        let agents = metrics.0.matches("defender_scan_agent_info{").count();
        assert_eq!(agents, definitions.min(4), "{kind:?}");
        is_well(&exporter).await;
        endless(&exporter, "\"definitions\"", 3.0).await;
        let asked = calls(&simulator, Endpoint::Definitions);
        let first = |call: &&CallRecord| !call.next_page;
        let rounds = asked.iter().filter(first).count() - 1;
        let within = asked.iter().rposition(|call| !call.next_page);
        assert_eq!(within, Some(rounds * pages), "{kind:?}");
        let said = exporter.process.output();
        let lists = said.lines().filter(|line| {
            line.contains("the links to next pages never end")
                && line.contains("collector=definitions")
        });
        assert_eq!(lists.count(), 1, "it is said once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pages_that_were_not_read_hold_does_not_vanish() {
    let simulator = paged(12).await;
    let exporter = Exporter::start(&simulator).await;
    for (_, label) in ENDPOINTS {
        polled(&exporter, label).await;
    }
    let before = shown(&exporter.metrics().await);
    assert_eq!(before.len(), 12);
    for kind in [
        Fault::NextLinkLoop,
        Fault::Endless(Endless::Circle(2)),
        Fault::Endless(Endless::Circle(3)),
    ] {
        let metrics = exporter.metrics().await;
        let counted = metrics.value("defender_api_endless_total", &["\"definitions\""]);
        simulator.set_fault(Endpoint::Definitions, Some(kind));
        simulator.set_fault(Endpoint::Agents, Some(Fault::NextLinkLoop));
        let least = counted.unwrap_or_default() + 2.0;
        endless(&exporter, "\"definitions\"", least).await;
        assert_eq!(shown(&exporter.metrics().await), before);
    }
    endless(&exporter, "\"agents\"", 1.0).await;
    let agents = exporter.metrics().await.0.matches("agent_info{").count();
    assert_eq!(agents, 4);
    is_well(&exporter).await;
    let (_, page) = exporter.get("/").await;
    for list in ["definitions", "agents"] {
        let words = format!("The list of {list} may be incomplete: ");
        assert!(page.contains(&words), "{page}");
    }
    // A whole list decides again.
    simulator.set_fault(Endpoint::Definitions, None);
    let gone = simulator.world().definitions(0)[11].id.clone();
    simulator.world().remove_definition(0, &gone);
    eventually("the removed one vanishes", async || {
        (shown(&exporter.metrics().await).len() == 11).then_some(())
    })
    .await;
    exporter.says("responses are complete again").await;
    let (_, page) = exporter.get("/").await;
    assert!(!page.contains("The list of definitions may be"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_records_is_followed() {
    let simulator = paged(8).await;
    for (endpoint, _) in ENDPOINTS {
        simulator.set_fault(endpoint, Some(Fault::BlankPages));
    }
    let exporter = Exporter::start(&simulator).await;
    eventually("all are shown", async || {
        (shown(&exporter.metrics().await).len() == 8).then_some(())
    })
    .await;
    let metrics = exporter.metrics().await;
    for (_, label) in ENDPOINTS {
        let counted = metrics.value("defender_api_endless_total", &[label]);
        assert_eq!(counted, Some(0.0), "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_an_end_leave_half_of_the_budget_to_history() {
    let simulator = simulator(|options| options.definitions = 4).await;
    let exporter = Exporter::start_with_quota(&simulator, (40, 1_500)).await;
    polled(&exporter, "\"history\"").await;
    let asked = calls(&simulator, Endpoint::History).len();
    simulator.set_fault(
        Endpoint::Definitions,
        Some(Fault::Endless(Endless::Invented)),
    );
    eventually("history is asked for", async || {
        (calls(&simulator, Endpoint::History).len() > asked).then_some(())
    })
    .await;
    let lists = calls(&simulator, Endpoint::Definitions);
    assert!(lists.len() > 15, "{} calls", lists.len());
    assert!(lists.len() <= 21, "{} of 40 calls a minute", lists.len());
    let metrics = exporter.metrics().await;
    assert!(shown(&metrics).len() > 4, "what came is shown meanwhile");
    assert_eq!(simulator.violations(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_is_shown_before_the_last_has_come() {
    let simulator = paged(40).await;
    // Half of six calls a minute: a round takes minutes.
    let exporter = Exporter::start_with_quota(&simulator, (6, 1_500)).await;
    let metrics = eventually("the first page is shown", async || {
        let metrics = exporter.metrics().await;
        (!shown(&metrics).is_empty()).then_some(metrics)
    })
    .await;
    assert!(shown(&metrics).len() <= 8, "{}", shown(&metrics).len());
    let name = "defender_collector_last_success_timestamp_seconds";
    assert_eq!(metrics.value(name, &["\"definitions\""]), None);
    // It is saved too, and a part of a list lets nothing vanish after a restart.
    simulator.set_fault(Endpoint::Definitions, Some(Fault::error(500, "", "")));
    let exporter = exporter.kill_and_restart().await;
    exporter.ready().await;
    assert!(!shown(&exporter.metrics().await).is_empty());
}

/// Of a list of a hundred pages, each of which takes long, nobody waits for the last.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_definition_is_shown_as_soon_as_its_page_is_here() {
    let simulator = paged(200).await;
    let latency = Duration::from_secs(2);
    simulator.set_fault(Endpoint::Definitions, Some(Fault::Late(latency)));
    let clock = Clock::system();
    let begun = clock.uptime();
    let exporter = Exporter::start_with_quota(&simulator, (1_000, 50_000)).await;
    let pages = eventually("a definition is shown", async || {
        (!shown(&exporter.metrics().await).is_empty())
            .then(|| calls(&simulator, Endpoint::Definitions).len())
    })
    .await;
    let took = clock.uptime().since(begun);
    println!(
        "the first definition after {:.2} times what one of 100 pages takes, {pages} asked for",
        took.div_duration_f64(latency)
    );
    assert!(took < 20 * latency, "{took:?}");
}

/// Of each definition, whether details of its newest run are known.
fn detailed(metrics: &Metrics) -> usize {
    let lines = metrics.0.lines();
    let known = lines.filter(|line| line.starts_with("defender_scan_targets{"));
    known.count()
}

/// More sessions than the cap of 4 096.
async fn many_sessions() -> Simulator {
    let simulator = simulator(|options| {
        (options.definitions, options.max_batch) = (900, 1_000);
        options.page_size = usize::MAX;
    })
    .await;
    let sessions: usize = {
        let world = simulator.world();
        world.definitions(0).iter().map(|it| it.runs.len()).sum()
    };
    assert!(sessions > 4_096, "{sessions}");
    simulator
}

/// One that waits longer for an answer than such a large one can take.
async fn patient(simulator: &Simulator) -> Exporter {
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    settings::write(simulator, folder.path(), &[settings::entry(0)], "40s");
    Exporter::start_with_flags(folder, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_history_behind_a_cap_is_asked_for() {
    let whole = many_sessions().await;
    let exporter = patient(&whole).await;
    polled(&exporter, "\"history\"").await;
    let known = async |exporter: &Exporter| detailed(&exporter.metrics().await);
    let all = known(&exporter).await;
    // Cut, asked for more in vain, and then two halves.
    let halves = vec![900, 900, 450, 450];
    for (skip, sizes) in [
        (Skip::Obeyed, vec![900, 900]),
        (Skip::Ignored, halves.clone()),
        (Skip::Refused(400), halves.clone()),
        (Skip::Refused(500), halves),
    ] {
        let simulator = many_sessions().await;
        let cap = Fault::Cap {
            records: 4_096,
            skip,
        };
        simulator.set_fault(Endpoint::History, Some(cap));
        let exporter = patient(&simulator).await;
        eventually("all details are known", async || {
            (known(&exporter).await >= all).then_some(())
        })
        .await;
        let asked = calls(&simulator, Endpoint::History);
        let asked: Vec<usize> = asked.iter().map(|call| call.ids.len()).collect();
        assert_eq!(asked[..sizes.len()], sizes, "{skip:?}");
        exporter
            .shows("defender_api_truncated_total", &["\"history\""], |cut| {
                (cut - 1.0).abs() < f64::EPSILON
            })
            .await;
        let metrics = exporter.metrics().await;
        let learned = metrics.value("defender_api_batch_size", &[]);
        let expected = if skip == Skip::Obeyed { 1_000.0 } else { 450.0 };
        assert_eq!(learned, Some(expected), "{skip:?}");
        assert_eq!(metrics.value("defender_up", &[]), Some(1.0), "{skip:?}");
        let lines = metrics.0.lines();
        let counted = lines.filter(|line| line.starts_with("defender_scan_sessions_total{"));
        let new = counted.filter(|line| !line.ends_with(" 0")).count();
        assert!(new < 50, "{skip:?}: {new} of 4 096 seemed new to a part");
        let said = exporter.process.output();
        assert_eq!(said.matches("the response was truncated").count(), 1);
        if skip == Skip::Ignored {
            let exporter = exporter.kill_and_restart().await;
            exporter.ready().await;
            let metrics = exporter.metrics().await;
            let learned = metrics.value("defender_api_batch_size", &[]);
            assert_eq!(learned, Some(450.0), "it is remembered");
            let cut = metrics.value("defender_api_truncated_total", &["\"history\""]);
            assert_eq!(cut, Some(1.0), "so is the count");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_list_behind_a_cap_is_asked_for() {
    for skip in [Skip::Obeyed, Skip::Ignored, Skip::Refused(404)] {
        let simulator = simulator(|options| {
            (options.definitions, options.agents) = (1, 5_000);
            options.page_size = usize::MAX;
        })
        .await;
        let cap = Fault::Cap {
            records: 4_096,
            skip,
        };
        simulator.set_fault(Endpoint::Agents, Some(cap));
        let exporter = Exporter::start(&simulator).await;
        let expected = if skip == Skip::Obeyed { 5_000 } else { 4_096 };
        eventually("the agents are shown", async || {
            let metrics = exporter.metrics().await;
            let agents = metrics.0.matches("defender_scan_agent_info{").count();
            (agents == expected).then_some(())
        })
        .await;
        let metrics = exporter.metrics().await;
        let cut = metrics.value("defender_api_truncated_total", &["\"agents\""]);
        assert!(cut.is_some_and(|cut| cut >= 1.0), "{skip:?}");
        is_well(&exporter).await;
    }
}
