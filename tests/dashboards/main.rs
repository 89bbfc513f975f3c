//! The dashboards and the rules: their form, their types, and what their
//! queries yield on a real Prometheus that holds a simulated day.

mod coverage;
mod day;
mod faults;
mod golden;
mod lint;
mod lint_drawn;
mod lint_queries;
mod needs;
mod promql;
mod queries;
mod rules;
mod servers;
mod types;
mod values;
pub mod webhook;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

const NAMES: [&str; 3] = ["fleet", "definition", "exporter"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn board(name: &str) -> Value {
    let text = read(&format!("dashboards/{name}.json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn boards() -> Vec<(&'static str, Value)> {
    NAMES.iter().map(|name| (*name, board(name))).collect()
}

/// A program: `newer/…` is that of Debian's next release, which `tests/run.sh` gets.
fn program(name: &str) -> PathBuf {
    match name.strip_prefix("newer/") {
        Some(newer) => root().join("target/newer/usr/bin").join(newer),
        None => PathBuf::from(name),
    }
}
