use std::time::Duration;

use regex::Regex;

use super::listing::{KEPT, MOST_VANISHED, MOST_VANISHED_BYTES};

use super::*;
use crate::budget::Limits;
use crate::clock::{Clock, Moment, Timestamp};
use crate::config::Rule;
use crate::model::{Details, Run, ScanStatus, ScanType};
use crate::schedule::Schedule;
use crate::store::{DefinitionState, Loaded, Stamp};

#[path = "details_tests.rs"]
mod details;

pub(super) fn tenant(filter: DefinitionFilter) -> KnownTenant {
    let clock = Clock::system();
    KnownTenant::new(
        TenantName::new("t"),
        TenantInfo::default(),
        filter,
        Budget::new(clock, Limits::new(1, 1)),
    )
}

pub(super) fn all() -> DefinitionFilter {
    DefinitionFilter {
        ids: Vec::new(),
        include: Rule::default(),
        exclude: Rule::default(),
        inactive: true,
        limit: usize::MAX,
    }
}

fn definition(id: &str, ran: bool) -> Definition {
    let latest = ran.then(|| Run {
        at: Timestamp::from_unix_millis(1),
        status: ScanStatus::Success,
    });
    let scan_type = Some(ScanType::Network);
    Definition {
        scan_name: id.into(),
        latest,
        scan_type,
        ..Definition::unlisted(&DefinitionId::new(id))
    }
}

const NOW: Timestamp = Timestamp::from_unix_millis(1);
const START: Moment = Moment {
    uptime: Uptime::from_boot(Duration::ZERO),
    wall: NOW,
};

fn ids(view: &TenantView) -> Vec<&str> {
    view.definitions
        .iter()
        .map(|view| view.definition.id.as_str())
        .collect()
}

fn session(id: &str) -> Session {
    Session {
        definition_id: DefinitionId::new("a"),
        id: Some(crate::model::SessionId::new(id)),
        last_scanned: Some(Timestamp::from_unix_millis(1)),
        status: ScanStatus::Success,
        details: Details::default(),
    }
}

#[test]
fn a_definition_that_vanishes_and_returns_keeps_its_counters() {
    let mut tenant = tenant(all());
    let now = START;
    let a = [DefinitionId::new("a")];
    tenant.apply_listing(vec![definition("a", true), definition("b", false)], now);
    tenant.apply_history(&a, &[session("1")], NOW);
    tenant.apply_history(&a, &[session("1"), session("2")], NOW);
    assert_eq!(ids(&tenant.view()), ["a", "b"]);
    tenant.apply_listing(vec![definition("b", false)], now);
    assert_eq!(ids(&tenant.view()), ["b"]);
    tenant.apply_listing(vec![definition("a", true), definition("b", false)], now);
    assert_eq!(tenant.view().definitions[0].sessions.success, 1);
    tenant.apply_listing(Vec::new(), now);
    tenant.apply_listing(Vec::new(), now + KEPT);
    tenant.apply_listing(vec![definition("a", true)], now + KEPT);
    assert_eq!(
        tenant.view().definitions[0].sessions.success,
        0,
        "forgotten after a day"
    );
}

#[test]
fn what_did_not_change_is_published_as_it_was() {
    let mut tenant = tenant(all());
    let now = START;
    let a = [DefinitionId::new("a")];
    let listed = || vec![definition("a", true), definition("b", false)];
    tenant.apply_listing(listed(), now);
    tenant.apply_history(&a, &[session("1")], NOW);
    let first = tenant.view();
    tenant.apply_listing(listed(), now);
    tenant.apply_history(&a, &[session("1")], NOW);
    let second = tenant.view();
    assert!(Arc::ptr_eq(&first.definitions, &second.definitions));
    tenant.apply_history(&a, &[session("1"), session("2")], NOW);
    let third = tenant.view();
    assert_eq!(third.definitions[0].sessions.success, 1);
    let [first, third] = [&first.definitions, &third.definitions];
    assert!(!Arc::ptr_eq(&first[0], &third[0]) && Arc::ptr_eq(&first[1], &third[1]));
    tenant.apply_listing(vec![definition("b", false), definition("c", true)], now);
    let fourth = tenant.view();
    assert_eq!(ids(&fourth), ["b", "c"]);
    assert!(Arc::ptr_eq(&third[1], &fourth.definitions[0]));
}

