//! The rules: their form, their tests by promtool, and their runbooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use defender_scan_exporter::exposition::catalog;
use regex::Regex;
use saphyr::{LoadableYamlNode as _, Yaml};

use super::{promql, read, root};
use crate::common::tools::needs;

/// The record that holds the addresses that annotations link to.
pub const LINKS: &str = "defender_scan_exporter:links:info";
pub const RULES: &str = "alerts/defender-scan.rules.yml";
const TESTS: [&str; 6] = [
    "absence",
    "absence-slow",
    "exporter",
    "scans",
    "scans-slow",
    "traps",
];
/// After how many samples a new pod continues a series.
const CUT: usize = 26;
/// An alert or a recording rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub expr: String,
    pub is_alert: bool,
    pub severity: String,
    pub annotations: BTreeMap<String, String>,
}

fn text(node: &Yaml<'_>, key: &str) -> String {
    let value = node.as_mapping_get(key).and_then(Yaml::as_str);
    value.unwrap_or_default().to_owned()
}

fn items<'a, 'b>(node: &'a Yaml<'b>, key: &str) -> &'a [Yaml<'b>] {
    let value = node.as_mapping_get(key).and_then(Yaml::as_sequence);
    value.map_or(&[], Vec::as_slice)
}

/// All rules, in the order of the file.
pub fn rules() -> Vec<Rule> {
    let source = read(RULES);
    let documents = Yaml::load_from_str(&source).expect("it is YAML");
    let groups = items(&documents[0], "groups");
    let rules = groups.iter().flat_map(|group| items(group, "rules"));
    let rules = rules.map(|rule| {
        let alert = text(rule, "alert");
        let empty = Yaml::load_from_str("{}").expect("it is YAML").remove(0);
        let labels = rule.as_mapping_get("labels").unwrap_or(&empty);
        let annotations = rule.as_mapping_get("annotations").unwrap_or(&empty);
        let known = ["summary", "description", "runbook_url", "dashboard_url"];
        Rule {
            is_alert: !alert.is_empty(),
            name: if alert.is_empty() {
                text(rule, "record")
            } else {
                alert
            },
            expr: text(rule, "expr"),
            severity: text(labels, "severity"),
            annotations: known
                .map(|key| (key.to_owned(), text(annotations, key)))
                .into(),
        }
    });
    rules.collect()
}

fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.is_alert).collect()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("expected {command:?} to run, but found {error}; run tests/run.sh")
    })
}

fn succeeds(command: &mut Command) {
    let output = run(command);
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(output.status.success(), "{command:?}\n{said}");
}

#[test]
fn promtool_and_amtool_accept_the_files() {
    needs!("promtool", "amtool");
    succeeds(
        Command::new("promtool")
            .args(["check", "rules"])
            .arg(root().join(RULES)),
    );
    succeeds(
        Command::new("amtool")
            .arg("check-config")
            .arg(root().join("alerts/alertmanager.example.yml")),
    );
}

#[test]
fn each_alert_fires_and_resolves_as_its_tests_say() {
    needs!("promtool");
    std::thread::scope(|scope| {
        for name in TESTS {
            let file = root().join(format!("alerts/tests/{name}.yml"));
            scope.spawn(move || {
                succeeds(Command::new("promtool").args(["test", "rules"]).arg(file));
            });
        }
    });
}

/// Expands promtool's notation of values: `1+2x3`, `_x5`, `stale`.
fn expand(values: &str) -> Vec<String> {
    let item = Regex::new(r"^(?<from>-?[0-9.]+|_)(?<step>[+-][0-9.]+)?x(?<times>[0-9]+)$")
        .expect("it is a pattern");
    let mut all = Vec::new();
    for word in values.split_whitespace() {
        let Some(found) = item.captures(word) else {
            all.push(word.to_owned());
            continue;
        };
        let times: u32 = found["times"].parse().expect("it is a number");
        if &found["from"] == "_" {
            all.extend((0..times).map(|_| "_".to_owned()));
            continue;
        }
        let number = |name| -> f64 {
            let text = found.name(name).map_or("0", |part| part.as_str());
            text.parse().expect("it is a number")
        };
        let values = (0..=times).map(|time| number("from") + number("step") * f64::from(time));
        all.extend(values.map(|value| value.to_string()));
    }
    all
}

