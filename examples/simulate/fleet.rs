//! Many tenants on several shards: how they are shared out, and what all tenants of one shard
//! ask of the service together. Each has a budget of its own, so each is simulated alone.

use std::collections::BTreeMap;
use std::time::Duration;

use defender_scan_exporter::model::TenantName;
use defender_scan_exporter::polling::shard::Shard;

use super::report::Report;
use super::run::{Scenario, as_f64, run};

/// Tenants that are simulated; the others do the same, only later.
const SAMPLE: usize = 20;
const HOURS: u64 = 6;
/// Between the first calls of two tenants, on average.
const SPREAD: Duration = Duration::from_millis(20);

/// Headings of the columns of [`share_out`].
pub const HEADINGS: &str = "| shards | tenants a shard | definitions, at most | calls a second | most in a second | tenants beyond a limit | tenants that move to one more shard |\n| --: | --: | --: | --: | --: | --: | --: |";

/// A day's quarter of tenants that all have so many definitions.
pub fn simulate(definitions: usize) -> Vec<Report> {
    let scenario = |seed| Scenario {
        definitions,
        batch: 1_000,
        page: 10_000,
        hours: HOURS,
        trouble: 500,
        restarts: 0,
        turnover: 100,
        seed,
    };
    (0..SAMPLE as u64).map(|seed| run(scenario(seed))).collect()
}

/// A row: so many tenants on so many shards.
pub fn share_out(sample: &[Report], tenants: usize, shards: u32) -> String {
    let names: Vec<_> = (0..tenants)
        .map(|number| TenantName::new(&format!("customer-{number}")))
        .collect();
    let owners = |shards| names.iter().map(move |name| owner(name, shards));
    let mut sizes = BTreeMap::<u32, usize>::new();
    for owner in owners(shards) {
        *sizes.entry(owner).or_default() += 1;
    }
    let moved = owners(shards).zip(owners(shards + 1));
    let moved = moved.filter(|(before, after)| before != after).count();
    let (least, most) = (sizes.values().min(), sizes.values().max());
    let (least, most) = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
    let definitions = sample
        .first()
        .map_or(0, |report| report.scenario.definitions);
    let beyond = sample.iter().filter(|report| report.violations > 0).count();
    let [mean, peak] = load(sample, most);
    format!(
        "| {shards} | {least} to {most} | {} | {mean:.1} | {peak} | {beyond} of {} | {moved} |",
        most * definitions,
        sample.len(),
    )
}

fn owner(name: &TenantName, shards: u32) -> u32 {
    let holds = |ordinal: &u32| Shard::new(*ordinal, shards).is_ok_and(|shard| shard.holds(name));
    (0..shards).find(holds).expect("each tenant has a shard")
}

/// Calls a second, on average and at most, of so many tenants after their first hour.
fn load(sample: &[Report], tenants: usize) -> [f64; 2] {
    let mut seconds = BTreeMap::<u64, usize>::new();
    let reports = sample.iter().cycle().take(tenants);
    for (report, start) in reports.zip((0..).map(|number| SPREAD * number)) {
        for arrival in &report.arrivals {
            *seconds.entry((*arrival + start).as_secs()).or_default() += 1;
        }
    }
    let seconds = seconds.split_off(&3_600);
    let all: usize = seconds.values().sum();
    let most = seconds.values().max().copied().unwrap_or(0);
    let length = seconds.last_key_value().map_or(1, |(last, _)| last - 3_599);
    [
        as_f64(all) / Duration::from_secs(length).as_secs_f64(),
        as_f64(most),
    ]
}