#[test]
fn a_first_listing_and_a_new_run_are_changes() {
    let mut tenant = tenant(all());
    let first = tenant.apply_listing(vec![definition("a", true), definition("b", false)], START);
    assert_eq!(first.changed, [DefinitionId::new("a")]);
    assert!(first.names_runs);
    let second = tenant.apply_listing(vec![definition("a", true), definition("b", true)], START);
    assert_eq!(second.changed, [DefinitionId::new("b")]);
    assert!(
        !tenant
            .apply_listing(vec![definition("c", false)], START)
            .names_runs
    );
}

#[test]
fn filters_choose_by_id_or_by_type_and_name() {
    let listed = || {
        vec![
            definition("core-1", true),
            definition("edge-1", true),
            definition("edge-2", true),
        ]
    };
    let name = |pattern: &str| Rule {
        names: [Regex::new(pattern).expect("it is a pattern")].into(),
        ..Rule::default()
    };
    let by_id = DefinitionFilter {
        ids: vec![DefinitionId::new("edge-2")],
        ..all()
    };
    let by_name = DefinitionFilter {
        include: name("^edge-.*$"),
        exclude: name("^edge-1$"),
        ..all()
    };
    for filter in [by_id, by_name] {
        let mut tenant = tenant(filter);
        tenant.apply_listing(listed(), START);
        assert_eq!(ids(&tenant.view()), ["edge-2"]);
    }
    let windows = Rule {
        scan_types: vec!["windows".into()],
        ..Rule::default()
    };
    let mut tenant = tenant(DefinitionFilter {
        include: windows,
        ..all()
    });
    tenant.apply_listing(listed(), START);
    assert!(tenant.view().definitions.is_empty());
}

#[test]
fn what_is_beyond_the_limit_is_left_out_and_displaces_nothing() {
    let mut tenant = tenant(DefinitionFilter { limit: 2, ..all() });
    let now = START;
    let listed = |ids: &[&str]| ids.iter().map(|id| definition(id, true)).collect();
    tenant.apply_listing(listed(&["c", "d"]), now);
    assert_eq!(tenant.health.dropped, 0);
    let news = tenant.apply_listing(listed(&["a", "b", "c", "d"]), now);
    assert_eq!(ids(&tenant.view()), ["c", "d"]);
    assert_eq!((tenant.health.dropped, news.appeared.len()), (2, 0));
    tenant.apply_listing(listed(&["a", "b", "d"]), now);
    assert_eq!(ids(&tenant.view()), ["a", "d"], "there is room for one");
    assert_eq!(tenant.health.dropped, 1);
    tenant.filter.limit = 1;
    tenant.apply_listing(listed(&["a", "b", "d"]), now);
    assert_eq!(ids(&tenant.view()), ["a"]);
    assert_eq!(tenant.health.dropped, 2);
}

