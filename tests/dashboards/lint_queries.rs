//! The linter's rules for queries: what they select, over which window, in which unit.

use std::collections::BTreeSet;

use defender_scan_exporter::exposition::catalog::{self, Kind};
use serde_json::Value;

use super::lint::list;
use super::promql;

/// Windows of counters besides Grafana's own: those that a title names.
const WINDOWS: [&str; 4] = ["$__rate_interval", "1d", "7d", "30d"];

/// Offences of a panel's queries.
pub fn queries(panel: &Value, faults: &mut Vec<String>) {
    let mut check = |fine: bool, fault: String| {
        if !fine {
            faults.push(fault);
        }
    };
    let ours = |source: &Value| source["uid"] == "${datasource}" && source["type"] == "prometheus";
    check(ours(&panel["datasource"]), "data source".to_owned());
    let targets = list(&panel["targets"]);
    check(!targets.is_empty(), "no query".to_owned());
    let ids: BTreeSet<_> = targets
        .iter()
        .filter_map(|target| target["refId"].as_str())
        .collect();
    check(
        ids.len() == targets.len(),
        "a refId is missing or there twice".to_owned(),
    );
    for target in targets {
        let expression = target["expr"].as_str().unwrap_or_default();
        let selectors = promql::selectors(expression);
        check(
            ours(&target["datasource"]),
            "data source of a query".to_owned(),
        );
        check(!selectors.is_empty(), "a query of nothing".to_owned());
        check(
            target["legendFormat"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "no legend".to_owned(),
        );
        check(
            target["instant"] != target["range"],
            "a query is either instant or over a range".to_owned(),
        );
        check(
            panel["type"] != "table" || target["format"] == "table",
            "a table of something else".to_owned(),
        );
        for selector in selectors {
            let name = selector.metric;
            for wanted in ["job=~\"$job\"", "instance=~\"$instance\""] {
                check(
                    selector.matchers.contains(wanted),
                    format!("{name} without {wanted}"),
                );
            }
            let Some(metric) = catalog::all().find(|known| known.name == promql::family(&name))
            else {
                check(name == "up", format!("{name} does not exist"));
                continue;
            };
            if metric.labels.contains(&"tenant") {
                check(
                    selector.matchers.contains("tenant=~\"$tenant\""),
                    format!("{name} without the tenant"),
                );
            }
            let counts = matches!(metric.kind, Kind::Counter | Kind::Histogram);
            let rated = ["rate", "increase"].contains(&selector.function.as_str());
            check(
                counts == rated,
                format!(
                    "{name} is a {}, so rate or increase is wrong or missing",
                    metric.kind.as_str()
                ),
            );
            if rated {
                let range = selector.range.unwrap_or_default();
                check(WINDOWS.contains(&range.as_str()), format!("window {range}"));
            }
        }
        unit(panel, expression, &mut check);
    }
    let links = panel.to_string();
    if links.contains("defender-scan-definition?") {
        for part in [
            "var-tenant=",
            "var-definition=",
            "${datasource:queryparam}",
            "${__url_time_range}",
        ] {
            check(links.contains(part), format!("the link lacks {part}"));
        }
    }
}

/// The unit fits what the expression yields.
fn unit(panel: &Value, expression: &str, check: &mut impl FnMut(bool, String)) {
    let unit = panel["fieldConfig"]["defaults"]["unit"]
        .as_str()
        .unwrap_or_default();
    let first = promql::selectors(expression).into_iter().next();
    let Some(first) = first.filter(|_| panel["type"] != "state-timeline") else {
        return;
    };
    // A count of things, whatever is compared to find them.
    if expression.contains("bool") || expression.starts_with("count(") {
        return check(
            ["none", "short", "percentunit"].contains(&unit),
            format!("{unit} for a count"),
        );
    }
    if panel["type"] == "table" {
        return;
    }
    let fits = match (promql::family(&first.metric), first.function.as_str()) {
        (name, "rate") if name.ends_with("_requests_total") => unit == "reqps",
        ("process_cpu_seconds_total", _) => unit == "percentunit",
        (_, "increase") if expression.contains(" / ") => unit == "percentunit",
        (_, "increase") => unit == "none",
        (name, _)
            if name.contains("_last_age_seconds")
                && expression.contains("defender_scan_interval_seconds") =>
        {
            unit == "none"
        }
        (name, _) if name.ends_with("_seconds") => unit == "s",
        (name, _) if name.ends_with("_bytes") => unit == "bytes",
        (name, _) if name.contains("_quota_") || name == "up" || name.ends_with("_fds") => {
            unit == "percentunit"
        }
        ("defender_scan_targets_succeeded", _) if expression.contains("defender_scan_targets{") => {
            unit == "percentunit"
        }
        _ => ["none", "short"].contains(&unit),
    };
    check(fits, format!("unit {unit} does not fit {}", first.metric));
}
