//! Every fault at every endpoint, from the start and in mid-life, on the real binary.
//!
//! One exporter has one tenant for each cell, and each tenant its own ports to the
//! simulator, so that all cells run beside each other. `docs/reliability.md` keeps
//! the table; `docs_have_the_matrix` compares them.

#[path = "../common/mod.rs"]
mod common;

mod cell;
mod report;
mod rows;
mod watch;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{Exporter, options};
use defender_scan_exporter::clock::Clock;
use defender_scan_exporter::simulator::Simulator;
use tokio::task::JoinSet;

use cell::{Bench, Cell};
use report::Report;
use watch::Watch;

/// The most memory the exporter may ever have used, in MiB, with all tenants.
const MOST_MIB: u64 = 700;
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
             poll: {{definitions: {}, agents: 10s}}\n    quota: {{per_minute: 100, per_hour: 1500, use: 100%}}\n",
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

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_endpoint() {
    let rows = Arc::new(rows::rows(CANARY, wall()));
    let mut options = options();
    (options.definitions, options.agents) = (3, 2);
    (options.per_minute, options.per_hour) = (100, 1_500);
    options.tenants = cell::count(&rows);
    options.host_names = cell::host_names(&rows);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let cells = cell::all(&rows, &simulator, folder.path()).await;
    fs::write(
        folder.path().join("exporter.yml"),
        configuration(&simulator, &cells),
    )
    .expect("the folder can be written");
    fs::write(folder.path().join("ca.pem"), simulator.ca_pem()).expect("the folder can be written");

    let bench = Arc::new(Bench::new(simulator, folder.path()));
    for cell in &cells {
        bench.prepare(cell);
    }
    let mut exporter = start(folder).await;
    let watch = Arc::new(Watch::start(exporter.url.clone()));
    let mut running = JoinSet::new();
    for cell in cells {
        let (bench, watch) = (Arc::clone(&bench), Arc::clone(&watch));
        running.spawn(async move {
            let result = cell.run(&bench, &watch).await;
            (cell, result)
        });
    }
    let mut report = Report::new(rows);
    while let Some(finished) = running.join_next().await {
        let (cell, result) = finished.expect("a cell does not panic");
        report.add(&cell, result);
    }
    let most = report::peak_mib(exporter.process.id());
    let slowest = watch.slowest();
    println!("{}", report.table());
    println!(
        "{} cells, peak memory {most} MiB, slowest scrape {slowest:?}",
        report.len()
    );
    println!("slowest recovery after {:?}", report.slowest_recovery());

    assert!(
        exporter.process.is_running(),
        "{}",
        exporter.process.output()
    );
    let mut seen = exporter.process.output();
    for path in ["/", "/metrics", "/-/ready"] {
        seen += &exporter.get(path).await.1;
    }
    for secret in bench.simulator.secrets().iter().chain([&CANARY.to_owned()]) {
        assert!(!seen.contains(secret), "{secret} leaked");
    }
    assert!(!seen.contains("panicked"), "{seen}");
    assert_eq!(bench.simulator.violations(), 0, "the quota is kept");
    assert!(most <= MOST_MIB, "{most} MiB");
    assert!(slowest <= SLOWEST_SCRAPE, "{slowest:?}");
    report.assert_good();
}

/// The page names what is run, and only that.
#[test]
fn docs_have_the_matrix() {
    let rows = Arc::new(rows::rows("", SystemTime::UNIX_EPOCH));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let table = Report::promised(&rows);
    assert!(page.contains(&table), "docs/reliability.md lacks:\n{table}");
}
