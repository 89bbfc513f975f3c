use super::*;
use crate::model::{DefinitionId, Details, SessionErrors, SessionId, Targets};

const HOUR: i64 = 3_600_000;

/// When answers come: soon after all that happens in them.
const NOW: Timestamp = Timestamp::from_unix_millis(12 * HOUR);

fn at(hours: i64) -> Timestamp {
    Timestamp::from_unix_millis(hours * HOUR)
}

fn listed(latest: Option<(i64, ScanStatus)>) -> Definition {
    Definition {
        scan_name: "name".into(),
        interval: Some(Duration::from_hours(1)),
        latest: latest.map(|(hours, status)| Run {
            at: at(hours),
            status,
        }),
        ..Definition::unlisted(&DefinitionId::new("d"))
    }
}

fn session(id: &str, last_scanned: Option<i64>, status: ScanStatus) -> Session {
    Session {
        definition_id: DefinitionId::new("d"),
        id: (!id.is_empty()).then(|| SessionId::new(id)),
        last_scanned: last_scanned.map(at),
        status,
        details: Details {
            targets: Targets::new(Some(10), Some(7)),
            target_durations: vec![Duration::from_secs(3)],
            errors: None,
        },
    }
}

fn status(scan: &RunHistory) -> ScanStatus {
    scan.view().last_run.expect("it ran").status
}

use ScanStatus::{Failure, PartialSuccess, Success};

#[path = "runs/details_tests.rs"]
mod details;
#[path = "runs/statuses_tests.rs"]
mod statuses;

#[test]
fn the_list_counts_until_history_holds_the_run() {
    let mut scan = RunHistory::new(listed(Some((10, Success))));
    assert_eq!(status(&scan), Success);
    assert!(
        !scan
            .apply_history(&[session("a", Some(9), Failure)], NOW)
            .settled,
        "history lags behind"
    );
    assert_eq!(status(&scan), Success);
    assert!(
        scan.apply_history(
            &[
                session("b", Some(10), PartialSuccess),
                session("a", Some(9), Failure)
            ],
            NOW
        )
        .settled
    );
    assert_eq!(status(&scan), PartialSuccess);
    assert!(scan.apply_listing(listed(Some((11, Failure)))));
    assert_eq!(status(&scan), Failure, "a new run: the list's word again");
}

#[test]
fn order_and_duplicates_do_not_matter() {
    let mut scan = RunHistory::new(listed(Some((3, Success))));
    let newest = session("c", Some(3), PartialSuccess);
    scan.apply_history(
        &[
            session("a", Some(1), Failure),
            newest.clone(),
            newest,
            session("b", Some(2), Failure),
        ],
        NOW,
    );
    assert_eq!(status(&scan), PartialSuccess);
    assert_eq!(scan.view().targets.succeeded, Some(7));
}

#[test]
fn a_success_is_provisional_until_history_confirms_it() {
    let mut scan = RunHistory::new(listed(Some((10, Success))));
    assert_eq!(scan.view().last_success, Some(at(10)));
    scan.apply_history(
        &[
            session("a", Some(10), PartialSuccess),
            session("b", Some(4), Success),
        ],
        NOW,
    );
    assert_eq!(
        scan.view().last_success,
        Some(at(4)),
        "it was only a partial success"
    );
}

#[test]
fn an_unconfirmed_success_is_kept_when_the_next_run_fails() {
    let mut scan = RunHistory::new(listed(Some((10, Success))));
    scan.apply_listing(listed(Some((11, Failure))));
    assert_eq!(scan.view().last_success, Some(at(10)));
}

#[test]
fn sessions_without_a_time_go_by_first_sight() {
    let mut scan = RunHistory::new(listed(Some((1, Success))));
    let old = [
        session("a", None, PartialSuccess),
        session("b", None, Failure),
    ];
    assert!(
        scan.apply_history(&old, NOW).settled,
        "asking again would not tell which came last"
    );
    assert_eq!(status(&scan), Success, "several at once: the list's word");
    scan.apply_listing(listed(Some((2, Success))));
    assert!(
        !scan.apply_history(&old, NOW).settled,
        "history lags behind"
    );
    let [a, b] = old;
    assert!(
        scan.apply_history(&[b, session("c", None, PartialSuccess), a], NOW)
            .settled
    );
    assert_eq!(
        scan.view().last_run,
        Some(Run {
            at: at(2),
            status: PartialSuccess
        })
    );
}

