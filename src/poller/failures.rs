//! What is counted and said of a failure.

use std::time::Duration;

use super::Poller;
use crate::clock::Uptime;
use crate::health::{Collector, Reason};

impl Poller {
    /// Counts a failure; logs it once, until it changes or ends.
    pub(super) fn note_failure(&mut self, collector: Collector, reason: Reason, text: &str) {
        if self.count_failure(collector, reason, text.to_owned()) {
            let retry_in = self.retry_in(self.plan.next_attempt(collector));
            tracing::warn!(
                tenant = %self.tenant.name(),
                collector = collector.as_label(),
                reason = reason.as_label(),
                error = text,
                %retry_in,
                "failed"
            );
        }
    }

    /// Counts a failure; returns whether it is another than before.
    pub(super) fn count_failure(
        &mut self,
        collector: Collector,
        reason: Reason,
        text: String,
    ) -> bool {
        self.polled |= collector == Collector::Definitions;
        let health = self.tenant.health.collector_mut(collector);
        *health.errors.entry(reason).or_default() += 1;
        let before = health.failure.replace((reason, text));
        before.is_none_or(|(before, _)| before != reason)
    }

    /// How long until then, in whole seconds.
    pub(super) fn retry_in(&self, at: Option<Uptime>) -> humantime::FormattedDuration {
        let left = at.map_or(Duration::ZERO, |at| at.since(self.clock.uptime()));
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        humantime::format_duration(Duration::from_secs(seconds))
    }
}
