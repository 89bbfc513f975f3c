//! The linter's rules for queries: what they select, over which window, in which unit.

use std::collections::BTreeSet;

use defender_scan_exporter::exposition::catalog::{self, MetricType};
use serde_json::Value;

use super::lint::list;
use super::{promql, rules};

/// Windows of counters besides Grafana's own: those that a title names.
const WINDOWS: [&str; 7] = [
    "$__rate_interval",
    "$__range",
    "15m",
    "1h",
    "1d",
    "7d",
    "30d",
];

/// Offences of a panel's queries.
///
/// Only dashboards `by_instance` can be narrowed to some: recorded series have no instance.
pub fn queries(panel: &Value, by_instance: bool, faults: &mut Vec<String>) {
    let mut check = |fine: bool, fault: String| {
        if !fine {
            faults.push(fault);
        }
    };
    let recorded: Vec<String> = rules::rules()
        .into_iter()
        .filter(|rule| !rule.is_alert)
        .map(|rule| rule.name)
        .collect();
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
        named(expression, &mut check);
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
            if name == rules::LINKS {
                continue;
            }
            let instance = by_instance.then_some("instance=~\"$instance\"");
            for wanted in std::iter::once("job=~\"$job\"").chain(instance) {
                check(
                    selector.matchers.contains(wanted),
                    format!("{name} without {wanted}"),
                );
            }
            let metric = catalog::all().find(|known| known.name == promql::family(&name));
            let recorded = recorded.contains(&name);
            check(
                metric.is_some() || recorded || name == "up",
                format!("{name} does not exist"),
            );
            if recorded || metric.is_some_and(|metric| metric.labels.contains(&"tenant")) {
                check(
                    selector.matchers.contains("tenant=~\"$tenant\""),
                    format!("{name} without the tenant"),
                );
            }
            let Some(metric) = metric else { continue };
            let counts = matches!(metric.kind, MetricType::Counter | MetricType::Histogram);
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

/// Names may be empty: then the id stands in their place.
fn named(expression: &str, check: &mut impl FnMut(bool, String)) {
    let shows_names = ["defender_scan_definition_info", "scan_name"];
    let shows_names = shows_names.iter().all(|part| expression.contains(part));
    check(
        !shows_names || expression.contains("name_or_id"),
        "a definition without a name is not named by its id".to_owned(),
    );
}

/// The unit fits what the expression yields.
fn unit(panel: &Value, expression: &str, check: &mut impl FnMut(bool, String)) {
    let unit = panel["fieldConfig"]["defaults"]["unit"]
        .as_str()
        .unwrap_or_default();
    let first = promql::selectors(expression).into_iter().next();
    let Some(first) = first else { return };
    if ["table", "state-timeline"].contains(&panel["type"].as_str().unwrap_or_default()) {
        return;
    }
    let has = |text: &str| expression.contains(text);
    let shares = [
        "_quota_limit",
        "process_max_fds",
        "process_cpu_seconds_total",
    ];
    let fits = if has("/ 3600") {
        unit == "suffix:h"
    } else if has("/ 60") {
        unit == "suffix:min"
    } else if shares.iter().any(|name| has(name)) || has(":increase1h") && has(" / ") {
        unit == "percentunit"
    } else if has("rate(") && has("_requests_total") {
        unit == "reqps"
    } else if ["count(", "sum", "round("]
        .iter()
        .any(|start| expression.starts_with(start))
        || has("_age_seconds") && has("_interval_seconds")
    {
        ["none", "short"].contains(&unit)
    } else {
        match promql::family(&first.metric) {
            name if name.ends_with("_seconds") => unit == "s",
            name if name.ends_with("_bytes") => unit == "bytes",
            _ => ["none", "short"].contains(&unit),
        }
    };
    check(fits, format!("unit {unit} does not fit {}", first.metric));
}
