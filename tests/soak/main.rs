//! Everything at once, in an order that a seed decides: faults, reloads, kills,
//! jumps of the wall clock, dead connections, silent name servers, fifty clients, and a
//! world that changes meanwhile. In the end the page equals the world, and nothing has grown.
//!
//! A minute here; `tests/measure/soak.sh` takes a quarter of an hour. `SOAK_SECONDS`
//! and `SOAK_SEED` choose.

#[path = "../common/mod.rs"]
mod common;

mod chaos;
mod clients;
mod truth;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::names::NETWORK;
use common::options;
use common::process::in_namespaces;
use common::tools::needs;
use defender_scan_exporter::clock::Clock;
use defender_simulator::Simulator;

use chaos::{ALL_TENANTS, BARE, Chaos};
use clients::Clients;

/// How long the page may take to equal the world, once nothing goes wrong any more: an
/// answer of 429 without a word means a pause of a minute, and back-off adds to it.
const SETTLING: Duration = Duration::from_mins(4);

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("it is a number"))
}

/// Open files, threads and MiB of memory of a process.
fn usage(process: u32) -> [u64; 3] {
    let folder = Path::new("/proc").join(process.to_string());
    let status = std::fs::read_to_string(folder.join("status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.expect("Linux says it")
            .parse::<u64>()
            .expect("it is a number")
    };
    let files = std::fs::read_dir(folder.join("fd"))
        .expect("it runs")
        .count();
    [files as u64, field("Threads:"), field("VmRSS:") / 1024]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_breaks_whatever_happens() {
    needs!("ip", "mount", "nginx", "libfaketime");
    let (seconds, seed) = (number("SOAK_SECONDS", 60), number("SOAK_SEED", 1));
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds}");
    let test = "nothing_breaks_whatever_happens";
    if !in_namespaces(&["--net", "--mount"], NETWORK, test) {
        return;
    }
    let mut options = options();
    (options.seed, options.tenants, options.definitions) = (seed, ALL_TENANTS, 12);
    (options.per_minute, options.per_hour) = (300, 15_000);
    options.bare_history = BARE;
    // Small pages and batches, so that rounds break off half-way.
    (options.page_size, options.max_batch, options.last_scanned) = (5, 4, true);
    let simulator = Arc::new(
        Simulator::start(options)
            .await
            .expect("the simulator starts"),
    );
    let mut chaos = Chaos::start(Arc::clone(&simulator), seed).await;
    let clients = Clients::start(50, &chaos.url());

    let clock = Clock::system();
    let phase = |share: f64| clock.uptime() + Duration::from_secs(seconds).mul_f64(share);
    chaos.run(phase(2.0 / 3.0), true).await;
    chaos.calm().await;
    let before = usage(chaos.process());
    chaos.run(phase(1.0 / 3.0), false).await;
    chaos.calm().await;
    chaos.settle(SETTLING).await;
    let answered = clients.stop().await;
    // Connections of clients close in their own time.
    let after = common::eventually("the clients' files are closed", async || {
        let after = usage(chaos.process());
        (after[0] <= before[0] + 10).then_some(after)
    })
    .await;

    println!("{}", chaos.summary());
    println!("{answered} scrapes; files, threads, MiB: {before:?}, at the end {after:?}");
    chaos.assert_clean();
    assert_eq!(simulator.violations(), 0, "the quota is kept");
    assert_eq!(simulator.misplaced(), 0, "a credential went astray");
    assert!(answered > 50, "clients were answered: {answered}");
    // Threads for blocking work come and go.
    assert!(
        after[1] <= before[1] + 60,
        "threads grow: {before:?} {after:?}"
    );
    assert!(
        after[2] <= before[2] + 48,
        "memory grows: {before:?} {after:?}"
    );
}
