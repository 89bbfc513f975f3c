//! What the main panels show equals the simulated world.

use std::collections::BTreeMap;

use defender_simulator::Definition;
use serde_json::Value;

use super::board;
use super::day::{Day, Series, code};
use super::lint::{list, panels};
use super::queries::run;

/// What the panel's query `number` shows at the end of the day.
async fn shown(
    day: &Day,
    board: &Value,
    title: &str,
    number: usize,
    definition: &str,
) -> Vec<Series> {
    let panel = panels(board)
        .into_iter()
        .find(|panel| panel["title"] == title && panel["type"] != "row");
    let panel = panel.unwrap_or_else(|| panic!("there is no panel {title}"));
    let mut target = list(&panel["targets"])[number].clone();
    // The end of a range, as "last value" shows it.
    target["instant"] = Value::Bool(true);
    run(day, &target, definition).await
}

async fn one(day: &Day, board: &Value, title: &str, definition: &str) -> f64 {
    let found = shown(day, board, title, 0, definition).await;
    assert_eq!(found.len(), 1, "{title}: {found:?}");
    found[0].last()
}

/// What the dashboards call it.
pub fn name(definition: &Definition) -> String {
    if definition.name.is_empty() {
        definition.id.clone()
    } else {
        definition.name.clone()
    }
}

/// The active definitions with their tenant's name.
pub fn active(day: &Day) -> Vec<(String, Definition)> {
    let tenants = day.world.iter().enumerate();
    let all = tenants.flat_map(|(number, tenant)| {
        let definitions = tenant.definitions.iter().cloned();
        definitions.map(move |known| (format!("tenant-{number}"), known))
    });
    all.filter(|(_, known)| known.active && !retired(known, day.end))
        .collect()
}

/// Of the type that Microsoft retired, and not run for twice its interval.
fn retired(known: &Definition, end: f64) -> bool {
    known.scan_type == "Windows" && intervals(known, end).is_none_or(|age| age > 2.0)
}

/// The status of the newest run.
fn status(definition: &Definition) -> Option<i8> {
    definition.latest().map(|run| code(&run.status))
}

/// How many intervals ago a definition last ran.
pub fn intervals(definition: &Definition, end: f64) -> Option<f64> {
    let hours = f64::from(definition.interval_hours?);
    Some((end - definition.latest()?.at.unix_seconds()) / 3600.0 / hours)
}

fn count<T>(all: &[T], fits: impl Fn(&T) -> bool) -> f64 {
    let count = all.iter().filter(|one| fits(one)).count();
    f64::from(u32::try_from(count).expect("they are few"))
}

fn names(found: &[Series]) -> BTreeMap<(String, String), f64> {
    let named = |series: &Series| {
        (
            (
                series.label("tenant").to_owned(),
                series.label("scan_name").to_owned(),
            ),
            series.last(),
        )
    };
    found.iter().map(named).collect()
}

/// Equal, but for the time between the scrape and the end: ages are compared in thousands of
/// seconds, so ten seconds are allowed.
fn same(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() < 0.01,
        "{what}: expected {expected}, but found {found}"
    );
}

pub async fn fleet_equals_the_world(day: &Day) {
    let fleet = board("fleet");
    let known = active(day);
    let agents: Vec<_> = day.world.iter().flat_map(|tenant| &tenant.agents).collect();
    let with = |wanted: i8| count(&known, |(_, known)| status(known) == Some(wanted));
    let between = |low: f64, high: f64| {
        count(&known, |(_, known)| {
            intervals(known, day.end).is_some_and(|age| age > low && age <= high)
        })
    };
    let silent = count(&agents, |agent| agent.silent_from.is_some());
    // Where there is none, a query that counts something else might be right by chance.
    assert!(between(1.0, 2.0) > 0.0 && between(2.0, 3.0) > 0.0 && silent > 0.0);
    assert!([-1, 0, 1, 2].into_iter().all(|code| with(code) > 0.0));
    for (title, expected) in [
        ("Failing", with(0)),
        ("Partial", with(2)),
        ("Overdue", between(2.0, f64::INFINITY)),
        (
            "Never ran",
            count(&known, |(_, known)| known.runs.is_empty()),
        ),
        ("Not polled", 1.0),
        ("Active", count(&known, |_| true)),
    ] {
        same(one(day, &fleet, title, ".+").await, expected, title);
    }
    // Of those that are silent, those that active definitions need.
    let offline = one(day, &fleet, "Agents offline", ".+").await;
    assert!(offline > 0.0 && offline <= silent, "{offline} of {silent}");
    for (number, wanted) in [0, 2, -1].into_iter().enumerate() {
        let found = shown(day, &fleet, "Not successful", number, ".+").await;
        same(found[0].last(), with(wanted), "by status");
    }
    for (number, (low, high)) in [(2.0, f64::INFINITY), (1.5, 2.0)].into_iter().enumerate() {
        let found = shown(day, &fleet, "Late", number, ".+").await;
        same(found[0].last(), between(low, high), "by age");
    }
}

