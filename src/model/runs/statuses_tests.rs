//! Statuses that change: running, unknown, corrected.

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn word(text: &str) -> ScanStatus {
    ScanStatus::Unknown(text.into())
}

fn assert_ran(scan: &RunHistory, hours: i64, status: ScanStatus) {
    let run = Run {
        at: at(hours),
        status,
    };
    assert_eq!(scan.view().last_run, Some(run));
}

fn counted(scan: &RunHistory) -> [u32; 4] {
    let counts = scan.view().sessions;
    [
        counts.success,
        counts.partial_success,
        counts.failure,
        counts.unknown,
    ]
}

/// A definition whose run at 10 succeeded, as both say; sessions have a time, or not.
fn settled(timed: bool) -> RunHistory {
    let mut scan = RunHistory::new(listed(Some((10, Success))));
    assert!(
        scan.apply_history(&[session("a", timed.then_some(10), Success)], NOW)
            .settled
    );
    assert_ran(&scan, 10, Success);
    scan
}

#[test]
fn words_of_a_run_that_is_not_over() {
    for text in [
        "In Progress",
        "inProgress",
        "IN_PROGRESS",
        "Running",
        "Queued",
        "pending",
    ] {
        assert!(word(text).is_running(), "{text}");
    }
    for status in [
        word("Cancelled"),
        word(""),
        word("In Progress of"),
        Failure,
        Success,
    ] {
        assert!(!status.is_running(), "{status:?}");
    }
}

#[test]
fn a_running_session_leaves_the_run_before_it_and_counts_when_it_ends() {
    for timed in [true, false] {
        for end in [Failure, PartialSuccess, Success] {
            let mut scan = settled(timed);
            let time = |hours| timed.then_some(hours);
            let before = session("a", time(10), Success);
            let running = || listed(Some((11, word("In Progress"))));
            assert!(scan.apply_listing(running()), "history is to be asked");
            assert!(!scan.apply_listing(running()), "but once");
            let under_way = session("b", time(11), word("Running"));
            for _ in 0..2 {
                let learned = scan.apply_history(&[under_way.clone(), before.clone()], NOW);
                assert!(!learned.settled && learned.target_durations.is_empty());
                assert_ran(&scan, 10, Success);
                assert_eq!(counted(&scan), [0; 4]);
            }
            let over = [before, session("b", time(11), end.clone())];
            for fresh in [1, 0] {
                let learned = scan.apply_history(&over, NOW);
                assert!(learned.settled);
                assert_eq!(learned.target_durations.len(), fresh);
                assert_ran(&scan, 11, end.clone());
                assert_eq!(counted(&scan).iter().sum::<u32>(), 1);
            }
            assert_eq!(
                scan.view().last_success,
                Some(at(if end == Success { 11 } else { 10 }))
            );
            let listed_end = if end == Failure { Failure } else { Success };
            scan.apply_listing(listed(Some((11, listed_end))));
            scan.apply_history(&over, NOW);
            assert_ran(&scan, 11, end.clone());
        }
    }
}

#[test]
fn the_list_may_call_a_run_finished_that_history_calls_running() {
    for timed in [true, false] {
        let mut scan = settled(timed);
        scan.apply_listing(listed(Some((11, Success))));
        let time = timed.then_some(11);
        assert!(
            !scan
                .apply_history(&[session("b", time, word("queued"))], NOW)
                .settled
        );
        assert_eq!(status(&scan), Success, "the list's word");
        assert!(
            scan.apply_history(&[session("b", time, PartialSuccess)], NOW)
                .settled
        );
        assert_ran(&scan, 11, PartialSuccess);
    }
}

#[test]
fn what_runs_at_first_sight_shows_when_it_ends_and_is_not_counted() {
    for timed in [true, false] {
        let mut scan = RunHistory::new(listed(Some((11, word("Running")))));
        assert!(scan.wants_history());
        let time = timed.then_some(11);
        assert!(
            !scan
                .apply_history(&[session("a", time, word("Running"))], NOW)
                .settled
        );
        assert_eq!(scan.view().last_run, None);
        assert!(
            scan.apply_history(&[session("a", time, Failure)], NOW)
                .settled
        );
        assert_ran(&scan, 11, Failure);
        assert_eq!(counted(&scan), [0; 4]);
    }
}

#[test]
fn an_unknown_status_counts_as_unknown_after_a_day_and_then_stays_counted() {
    for timed in [true, false] {
        let mut scan = settled(timed);
        scan.apply_listing(listed(Some((11, Failure))));
        let time = timed.then_some(11);
        let odd = [session("b", time, word("Odd"))];
        for minutes in [0, 1, 60, 24 * 60 - 1] {
            let now = NOW + Duration::from_mins(minutes);
            assert!(!scan.apply_history(&odd, now).settled);
            assert_ran(&scan, 11, word("Odd"));
            assert_eq!(counted(&scan), [0; 4]);
        }
        for _ in 0..2 {
            assert!(scan.apply_history(&odd, NOW + DAY).settled);
            assert_eq!(counted(&scan), [0, 0, 0, 1]);
        }
        scan.apply_history(&[session("b", time, Success)], NOW + DAY);
        assert_eq!(status(&scan), Success);
        assert_eq!(counted(&scan), [0, 0, 0, 1], "a counter cannot go back");
    }
}