#[test]
fn sessions_found_at_first_sight_are_not_counted_and_others_once() {
    let mut scan = RunHistory::new(listed(Some((1, Success))));
    let first = scan.apply_history(&[session("a", Some(1), Success)], NOW);
    assert_eq!(first.target_durations.len(), 1);
    assert_eq!(scan.view().sessions, SessionCounts::default());
    for _ in 0..2 {
        scan.apply_history(
            &[
                session("a", Some(1), Success),
                session("b", Some(2), Failure),
            ],
            NOW,
        );
    }
    assert_eq!(
        scan.view().sessions,
        SessionCounts {
            failure: 1,
            ..SessionCounts::default()
        }
    );
}

#[test]
fn first_sight_is_the_first_answer_with_sessions() {
    let mut scan = RunHistory::new(listed(Some((200, Success))));
    let past: Vec<_> = (0..200)
        .map(|hour| session(&hour.to_string(), Some(hour), Success))
        .collect();
    for answer in [&[], &[], &past[..], &[], &past[..]] {
        scan.apply_history(answer, NOW);
        assert_eq!(scan.view().sessions, SessionCounts::default());
    }
    scan.apply_history(&[session("200", Some(200), Failure)], NOW);
    assert_eq!(scan.view().sessions.failure, 1);
}

#[test]
fn sessions_without_an_id_are_known_by_their_time() {
    let mut scan = RunHistory::new(listed(None));
    scan.apply_history(&[session("", Some(1), Success)], NOW);
    scan.apply_history(
        &[
            session("", Some(1), Success),
            session("", Some(2), PartialSuccess),
        ],
        NOW,
    );
    assert_eq!(scan.view().sessions.partial_success, 1);
    assert_eq!(
        scan.view().last_run,
        Some(Run {
            at: at(2),
            status: PartialSuccess
        })
    );
}

#[test]
fn a_run_does_not_unhappen() {
    let mut scan = RunHistory::new(listed(Some((5, Failure))));
    assert!(!scan.apply_listing(listed(None)));
    assert!(!scan.apply_listing(listed(Some((4, Success)))));
    assert_eq!(
        scan.view().last_run,
        Some(Run {
            at: at(5),
            status: Failure
        })
    );
    assert!(
        scan.apply_listing(listed(Some((5, Success)))),
        "the same run, corrected"
    );
    assert!(!scan.apply_listing(listed(Some((5, Success)))));
    assert_eq!(status(&scan), Success);
}

#[test]
fn what_never_ran_has_no_run() {
    let mut scan = RunHistory::new(listed(None));
    assert!(scan.apply_history(&[], NOW).settled);
    assert_eq!(scan.view().last_run, None);
    assert_eq!(scan.view().last_success, None);
}

#[test]
fn sessions_that_are_still_in_the_answer_are_never_forgotten() {
    let mut scan = RunHistory::new(listed(None));
    // The service keeps the last 300, and names the newest first.
    for newest in 300..400 {
        let answer: Vec<_> = (newest - 300..newest)
            .rev()
            .map(|number| session(&number.to_string(), Some(number), Failure))
            .collect();
        scan.apply_history(&answer, NOW);
    }
    assert_eq!(scan.view().sessions.failure, 99, "each new one once");
}

