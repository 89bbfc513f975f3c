//! What the page should say of the world.

use std::collections::BTreeMap;
use std::ops::Range;

use defender_simulator::{Outcome, Simulator};

/// Of each definition by tenant and id: whether it is active, and its last run's
/// moment in milliseconds with its status.
pub type Truth = BTreeMap<(String, String), (bool, Option<(i64, i64)>)>;

pub fn of_world(simulator: &Simulator, tenants: usize) -> Truth {
    let world = simulator.world();
    let mut truth = Truth::new();
    for tenant in 0..tenants {
        for known in world.definitions(tenant) {
            let run = known.latest().map(|run| {
                let status = match run.status {
                    Outcome::Success => 1,
                    Outcome::Partial => 2,
                    Outcome::Failure => 0,
                    Outcome::Other(_) | Outcome::Running => -1,
                };
                (run.at.unix_millis(), status)
            });
            let key = (format!("tenant-{tenant}"), known.id.clone());
            truth.insert(key, (known.active, run));
        }
    }
    truth
}

/// Whether targets are known of each of these tenants, whose history by definition tells none.
pub fn are_detailed(text: &str, mut tenants: Range<usize>) -> bool {
    tenants.all(|tenant| {
        let start = format!("defender_scan_targets{{tenant=\"tenant-{tenant}\"");
        text.lines().any(|line| line.starts_with(&start))
    })
}

pub fn of_page(text: &str) -> Truth {
    let mut truth = Truth::new();
    for name in ["active", "last_timestamp_seconds", "status_code"] {
        let start = format!("defender_scan_{name}{{");
        for line in text.lines().filter_map(|line| line.strip_prefix(&start)) {
            let (labels, value) = line.rsplit_once("} ").expect("it is a sample");
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\"")).expect("it has it");
                rest.split('"').next().expect("it ends").to_owned()
            };
            let value: f64 = value.parse().expect("it is a number");
            // It may have been met first in an answer that spelled it in upper case.
            let id = label("definition_id").to_lowercase();
            let known = truth.entry((label("tenant"), id));
            let (active, run) = known.or_default();
            #[expect(clippy::cast_possible_truncation, reason = "times and codes are small")]
            match name {
                "active" => *active = value > 0.0,
                "status_code" => run.get_or_insert_default().1 = value as i64,
                _ => run.get_or_insert_default().0 = (value * 1_000.0).round() as i64,
            }
        }
    }
    truth
}
