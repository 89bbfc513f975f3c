//! Requests that the other end refuses below HTTP, and connections that break or die: the
//! service sees what was counted, and whatever is lost costs one call.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::common::nginx::Nginx;
use crate::common::tools::needs;
use crate::common::{Exporter, Metrics, eventually, options};
use defender_simulator::{CallRecord, Endpoint, Fault, Front, Outcome, Simulator};

const COLLECTORS: [(Endpoint, &str); 3] = [
    (Endpoint::Definitions, "definitions"),
    (Endpoint::History, "history"),
    (Endpoint::Agents, "agents"),
];

/// The protocols, by the tenants that speak them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Http1,
    Http2,
}

/// A simulator of so many tenants, with a front for each.
async fn stage(protocols: &[Protocol]) -> (Simulator, Vec<Front>) {
    let mut options = options();
    options.tenants = protocols.len();
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let mut fronts = Vec::new();
    for protocol in protocols {
        let front = match protocol {
            Protocol::Http1 => simulator.http1_front().await,
            Protocol::Http2 => simulator.front().await,
        };
        fronts.push(front.expect("a port is free"));
    }
    (simulator, fronts)
}

/// An exporter of tenants whose API and sign-in host are at these origins.
async fn exporter(
    simulator: &Simulator,
    origins: &[(String, String)],
    more_roots: &str,
    timeout: &str,
) -> Exporter {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut text = format!("http: {{ca_file: ca.pem, timeout: {timeout}}}\ntenants:\n");
    for (number, (api, authority)) in origins.iter().enumerate() {
        let identity = simulator.tenant(number).expect("there is such a tenant");
        write!(
            text,
            "  - name: tenant-{number}-\n    tenant_id: {}\n    api_base_url: {api}\n    authority_host: {authority}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret: '{}'}}\n    \
             poll: {{definitions: 1s, agents: 10s}}\n    quota: {}\n",
            identity.tenant_id,
            identity.client_id,
            identity.client_secret,
            crate::common::settings::budget(1_000, 50_000),
        )
        .expect("a string can be written");
    }
    let roots = format!("{}{more_roots}", simulator.ca_pem());
    fs::write(folder.path().join("ca.pem"), roots).expect("the folder can be written");
    crate::common::settings::write_text(folder.path(), &text);
    Exporter::start_adjusted(folder, |_| ()).await
}

fn tenant(number: usize) -> String {
    format!("tenant=\"tenant-{number}-\"")
}

/// The sum of the samples of `name` whose labels hold all of `labels`.
fn sum(metrics: &Metrics, name: &str, labels: &[&str]) -> f64 {
    let samples = metrics.0.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    });
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

fn errors(metrics: &Metrics, number: usize, endpoint: Endpoint) -> f64 {
    let collector = COLLECTORS.iter().find(|(known, _)| *known == endpoint);
    match collector {
        Some((_, name)) => sum(
            metrics,
            "defender_collector_errors_total",
            &[&tenant(number), &format!("\"{name}\"")],
        ),
        None => sum(metrics, "defender_auth_errors_total", &[&tenant(number)]),
    }
}

/// The calls of a tenant to these endpoints, as the service saw them.
fn calls(simulator: &Simulator, number: usize, endpoints: &[Endpoint]) -> Vec<CallRecord> {
    let mut calls = simulator.calls();
    calls.retain(|call| call.tenant == Some(number) && endpoints.contains(&call.endpoint));
    calls
}

/// Gives every definition a new run, so that history is asked for.
fn run_all(simulator: &Simulator, number: usize) {
    let mut world = simulator.world();
    let ids: Vec<_> = world
        .definitions(number)
        .iter()
        .map(|known| known.id.clone())
        .collect();
    for id in ids {
        world.run_now(number, &id, Outcome::Success);
    }
}

