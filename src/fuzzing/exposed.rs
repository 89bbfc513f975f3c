//! From the wire to the page of metrics, and back by a parser that shares nothing
//! with the writer.

use std::collections::BTreeSet;

use crate::budget::{Budget, Limits};
use crate::clock::{Clock, Timestamp};
use crate::config::{DefinitionFilter, Poll};
use crate::defender;
use crate::exposition::{self, Format, SelfMetrics};
use crate::model::TenantName;
use crate::polling::snapshot::{Snapshot, TenantInfo};
use crate::polling::tenant::KnownTenant;
use crate::schedule::Schedule;
use crate::store;

/// Reads a list of definitions, writes it in both formats, and finds every name again.
pub(super) fn exposition(data: &[u8]) {
    let Some(listed) = defender::fuzzing::listed(data) else {
        return;
    };
    let clock = Clock::anchored(Timestamp::from_unix_millis(1_700_000_000_000));
    let budget = Budget::new(clock.clone(), Limits::new(1, 1));
    let name = TenantName::new("contoso");
    let mut tenant = KnownTenant::new(
        name,
        TenantInfo::default(),
        DefinitionFilter::default(),
        budget,
    );
    tenant.apply_listing(listed, clock.now());
    let view = tenant.view();
    let expected: BTreeSet<(String, String)> = view
        .definitions
        .iter()
        .map(|view| &view.definition)
        .map(|known| (known.id.to_string(), bounded(&known.scan_name)))
        .collect();
    let snapshot = Snapshot::default();
    snapshot.publish(view);
    let own = SelfMetrics::new(Timestamp::from_unix_millis(0));
    for format in [Format::Classic, Format::OpenMetrics] {
        let text = exposition::render(&snapshot.read(), &clock, &own, format);
        assert_eq!(names(&text), expected, "every name comes back as it was");
    }
}

/// A label as it should be.
fn bounded(text: &str) -> String {
    if text.chars().count() <= 512 {
        return text.to_owned();
    }
    text.chars().take(511).chain(['…']).collect()
}

/// Goes on from rows of these bytes, and shows what came of them.
pub(super) fn store_rows(data: &[u8]) {
    let clock = Clock::anchored(Timestamp::from_unix_millis(1_700_000_000_000));
    let loaded = store::fuzzing::loaded(data);
    if loaded.tenant.is_none() && loaded.definitions.is_empty() {
        return;
    }
    let budget = Budget::new(clock.clone(), Limits::new(1, 1));
    let name = TenantName::new("contoso");
    let mut tenant = KnownTenant::new(
        name,
        TenantInfo::default(),
        DefinitionFilter::default(),
        budget.clone(),
    );
    let mut schedule = Schedule::new(Poll::default(), clock.uptime(), 1);
    tenant.restore(&mut schedule, loaded, &clock);
    let _ = schedule.next(clock.uptime(), &budget);
    let snapshot = Snapshot::default();
    snapshot.publish(tenant.view());
    let own = SelfMetrics::new(Timestamp::from_unix_millis(0));
    for format in [Format::Classic, Format::OpenMetrics] {
        names(&exposition::render(&snapshot.read(), &clock, &own, format));
    }
}

/// Id and name of every definition on a page.
fn names(text: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for line in text
        .split('\n')
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, labels) = sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
        if name == "defender_scan_definition_info" {
            let label = |wanted: &str| {
                let value = labels.iter().find(|(name, _)| name == wanted);
                value.expect("it has the label").1.clone()
            };
            found.insert((label("definition_id"), label("scan_name")));
        }
    }
    found
}

/// Name and labels of a sample whose value is a number.
fn sample(line: &str) -> Option<(&str, Vec<(String, String)>)> {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?;
    value.parse::<f64>().ok().map(|_| (name, labels))
}

/// An escaped text up to its quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                same @ ('"' | '\\') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}
