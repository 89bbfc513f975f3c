//! What history by session tells of sessions of which history by definition tells too little.

use std::time::Duration;

use super::{Scan, identity};
use crate::model::{Session, SessionId};

impl Scan {
    /// Takes in a session that was asked for by its id; returns how long its targets took.
    pub fn detail(&mut self, session: &Session) -> Vec<Duration> {
        let asked = |bare: &SessionId| Some(bare) == session.id.as_ref();
        let Some(place) = self.bare.iter().position(asked) else {
            return Vec::new();
        };
        self.bare.remove(place);
        let mut known = self.recent.to_vec();
        for known in &mut known {
            if identity(session) == Some(known.identity) {
                known.targets = session.targets;
                known.targets_succeeded = session.targets_succeeded;
                known.errors = session.errors.clone().or(known.errors.take());
            }
        }
        self.recent = known.into();
        self.fill_newest();
        session.target_durations.clone()
    }

    /// These sessions are asked for no more; true if some of them were.
    pub fn give_up(&mut self, sessions: &[SessionId]) -> bool {
        let before = self.bare.len();
        self.bare.retain(|bare| !sessions.contains(bare));
        self.bare.len() < before
    }

    /// What is known of the newest session's targets, from whichever answer.
    pub(super) fn fill_newest(&mut self) {
        if let Some(newest) = &mut self.newest {
            let mut recent = self.recent.iter();
            if let Some(known) = recent.find(|known| known.identity == newest.identity) {
                newest.targets = known.targets;
                newest.targets_succeeded = known.targets_succeeded;
            }
        }
    }
}
