//! The linter catches what it is there for: one fault at a time is planted into
//! a dashboard that has none.

use serde_json::Value;

use super::lint::{lint, panels};
use super::{board, boards};

/// Where each fault is planted in the fleet dashboard, what is put there, and
/// what the linter must say.
fn planted() -> Vec<Value> {
    let text = super::read("tests/dashboards/faults.json");
    serde_json::from_str(&text).expect("it is JSON")
}

fn put(board: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = board.pointer_mut(pointer) {
        *place = value;
    } else {
        let (parent, key) = pointer.rsplit_once('/').expect("it is a pointer");
        board.pointer_mut(parent).expect("the parent is there")[key] = value;
    }
}

#[test]
fn the_dashboards_have_no_faults() {
    for (name, board) in boards() {
        assert_eq!(lint(&board), Vec::<String>::new(), "{name}");
        assert!(panels(&board).len() > 10, "{name}");
    }
}

#[test]
fn each_planted_fault_is_caught() {
    let clean = board("fleet");
    let faults = planted();
    assert!(faults.len() >= 20);
    for fault in faults {
        let word = |key: &str| fault[key].as_str().unwrap_or_default();
        let mut spoilt = clean.clone();
        put(&mut spoilt, word("at"), fault["put"].clone());
        let found = lint(&spoilt);
        assert!(
            found.iter().any(|found| found.contains(word("found"))),
            "{fault}: {found:?}"
        );
    }
}

#[test]
fn faults_of_other_panels_are_caught() {
    let spoil = |name: &str, from: &str, to: &str| {
        let text = board(name).to_string();
        assert!(text.contains(from), "{from}");
        lint(&serde_json::from_str(&text.replacen(from, to, 1)).expect("it is JSON"))
    };
    for (name, from, to, expected) in [
        ("definition", "\"-1\":{", "\"-2\":{", "no word for status"),
        (
            "fleet",
            "definition?${datasource:queryparam}&var-job=${__data.fields.job}&var-tenant=",
            "definition?${datasource:queryparam}&var-job=${__data.fields.job}&tenant=",
            "the link lacks var-tenant=",
        ),
        (
            "fleet",
            "\"format\":\"table\",",
            "",
            "a table of something else",
        ),
        (
            "exporter",
            "up{job=~\\\"$job\\\", instance=~\\\"$instance\\\"} == 0",
            "up{job=~\\\"$job\\\"} == 0",
            "without instance",
        ),
        (
            "exporter",
            "\"unit\":\"bytes\"",
            "\"unit\":\"s\"",
            "does not fit process_resident_memory_bytes",
        ),
        (
            "exporter",
            "\"unit\":\"reqps\"",
            "\"unit\":\"bytes\"",
            "does not fit defender_exporter_http_requests_total",
        ),
    ] {
        let found = spoil(name, from, to);
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{from}: {found:?}"
        );
    }
}
