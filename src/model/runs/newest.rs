//! Which session is the newest, and what follows from it.

use std::sync::Arc;

use super::future::is_ahead;
use super::{RunHistory, TOLERANCE};
use crate::clock::Timestamp;
use crate::model::view::KnownSession;
use crate::model::{Run, ScanStatus, Session};

impl RunHistory {
    /// Finds the newest session that is over; false if it cannot be told, now or later.
    pub(super) fn find_newest(
        &mut self,
        held: &[(u64, &Session)],
        arrived: &[(Timestamp, u64)],
        as_of: Timestamp,
    ) -> bool {
        let before = self.newest.clone();
        let run = self.last_run().filter(|_| self.is_confirmed());
        let session = |wanted: u64| {
            let mut over = held
                .iter()
                .filter(|(_, session)| !session.status.is_running());
            over.find(|(identity, _)| *identity == wanted).copied()
        };
        let timed = held
            .iter()
            .filter(|(_, session)| !session.status.is_running());
        let timed = timed.filter(|(_, session)| session.last_scanned.is_some());
        let known = before.as_ref();
        let mut can_tell = true;
        let happened = |at: &Timestamp| !is_ahead(*at, as_of);
        let order = |session: &Session| {
            let at = session.last_scanned;
            (at.as_ref().is_some_and(happened), at)
        };
        if let Some(latest) = timed.max_by_key(|(_, session)| order(session)) {
            let at = known.and_then(|known| known.at).filter(happened);
            if latest.1.last_scanned >= at {
                self.newest = Some(KnownSession::of(*latest));
            }
            let newest = self.newest.as_ref().and_then(|newest| newest.at);
            let reaches = |at: Timestamp| newest.is_some_and(|newest| newest + TOLERANCE >= at);
            self.running.take_if(|at| reaches(*at));
            self.covered = self
                .definition
                .latest
                .as_ref()
                .is_none_or(|run| reaches(run.at));
        } else {
            let place = |wanted: u64| {
                self.recent
                    .iter()
                    .position(|known| known.identity == wanted)
            };
            let last = known.and_then(|known| place(known.identity));
            let later = arrived
                .iter()
                .filter(|(_, identity)| place(*identity) > last);
            let first_seen = later.clone().map(|(since, _)| *since).max();
            let mut newest = later.filter(|(since, _)| Some(*since) == first_seen);
            match (newest.next(), newest.next()) {
                (None, _) => {
                    let again = known.and_then(|known| session(known.identity));
                    self.newest = again.map(KnownSession::of).or(before.clone());
                }
                (Some((_, identity)), None) => {
                    self.newest = session(*identity).map(KnownSession::of);
                    self.covered = true;
                    self.end_running();
                }
                _ => {
                    self.newest = None;
                    self.covered = false;
                    can_tell = false;
                }
            }
        }
        let of = |newest: &Option<KnownSession>| newest.as_ref().map(|newest| newest.identity);
        if of(&before) != of(&self.newest) {
            self.succeeded(run.as_ref());
        }
        self.find_last_success(held);
        self.compare_with_list(before.as_ref());
        can_tell
    }

    /// The run that the list says is not over is the newest session, which is.
    fn end_running(&mut self) {
        if let (Some(at), Some(newest)) = (self.running.take(), &self.newest) {
            let status = newest.status.clone();
            let definition = Arc::make_mut(&mut self.definition);
            definition.latest = Some(Run { at, status });
            definition.failure_reason = None;
        }
    }

    /// Ends the list's correction once history agrees with it, or has changed too.
    fn compare_with_list(&mut self, before: Option<&KnownSession>) {
        let status = |newest: Option<&KnownSession>| newest.map(|newest| newest.status.clone());
        let now = status(self.newest.as_ref());
        let list = self.definition.latest.as_ref().map(|run| &run.status);
        let agrees = match (list, &now) {
            // The list knows no partial success.
            (Some(ScanStatus::Success), Some(ScanStatus::PartialSuccess)) => true,
            (Some(list @ (ScanStatus::Success | ScanStatus::Failure)), Some(now)) => list == now,
            _ => true,
        };
        self.corrected &= !agrees && status(before) == now;
    }

    /// Finds the newest success before the newest session: history may add one, or take one back.
    fn find_last_success(&mut self, held: &[(u64, &Session)]) {
        let newest = self.newest.as_ref().map(|newest| newest.identity);
        let failed = held.iter().filter(|(_, session)| {
            session.status.is_final() && session.status != ScanStatus::Success
        });
        let mut failed = failed.filter_map(|(_, session)| session.last_scanned);
        self.last_success
            .take_if(|at| failed.any(|failed| failed <= *at && *at <= failed + TOLERANCE));
        let recent = self.recent.iter();
        let recent = recent.map(|known| (known.identity, &known.status, known.at));
        let held = held.iter();
        let held =
            held.map(|(identity, session)| (*identity, &session.status, session.last_scanned));
        let successes = recent.chain(held).filter(|(identity, status, _)| {
            Some(*identity) != newest && **status == ScanStatus::Success
        });
        let latest = successes.filter_map(|(_, _, at)| at).max();
        self.last_success = self.last_success.max(latest);
    }

    /// Keeps the run's time, if it succeeded.
    pub(super) fn succeeded(&mut self, run: Option<&Run>) {
        let success = run.filter(|run| run.status == ScanStatus::Success);
        self.last_success = self.last_success.max(success.map(|run| run.at));
    }
}

impl KnownSession {
    fn of((identity, session): (u64, &Session)) -> Self {
        Self {
            identity,
            at: session.last_scanned,
            status: session.status.clone(),
            targets: session.details.targets,
            errors: None,
        }
    }
}