/// Waits until every tenant has been polled by all collectors, and none fails now.
async fn all_is_well(exporter: &Exporter, tenants: usize) {
    eventually("all is well", async || {
        let metrics = exporter.metrics().await;
        let well = |number: usize| {
            let (name, tenant) = (
                "defender_collector_last_success_timestamp_seconds",
                tenant(number),
            );
            COLLECTORS.iter().all(|(_, collector)| {
                metrics
                    .value(name, &[&tenant, &format!("\"{collector}\"")])
                    .is_some()
            }) && metrics.value("defender_up", &[&tenant]) == Some(1.0)
        };
        (0..tenants).all(well).then_some(())
    })
    .await;
}

/// Waits until what was counted is what the service saw, in a moment with no call under way.
/// With each of its connections that breaks, `beside` calls may be lost that it never saw.
async fn counted_is_seen(exporter: &Exporter, simulator: &Simulator, number: usize, beside: usize) {
    let all = COLLECTORS.map(|(endpoint, _)| endpoint);
    let mut last = String::new();
    let waiting = eventually("what was counted is what the service saw", async || {
        let before = calls(simulator, number, &all);
        let metrics = exporter.metrics().await;
        let counted = sum(&metrics, "defender_api_requests_total", &[&tenant(number)]);
        let seen = before.len();
        let unseen = beside * before.iter().filter(|call| call.status == 0).count();
        last = format!("the service saw {seen} calls, {counted} were counted");
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        let same = (seen as f64..=(seen + unseen) as f64).contains(&counted);
        (same && calls(simulator, number, &all).len() == seen).then_some(())
    });
    let done = tokio::time::timeout(Duration::from_secs(55), waiting).await;
    assert!(done.is_ok(), "tenant {number}: {last}");
}

