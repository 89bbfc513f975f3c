//! As much of `PromQL` as the checks need: which series an expression selects.

use std::sync::LazyLock;

use regex::Regex;

/// A vector selector in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name as written, `_bucket` and the like included.
    pub metric: String,
    /// The matchers with their braces, or nothing.
    pub matchers: String,
    /// What is in brackets behind it, without them.
    pub range: Option<String>,
    /// The function whose argument starts with it, if any.
    pub function: String,
}

static SELECTOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?<function>[a-z_]+)?(?<open>\(\s*)?",
        r"\b(?<metric>(?:defender_|process_|job[a-z_]*:)[a-z0-9_:]+|up)\b",
        r#"(?<matchers>\{(?:[^}"]|"[^"]*")*\})?(?:\[(?<range>[^\]]*)\])?"#,
    ))
    .expect("it is a pattern")
});

/// All selectors of `expression`, in its order.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let text = |found: &regex::Captures<'_>, name| {
        found
            .name(name)
            .map_or_else(String::new, |part| part.as_str().to_owned())
    };
    SELECTOR
        .captures_iter(expression)
        .map(|found| Selector {
            metric: text(&found, "metric"),
            matchers: text(&found, "matchers"),
            range: found.name("range").map(|part| part.as_str().to_owned()),
            function: match found.name("open") {
                Some(_) => text(&found, "function"),
                None => String::new(),
            },
        })
        .collect()
}

/// The name in the catalogue that a metric of an expression belongs to.
pub fn family(metric: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| {
            let name = metric.strip_suffix(suffix)?;
            name.ends_with("_duration_seconds").then_some(name)
        })
        .unwrap_or(metric)
}

#[test]
fn selectors_are_found() {
    let found = selectors(
        "sum by (tenant) (rate(defender_api_requests_total{code=\"}\"}[5m])) / on (job) up and job_x:y:z",
    );
    let metrics: Vec<&str> = found.iter().map(|found| found.metric.as_str()).collect();
    assert_eq!(metrics, ["defender_api_requests_total", "up", "job_x:y:z"]);
    assert_eq!(found[0].function, "rate");
    assert_eq!(found[0].matchers, "{code=\"}\"}");
    assert_eq!(found[0].range.as_deref(), Some("5m"));
    let name = "defender_api_request_duration_seconds";
    assert_eq!(family(&format!("{name}_bucket")), name);
    assert_eq!(family("defender_scan_targets"), "defender_scan_targets");
}
