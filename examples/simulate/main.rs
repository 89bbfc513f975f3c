//! A month of polling in virtual time: the real plan and the real budget
//! against a simulated service, without sockets.
//!
//! `cargo run --release --example simulate`

mod observer;
mod report;
mod run;
mod service;
mod world;

use report::Report;
use run::{Scenario, run};

fn main() {
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
