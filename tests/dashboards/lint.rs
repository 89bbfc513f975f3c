//! The rules that a dashboard keeps, those of Grafana's dashboard-linter and ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::lint_drawn::drawn;
use super::lint_queries::queries;

const TAG: &str = "defender-scan-exporter";
/// That of Grafana 11.0: later ones read it, and migrate what has changed since.
const SCHEMA_VERSION: u64 = 39;
/// Okabe and Ito's colours, which colour-blind people tell apart, and a grey.
/// `text` and `transparent` are quiet on light and on dark.
const PALETTE: [&str; 7] = [
    "#0072B2",
    "#E69F00",
    "#D55E00",
    "#56B4E9",
    "#999999",
    "text",
    "transparent",
];
/// Of Grafana's units those that fit what is shown here.
const UNITS: [&str; 8] = [
    "none",
    "short",
    "s",
    "bytes",
    "percentunit",
    "reqps",
    "suffix:h",
    "suffix:min",
];
/// The kinds of panels in use.
const KINDS: [&str; 5] = ["row", "stat", "table", "timeseries", "state-timeline"];
const BUILT_IN: [&str; 5] = [
    "__all_variables",
    "__rate_interval",
    "__range",
    "__url_time_range",
    "datasource",
];

/// All offences of a dashboard, in words.
pub fn lint(board: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    head(board, &mut faults);
    let variables = variables(board, &mut faults);
    let panels = panels(board);
    grid(&panels, &mut faults);
    for panel in &panels {
        let mut found = Vec::new();
        if panel["type"] != "row" {
            look(panel, &mut found);
            queries(panel, variables.contains("instance"), &mut found);
            drawn(panel, &mut found);
        }
        undefined(panel, &variables, &mut found);
        let title = panel["title"].as_str().unwrap_or_default();
        faults.extend(found.iter().map(|fault| format!("{title}: {fault}")));
    }
    faults
}

/// All panels, those inside of folded rows too.
pub fn panels(board: &Value) -> Vec<&Value> {
    let outer = list(&board["panels"]);
    outer
        .iter()
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .collect()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn head(board: &Value, faults: &mut Vec<String>) {
    let mut check = |fine: bool, fault: &str| {
        if !fine {
            faults.push(fault.to_owned());
        }
    };
    let uid = board["uid"].as_str().unwrap_or_default();
    check(uid.starts_with("defender-scan-") && uid.len() <= 40, "uid");
    check(
        board["title"]
            .as_str()
            .is_some_and(|title| title.starts_with("Defender scans: ")),
        "title",
    );
    check(
        board["description"]
            .as_str()
            .is_some_and(|text| text.len() > 20),
        "description",
    );
    check(board["schemaVersion"] == SCHEMA_VERSION, "schemaVersion");
    check(board["tags"] == serde_json::json!([TAG]), "tags");
    check(board["timezone"] == "browser", "timezone");
    check(board["editable"] == true, "not editable");
    check(board["refresh"] == "1m", "refresh");
    check(board["graphTooltip"] == 1, "graphTooltip");
    check(board.get("id").is_none(), "a fixed id");
    check(board.get("__inputs").is_none(), "inputs of an export");
    let by_tag = |link: &Value| {
        link["type"] == "dashboards"
            && link["tags"] == serde_json::json!([TAG])
            && link["keepTime"] == true
            && link["includeVars"] == true
    };
    check(
        list(&board["links"]).iter().any(by_tag),
        "no links by tag that keep variables and time",
    );
    let kinds = panels(board).into_iter().map(|panel| &panel["type"]);
    let needed = kinds.filter(|kind| **kind != "row").all(|kind| {
        let mut all = list(&board["__requires"]).iter();
        all.any(|found| found["type"] == "panel" && found["id"] == *kind)
    });
    check(
        needed && board["__elements"].is_object(),
        "grafana.com does not know what it requires",
    );
    for annotation in ["Exporter started", "New version", "Configuration loaded"] {
        let mut all = list(&board["annotations"]["list"]).iter();
        check(
            all.any(|found| found["name"] == annotation && found["enable"] == true),
            "an annotation is missing",
        );
    }
}

fn variables(board: &Value, faults: &mut Vec<String>) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for variable in list(&board["templating"]["list"]) {
        let name = variable["name"].as_str().unwrap_or_default();
        let mut check = |fine: bool, what: &str| {
            if !fine {
                faults.push(format!("variable {name}: {what}"));
            }
        };
        if name == "datasource" {
            check(variable["label"] == "Data source", "label");
            check(
                variable["type"] == "datasource" && variable["query"] == "prometheus",
                "type",
            );
            check(variable["current"].is_object(), "current");
        } else {
            check(variable["type"] == "query", "type");
            check(variable["refresh"] == 2, "refresh");
            check(
                variable["datasource"]["uid"] == "${datasource}",
                "data source",
            );
            // All of thousands of definitions at once would tell nothing.
            let all = name != "definition";
            check(variable["multi"] == all, "multi");
            let current = &variable["current"]["value"];
            check(
                all && *current == serde_json::json!(["$__all"]) || !all && current == "",
                "current",
            );
            check(variable["includeAll"] == all, "includeAll");
            check(!all || variable["allValue"] == ".+", "allValue");
            for used in used(&variable["query"]) {
                check(
                    known.contains(&used),
                    &format!("uses ${used}, which comes later or never"),
                );
            }
        }
        check(known.insert(name.to_owned()), "twice");
    }
    for needed in ["datasource", "job", "tenant"] {
        if !known.contains(needed) {
            faults.push(format!("variable {needed} is missing"));
        }
    }
    known
}

