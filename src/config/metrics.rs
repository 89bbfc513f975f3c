//! The section `metrics`: what is published.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use config_report::{ConfigReport, Reported, YamlValue, collect_all, excerpt, expected};

use crate::clock::Timestamp;

/// The keys of the section.
pub(super) const KEYS: &[&str] = &["exclude", "created_timestamps"];

/// The most names in a list: more than there are.
const MOST: usize = 100;

/// All families, as tests write them from the catalogue, the rules and the dashboards: one a
/// line, with the alerts and the dashboards that need it.
const FAMILIES: &str = include_str!("families.txt");

/// The families that can be named. The catalogue is of a higher level than this module.
static KNOWN: LazyLock<Vec<(&str, Needed)>> =
    LazyLock::new(|| FAMILIES.lines().filter_map(Needed::parse).collect());

/// What needs a family: names with commas between them, or nothing.
#[derive(Clone, Copy, Debug)]
struct Needed {
    name: &'static str,
    alerts: &'static str,
    dashboards: &'static str,
}

/// Which metric families are published: all but those that are excluded. Clones share the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    excluded: Arc<BTreeSet<&'static str>>,
    /// Whether `OpenMetrics` says when counters and histograms began, by lines of their own.
    pub created_timestamps: bool,
}

impl Metrics {
    /// All metrics but these, by the names that they have in the catalogue.
    #[must_use]
    pub fn without(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            excluded: Arc::new(names.into_iter().collect()),
            ..Self::default()
        }
    }

    /// The same, and when counters began.
    #[must_use]
    pub fn with_created_timestamps(self, created_timestamps: bool) -> Self {
        Self {
            created_timestamps,
            ..self
        }
    }

    /// Whether the family of that name is published.
    #[must_use]
    pub fn publishes(&self, name: &str) -> bool {
        !self.excluded.contains(name)
    }

    /// When something began to be counted, where that is to be said.
    #[must_use]
    pub fn created(&self, at: Option<Timestamp>) -> Option<Timestamp> {
        at.filter(|_| self.created_timestamps)
    }

    /// The names of the families that are not published, in alphabetical order.
    pub fn excluded(&self) -> impl Iterator<Item = &'static str> {
        self.excluded.iter().copied()
    }
}

impl Needed {
    /// Reads `NAME | ALERT, ALERT | DASHBOARD, DASHBOARD`.
    fn parse(line: &'static str) -> Option<(&'static str, Self)> {
        let mut parts = line.split('|').map(str::trim);
        let name = parts.next()?;
        let needed = Self {
            name,
            alerts: parts.next()?,
            dashboards: parts.next()?,
        };
        Some((name, needed))
    }

    /// Who misses the family if it is not published, in words.
    fn losers(self) -> Option<String> {
        let of_kind = |kind: &str, names: &str| {
            let names: Vec<_> = names.split(", ").filter(|name| !name.is_empty()).collect();
            let (last, rest) = names.split_last()?;
            Some(if rest.is_empty() {
                format!("by the {kind} {last}")
            } else {
                format!("by the {kind}s {} and {last}", rest.join(", "))
            })
        };
        let kinds = [("alert", self.alerts), ("dashboard", self.dashboards)];
        let kinds = kinds.into_iter();
        let losers: Vec<_> = kinds
            .filter_map(|(kind, names)| of_kind(kind, names))
            .collect();
        (!losers.is_empty()).then(|| losers.join(", and "))
    }
}

/// The metrics that no shipped alert and no dashboard needs, in the order of the catalogue.
pub fn unneeded_metrics() -> impl Iterator<Item = &'static str> {
    let unneeded = KNOWN.iter().filter(|(_, needed)| needed.losers().is_none());
    unneeded.map(|(name, _)| *name)
}

/// What is published.
pub(super) fn read(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<Metrics, Reported> {
    let mut section = value.mapping(report, "a mapping with `exclude` or `created_timestamps`")?;
    let exclude = section.take("exclude");
    let excluded = exclude.map(|value| read_names(&value, report)).transpose();
    let created = section.take("created_timestamps");
    let created = created.map(|value| value.boolean(report)).transpose();
    section.finish(report);
    let metrics = Metrics::without(excluded?.unwrap_or_default());
    Ok(metrics.with_created_timestamps(created?.unwrap_or_default()))
}

fn read_names(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<BTreeSet<&'static str>, Reported> {
    let items = value.list(report, "a list of metric names")?;
    if items.len() > MOST {
        let what = format!("at most {MOST} names");
        let text = expected(&what, &items.len().to_string(), "list each name once");
        return Err(value.error(report, text));
    }
    collect_all(items.iter().map(|item| read_name(item, report)))
}

fn read_name(item: &YamlValue<'_>, report: &mut ConfigReport) -> Result<&'static str, Reported> {
    let what = "the name of a metric as docs/metrics.md lists it";
    let text = item.text(report, what)?;
    if let Some(name) = by_other_name(text) {
        let advice = format!("did you mean `{name}`?");
        return Err(item.error(report, expected(what, &excerpt(text), &advice)));
    }
    let advice = "write one of these names in full";
    let family = item.choice_of_many(report, what, advice, &KNOWN)?;
    if let Some(losers) = family.losers() {
        let name = family.name;
        let text = format!(
            "`{name}` is needed {losers}; remove it from this list unless you use none of them"
        );
        item.warn(report, text);
    }
    Ok(family.name)
}

/// The family that `OpenMetrics` calls `text`, or that has series of that name.
fn by_other_name(text: &str) -> Option<&'static str> {
    let is_family = |name: &str| {
        let mut endings = ["_total", "_info"].iter();
        name.strip_prefix(text)
            .is_some_and(|ending| endings.any(|known| *known == ending))
    };
    let is_series = |name: &str| {
        let mut endings = ["_bucket", "_sum", "_count"].iter();
        text.strip_prefix(name)
            .is_some_and(|ending| endings.any(|known| *known == ending))
    };
    let mut names = KNOWN.iter().map(|(name, _)| *name);
    names.find(|name| is_family(name) || is_series(name))
}
