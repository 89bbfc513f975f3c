//! What history by session tells of sessions of which history by definition tells too little.

use std::time::Duration;

use super::{RunHistory, identity_of};
use crate::model::view::SESSIONS;
use crate::model::{Session, SessionDetails, SessionId};

impl RunHistory {
    /// Which sessions of an answer are to be asked for by their ids: of those that are `over`
    /// now, and of those of which the service has changed its word.
    pub(super) fn ask_for(
        &mut self,
        held: &[(u64, &Session)],
        over: &[&Session],
    ) -> Vec<SessionId> {
        let corrected = held.iter().filter(|held| self.is_corrected(held));
        let told = over.iter().chain(corrected.map(|(_, session)| session));
        let mut bare: Vec<_> = told
            .filter(|session| session.details.are_missing())
            .collect();
        bare.sort_by_key(|session| session.last_scanned);
        let bare = bare.into_iter();
        let mut bare: Vec<_> = bare.filter_map(|session| session.id.clone()).collect();
        bare.drain(..bare.len().saturating_sub(SESSIONS));
        self.bare.extend(bare.iter().cloned());
        self.bare.drain(..self.bare.len().saturating_sub(SESSIONS));
        bare
    }

    /// Takes a session in that was asked for by its id; returns how long its targets took.
    pub fn detail(&mut self, session: &SessionDetails) -> Vec<Duration> {
        let SessionDetails { id, details } = session;
        self.give_up(id);
        let identity = identity_of(id);
        let mut durations = details.target_durations.clone();
        let mut known = self.recent.to_vec();
        if let Some(known) = known.iter_mut().find(|known| known.identity == identity) {
            if !known.targets.are_unknown() {
                // Asked for again, after a correction: its targets have been counted.
                durations.clear();
            }
            known.targets = details.targets;
            known.errors = details.errors.clone().or(known.errors.take());
        }
        self.recent = known.into();
        self.fill_newest();
        durations
    }

    /// Whether the service has changed its word about a session whose targets are known.
    fn is_corrected(&self, (identity, session): &(u64, &Session)) -> bool {
        let mut recent = self.recent.iter();
        session.status.is_final()
            && recent.any(|known| {
                known.identity == *identity
                    && !known.targets.are_unknown()
                    && known.status != session.status
            })
    }

    /// This session is asked for no more.
    pub fn give_up(&mut self, session: &SessionId) {
        self.bare.retain(|bare| bare != session);
    }

    /// What is known of the newest session's targets, from whichever answer.
    pub(super) fn fill_newest(&mut self) {
        if let Some(newest) = &mut self.newest {
            let mut recent = self.recent.iter();
            if let Some(known) = recent.find(|known| known.identity == newest.identity) {
                newest.targets = known.targets;
            }
        }
    }
}