#[test]
fn a_clock_that_was_ahead_does_not_keep_a_session_open() {
    let mut scan = settled(true);
    let odd = [session("b", Some(11), word("Odd"))];
    scan.apply_history(&odd, NOW + DAY * 365);
    scan.apply_history(&odd, NOW);
    scan.apply_history(&odd, NOW + DAY);
    assert_eq!(counted(&scan), [0, 0, 0, 1]);
}

#[test]
fn what_vanishes_before_its_end_is_not_counted_until_it_is_back() {
    let mut scan = settled(true);
    let (a, b) = (
        session("a", Some(10), Success),
        session("b", Some(11), word("Odd")),
    );
    scan.apply_history(&[a.clone(), b], NOW);
    assert!(
        scan.apply_history(std::slice::from_ref(&a), NOW + DAY)
            .settled
    );
    assert_eq!(counted(&scan), [0; 4]);
    scan.apply_history(&[session("b", Some(11), Failure), a], NOW + DAY);
    assert_eq!(counted(&scan), [0, 0, 1, 0]);
}

#[test]
fn of_duplicates_the_final_status_counts() {
    let pair = [
        session("b", Some(11), word("Running")),
        session("b", Some(11), Failure),
    ];
    for order in [[0, 1], [1, 0]] {
        let mut scan = settled(true);
        assert!(
            scan.apply_history(&order.map(|place| pair[place].clone()), NOW)
                .settled
        );
        assert_ran(&scan, 11, Failure);
        assert_eq!(counted(&scan), [0, 0, 1, 0]);
    }
}

#[test]
fn a_run_that_ends_late_does_not_displace_a_newer_one() {
    let mut scan = settled(false);
    let a = session("a", None, Success);
    let b = |status| session("b", None, status);
    scan.apply_history(&[a.clone(), b(word("Running"))], NOW);
    scan.apply_listing(listed(Some((11, PartialSuccess))));
    let c = session("c", None, PartialSuccess);
    scan.apply_history(&[b(word("Running")), c.clone()], NOW);
    scan.apply_history(&[b(Failure), c], NOW);
    assert_ran(&scan, 11, PartialSuccess);
    assert_eq!(counted(&scan), [0, 1, 1, 0]);
}

#[test]
fn a_list_that_corrects_itself_is_believed_until_history_follows() {
    for timed in [true, false] {
        let mut scan = settled(timed);
        let answer = |status| [session("a", timed.then_some(10), status)];
        assert!(scan.apply_listing(listed(Some((10, Failure)))));
        assert!(!scan.apply_listing(listed(Some((10, Failure)))));
        for _ in 0..2 {
            assert!(scan.wants_history());
            assert_ran(&scan, 10, Failure);
            assert_eq!(scan.view().last_success, None);
            assert!(
                !scan.apply_history(&answer(Success), NOW).settled,
                "history is behind"
            );
        }
        assert!(
            scan.apply_history(&answer(Success), at(10) + DAY).settled,
            "for a day"
        );
        assert_ran(&scan, 10, Failure);
        assert!(
            scan.apply_history(&answer(PartialSuccess), NOW).settled,
            "or says more"
        );
        assert_ran(&scan, 10, PartialSuccess);
        assert!(scan.apply_listing(listed(Some((10, Success)))));
        assert!(
            scan.apply_history(&answer(PartialSuccess), NOW).settled,
            "no contradiction"
        );
        assert_ran(&scan, 10, PartialSuccess);
        assert_eq!(counted(&scan), [0; 4]);
    }
}

#[test]
fn history_that_corrects_itself_takes_a_success_back() {
    let mut scan = RunHistory::new(listed(Some((10, Success))));
    let answer = |newest| {
        [
            session("a", Some(8), Success),
            session("b", Some(9), Failure),
            session("c", Some(10), newest),
        ]
    };
    scan.apply_history(&answer(Success), NOW);
    assert_eq!(scan.view().last_success, Some(at(10)));
    scan.apply_history(&answer(Failure), NOW);
    assert_ran(&scan, 10, Failure);
    assert_eq!(scan.view().last_success, Some(at(8)));
    scan.apply_listing(listed(Some((11, Failure))));
    scan.apply_history(&[session("a", Some(8), Failure)], NOW);
    assert_eq!(scan.view().last_success, None);
}

#[test]
fn a_correction_of_an_earlier_run_is_left_to_history() {
    let mut scan = settled(true);
    scan.apply_history(&[session("b", Some(11), PartialSuccess)], NOW);
    assert!(scan.apply_listing(listed(Some((10, Failure)))));
    assert_ran(&scan, 11, PartialSuccess);
}