/// A service whose ids, or names, change with each list: what is kept of those that vanished
/// is bounded in number and in bytes, the newest first, and the store forgets the rest.
#[test]
fn what_is_kept_of_the_vanished_is_bounded() {
    for (definitions, name) in [(3_000, 8), (300, 50_000)] {
        let mut tenant = tenant(all());
        let mut forgotten = 0;
        for list in 0..20_u64 {
            let listed = (0..definitions).map(|number| Definition {
                scan_name: "x".repeat(name).into(),
                ..definition(&format!("{list}-{number}"), false)
            });
            tenant.apply_listing(listed.collect(), START + Duration::from_secs(list));
            let gone = |id: &&DefinitionId| {
                !tenant.scans.contains_key(*id) && !tenant.vanished.contains_key(*id)
            };
            forgotten += tenant.unsaved.iter().filter(gone).count();
            tenant.unsaved.clear();
        }
        let bytes = |scans: &mut dyn Iterator<Item = &Box<RunHistory>>| -> usize {
            scans.map(|scan| scan.bytes()).sum()
        };
        let kept = bytes(&mut tenant.vanished.values().map(|(_, scan)| scan));
        let published = bytes(&mut tenant.scans.values());
        assert!(tenant.vanished.len() <= MOST_VANISHED.max(definitions));
        assert!(kept <= MOST_VANISHED_BYTES.max(published), "{kept}");
        assert!(!tenant.vanished.is_empty());
        let newest = tenant.vanished.values().map(|(at, _)| *at).max();
        assert_eq!(newest, Some(Uptime::from_boot(Duration::from_secs(19))));
        assert_eq!(forgotten + tenant.vanished.len(), 19 * definitions);
    }
}

#[test]
fn a_part_of_a_list_lets_nothing_vanish() {
    let mut tenant = tenant(all());
    let now = START;
    tenant.apply_listing(vec![definition("a", true), definition("b", true)], now);
    let news = tenant.add_definitions(vec![definition("b", true), definition("c", true)], now);
    assert_eq!(ids(&tenant.view()), ["a", "b", "c"]);
    assert_eq!(news.appeared, [DefinitionId::new("c")]);
    assert!(news.vanished.is_empty());
    let whole = vec![definition("b", true), definition("c", true)];
    assert_eq!(
        tenant.apply_listing(whole, now).vanished,
        [DefinitionId::new("a")]
    );
}

#[test]
fn a_part_of_a_list_keeps_to_the_limit() {
    let mut tenant = tenant(DefinitionFilter { limit: 3, ..all() });
    let now = START;
    tenant.apply_listing(vec![definition("x", true), definition("y", true)], now);
    let part = || ["a", "b", "y"].map(|id| definition(id, true)).to_vec();
    tenant.add_definitions(part(), now);
    assert_eq!(ids(&tenant.view()), ["a", "x", "y"]);
    assert_eq!(tenant.view().health.dropped, 1);
    tenant.add_definitions(vec![definition("x", true)], now);
    assert_eq!(tenant.view().health.dropped, 1, "the list goes on");
    tenant.apply_listing(part(), now);
    assert_eq!(ids(&tenant.view()), ["a", "b", "y"]);
    assert_eq!(tenant.view().health.dropped, 0);
}

#[test]
fn what_a_restart_left_without_history_is_asked_for_once_it_is_listed() {
    let clock = Clock::system();
    let poll = crate::config::Poll {
        definitions: Duration::from_mins(1),
        agents: Duration::ZERO,
        sweep: Duration::from_hours(24),
        sessions: false,
    };
    let mut schedule = Schedule::new(poll, clock.uptime(), 1);
    let mut tenant = tenant(all());
    let known = |id: &str| {
        let state = DefinitionState {
            scan: RunHistory::new(definition(id, true)),
            fetched: None,
            quarantined_until: None,
            vanished: None,
        };
        (DefinitionId::new(id), state)
    };
    let loaded = Loaded {
        definitions: vec![known("a"), known("b")],
        ..Loaded::default()
    };
    tenant.restore(&mut schedule, loaded, &clock);
    let now = clock.now();
    for (page, changed) in [("a", 1), ("b", 1), ("a", 0), ("b", 0)] {
        let news = tenant.add_definitions(vec![definition(page, true)], now);
        assert_eq!(news.changed.len(), changed, "{page}");
    }
}

