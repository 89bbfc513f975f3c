//! Times that cannot be.

use std::sync::Arc;
use std::time::Duration;

use super::RunHistory;
use crate::clock::Timestamp;
use crate::model::Definition;

/// How far the clocks of scanners and of the service may differ.
const SKEW: Duration = Duration::from_mins(15);

/// Whether a time lies ahead of `as_of` by more than clocks differ.
pub(super) fn is_ahead(at: Timestamp, as_of: Timestamp) -> bool {
    at > as_of + SKEW
}

impl RunHistory {
    /// A run ahead of `as_of` gives way to an earlier one that the list names: it cannot be later.
    /// True if there was one.
    pub fn doubt(&mut self, listed: &Definition, as_of: Timestamp) -> bool {
        let known = self.definition.latest.as_ref().map(|run| run.at);
        let is_earlier = listed
            .latest
            .as_ref()
            .is_some_and(|run| Some(run.at) < known);
        is_earlier && known.is_some_and(|at| is_ahead(at, as_of)) && self.forget_after(as_of)
    }

    /// Forgets what is said to have happened after `latest`, which was believed while a clock
    /// was wrong, and would hide each later run behind it. True if there was something.
    pub fn forget_after(&mut self, latest: Timestamp) -> bool {
        let is_late = |at: &mut Timestamp| *at > latest;
        let listed = self.definition.latest.as_ref().map(|run| run.at);
        let newest = self.newest.as_ref().and_then(|newest| newest.at);
        let known = [listed, newest, self.running, self.last_success];
        let known = self.recent.iter().map(|session| session.at).chain(known);
        if known.max().flatten() <= Some(latest) {
            return false;
        }
        if listed > Some(latest) {
            Arc::make_mut(&mut self.definition).latest = None;
            self.covered = false;
        }
        if newest > Some(latest) {
            self.newest = None;
            self.covered = false;
        }
        self.running.take_if(is_late);
        self.last_success.take_if(is_late);
        if self.recent.iter().any(|session| session.at > Some(latest)) {
            let mut recent = self.recent.to_vec();
            for session in &mut recent {
                session.at.take_if(is_late);
            }
            recent.sort_by_key(|session| session.at);
            self.recent = recent.into();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{DefinitionId, Run, ScanStatus, Session, SessionId};

    use super::*;
    use crate::model::Details;

    const HOUR: i64 = 3_600_000;
    const NOW: Timestamp = Timestamp::from_unix_millis(100 * HOUR);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_unix_millis(hours * HOUR)
    }

    fn listed(hours: i64, status: ScanStatus) -> Definition {
        let run = Run {
            at: at(hours),
            status,
        };
        Definition {
            latest: Some(run),
            ..Definition::unlisted(&DefinitionId::new("d"))
        }
    }

    fn session(id: &str, hours: i64) -> Session {
        Session {
            definition_id: DefinitionId::new("d"),
            id: Some(SessionId::new(id)),
            last_scanned: Some(at(hours)),
            status: ScanStatus::Success,
            details: Details::default(),
        }
    }

    #[test]
    fn a_run_of_the_future_hides_no_later_one_once_it_is_forgotten() {
        let mut scan = RunHistory::new(listed(99_999, ScanStatus::Success));
        scan.apply_history(&[session("a", 50), session("b", 99_999)], NOW);
        assert!(
            scan.view().last_run.is_some_and(|run| run.at > NOW),
            "as it was believed"
        );
        scan.forget_after(NOW);
        assert_eq!(
            (
                scan.view().last_run.map(|run| run.at),
                scan.view().last_success
            ),
            (Some(at(50)), Some(at(50)))
        );
        assert_eq!(scan.recent[0].at, None);
        scan.apply_listing(listed(60, ScanStatus::Failure));
        let view = scan.view();
        let run = view.last_run.expect("it ran");
        assert_eq!((run.at, run.status), (at(60), ScanStatus::Failure));
    }

    #[test]
    fn a_run_that_is_ahead_hides_none_that_the_list_or_history_names() {
        let mut scan = RunHistory::new(listed(120, ScanStatus::Success));
        assert!(!scan.doubt(&listed(120, ScanStatus::Success), NOW));
        let failed = listed(99, ScanStatus::Failure);
        assert!(scan.doubt(&failed, NOW));
        assert!(scan.apply_listing(failed));
        let run = scan.view().last_run.expect("it ran");
        assert_eq!((run.at, run.status), (at(99), ScanStatus::Failure));

        let mut scan = RunHistory::new(Definition::unlisted(&DefinitionId::new("d")));
        scan.apply_history(&[session("a", 120)], NOW);
        let failed = Session {
            status: ScanStatus::Failure,
            ..session("b", 99)
        };
        for held in [vec![failed.clone()], vec![session("a", 120), failed]] {
            scan.apply_history(&held, NOW);
            let run = scan.view().last_run.expect("it ran");
            assert_eq!((run.at, run.status), (at(99), ScanStatus::Failure));
        }
    }

    #[test]
    fn what_is_past_stays() {
        let mut scan = RunHistory::new(listed(99, ScanStatus::Success));
        scan.apply_history(&[session("a", 98), session("b", 99)], NOW);
        let before = scan.view();
        scan.forget_after(NOW);
        assert_eq!(scan.view(), before);
    }
}
