//! Sessions that are asked for by their ids.

use super::KnownTenant;
use crate::model::{DefinitionId, SessionDetails, SessionId};

impl KnownTenant {
    /// Sessions that are to be asked for by their ids, each named once.
    pub fn take_bare(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.bare)
    }

    /// These sessions of a definition are to be asked for by their ids.
    pub(super) fn ask_for(&mut self, definition: &DefinitionId, sessions: &[SessionId]) {
        for session in sessions {
            let before = self.asked.insert(session.clone(), definition.clone());
            if before.is_none() {
                self.bare.push(session.clone());
            }
        }
    }

    /// Whether anybody wants to know more of a session.
    #[must_use]
    pub fn asks_for(&self, session: &SessionId) -> bool {
        self.asked.contains_key(session)
    }

    /// Takes in what came of asking for `asked`; what is not in the answer is given up. It is
    /// known already which definition a session is of.
    pub fn detail(&mut self, asked: &[SessionId], answer: &[SessionDetails]) {
        for details in answer {
            let Some(id) = self.asked.remove(&details.id) else {
                continue;
            };
            if let Some(scan) = self.scans.get_mut(&id) {
                for duration in scan.detail(details) {
                    self.target_seconds.observe(duration.as_secs_f64());
                }
                self.changed(&[id]);
            }
        }
        self.give_up(asked);
    }

    /// These sessions are asked for no more.
    pub fn give_up(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            let Some(id) = self.asked.remove(session) else {
                continue;
            };
            if let Some(scan) = self.scans.get_mut(&id) {
                scan.give_up(session);
                self.changed(&[id]);
            }
        }
    }
}
