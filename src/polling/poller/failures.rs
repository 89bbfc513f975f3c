//! What is counted and said of a failure.

use std::time::Duration;

use super::Poller;
use super::pagination::PaginationError;
use crate::clock::Uptime;
use crate::model::Failure;
use crate::model::health::{AuthReason, Collector, CollectorFailure, Reason};
use crate::schedule::Request;

impl Poller {
    /// Tells the schedule of a round that failed, and counts it unless the schedule finds a way
    /// around.
    pub(super) fn failed(&mut self, request: &Request, error: &PaginationError) {
        let collector = request.collector();
        let failure = error.failure(request);
        self.schedule.failed(self.clock.uptime(), request, failure);
        match (request, failure) {
            // It is asked for in parts, and each of one session that fails is counted.
            (Request::Sessions(_), _) if request.ids() > 1 && !failure.concerns_all() => return,
            (Request::History(ids), Failure::Temporary(reason))
                if !failure.concerns_all() && self.schedule.is_apart(ids) =>
            {
                let health = &mut self.tenant.health.history;
                *health.errors.entry(reason).or_default() += 1;
                let id = tracing::field::display(&ids[0]);
                tracing::warn!(tenant = %self.tenant.name(), id, %error, "the history of one definition cannot be fetched in a batch: it is requested separately");
                return;
            }
            (Request::History(_), Failure::Short) => {
                tracing::info!(tenant = %self.tenant.name(), ids = request.ids(), "a response is incomplete: its batch is requested again in halves");
                return;
            }
            (Request::History(ids), Failure::BatchTooLarge(_)) if ids.len() > 1 => {
                let (sent, allowed) = (ids.len(), self.schedule.batch_size());
                tracing::info!(tenant = %self.tenant.name(), sent, allowed, "learned the largest batch size that the API accepts");
                return;
            }
            (Request::History(ids), Failure::Refused | Failure::BatchTooLarge(_))
                if !self.schedule.history_is_failing() =>
            {
                self.tenant.touch(ids);
                let one = ids
                    .first()
                    .filter(|_| ids.len() == 1)
                    .map(tracing::field::display);
                tracing::warn!(tenant = %self.tenant.name(), quarantined = one, ids = ids.len(), %error, "the API rejected a batch of definitions");
                return;
            }
            (Request::Definitions, Failure::Forbidden) => {
                if let Some(listed) = self.tenant.without_list(self.clock.wall()) {
                    self.schedule.without_list(self.clock.uptime(), &listed);
                }
            }
            _ => {}
        }
        if failure == Failure::Temporary(Reason::Auth) {
            self.tenant.health.count_auth_error(AuthReason::Refused);
        }
        let (reason, text) = (failure.reason(), error.to_string());
        if self.count_failure(collector, reason, &text, error.advice()) {
            let retry_in = self.retry_in(self.schedule.next_attempt(collector));
            let what = match collector {
                Collector::Sessions => "the details of sessions cannot be fetched",
                _ => "poll failed",
            };
            tracing::warn!(
                tenant = %self.tenant.name(),
                collector = collector.as_label(),
                reason = reason.as_label(),
                error = text,
                %retry_in,
                "{what}"
            );
        }
    }

    /// Counts a failure; returns whether it is of another class than before.
    pub(super) fn count_failure(
        &mut self,
        collector: Collector,
        reason: Reason,
        text: &str,
        advice: &'static str,
    ) -> bool {
        self.polled |= collector == Collector::Definitions;
        let health = self.tenant.health.collector_mut(collector);
        *health.errors.entry(reason).or_default() += 1;
        let before = health.failure.take();
        let (since, since_uptime) = before.as_ref().map_or_else(
            || (self.clock.wall(), self.clock.uptime()),
            |before| (before.since, before.since_uptime),
        );
        health.failure = Some(CollectorFailure {
            reason,
            text: text.to_owned(),
            advice,
            since,
            since_uptime,
        });
        before.is_none_or(|before| before.reason != reason)
    }

    /// How long until then, in whole seconds.
    pub(super) fn retry_in(&self, at: Option<Uptime>) -> humantime::FormattedDuration {
        let left = at.map_or(Duration::ZERO, |at| at.since(self.clock.uptime()));
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        humantime::format_duration(Duration::from_secs(seconds))
    }
}