/// How many calls of other collectors a fault may take along.
fn beside(protocol: Protocol, fault: &Fault) -> usize {
    let breaks = matches!(fault, Fault::GoAway | Fault::Reset);
    if breaks && protocol == Protocol::Http2 {
        2
    } else {
        0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_again_that_was_not_counted() {
    let mut cells = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for fault in [Fault::Refuse, Fault::Cancel, Fault::GoAway, Fault::Reset] {
            for endpoint in [Endpoint::Token]
                .into_iter()
                .chain(COLLECTORS.map(|(known, _)| known))
            {
                cells.push((protocol, fault.clone(), endpoint));
            }
        }
    }
    let protocols: Vec<_> = cells.iter().map(|(protocol, ..)| *protocol).collect();
    let (simulator, fronts) = stage(&protocols).await;
    for (number, (_, fault, endpoint)) in cells.iter().enumerate() {
        simulator.set_tenant_fault(number, *endpoint, Some(fault.clone()));
    }
    let origins: Vec<_> = fronts
        .iter()
        .map(|front| (front.url(), front.url()))
        .collect();
    let exporter = exporter(&simulator, &origins, "", "20s").await;
    for (number, cell) in cells.iter().enumerate() {
        let failed = format!("{cell:?} fails and is counted");
        eventually(&failed, async || {
            let metrics = exporter.metrics().await;
            (errors(&metrics, number, cell.2) >= 2.0).then_some(())
        })
        .await;
        simulator.set_tenant_fault(number, cell.2, None);
    }
    all_is_well(&exporter, cells.len()).await;
    for (number, cell) in cells.iter().enumerate() {
        counted_is_seen(&exporter, &simulator, number, beside(cell.0, &cell.1)).await;
        // A failure is counted each time that a token is wanted, but asked for less often.
        let mut refused = calls(&simulator, number, &[Endpoint::Token]);
        refused.retain(|call| call.status == 0);
        for pair in refused.windows(2) {
            let pause = pair[1].arrived.since(pair[0].arrived);
            assert!(
                pause > Duration::from_secs(1),
                "{cell:?}: signs in after {pause:?} again"
            );
        }
    }
    assert_eq!(simulator.violations(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_costs_one_call_more() {
    let mut cells = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for fault in [Fault::Refuse, Fault::Cancel, Fault::GoAway, Fault::Reset] {
            for (endpoint, _) in COLLECTORS {
                cells.push((protocol, fault.clone(), endpoint));
            }
        }
    }
    let protocols: Vec<_> = cells.iter().map(|(protocol, ..)| *protocol).collect();
    let (simulator, fronts) = stage(&protocols).await;
    let origins: Vec<_> = fronts
        .iter()
        .map(|front| (front.url(), front.url()))
        .collect();
    let exporter = exporter(&simulator, &origins, "", "20s").await;
    all_is_well(&exporter, cells.len()).await;
    for (number, (_, fault, endpoint)) in cells.iter().enumerate() {
        let once = Fault::Times(1, Box::new(fault.clone()));
        simulator.set_tenant_fault(number, *endpoint, Some(once));
        run_all(&simulator, number);
    }
    for (number, cell) in cells.iter().enumerate() {
        let (lost, next) = eventually(&format!("{cell:?} is asked again"), async || {
            let seen = calls(&simulator, number, &[cell.2]);
            let lost = seen.iter().position(|call| call.status == 0)?;
            let next = seen.get(lost + 1).filter(|next| next.status > 0)?;
            Some((seen[lost].clone(), next.clone()))
        })
        .await;
        assert_eq!(next.status, 200, "{cell:?}");
        assert_ne!(
            next.connection, lost.connection,
            "{cell:?}: on a fresh connection"
        );
        counted_is_seen(&exporter, &simulator, number, beside(cell.0, &cell.1)).await;
        let metrics = exporter.metrics().await;
        for (endpoint, _) in COLLECTORS {
            let errors = errors(&metrics, number, endpoint);
            assert!(
                errors.total_cmp(&0.0).is_eq(),
                "{cell:?}, {endpoint:?}: {errors} errors"
            );
        }
    }
}

async fn recovers_from_dead_connections(protocol: Protocol) {
    const TENANTS: usize = 20;
    let (simulator, _) = stage(&[protocol; TENANTS]).await;
    let nginx = Nginx::start(&simulator.https_url(), protocol == Protocol::Http2).await;
    let origins = vec![(nginx.origin(), nginx.origin()); TENANTS];
    let exporter = exporter(&simulator, &origins, &nginx.authority.pem, "10s").await;
    all_is_well(&exporter, TENANTS).await;
    let before = exporter.metrics().await;

    let clock = defender_scan_exporter::clock::Clock::system();
    let died = clock.uptime();
    let seen = simulator.calls().len();
    nginx.die().await;
    // Two seconds more, so that no call is meant that was under way.
    let name = "defender_collector_last_success_timestamp_seconds";
    #[expect(clippy::cast_precision_loss, reason = "a time of our days")]
    let wanted = clock.wall().unix_millis() as f64 / 1_000.0 + 2.0;
    eventually("all tenants are polled again", async || {
        let metrics = exporter.metrics().await;
        let polled = |number: usize| {
            let labels = [tenant(number), "\"definitions\"".to_owned()];
            let labels: Vec<_> = labels.iter().map(String::as_str).collect();
            metrics.value(name, &labels) >= Some(wanted)
        };
        (0..TENANTS).all(polled).then_some(())
    })
    .await;
    let took = clock.uptime().since(died);
    all_is_well(&exporter, TENANTS).await;
    let after = exporter.metrics().await;
    let mut lost = 0.0;
    for number in 0..TENANTS {
        for (endpoint, _) in COLLECTORS {
            let failed = errors(&after, number, endpoint) - errors(&before, number, endpoint);
            assert!(
                failed <= 1.0,
                "{protocol:?}, tenant {number}, {endpoint:?}: {failed} failures"
            );
            lost += failed;
        }
        let failed =
            errors(&after, number, Endpoint::Token) - errors(&before, number, Endpoint::Token);
        assert!(failed.total_cmp(&0.0).is_eq(), "{failed} sign-ins failed");
    }
    println!(
        "{protocol:?}: {TENANTS} tenants polled again after {took:?}; {lost} calls lost, {} answered",
        simulator.calls().len() - seen
    );
    // The time limit of the call that hangs, the back-off after it, and a wide margin.
    assert!(took < Duration::from_secs(50), "{protocol:?}: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_over_http1_is_not_used_again() {
    needs!("nginx");
    recovers_from_dead_connections(Protocol::Http1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_over_http2_is_not_used_again() {
    needs!("nginx");
    recovers_from_dead_connections(Protocol::Http2).await;
}
