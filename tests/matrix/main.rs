//! Every fault at every endpoint, from the start and in mid-life, over HTTP/2 and over
//! HTTP/1.1, on the real binary.
//!
//! An exporter has one tenant for each of many cells, and each tenant its own ports to
//! the simulator, so that they run beside each other. `MATRIX_ROWS` chooses rows by a
//! part of their name. `docs/reliability.md` keeps
//! the table; `docs_have_the_matrix` compares them.

#[path = "../common/mod.rs"]
mod common;

mod cell;
mod nginx;
mod report;
mod rows;
mod watch;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::tools::needs;
use common::{Exporter, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{Endpoint, Simulator};
use tokio::task::JoinSet;

use cell::{Bench, Cell, Place};
use report::Report;
use rows::Row;
use watch::Watch;

/// Cells beside each other: as many as two cores serve well.
const WAVE: usize = 90;
/// The most memory the exporter may ever have used, in MiB, with all tenants.
const MOST_MIB: u64 = 1_100;
/// The longest a scrape may take; far more than it does, as machines differ.
const SLOWEST_SCRAPE: Duration = Duration::from_secs(20);

/// A text that every error repeats, in place of a secret.
const CANARY: &str = "Xy8Q~Canary-0123456789abcdefABCDEF~_.x";

fn wall() -> SystemTime {
    let millis = Clock::system().wall().unix_millis();
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).expect("after 1970"))
}

/// The configuration of all cells, each a tenant with its own addresses.
fn configuration(simulator: &Simulator, cells: &[Cell]) -> String {
    let mut text = String::from("http: {ca_file: ca.pem, timeout: 10s}\ntenants:\n");
    for cell in cells {
        let identity = simulator.tenant(cell.tenant).expect("there is a tenant");
        let (api, authority) = cell.addresses();
        write!(
            text,
            "  - name: {}\n    tenant_id: {}\n    api_base_url: {api}\n    authority_host: {authority}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret: '{}'}}\n    \
             poll: {{definitions: {}, agents: 10s}}\n    quota: {{per_minute: 200, per_hour: 3000, use: 50%}}\n",
            cell.name(), identity.tenant_id, identity.client_id, identity.client_secret,
            cell.interval()
        )
        .expect("a string can be written");
    }
    text
}

/// Starts the exporter with name resolution of its own: names that the test can take away.
async fn start(folder: Arc<tempfile::TempDir>) -> Exporter {
    let path = folder.path().to_owned();
    fs::write(
        path.join("resolv.conf"),
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
    .expect("it can be written");
    Exporter::start_adjusted(folder, |command| {
        let mut inner = Command::new("unshare");
        inner.args(["--mount", "--map-root-user", "/bin/sh", "-c"]);
        inner.arg(
            "mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf && exec \"$0\" \"$@\"",
        );
        inner.arg(command.get_program()).args(command.get_args());
        inner.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        *command = inner;
    })
    .await
}

/// Waits for a moment with no call under way, when whatever the service has seen was counted.
/// Returns how many calls were counted that it did not see.
async fn all_is_counted(simulator: &Simulator, exporter: &Exporter, tenant: usize) -> usize {
    let seen = || {
        let calls = simulator.calls();
        let ours = calls.iter().filter(|call| call.tenant == Some(tenant));
        ours.filter(|call| call.endpoint != Endpoint::Token).count()
    };
    let labels = format!("defender_api_requests_total{{tenant=\"cell-{tenant}\"");
    let what = format!("all that cell-{tenant} sent is counted");
    eventually(&what, async || {
        let before = seen();
        let metrics = exporter.metrics().await;
        let ours = metrics.0.lines().filter(|line| line.starts_with(&labels));
        let counts = ours.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        let unseen = counts.sum::<usize>().checked_sub(before)?;
        (seen() == before).then_some(unseen)
    })
    .await
}

/// Runs the cells at these places beside each other.
async fn run(rows: &[Row], places: &[Place], report: &mut Report) {
    let mut options = options();
    (options.definitions, options.agents) = (3, 2);
    (options.per_minute, options.per_hour) = (100, 1_500);
    options.tenants = places.len();
    options.host_names = cell::host_names(rows, places);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let cells = cell::all(rows, places, &simulator, folder.path()).await;
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    };
    write("exporter.yml", &configuration(&simulator, &cells));
    write("ca.pem", simulator.ca_pem());

    let bench = Arc::new(Bench::new(simulator, folder.path()));
    for cell in &cells {
        bench.prepare(cell);
    }
    let mut exporter = start(Arc::clone(&folder)).await;
    let watch = Arc::new(Watch::start(exporter.url.clone()));
    let tenants = cells.len();
    let mut running = JoinSet::new();
    for cell in cells {
        let (bench, watch) = (Arc::clone(&bench), Arc::clone(&watch));
        running.spawn(async move {
            let result = cell.run(&bench, &watch).await;
            (cell, result)
        });
    }
    while let Some(finished) = running.join_next().await {
        let (cell, result) = finished.expect("a cell does not panic");
        if result.is_err() {
            let (log, name) = (exporter.process.output(), cell.name());
            let lines = log.lines().filter(|line| line.contains(&name));
            lines.for_each(|line| println!("{line}"));
        }
        report.add(&cell, result);
    }
    report.measured(exporter.process.id(), watch.slowest());

    assert!(exporter.process.is_running(), "it has ended");
    for tenant in 0..tenants {
        all_is_counted(&bench.simulator, &exporter, tenant).await;
    }
    let mut seen = exporter.process.output();
    for path in ["/", "/metrics", "/-/ready"] {
        seen += &exporter.get(path).await.1;
    }
    let secrets = bench.simulator.secrets();
    for secret in secrets.iter().chain([&CANARY.to_owned()]) {
        assert!(!seen.contains(secret), "{secret} leaked");
    }
    assert!(!seen.contains("panicked"), "{seen}");
    assert_eq!(bench.simulator.violations(), 0, "the quota is kept");
    assert_eq!(bench.simulator.misplaced(), 0, "a credential went astray");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_endpoint() {
    needs!("user namespaces", "mount", "nginx");
    let rows = Arc::new(rows::rows(CANARY, wall()));
    let mut report = Report::new(Arc::clone(&rows));
    let wanted = std::env::var("MATRIX_ROWS").unwrap_or_default();
    let mut places = cell::places(&rows);
    places.retain(|(row, ..)| rows[*row].name.contains(&wanted));
    for wave in places.chunks(WAVE) {
        run(&rows, wave, &mut report).await;
    }
    println!("{}", report.table());
    println!("{}", report.figures());
    report.assert_good();
    assert!(report.most_mib() <= MOST_MIB, "{} MiB", report.most_mib());
    assert!(report.slowest_scrape() <= SLOWEST_SCRAPE);
}

/// The page names what is run, and only that.
#[test]
fn docs_have_the_matrix() {
    let rows = Arc::new(rows::rows("", SystemTime::UNIX_EPOCH));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let table = Report::promised(&rows);
    for table in [table, nginx::promised()] {
        assert!(page.contains(&table), "docs/reliability.md lacks:\n{table}");
    }
}