/// Names of the variables in any text of `value`.
fn used(value: &Value) -> BTreeSet<String> {
    static VARIABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\$\{?([A-Za-z_]+)(?:\.|:|\}|\b)").expect("it is a pattern"));
    let text = value.to_string();
    VARIABLE
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect()
}

fn undefined(panel: &Value, known: &BTreeSet<String>, faults: &mut Vec<String>) {
    for name in used(panel) {
        let data = ["__data", "__field"].contains(&name.as_str());
        if !data && !known.contains(&name) && !BUILT_IN.contains(&name.as_str()) {
            faults.push(format!("${name} is not defined"));
        }
    }
}

fn grid(panels: &[&Value], faults: &mut Vec<String>) {
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    let mut cells: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for panel in panels {
        let id = panel["id"].as_u64().unwrap_or(0);
        if id == 0 || !ids.insert(id) {
            faults.push(format!("panel id {id} is missing or there twice"));
        }
        let title = panel["title"].as_str().unwrap_or_default();
        if title.is_empty() || !titles.insert((title, panel["type"].as_str())) {
            faults.push(format!("panel {id}: title is missing or there twice"));
        }
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or(999);
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        if w == 0 || h == 0 || x + w > 24 || h > 30 {
            faults.push(format!("panel {id} is outside of the grid"));
            continue;
        }
        let all = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        if let Some(other) = all.into_iter().find_map(|cell| cells.insert(cell, id)) {
            faults.push(format!("panels {other} and {id} overlap"));
        }
    }
}

/// Type, texts, unit, thresholds, colours, mappings.
fn look(panel: &Value, faults: &mut Vec<String>) {
    let mut check = |fine: bool, fault: &str| {
        if !fine {
            faults.push(fault.to_owned());
        }
    };
    let defaults = &panel["fieldConfig"]["defaults"];
    let text = |value: &Value, least| value.as_str().is_some_and(|text: &str| text.len() >= least);
    let kind = panel["type"].as_str().unwrap_or_default();
    check(KINDS.contains(&kind), "type of panel");
    let description = panel["description"].as_str().unwrap_or_default();
    check(
        description.len() >= 40 && description.ends_with('.'),
        "no description that says what to do",
    );
    check(text(&defaults["noValue"], 5), "no text for no value");
    check(
        kind == "table"
            || defaults["unit"]
                .as_str()
                .is_some_and(|unit| UNITS.contains(&unit)),
        "unit is not a known one",
    );
    let steps = list(&defaults["thresholds"]["steps"]);
    check(
        !steps.is_empty() && steps[0]["value"].is_null(),
        "thresholds",
    );
    if steps.is_empty() {
        return;
    }
    let values: Vec<f64> = steps
        .iter()
        .filter_map(|step| step["value"].as_f64())
        .collect();
    check(values.is_sorted(), "thresholds are not in order");
    check(
        kind != "stat"
            || steps.len() > 1
            || defaults["mappings"].is_array()
            || list(&defaults["thresholds"]["steps"])[0]["color"] == "transparent",
        "a coloured value without thresholds",
    );
    for color in colors(panel) {
        check(
            PALETTE.contains(&color.as_str()),
            &format!("colour {color}"),
        );
    }
    let shows_codes = list(&panel["targets"]).iter().any(|target| {
        let expression = target["expr"].as_str().unwrap_or_default();
        expression.contains("defender_scan_status_code") && !expression.contains("bool")
    });
    if kind == "state-timeline" || (kind == "stat" && shows_codes) {
        check(defaults["mappings"].is_array(), "codes without words");
    }
    let mappings = panel["fieldConfig"].to_string();
    if mappings.contains("\"text\":\"partial\"") {
        for code in ["\"-1\":", "\"0\":", "\"1\":", "\"2\":"] {
            check(
                mappings.contains(code),
                &format!("no word for status {code}"),
            );
        }
    }
}

fn colors(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(color) if key == "color" || key == "fixedColor" => {
                    vec![color.clone()]
                }
                other => colors(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(colors).collect(),
        _ => Vec::new(),
    }
}