/// The tests, but each series has further labels of its target, and after `cut` of its
/// samples a new pod continues it. No record and no alert may have these labels.
fn with_pods(tests: &str, cut: usize) -> String {
    let series =
        Regex::new(r"\{series: '(?<name>[a-z_]+)\{(?<labels>.*)\}', values: '(?<values>[^']*)'\}")
            .expect("it is a pattern");
    let lines = tests.lines().map(|line| {
        let Some(found) = series.captures(line) else {
            return line.to_owned();
        };
        let values = expand(&found["values"]);
        let (before, after) = values.split_at(cut.min(values.len()));
        let pod = |name: &str, values: String| {
            format!(
                "      - {{series: '{}{{pod=\"{name}\",node=\"{name}-node\",image=\"i:{name}\",{}}}', values: '{values}'}}",
                &found["name"], &found["labels"]
            )
        };
        let gone = format!("{} stale", before.join(" "));
        if after.is_empty() {
            return pod("a", before.join(" "));
        }
        [
            pod("a", gone),
            pod("b", format!("_x{cut} {}", after.join(" "))),
        ]
        .join("\n")
    });
    let rules = format!("rule_files: [{}]", root().join(RULES).display());
    let of_target = ["pod", "node", "image"]
        .map(|label| format!("{{__name__=~\".*:.*|ALERTS.*\", {label}=~\".+\"}}"))
        .join(" or ");
    let times = ["30m", "80m"].map(|time| {
        format!("      - {{expr: '{of_target}', eval_time: {time}, exp_samples: []}}\n")
    });
    let records = format!("    promql_expr_test:\n{}", times.concat());
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("rule_files: [../defender-scan.rules.yml]", &rules)
        .replace(
            "    alert_rule_test:\n",
            &(records + "    alert_rule_test:\n"),
        )
}

/// Whatever labels a target has beside `job` and `instance` change nothing, nor does a
/// new pod under the same `instance`.
#[test]
fn labels_of_targets_and_a_new_pod_change_no_alert() {
    needs!("promtool");
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::thread::scope(|scope| {
        for name in ["exporter", "scans", "traps"] {
            let file = folder.path().join(format!("{name}.yml"));
            let tests = with_pods(&read(&format!("alerts/tests/{name}.yml")), CUT);
            assert!(tests.contains("pod=\"b\""));
            fs::write(&file, tests).expect("the folder can be written");
            scope.spawn(move || {
                succeeds(Command::new("promtool").args(["test", "rules"]).arg(file));
            });
        }
    });
}

/// In some test an alert is quiet, then fires, then is quiet again.
#[test]
fn no_alert_lacks_a_test() {
    // Not once it has resolved, but never again: nothing later can make it quiet.
    let lasting = BTreeSet::from(["quiet", "fires"]);
    let mut seen: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for name in TESTS {
        let source = read(&format!("alerts/tests/{name}.yml"));
        let documents = Yaml::load_from_str(&source).expect("it is YAML");
        for test in items(&documents[0], "tests") {
            let mut course: BTreeMap<String, Vec<(Duration, bool)>> = BTreeMap::new();
            for check in items(test, "alert_rule_test") {
                let at =
                    humantime::parse_duration(&text(check, "eval_time")).expect("it is a time");
                let fires = !items(check, "exp_alerts").is_empty();
                course
                    .entry(text(check, "alertname"))
                    .or_default()
                    .push((at, fires));
            }
            for (alert, mut course) in course {
                course.sort();
                let seen = seen.entry(alert).or_default();
                let first = course.iter().position(|(_, fires)| *fires);
                let Some(first) = first else { continue };
                seen.insert("fires");
                if first > 0 {
                    seen.insert("quiet");
                }
                if course[first..].iter().any(|(_, fires)| !fires) && first > 0 {
                    seen.insert("resolves");
                }
            }
        }
    }
    for alert in alerts() {
        let found = seen.remove(&alert.name).unwrap_or_default();
        assert!(
            found.is_superset(&lasting) && found.contains("resolves"),
            "{}: {found:?}",
            alert.name
        );
    }
    assert!(
        seen.is_empty(),
        "tests of alerts that do not exist: {seen:?}"
    );
}

