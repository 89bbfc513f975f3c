//! `src/config/families.txt`: every metric family, and the alerts and dashboards that need it.
//! `metrics.exclude` warns by it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test suite dashboards::needs` writes it anew, and the names in
//! `src/config/schema.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use defender_scan_exporter::config::{Config, SCHEMA};
use defender_scan_exporter::exposition::catalog::{self, MetricType};
use serde_json::Value;

use super::rules::Rule;
use super::{boards, promql, read, root, rules};

const FAMILIES: &str = "src/config/families.txt";
const SCHEMA_FILE: &str = "src/config/schema.json";

/// The families and records that an expression selects.
fn selected(expression: &str) -> BTreeSet<String> {
    let found = promql::selectors(expression).into_iter();
    found
        .map(|selector| promql::family(&selector.metric).to_owned())
        .collect()
}

/// The same of all queries below `value`: of panels, variables and annotations.
fn queried(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(queried).collect(),
        Value::Object(entries) => {
            let below = |(key, value): (&String, &Value)| match value.as_str() {
                Some(text) if key == "expr" || key == "query" => selected(text),
                _ => queried(value),
            };
            entries.iter().flat_map(below).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// `names`, with what the records among them are made of.
fn with_sources(names: BTreeSet<String>, rules: &[Rule]) -> BTreeSet<String> {
    let mut known = names;
    loop {
        let records = rules.iter().filter(|rule| known.contains(&rule.name));
        let sources: BTreeSet<_> = records.flat_map(|rule| selected(&rule.expr)).collect();
        if sources.is_subset(&known) {
            return known;
        }
        known.extend(sources);
    }
}

/// Who needs a family, by its name.
fn users<'n>(
    of: impl Iterator<Item = (&'n str, BTreeSet<String>)>,
) -> BTreeMap<String, Vec<&'n str>> {
    let rules = rules::rules();
    let mut users = BTreeMap::<_, Vec<_>>::new();
    for (user, names) in of {
        for name in with_sources(names, &rules) {
            users.entry(name).or_default().push(user);
        }
    }
    users
}

fn families() -> String {
    let (rules, boards) = (rules::rules(), boards());
    let alerts = rules.iter().filter(|rule| rule.is_alert);
    let alerts = users(alerts.map(|rule| (rule.name.as_str(), selected(&rule.expr))));
    let boards = users(boards.iter().map(|(name, board)| (*name, queried(board))));
    let list = |users: &BTreeMap<String, Vec<&str>>, name: &str| {
        let mut names = users.get(name).cloned().unwrap_or_default();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let line = |metric: &catalog::Metric| {
        let name = metric.name;
        format!("{name} | {} | {}", list(&alerts, name), list(&boards, name))
            .trim_end()
            .to_owned()
            + "\n"
    };
    catalog::all().map(line).collect()
}

#[test]
fn what_needs_a_family_is_up_to_date() {
    let expected = families();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(FAMILIES), &expected).expect("the folder can be written");
    }
    assert!(
        read(FAMILIES) == expected,
        "{FAMILIES} is out of date: run this test with UPDATE_GOLDEN=1\n{expected}"
    );
}

/// What the table must say, read by hand from the rules and the dashboards.
#[test]
fn needs_are_followed_through_records_and_variables() {
    let families = families();
    let line = |name: &str| {
        let start = format!("{name} |");
        let line = families.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("{name} is not in\n{families}"))
    };
    assert!(line("defender_scan_last_age_seconds").contains("DefenderScanStale"));
    // By a record alone.
    assert!(line("defender_auth_errors_total").contains("DefenderTenantNotPolled"));
    // By a variable.
    assert!(line("defender_api_quota_limit").ends_with("definition, exporter, fleet"));
    assert_eq!(
        line("defender_scan_troubleshoot_mode"),
        "defender_scan_troubleshoot_mode |  |"
    );
}

#[test]
fn the_records_of_a_definition_are_counted() {
    let rules = rules::rules();
    let names = rules.iter().map(|rule| rule.name.as_str());
    let names: BTreeSet<_> = names
        .filter(|name| name.starts_with("job_tenant_definition:"))
        .collect();
    let documented = format!("up to {} further series a definition", names.len());
    assert!(
        read("docs/scaling.md").contains(&documented),
        "{documented}"
    );
}

/// The line of the schema with all names.
fn names_in_schema() -> String {
    let names: Vec<_> = catalog::all().map(|metric| metric.name).collect();
    let names = serde_json::to_string(&names).expect("names are JSON");
    format!(
        "    \"family\": {{ \"enum\": {} }},",
        names.replace(',', ", ")
    )
}

#[test]
fn the_schema_has_all_names() {
    let expected = names_in_schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines = SCHEMA.lines().map(|line| {
            let is_old = line.starts_with("    \"family\": ");
            if is_old { &expected } else { line }
        });
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        fs::write(root().join(SCHEMA_FILE), text).expect("the folder can be written");
    }
    assert!(
        read(SCHEMA_FILE).lines().any(|line| line == expected),
        "{SCHEMA_FILE} is out of date: run this test with UPDATE_GOLDEN=1"
    );
}

/// The configuration that excludes these, and the messages about it.
fn excluding(name: &str) -> Result<(Config, Vec<String>), String> {
    let text = format!(
        "tenants: [{{name: a, tenant_id: a.example, credential: {{type: azure_cli}}}}]\nmetrics: {{exclude: [{name}]}}"
    );
    let read = Config::parse(&text, "a.yml").map_err(|mistakes| mistakes.to_string());
    read.map(|(config, warnings)| {
        let warnings = warnings.iter().map(ToString::to_string);
        (config, warnings.collect())
    })
}

#[test]
fn all_families_can_be_excluded_at_once() {
    let names: Vec<_> = catalog::all().map(|metric| metric.name).collect();
    let (config, _) = excluding(&names.join(", ")).expect("there are no more than may be named");
    assert_eq!(config.metrics.excluded().count(), names.len());
}

#[test]
fn every_family_can_be_excluded_by_its_name_alone() {
    let families = families();
    for metric in catalog::all() {
        let name = metric.name;
        let (config, warnings) = excluding(name).expect(name);
        assert!(config.metrics.excluded().eq([name]));
        let unneeded = families.contains(&format!("{name} |  |\n"));
        assert_eq!(warnings.len(), usize::from(!unneeded), "{warnings:?}");
        // Its other names are mistakes, for which the right one is advised.
        let other = match metric.kind {
            MetricType::Histogram => format!("{name}_bucket"),
            _ => metric.family().to_owned(),
        };
        if other != name {
            let mistake = excluding(&other).expect_err(name);
            assert!(
                mistake.ends_with(&format!("; did you mean `{name}`?")),
                "{mistake}"
            );
        }
    }
}
