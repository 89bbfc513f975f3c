//! Units and thresholds of all panels, pinned: a change of one is meant, or a mistake.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::lint::{list, panels};
use super::{boards, read, root};

const GOLDEN: &str = "tests/dashboards/looks.txt";

/// Values from which on a colour holds, the first from the start.
fn steps(thresholds: &Value) -> String {
    let steps = list(&thresholds["steps"]).iter();
    let steps = steps.map(|step| {
        let from = &step["value"];
        format!("{from} {}", step["color"].as_str().unwrap_or_default())
    });
    steps.collect::<Vec<_>>().join(", ")
}

fn looks() -> String {
    let mut text = String::new();
    for (name, board) in boards() {
        for panel in panels(&board) {
            if panel["type"] == "row" {
                continue;
            }
            let fields = &panel["fieldConfig"];
            let title = panel["title"].as_str().unwrap_or_default();
            let mut line = |what: &str, unit: &Value, thresholds: &Value| {
                let unit = unit.as_str().unwrap_or("-");
                writeln!(
                    text,
                    "{name} | {title}{what} | {unit} | {}",
                    steps(thresholds)
                )
                .expect("a string can be written");
            };
            line(
                "",
                &fields["defaults"]["unit"],
                &fields["defaults"]["thresholds"],
            );
            for override_ in list(&fields["overrides"]) {
                let property = |id: &str| {
                    let mut all = list(&override_["properties"]).iter();
                    all.find(|property| property["id"] == id)
                        .map_or(&Value::Null, |property| &property["value"])
                };
                let (unit, thresholds) = (property("unit"), property("thresholds"));
                if !unit.is_null() || !thresholds.is_null() {
                    let field = override_["matcher"]["options"].as_str().unwrap_or_default();
                    line(&format!(", {field}"), unit, thresholds);
                }
            }
        }
    }
    text
}

#[test]
fn units_and_thresholds_are_those_that_were_meant() {
    let looks = looks();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(GOLDEN), &looks).expect("the file can be written");
    }
    for (found, meant) in looks.lines().zip(read(GOLDEN).lines()) {
        assert_eq!(
            found, meant,
            "{GOLDEN}: run with UPDATE_GOLDEN=1 if it is meant"
        );
    }
    assert_eq!(
        looks,
        read(GOLDEN),
        "{GOLDEN}: run with UPDATE_GOLDEN=1 if it is meant"
    );
}
