//! A month of polling in virtual time: the real plan and the real budget
//! against a simulated service, without sockets.
//!
//! `cargo run --release --example simulate` simulates one tenant for a month,
//! `cargo run --release --example simulate -- TENANTS DEFINITIONS SHARDS...` many tenants on shards.

mod fleet;
mod observer;
mod report;
mod run;
mod service;
mod world;

use report::Report;
use run::{Scenario, run};

fn main() {
    let numbers = std::env::args().skip(1).map(|text| text.parse());
    match numbers.collect::<Result<Vec<usize>, _>>().as_deref() {
        Ok([]) => one_tenant(),
        Ok([tenants, definitions, shards @ ..]) if !shards.is_empty() => {
            many_tenants(*tenants, *definitions, shards);
        }
        _ => eprintln!("expected TENANTS DEFINITIONS SHARDS..., as numbers"),
    }
}

fn many_tenants(tenants: usize, definitions: usize, shards: &[usize]) {
    println!("{}", fleet::HEADINGS);
    let sample = fleet::simulate(definitions);
    for shards in shards
        .iter()
        .filter_map(|shards| u32::try_from(*shards).ok())
    {
        println!("{}", fleet::share_out(&sample, tenants, shards));
    }
}

fn one_tenant() {
    println!("{}", Report::HEADINGS);
    let sizes = [
        (10, 1_000),
        (1_000, 1_000),
        (10_000, 1_000),
        (100_000, 1_000),
    ];
    let scarce = [(10_000, 10), (100_000, 50)];
    for (definitions, batch) in sizes.into_iter().chain(scarce) {
        let scenario = Scenario {
            definitions,
            batch,
            page: 10_000,
            hours: 30 * 24,
            trouble: 500,
            restarts: 24,
            turnover: 100,
            seed: 1,
        };
        println!("{}", run(scenario));
    }
}