/// The lists name the definitions that they should, and no others.
pub async fn lists_equal_the_world(day: &Day) {
    let fleet = board("fleet");
    let known = active(day);
    let expected: BTreeMap<_, _> = known
        .iter()
        .filter_map(|(tenant, known)| {
            Some((
                (tenant.clone(), name(known)),
                intervals(known, day.end).filter(|age| *age > 2.0)?,
            ))
        })
        .collect();
    let found = names(&shown(day, &fleet, "Overdue, worst first", 0, ".+").await);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (key, age) in &expected {
        same(found[key], *age, "intervals");
    }
    let expected: BTreeMap<_, _> = known
        .iter()
        .filter_map(|(tenant, known)| {
            Some((
                (tenant.clone(), name(known)),
                f64::from(status(known).filter(|code| *code != 1)?),
            ))
        })
        .collect();
    assert_eq!(
        names(&shown(day, &fleet, "Failed or partial, most recent first", 0, ".+").await),
        expected
    );

    let tenant = |number: usize| {
        count(&known, |(tenant, known)| {
            *tenant == format!("tenant-{number}") && status(known) == Some(0)
        })
    };
    let found = shown(day, &fleet, "Tenants, most problems first", 3, ".+").await;
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|series| (series.label("tenant").to_owned(), series.last()))
        .collect();
    assert_eq!(
        found,
        BTreeMap::from([
            ("tenant-0".to_owned(), tenant(0)),
            ("tenant-1".to_owned(), tenant(1))
        ])
    );
}

/// Of all sessions of the day, those of inactive definitions too.
pub async fn ratios_equal_the_world(day: &Day) {
    let fleet = board("fleet");
    let definitions = day.world.iter().flat_map(|tenant| &tenant.definitions);
    let runs: Vec<_> = definitions
        .flat_map(|known| &known.runs)
        .filter(|run| run.finished.unix_seconds() > day.start + 10.0)
        .collect();
    let good = count(&runs, |run| code(&run.status) == 1);
    let all = count(&runs, |_| true);
    for title in ["Success, 24 h", "Success, 7 days", "Success, 30 days"] {
        let found = one(day, &fleet, title, ".+").await;
        assert!(
            (found - good / all).abs() < 0.05,
            "{title}: {found}, {good} of {all}"
        );
    }
}

pub async fn definition_equals_the_world(day: &Day) {
    let definition = board("definition");
    let known = active(day);
    let mut checked = 0;
    for (_, known) in &known {
        let Some(run) = known.latest() else { continue };
        let id = known.id.clone();
        same(
            one(day, &definition, "Status", &id).await,
            f64::from(code(&run.status)),
            "Status",
        );
        same(
            one(day, &definition, "Last run", &id).await / 1_000.0,
            (day.end - run.at.unix_seconds()) / 1_000.0,
            "Last run",
        );
        if let Some(age) = intervals(known, day.end) {
            same(
                one(day, &definition, "Age in intervals", &id).await,
                age,
                "Age in intervals",
            );
        }
        let success = known.runs.iter().rev().find(|run| code(&run.status) == 1);
        if let Some(success) = success {
            let expected = day.end - success.at.unix_seconds();
            same(
                one(day, &definition, "Last full success", &id).await / 1_000.0,
                expected / 1_000.0,
                "Last full success",
            );
        }
        if let (Some(targets), Some(succeeded)) = (run.targets, run.succeeded) {
            let expected = f64::from(targets - succeeded);
            same(
                one(day, &definition, "Targets missed", &id).await,
                expected,
                "Targets missed",
            );
        }
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}

pub async fn exporter_equals_the_world(day: &Day) {
    let exporter = board("exporter");
    for (title, expected) in [
        ("Exporters down", 0.0),
        ("Not polled", 1.0),
        ("Paused", 0.0),
        ("Invalid files", 0.0),
    ] {
        same(one(day, &exporter, title, ".+").await, expected, title);
    }
    assert!(one(day, &exporter, "Oldest data", ".+").await < 60.0);
    let definitions: Vec<_> = day.world[1].definitions.iter().collect();
    let found = shown(day, &exporter, "Tenants, oldest data first", 6, ".+").await;
    let found = found
        .iter()
        .find(|series| series.label("tenant") == "tenant-1");
    same(
        found.expect("it is there").last(),
        count(&definitions, |_| true),
        "definitions",
    );
    let calls = one(day, &exporter, "Hourly budget", ".+").await;
    assert!((0.0..1.0).contains(&calls), "{calls}");
}
