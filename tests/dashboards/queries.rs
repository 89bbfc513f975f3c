//! Every query of every dashboard and rule, on a Prometheus that holds a day.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::day::{self, Day, Series};
use super::lint::{list, panels};
use super::rules::{self, Rule};
use super::values::{self, active, intervals, name};
use super::{board, boards, promql};
use crate::common::tools::needs;

/// Panels that rightly show nothing of this day, and why.
const EMPTY: [(&str, &str); 1] = [(
    "Certificates, the 10 that end first",
    "no client certificate is in use",
)];

/// Alerts that the day gives cause for. The others have promtool's tests alone.
const FIRE: [&str; 9] = [
    "DefenderScanStale",
    "DefenderScanNoSuccess",
    "DefenderScanFailing",
    "DefenderScanStatusUnknown",
    "DefenderAgentOffline",
    "DefenderPollFailing",
    "DefenderDataOld",
    "DefenderAgentsDataOld",
    "DefenderAuthenticationFailing",
];

/// Alerts that may fire or not: while polls fail, a token is renewed when the next try is due.
const MAY_FIRE: [&str; 1] = ["DefenderTokenExpired"];

#[tokio::test(flavor = "multi_thread")]
async fn every_query_finds_what_the_world_holds() {
    needs!("prometheus", "promtool");
    let day = day::live().await;
    everything_is_found(&day).await;
    values::fleet_equals_the_world(&day).await;
    values::lists_equal_the_world(&day).await;
    values::ratios_equal_the_world(&day).await;
    values::definition_equals_the_world(&day).await;
    values::exporter_equals_the_world(&day).await;
    definitions_can_be_chosen(&day).await;
    rules_find_what_went_wrong(&day).await;
}

/// An expression with variables replaced as Grafana does.
fn replaced(expression: &str, definition: &str) -> String {
    let mut text = expression.to_owned();
    for (name, value) in [
        ("$__rate_interval", "16m"),
        ("$__range", "86400s"),
        ("$job", ".+"),
        ("$instance", ".+"),
        ("$tenant", ".+"),
        ("$definition", definition),
    ] {
        text = text.replace(name, value);
    }
    text
}

/// What a panel's query yields.
pub async fn run(day: &Day, target: &Value, definition: &str) -> Vec<Series> {
    let expression = replaced(target["expr"].as_str().unwrap_or_default(), definition);
    let found = if target["instant"] == true {
        day.instant(&expression).await
    } else {
        day.range(&expression).await
    };
    found.unwrap_or_else(|error| panic!("{expression}\n{error}"))
}

async fn everything_is_found(day: &Day) {
    for (name, board) in boards() {
        for panel in panels(&board) {
            let title = panel["title"].as_str().unwrap_or_default();
            for target in list(&panel["targets"]) {
                let found = run(day, target, ".+").await;
                let empty = EMPTY.iter().any(|(known, _)| *known == title);
                assert_eq!(
                    found.is_empty(),
                    empty,
                    "{name}, {title}: {}",
                    target["expr"]
                );
                let numbers = found
                    .iter()
                    .flat_map(|series| &series.values)
                    .all(|value| !value.is_nan());
                assert!(
                    numbers || title.contains("target") || title.starts_with("Latency"),
                    "{name}, {title} shows no numbers"
                );
            }
        }
    }
}

/// Grafana matches the variable's pattern against text made of the series.
async fn definitions_can_be_chosen(day: &Day) {
    let definition = board("definition");
    let variables = list(&definition["templating"]["list"]);
    let variable = variables
        .iter()
        .find(|variable| variable["name"] == "definition")
        .expect("it is there");
    let query = variable["query"]["query"].as_str().unwrap_or_default();
    let inner = query
        .strip_prefix("query_result(")
        .and_then(|rest| rest.strip_suffix(')'));
    let inner = replaced(inner.expect("it asks for a result"), ".+");
    let pattern = variable["regex"]
        .as_str()
        .unwrap_or_default()
        .trim_matches('/');
    let pattern = Regex::new(pattern).expect("it is a pattern");
    let found = day.instant(&inner).await.expect("the query works");
    let chosen: BTreeSet<(String, String)> = found
        .iter()
        .map(|series| {
            let labels = series.labels.as_object().expect("labels are an object");
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", value.as_str().unwrap_or_default()))
                .collect();
            let text = format!("{{{}}} 1 1700000000000", labels.join(","));
            let found = pattern.captures(&text).unwrap_or_else(|| panic!("{text}"));
            (found["value"].to_owned(), found["text"].to_owned())
        })
        .collect();
    let all = day.world.iter().flat_map(|tenant| &tenant.definitions);
    let expected: BTreeSet<_> = all.map(|known| (known.id.clone(), name(known))).collect();
    assert_eq!(chosen, expected);
}

/// An expression with recorded series replaced by what they record.
fn expanded(expression: &str, records: &[Rule]) -> String {
    let mut text = expression.to_owned();
    for record in records.iter().rev() {
        text = text.replace(&record.name, &format!("({})", record.expr.trim()));
    }
    text
}

async fn rules_find_what_went_wrong(day: &Day) {
    let (alerts, records): (Vec<_>, Vec<_>) =
        rules::rules().into_iter().partition(|rule| rule.is_alert);
    let mut fired = BTreeSet::new();
    for rule in alerts.iter().chain(&records) {
        let expression = expanded(&rule.expr, &records);
        let found = day
            .range(&expression)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", rule.name));
        let may = MAY_FIRE.contains(&rule.name.as_str());
        if rule.is_alert && !found.is_empty() && !may {
            fired.insert(rule.name.as_str());
        }
        for selector in promql::selectors(&expression) {
            let plain = format!("{}{}", selector.metric, selector.matchers);
            let certificates = selector.metric.contains("certificate");
            let found = day.range(&plain).await.expect("the query works");
            assert_eq!(found.is_empty(), certificates, "{}: {plain}", rule.name);
        }
    }
    assert_eq!(fired, BTreeSet::from(FIRE));
    let stale = alerts
        .iter()
        .find(|rule| rule.name == "DefenderScanStale")
        .expect("it is there");
    let found = day
        .instant(&expanded(&stale.expr, &records))
        .await
        .expect("the query works");
    let expected: BTreeSet<String> = active(day)
        .iter()
        .filter(|(_, known)| intervals(known, day.end).is_some_and(|age| age > 2.0))
        .map(|(_, known)| known.id.clone())
        .collect();
    let found: BTreeSet<String> = found
        .iter()
        .map(|series| series.label("definition_id").to_owned())
        .collect();
    assert_eq!(found, expected);
}
