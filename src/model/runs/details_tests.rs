//! Sessions that are asked for by their ids.

use super::*;
use crate::model::SessionDetails;

/// What history by definition tells where it tells little.
fn bare(id: &str, hours: i64, status: ScanStatus) -> Session {
    Session {
        details: Details::default(),
        ..session(id, Some(hours), status)
    }
}

/// What history by session tells of one.
fn details(id: &str, succeeded: u32) -> SessionDetails {
    SessionDetails {
        id: SessionId::new(id),
        details: Details {
            targets: Targets::new(Some(10), Some(succeeded)),
            target_durations: vec![Duration::from_secs(3)],
            errors: None,
        },
    }
}

fn wanted(learned: &Learned) -> Vec<&str> {
    learned.bare.iter().map(SessionId::as_str).collect()
}

#[test]
fn only_new_sessions_that_are_over_and_of_which_too_little_is_told_are_asked_for() {
    let mut scan = RunHistory::new(listed(None));
    let a = bare("a", 1, Success);
    assert!(
        wanted(&scan.apply_history(std::slice::from_ref(&a), NOW)).is_empty(),
        "first sight"
    );
    let b = |status| bare("b", 2, status);
    let running = ScanStatus::Unknown("Running".into());
    assert!(wanted(&scan.apply_history(&[a.clone(), b(running)], NOW)).is_empty());
    assert_eq!(
        wanted(&scan.apply_history(&[a.clone(), b(Failure)], NOW)),
        ["b"]
    );
    assert!(
        wanted(&scan.apply_history(&[a, b(Failure)], NOW)).is_empty(),
        "once"
    );
    let told = session("c", Some(3), Success);
    assert!(wanted(&scan.apply_history(&[told], NOW)).is_empty());
    let nameless = bare("", 4, Success);
    assert!(wanted(&scan.apply_history(&[nameless], NOW)).is_empty());
}

#[test]
fn details_stay_whatever_history_by_definition_leaves_out() {
    let mut scan = RunHistory::new(listed(None));
    let (a, b) = (bare("a", 1, Success), bare("b", 2, Failure));
    scan.apply_history(std::slice::from_ref(&a), NOW);
    scan.apply_history(&[a.clone(), b.clone()], NOW);
    assert!(scan.view().targets.are_unknown());
    assert_eq!(scan.detail(&details("b", 7)).len(), 1);
    for _ in 0..2 {
        let targets = Targets::new(Some(10), Some(7));
        assert_eq!(scan.view().targets, targets);
        assert_eq!(scan.view().recent[1].targets, targets);
        scan.apply_history(&[a.clone(), b.clone()], NOW);
    }
}

#[test]
fn a_corrected_session_is_asked_for_again_and_keeps_its_targets_until_then() {
    let mut scan = RunHistory::new(listed(None));
    let (a, b) = (bare("a", 1, Success), |status| bare("b", 2, status));
    scan.apply_history(std::slice::from_ref(&a), NOW);
    let failed = Session {
        details: Details {
            errors: Some(Arc::default()),
            ..Details::default()
        },
        ..b(Failure)
    };
    scan.apply_history(&[a.clone(), failed], NOW);
    assert_eq!(scan.detail(&details("b", 0)).len(), 1);
    let running = ScanStatus::Unknown("Running".into());
    assert!(wanted(&scan.apply_history(&[a.clone(), b(running)], NOW)).is_empty());
    scan.apply_history(&[a.clone(), b(Failure)], NOW);
    let corrected = [a, b(Success)];
    let learned = scan.apply_history(&corrected, NOW);
    assert_eq!(wanted(&learned), ["b"]);
    assert!(
        wanted(&scan.apply_history(&corrected, NOW)).is_empty(),
        "once"
    );
    assert_eq!(scan.view().recent[1].errors, None, "of the former status");
    assert_eq!(scan.view().targets, Targets::new(Some(10), Some(0)));
    assert!(scan.detail(&details("b", 10)).is_empty(), "counted before");
    assert_eq!(scan.view().targets, Targets::new(Some(10), Some(10)));
    let counts = scan.view().sessions;
    assert_eq!((counts.failure, counts.success), (1, 0), "counted once");
    let corrected = bare("a", 1, Failure);
    assert!(
        wanted(&scan.apply_history(&[corrected], NOW)).is_empty(),
        "never told"
    );
}

#[test]
fn what_is_to_be_asked_for_is_bounded_and_can_be_given_up() {
    let mut scan = RunHistory::new(listed(None));
    scan.apply_history(&[bare("a", 1, Success)], NOW);
    let many: Vec<_> = (0..100)
        .map(|hour| bare(&hour.to_string(), hour, Success))
        .collect();
    let learned = scan.apply_history(&many, NOW);
    assert_eq!((learned.bare.len(), scan.bare.len()), (SESSIONS, SESSIONS));
    assert_eq!(learned.bare[SESSIONS - 1].as_str(), "99");
    let bytes = scan.bytes();
    for id in &learned.bare {
        scan.give_up(id);
    }
    assert!(scan.bare.is_empty() && scan.bytes() < bytes);
}
