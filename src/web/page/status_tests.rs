use std::sync::Arc;

use super::super::super::tests::{NOW, definition, tenant};
use super::*;
use crate::clock::Clock;
use crate::polling::snapshot::Snapshot;

#[expect(clippy::unnecessary_wraps, reason = "ages are optional")]
fn hours(hours: u64) -> Option<Duration> {
    Some(Duration::from_hours(hours))
}

fn snapshot(definitions: Vec<DefinitionView>) -> Snapshot {
    let mut view = tenant("contoso", &Clock::anchored(NOW));
    view.definitions = definitions.into_iter().map(Into::into).collect();
    let snapshot = Snapshot::default();
    snapshot.publish(view);
    snapshot
}

fn ids(snapshot: &Snapshot, query: &str) -> String {
    let tenants = snapshot.read();
    let status = Status::new(&tenants, &Query::read(query), NOW);
    assert!(status.rows.len() <= PAGE && status.rows.len() <= status.matching);
    let ids = status
        .rows
        .iter()
        .map(|row| row.view.definition.id.as_str());
    ids.collect::<Vec<_>>().join(" ")
}

fn several() -> Snapshot {
    let mut inactive = definition("g", hours(900), ScanStatus::Failure);
    Arc::make_mut(&mut inactive.definition).is_active = false;
    let mut other = definition("c", hours(1), ScanStatus::PartialSuccess);
    Arc::make_mut(&mut other.definition).scan_type = Some(ScanType::Linux);
    Arc::make_mut(&mut other.definition).scan_name = "Zürich Core".into();
    other.targets.total = Some(4);
    snapshot(vec![
        definition("a", hours(1), ScanStatus::Success),
        definition("b", hours(9), ScanStatus::Success),
        other,
        definition("d", None, ScanStatus::Success),
        definition("e", hours(1), ScanStatus::Failure),
        definition("f", hours(20), ScanStatus::Failure),
        inactive,
        definition("h", hours(8), ScanStatus::Success),
        definition("i", hours(1), ScanStatus::Unknown("Odd".into())),
    ])
}

#[tokio::test]
async fn what_needs_attention_comes_first() {
    let snapshot = several();
    assert_eq!(ids(&snapshot, ""), "f e i c b d h a g");
    let tenants = snapshot.read();
    let status = Status::new(&tenants, &Query::default(), NOW);
    assert_eq!(status.overdue, 2, "8 hours are just twice the interval");
    assert_eq!(status.rows[0].overdue, hours(16), "since the run was due");
    assert_eq!(status.counts.map(|(_, count)| count), [2, 1, 1, 1, 3, 1]);
    assert_eq!((status.up(), status.definitions), (1, 9));
}

#[tokio::test]
async fn rows_are_chosen_and_sorted_as_the_url_says() {
    let snapshot = several();
    for (query, expected) in [
        ("order=desc", "g a h d b c i e f"),
        ("sort=name", "a b d e f g h i c"),
        ("sort=name&order=desc", "c i h g f e d b a"),
        ("sort=last", "e i c a h b f g d"),
        ("sort=last&order=desc", "g f b h e i c a d"),
        ("sort=overdue", "f b e i c d h a g"),
        ("sort=overdue&order=asc", "b f e i c d h a g"),
        ("sort=targets", "c f e i b d h a g"),
        ("sort=type", "c f e i b d h a g"),
        ("status=failed", "f e"),
        ("status=succeeded&overdue=1", "b"),
        ("type=Linux", "c"),
        ("q=ZÜRICH+core", "c"),
        ("q=core+dublin", ""),
        ("tenant=contoso&status=inactive", "g"),
        ("tenant=nobody", ""),
    ] {
        assert_eq!(ids(&snapshot, query), expected, "{query}");
    }
}

#[tokio::test]
async fn rows_come_in_pages_and_a_page_too_far_is_the_last() {
    let many = (0..=2 * PAGE).map(|number| {
        let id = format!("{number:04}");
        definition(&id, hours(1), ScanStatus::Success)
    });
    let snapshot = snapshot(many.collect());
    assert!(ids(&snapshot, "").starts_with("0000 0001 "));
    assert!(ids(&snapshot, "page=2").starts_with("0100 "));
    assert_eq!(ids(&snapshot, "page=3"), "0200");
    assert_eq!(ids(&snapshot, "page=18446744073709551615"), "0200");
    assert_eq!(ids(&snapshot, "page=7&q=0007"), "0007");
}

#[tokio::test]
async fn a_tenant_without_data_has_no_age_and_comes_first() {
    let clock = Clock::anchored(NOW);
    let snapshot = Snapshot::default();
    let mut old = tenant("a", &clock);
    old.health.definitions.last_success = Some(NOW - Duration::from_mins(7));
    let mut older = tenant("b", &clock);
    older.health.definitions.last_success = Some(NOW - Duration::from_mins(9));
    snapshot.publish(old);
    snapshot.publish(older);
    let tenants = snapshot.read();
    let status = Status::new(&tenants, &Query::default(), NOW);
    assert_eq!(status.data_age(), Some(Duration::from_mins(9)));
    let mut new = tenant("c", &clock);
    new.health.up = None;
    snapshot.publish(new);
    let tenants = snapshot.read();
    let status = Status::new(&tenants, &Query::default(), NOW);
    assert_eq!(status.data_age(), None);
    assert_eq!(status.tenants[0].view.name.as_str(), "c");
}