#[test]
fn alerts_say_what_they_mean_and_lead_to_a_runbook() {
    let runbooks = read("docs/runbooks.md");
    let headings: Vec<&str> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## Defender"))
        .collect();
    let names: Vec<String> = alerts()
        .iter()
        .map(|alert| alert.name.replacen("Defender", "", 1))
        .collect();
    assert_eq!(
        headings, names,
        "one section for each alert, in the order of the rules"
    );
    for section in runbooks.split("\n## Defender").skip(1) {
        for part in [
            "**Meaning.**",
            "**Impact.**",
            "**Check.**",
            "**Fix.**",
            "**Silence.**",
        ] {
            assert!(section.contains(part), "{part} is missing in {section}");
        }
    }
    for alert in alerts() {
        let name = &alert.name;
        let said = |key: &str| alert.annotations[key].as_str();
        assert!(
            ["critical", "warning", "info"].contains(&alert.severity.as_str()),
            "{name}"
        );
        assert!(
            said("summary").contains("{{") && said("summary").ends_with('.'),
            "{name}: the title does not say of what"
        );
        assert!(
            said("description").contains("$labels.") && said("description").ends_with('.'),
            "{name}"
        );
        let base = |label: &str| {
            format!(
                "{{{{ with query \"{LINKS}\" }}}}{{{{ . | first | label \"{label}\" }}}}{{{{ end }}}}"
            )
        };
        assert_eq!(
            said("runbook_url"),
            format!("{}#{}", base("runbooks"), name.to_lowercase())
        );
        let board = ["definition", "fleet", "exporter"]
            .into_iter()
            .find(|board| {
                let uid = super::board(board)["uid"].as_str().map(str::to_owned);
                let path = format!("{}/d/{}?var-", base("grafana"), uid.unwrap_or_default());
                said("dashboard_url").starts_with(&path)
            });
        assert!(board.is_some(), "{name}: {}", said("dashboard_url"));
        for (label, text) in [
            ("tenant", "{{ $labels.tenant }}"),
            ("definition_id", "{{ $labels.scan_name }}"),
        ] {
            let carries = said("dashboard_url").contains(&format!("$labels.{label} "));
            assert!(
                !carries || said("summary").contains(text),
                "{name}: the title lacks {text}"
            );
        }
        if name.starts_with("DefenderScan") {
            assert_eq!(board, Some("definition"), "{name}");
            assert!(
                said("description").contains("{{ $labels.scan_name }}"),
                "{name}"
            );
            assert!(
                alert.expr.contains("defender_scan_active:named"),
                "{name} speaks of scans that are inactive or not fresh"
            );
        }
    }
}

#[test]
fn rules_use_what_exists() {
    let recorded: Vec<String> = rules()
        .into_iter()
        .filter(|rule| !rule.is_alert)
        .map(|rule| rule.name)
        .collect();
    for rule in rules() {
        let selectors = promql::selectors(&rule.expr);
        assert!(!selectors.is_empty() || rule.name == LINKS, "{}", rule.name);
        for selector in selectors {
            let known =
                catalog::all().any(|metric| metric.name == promql::family(&selector.metric));
            let known = known || recorded.contains(&selector.metric) || selector.metric == "up";
            assert!(known, "{}: {} does not exist", rule.name, selector.metric);
        }
    }
}

/// Grafana is told of a Prometheus, and of the folder that the documentation names.
#[test]
fn provisioning_names_what_the_documentation_says() {
    let folder = "deploy/grafana/provisioning";
    let sources = read(&format!("{folder}/datasources/prometheus.yml"));
    let sources = Yaml::load_from_str(&sources).expect("it is YAML");
    let source = &items(&sources[0], "datasources")[0];
    assert_eq!(text(source, "type"), "prometheus");
    assert_eq!(text(source, "url"), "$PROMETHEUS_URL");
    let providers = read(&format!("{folder}/dashboards/defender-scans.yml"));
    let providers = Yaml::load_from_str(&providers).expect("it is YAML");
    let provider = &items(&providers[0], "providers")[0];
    let options = provider.as_mapping_get("options").expect("it has options");
    let page = read("docs/dashboards.md");
    assert!(page.contains(&format!("`{}`", text(options, "path"))));
    assert!(page.contains("`PROMETHEUS_URL`"));
}
