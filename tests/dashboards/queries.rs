//! Every query of every dashboard and rule, on a Prometheus that holds a day.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::day::{self, Day, Series};
use super::lint::{list, panels};
use super::rules;
use super::values::{self, active, intervals, name};
use super::{board, boards, promql};
use crate::common::tools::needs;

/// Queries that rightly show nothing of this day: panel, metric, and why.
const EMPTY: [(&str, &str, &str); 3] = [
    (
        "Time to write state, 95 %",
        "store_commit",
        "what scrapes here keeps nothing on disk",
    ),
    (
        "Next expiry",
        "credential_expiry",
        "no certificate is in use, and nobody said when the secret ends",
    ),
    (
        "Expiring soon",
        "credential_expiry",
        "for the same reason, and all tokens are renewed",
    ),
];

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

/// What the rules ask for and the day does not have: certificates and the ends of secrets, what
/// was days ago, and exporters and a network that do not answer.
const ABSENT: [&str; 11] = [
    ":defender_tenant:explained",
    "certificate",
    "credential",
    ":offset1d",
    ":offset2d",
    ":offset3d",
    ":offset8d",
    ":offset1w",
    ":down",
    ":absent_seconds",
    ":defender_tenants_unreachable",
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
    needs!("target/newer/complete");
    let day = day.in_another("newer/prometheus").await;
    everything_is_found(&day).await;
    values::fleet_equals_the_world(&day).await;
}

/// An expression with variables replaced as Grafana does.
fn replaced(expression: &str, definition: &str) -> String {
    let mut text = expression.to_owned();
    for (name, value) in [
        ("$__rate_interval", "16m"),
        ("$__range", "86400s"),
        ("$__interval", "240s"),
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

/// Whether a query shows something; on the dashboard of one definition, for any of them.
async fn found(day: &Day, board: &str, target: &Value) -> Vec<Series> {
    let any = [".+".to_owned()];
    let all: Vec<String> = day
        .world
        .iter()
        .flat_map(|tenant| &tenant.definitions)
        .map(|known| known.id.clone())
        .collect();
    for definition in if board == "definition" {
        &all[..]
    } else {
        &any
    } {
        let found = run(day, target, definition).await;
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

async fn everything_is_found(day: &Day) {
    for (name, board) in boards() {
        for panel in panels(&board) {
            let title = panel["title"].as_str().unwrap_or_default();
            for target in list(&panel["targets"]) {
                let expression = target["expr"].as_str().unwrap_or_default();
                let found = found(day, name, target).await;
                let empty = EMPTY
                    .iter()
                    .any(|(known, metric, _)| *known == title && expression.contains(metric));
                assert_eq!(found.is_empty(), empty, "{name}, {title}: {expression}");
                let numbers = found
                    .iter()
                    .flat_map(|series| &series.values)
                    .all(|value| !value.is_nan());
                assert!(
                    numbers
                        || expression.contains("histogram_quantile")
                        || expression.contains(" / "),
                    "{name}, {title} shows no numbers"
                );
            }
        }
        for annotation in list(&board["annotations"]["list"]).iter().skip(1) {
            let expression = replaced(
                annotation["target"]["expr"].as_str().unwrap_or_default(),
                ".+",
            );
            day.range(&expression)
                .await
                .unwrap_or_else(|error| panic!("{name}, {expression}\n{error}"));
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
    let expected: BTreeSet<_> = day
        .world
        .iter()
        .enumerate()
        .flat_map(|(number, tenant)| {
            let definitions = tenant.definitions.iter();
            definitions.map(move |known| {
                (
                    known.id.clone(),
                    format!("{}, tenant-{number}", name(known)),
                )
            })
        })
        .collect();
    assert_eq!(chosen, expected);
}

async fn rules_find_what_went_wrong(day: &Day) {
    let mut fired = BTreeSet::new();
    for rule in rules::rules() {
        let found = day
            .range(&rule.expr)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", rule.name));
        let may = MAY_FIRE.contains(&rule.name.as_str());
        if rule.is_alert && !found.is_empty() && !may {
            fired.insert(rule.name.clone());
        }
        for selector in promql::selectors(&rule.expr) {
            let plain = format!("{}{}", selector.metric, selector.matchers);
            let absent = ABSENT.iter().any(|name| selector.metric.contains(name));
            let found = day.range(&plain).await.expect("the query works");
            assert_eq!(found.is_empty(), absent, "{}: {plain}", rule.name);
        }
    }
    assert_eq!(fired, BTreeSet::from(FIRE.map(str::to_owned)));
    let firing = "ALERTS{alertname=\"DefenderScanStale\", alertstate=\"firing\"}";
    let found = day.instant(firing).await.expect("the query works");
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