#[tokio::test]
async fn a_saved_time_of_the_future_is_forgotten_whatever_the_clock_says_at_the_start() {
    let day = 86_400_000;
    let today = 20_000 * day;
    for (clock, saved, ran, known) in [
        (today, today, today - day, true),
        (today, today, 2 * today, false),
        // A machine whose clock begins anew until it has asked for the time.
        (day, today, today - day, true),
        (day, today, 2 * today, false),
    ] {
        let clock = Clock::anchored(Timestamp::from_unix_millis(clock));
        let mut listed = definition("a", true);
        listed.latest.as_mut().expect("it ran").at = Timestamp::from_unix_millis(ran);
        let state = DefinitionState {
            scan: RunHistory::new(listed),
            fetched: None,
            quarantined_until: None,
            vanished: None,
        };
        let mut tenant = tenant(all());
        let mut schedule = Schedule::new(crate::config::Poll::default(), clock.uptime(), 1);
        let stamp = Stamp::new(None, clock.uptime(), Timestamp::from_unix_millis(saved));
        let row = tenant.changes(&schedule, stamp, &clock).tenant;
        let loaded = Loaded {
            tenant: Some(row),
            definitions: vec![(DefinitionId::new("a"), state)],
            ..Loaded::default()
        };
        tenant.restore(&mut schedule, loaded, &clock);
        let last_run = tenant.view().definitions[0].last_run.clone();
        assert_eq!(last_run.is_some(), known, "{ran}");
    }
}

#[tokio::test]
async fn a_restart_does_not_move_when_counting_began() {
    let clock = Clock::anchored(NOW);
    let schedule = || Schedule::new(crate::config::Poll::default(), clock.uptime(), 1);
    let mut before = tenant(all());
    before.restore(&mut schedule(), Loaded::default(), &clock);
    before.apply_listing(vec![definition("a", true)], clock.now());
    let stamp = Stamp::new(None, clock.uptime(), clock.wall());
    let saved = before.changes(&schedule(), stamp, &clock);
    let rows = saved.definitions.into_iter();
    let loaded = Loaded {
        tenant: Some(saved.tenant),
        definitions: rows.filter_map(|(id, row)| Some((id, row?))).collect(),
        ..Loaded::default()
    };
    clock.jump(3_600_000);
    let later = clock.wall();
    let mut after = tenant(all());
    after.restore(&mut schedule(), loaded, &clock);
    let listed = vec![definition("a", true), definition("b", true)];
    after.apply_listing(listed, clock.now());
    let view = after.view();
    assert_eq!(view.health.created, before.view().health.created);
    assert!(view.health.created < Some(later));
    let created: Vec<_> = view.definitions.iter().map(|view| view.created).collect();
    assert_eq!(created[0], before.view().definitions[0].created);
    assert!(
        created[0] < Some(later) && created[1] >= Some(later),
        "{created:?}"
    );
}

#[test]
fn of_two_records_of_a_definition_the_later_run_counts() {
    let ran = |hours: i64| Definition {
        latest: Some(Run {
            at: Timestamp::from_unix_millis(hours * 3_600_000),
            status: ScanStatus::Failure,
        }),
        ..definition("a", true)
    };
    for listed in [[ran(2), ran(1)], [ran(1), ran(2)]] {
        let mut tenant = tenant(all());
        tenant.apply_listing(listed.to_vec(), START);
        let run = tenant.view().definitions[0]
            .last_run
            .clone()
            .expect("it ran");
        assert_eq!(run.at.unix_millis(), 2 * 3_600_000);
    }
}

#[test]
fn a_run_ahead_of_the_answer_gives_way_to_the_next_list_and_wants_history() {
    let ran = |hours: i64| Definition {
        latest: Some(Run {
            at: NOW + Duration::from_hours(24) - Duration::from_hours(24 - hours.unsigned_abs()),
            status: ScanStatus::Success,
        }),
        ..definition("a", true)
    };
    let mut tenant = tenant(all());
    tenant.heard_at(NOW);
    tenant.apply_listing(vec![ran(20)], START);
    tenant.apply_listing(vec![ran(0)], START);
    let run = tenant.view().definitions[0]
        .last_run
        .clone()
        .expect("it ran");
    assert_eq!(run.at, NOW);
}
