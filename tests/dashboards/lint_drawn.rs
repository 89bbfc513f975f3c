//! The linter's rules for what only a drawing shows: colours that are lost, columns that do
//! not hide, texts that do not fit.

use serde_json::Value;

use super::lint::list;

/// Width of a dashboard on the screen that it is laid out for, in pixels.
const SCREEN: f64 = 1600.0;
/// Height of one unit of the grid, in pixels.
const UNIT: f64 = 38.0;
/// Width of a character of a title or a column's name, in pixels.
const CHARACTER: f64 = 7.5;

fn pixels(panel: &Value) -> f64 {
    panel["gridPos"]["w"].as_f64().unwrap_or_default() / 24.0 * SCREEN
}

fn width(text: &str) -> f64 {
    let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    f64::from(characters) * CHARACTER
}

/// Offences of a panel that its drawing would show.
pub fn drawn(panel: &Value, faults: &mut Vec<String>) {
    let mut check = |fine: bool, fault: &str| {
        if !fine {
            faults.push(fault.to_owned());
        }
    };
    let defaults = &panel["fieldConfig"]["defaults"];
    let height = panel["gridPos"]["h"].as_f64().unwrap_or_default();
    let title = panel["title"].as_str().unwrap_or_default();
    // The mark of the description follows the title.
    check(
        width(title) + 56.0 <= pixels(panel),
        "the title does not fit",
    );
    let legend = &panel["options"]["legend"];
    check(
        legend["displayMode"] != "table" || legend["placement"] != "bottom" || height >= 10.0,
        "a legend as a table hides most of its rows",
    );
    check(
        defaults["custom"]["stacking"]["mode"] != "normal" || defaults["min"] == 0,
        "a stack that does not begin at 0",
    );
    for target in list(&panel["targets"]) {
        let expression = target["expr"].as_str().unwrap_or_default();
        let picks = expression.contains("topk(") || expression.contains("bottomk(");
        check(
            target["range"] != true || !picks || expression.contains("@ end()"),
            "a choice anew at each moment leaves fragments",
        );
        let polled = [
            "defender_api_",
            "defender_auth_",
            "defender_collector_",
            "defender_scan_",
        ];
        check(
            !expression.contains("$__rate_interval")
                || !polled.iter().any(|name| expression.contains(name)),
            "a window that is shorter than the time between polls",
        );
        let long = [
            ("last_age_seconds", "suffix:h"),
            ("silence_seconds", "suffix:h"),
            ("last_seen_timestamp", "suffix:h"),
            ("target_duration_seconds", "suffix:min"),
        ];
        let fits = |&(name, unit)| !expression.contains(name) || defaults["unit"] == unit;
        check(
            panel["type"] != "timeseries" || long.iter().all(fits),
            "an axis of hours or minutes in seconds has ticks of 1.39 hours",
        );
    }
    match panel["type"].as_str().unwrap_or_default() {
        "stat" => {
            check(
                panel["options"]["colorMode"] != "background",
                "a gradient mixes the colour with others",
            );
            check(
                list(&panel["targets"])
                    .iter()
                    .all(|target| target["instant"] == true),
                "a single value that costs a range",
            );
        }
        "state-timeline" => {
            check(
                defaults["color"]["mode"] == "fixed",
                "colours of mappings are lost in this mode",
            );
            let gaps = list(&defaults["mappings"])
                .iter()
                .any(|mapping| mapping["options"]["match"] == "null");
            check(gaps, "gaps stand in the legend as the text for no value");
            let rows = panel["options"]["perPage"].as_f64().unwrap_or(999.0);
            check(
                rows * 12.0 <= (height - 2.5) * UNIT,
                "labels of rows lie over each other",
            );
        }
        "table" => table(panel, &mut check),
        _ => {}
    }
}

fn property<'a>(override_: &'a Value, id: &str) -> &'a Value {
    let properties = list(&override_["properties"]);
    let found = properties.iter().find(|property| property["id"] == id);
    found.map_or(&Value::Null, |property| &property["value"])
}

fn table(panel: &Value, check: &mut impl FnMut(bool, &str)) {
    let overrides = list(&panel["fieldConfig"]["overrides"]);
    check(
        panel["fieldConfig"]["defaults"].get("unit").is_none(),
        "a unit for the whole table applies to names",
    );
    check(
        !panel["fieldConfig"].to_string().contains("custom.hideFrom"),
        "columns are hidden by custom.hidden",
    );
    let organize = list(&panel["transformations"])
        .iter()
        .find(|transformation| transformation["id"] == "organize");
    let options = organize.map_or(&Value::Null, |found| &found["options"]);
    let Some(columns) = options["indexByName"].as_object() else {
        return check(false, "columns without an order");
    };
    let of = |name: &str| {
        overrides
            .iter()
            .find(|found| found["matcher"]["options"] == name)
            .unwrap_or(&Value::Null)
    };
    let (mut fixed, mut free) = (0.0, 0.0_f64);
    for source in columns.keys() {
        let name = options["renameByName"][source].as_str().unwrap_or(source);
        let shown = property(of(name), "displayName");
        let shown = shown.as_str().unwrap_or(name);
        check(
            !source.starts_with("Value #") || property(of(name), "noValue").is_string(),
            "a cell without a value gets the text of an empty table",
        );
        let sorted = list(&panel["options"]["sortBy"])
            .iter()
            .any(|by| by["displayName"] == shown);
        let least = width(shown) + if sorted { 34.0 } else { 14.0 };
        if let Some(set) = property(of(name), "custom.width").as_f64() {
            check(
                set >= least,
                &format!("the name of column {shown} does not fit"),
            );
            fixed += set;
        } else {
            free += least.max(60.0);
        }
    }
    check(free > 0.0, "no column takes what is left of the width");
    check(
        fixed + free + 20.0 <= pixels(panel),
        "the columns are wider than the panel",
    );
}