#[test]
fn the_newest_sessions_are_remembered_once_each_and_corrected() {
    let mut scan = RunHistory::new(listed(None));
    let hours = |scan: &RunHistory| -> Vec<i64> {
        let times = scan.view().recent.to_vec();
        let times = times.iter().map(|session| session.at.expect("it has one"));
        times.map(|at| at.unix_millis() / HOUR).collect()
    };
    let many: Vec<Session> = (0..40)
        .rev()
        .map(|hour| session(&hour.to_string(), Some(hour), Success))
        .collect();
    scan.apply_history(&many, NOW);
    assert_eq!(hours(&scan), (8..40).collect::<Vec<_>>());
    scan.apply_history(
        &[
            session("40", Some(40), Failure),
            session("39", Some(39), PartialSuccess),
            session("40", Some(40), Failure),
        ],
        NOW,
    );
    assert_eq!(hours(&scan), (9..41).collect::<Vec<_>>());
    let view = scan.view();
    assert_eq!(view.recent[30].status, PartialSuccess);
    scan.apply_history(&[], NOW);
    assert!(
        Arc::ptr_eq(&view.recent, &scan.view().recent),
        "what did not change is shared"
    );
}

#[test]
fn what_a_listing_repeats_is_kept_once() {
    let mut scan = RunHistory::new(listed(None));
    let before = Arc::clone(scan.definition());
    assert!(scan.apply_listing(listed(Some((1, Success)))));
    let after = scan.definition();
    assert!(Arc::ptr_eq(&before.scan_name, &after.scan_name));
    let ids = [&before, after].map(|definition| definition.id.as_str().as_ptr());
    assert_eq!(ids[0], ids[1]);
    let mut renamed = listed(Some((1, Success)));
    renamed.scan_name = "other".into();
    scan.apply_listing(renamed);
    assert_eq!(&*scan.definition().scan_name, "other");
}

#[test]
fn sessions_without_a_time_stay_in_the_order_of_their_arrival() {
    let mut scan = RunHistory::new(listed(None));
    scan.apply_history(&[session("a", None, Success)], NOW);
    scan.apply_history(
        &[session("b", None, Failure), session("a", None, Success)],
        NOW,
    );
    let view = scan.view();
    let statuses: Vec<_> = view
        .recent
        .iter()
        .map(|known| known.status.clone())
        .collect();
    assert_eq!(statuses, [Success, Failure]);
}

#[test]
fn what_went_wrong_is_kept_of_the_newest_and_shared() {
    let mut scan = RunHistory::new(listed(None));
    let text = "x".repeat(1_000);
    let failed = |hour: i64| Session {
        details: Details {
            errors: Some(Arc::new(SessionErrors {
                general: Some(text.as_str().into()),
                targets: Vec::new(),
            })),
            ..Details::default()
        },
        ..session(&hour.to_string(), Some(hour), Failure)
    };
    let answer: Vec<_> = (0..40).map(failed).collect();
    scan.apply_history(&answer, NOW);
    let view = scan.view();
    let kept: Vec<_> = view
        .recent
        .iter()
        .map(|known| known.errors.is_some())
        .collect();
    assert_eq!(kept, [vec![false; 24], vec![true; 8]].concat());
    scan.apply_history(&answer, NOW);
    assert!(Arc::ptr_eq(&view.recent, &scan.view().recent));
    scan.apply_history(&[session("39", Some(39), Success)], NOW);
    assert_eq!(
        scan.view().recent[31].errors,
        None,
        "nothing went wrong after all"
    );
}

#[test]
fn a_reason_stays_with_its_run() {
    let reason = |scan: &RunHistory| {
        scan.view()
            .definition
            .failure_reason
            .as_deref()
            .map(str::to_owned)
    };
    let failed = |hours, text: Option<&str>| Definition {
        failure_reason: text.map(Arc::from),
        ..listed(Some((hours, Failure)))
    };
    let mut scan = RunHistory::new(failed(10, Some("ten")));
    scan.apply_listing(listed(None));
    assert_eq!(
        reason(&scan).as_deref(),
        Some("ten"),
        "an answer that lacks the run"
    );
    scan.apply_listing(failed(10, Some("else")));
    assert_eq!(reason(&scan).as_deref(), Some("else"));
    scan.apply_listing(failed(11, None));
    assert_eq!(reason(&scan), None);
}
