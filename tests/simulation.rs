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

fn quiet(definitions: usize, batch: usize, hours: u64) -> Scenario {
    Scenario {
        definitions,
        batch,
        page: 10_000,
        hours,
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
    for (definitions, hours) in [(10, 96), (1_000, 48), (20_000, 12)] {
        let report = simulate(quiet(definitions, 1_000, hours));
        assert_eq!(report.violations, 0);
        assert!(report.undisturbed > 20, "{report:?}");
        assert!(report.excess <= 0.0, "{report:?}");
        assert!(report.ratio() <= 1.05, "{report:?}");
    }
}

#[test]
fn trouble_breaks_no_limit_and_costs_no_more_than_itself() {
    let scenario = Scenario {
        trouble: 100,
        restarts: 3,
        turnover: 20,
        ..quiet(3_000, 1_000, 48)
    };
    let report = simulate(scenario);
    assert_eq!(report.violations, 0);
    assert!(report.ratio() <= 1.05, "{report:?}");
    assert!(report.excess <= 0.0, "{report:?}");
}

#[test]
fn a_backlog_uses_the_budget_and_a_cold_start_takes_no_longer_than_it_must() {
    let scenario = Scenario {
        page: 500,
        ..quiet(5_000, 1, 9)
    };
    let report = simulate(scenario);
    assert_eq!(report.violations, 0);
    assert!(report.used() >= 0.97, "{report:?}");
    let cold_start = report.cold_start.expect("everything was fetched");
    let bound = report.cold_start_bound();
    assert!(cold_start <= bound.mul_f64(1.05), "{report:?}");
}
