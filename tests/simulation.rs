//! Days of polling in virtual time; `examples/simulate` does a month.

#[path = "../examples/simulate/observer.rs"]
mod observer;
#[path = "../examples/simulate/report.rs"]
mod report;
#[path = "../examples/simulate/run.rs"]
mod run;
#[path = "../examples/simulate/service.rs"]
mod service;
#[path = "../examples/simulate/world.rs"]
mod world;

use report::Report;
use run::{Scenario, run};

fn quiet(definitions: usize, batch: usize, days: u64) -> Scenario {
    Scenario {
        definitions,
        batch,
        page: 10_000,
        days,
        trouble: 0,
        restarts: 0,
        turnover: 0,
        seed: 7,
    }
}

fn simulate(scenario: Scenario) -> Report {
    let report = run(scenario);
    println!("{}\n{report}", Report::HEADINGS);
    report
}

#[test]
fn in_steady_state_delays_and_calls_keep_to_their_bounds() {
    for (definitions, days) in [(10, 4), (1_000, 3), (20_000, 1)] {
        let report = simulate(quiet(definitions, 1_000, days));
        assert_eq!(report.violations, 0);
        assert!(report.undisturbed > 20, "{report:?}");
        assert!(report.excess <= 0.0, "{report:?}");
        assert!(report.ratio() <= 1.05, "{report:?}");
    }
}
