//! Sessions that are asked for by their ids. What fails here costs their details alone: how
//! the runs went is known.

use super::round::RoundError;
use super::{Poller, Request};
use crate::defender::{Answer, Bearer};
use crate::model::{Session, SessionId};
use crate::plan::Failure;

impl Poller {
    /// Asks for those that are new, or gives them up if the configuration says so.
    pub(super) fn want_sessions(&mut self) {
        let ids = self.tenant.take_bare();
        if !self.plan.want_sessions(&ids) {
            self.tenant.detail(&ids, &[]);
        }
    }

    pub(super) fn take_in_sessions(
        &mut self,
        bearer: &Bearer,
        ids: &[SessionId],
        answer: Answer<Session>,
    ) {
        let request = Request::Sessions(ids.to_vec());
        let complete = self.conclude(&request, bearer, answer, |poller| &mut poller.sessions);
        if let Some(complete) = complete {
            self.note_left_out(ids, &complete.items, |session| session.id.as_ref());
            self.tenant.detail(ids, &complete.items);
            self.plan.sessions_fetched(self.clock.uptime());
            self.sessions_fail = false;
        }
    }

    pub(super) fn sessions_failed(
        &mut self,
        ids: &[SessionId],
        failure: Failure,
        error: &RoundError,
    ) {
        let is_refused = matches!(failure, Failure::Refused | Failure::BatchTooLarge(_));
        if is_refused && ids.len() > 1 {
            return;
        }
        let history = &mut self.tenant.health.history;
        *history.errors.entry(failure.reason()).or_default() += 1;
        if is_refused {
            self.tenant.detail(ids, &[]);
        }
        if !std::mem::replace(&mut self.sessions_fail, true) {
            tracing::warn!(tenant = %self.tenant.name(), %error, "the details of sessions cannot be fetched");
        }
    }
}
