//! Sessions that are asked for by their ids.

use super::Tenant;
use crate::model::{Session, SessionId};

impl Tenant {
    /// New sessions that are to be asked for by their ids, each named once.
    pub fn take_bare(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.bare)
    }

    /// Takes in what came of asking for `asked`; what is not in the answer is given up.
    pub fn detail(&mut self, asked: &[SessionId], sessions: &[Session]) {
        let mut changed = Vec::new();
        for session in sessions {
            if let Some(scan) = self.scans.get_mut(&session.definition_id) {
                changed.push(session.definition_id.clone());
                for duration in scan.detail(session) {
                    self.target_seconds.observe(duration.as_secs_f64());
                }
            }
        }
        for (id, scan) in &mut self.scans {
            if scan.give_up(asked) {
                changed.push(id.clone());
            }
        }
        self.changed(&changed);
    }
}
