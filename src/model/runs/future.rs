//! Times that cannot be.

use std::sync::Arc;

use super::RunHistory;
use crate::clock::Timestamp;

impl RunHistory {
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
    use crate::model::{Definition, DefinitionId, Run, ScanStatus, Session, SessionId};

    use super::*;

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
            targets: None,
            targets_succeeded: None,
            target_durations: Vec::new(),
            errors: None,
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
            (scan.view().last_run, scan.view().last_success),
            (None, Some(at(50)))
        );
        assert_eq!(scan.recent[0].at, None);
        scan.apply_listing(listed(60, ScanStatus::Failure));
        let view = scan.view();
        let run = view.last_run.expect("it ran");
        assert_eq!((run.at, run.status), (at(60), ScanStatus::Failure));
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
