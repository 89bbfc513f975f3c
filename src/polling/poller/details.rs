//! Sessions that are asked for by their ids. What fails here costs their details alone: how
//! the runs went is known.

use super::{Poller, Request};
use crate::defender::{Answer, Bearer};
use crate::model::health::Collector;
use crate::model::{SessionDetails, SessionId};

impl Poller {
    /// Asks for those that are new, and forgets those that are given up.
    pub(super) fn want_sessions(&mut self) {
        self.schedule.want_sessions(self.tenant.take_bare());
        self.tenant.give_up(&self.schedule.sessions_given_up());
    }

    pub(super) fn handle_sessions(
        &mut self,
        bearer: &Bearer,
        ids: &[SessionId],
        answer: Answer<SessionDetails>,
    ) {
        let request = Request::Sessions(ids.to_vec());
        let complete = self.conclude(&request, bearer, answer, |poller| &mut poller.sessions);
        if let Some(complete) = complete {
            self.note_unrelated(Collector::Sessions, ids, &complete.items, |one| &one.id);
            self.tenant.detail(ids, &complete.items);
            self.schedule.sessions_fetched(self.clock.uptime(), ids);
        }
        self.want_sessions();
    }
}
