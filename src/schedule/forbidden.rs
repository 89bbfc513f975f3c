//! What failed, and when it is tried again: at once what is forbidden, if somebody asks for it.

use super::Schedule;
use crate::clock::Uptime;
use crate::model::health::Collector;

impl Schedule {
    /// When `collector` makes its next call, as far as the budget allows: `None` while one is
    /// under way, or never.
    #[must_use]
    pub fn next_attempt(&self, collector: Collector) -> Option<Uptime> {
        let due = self.due(collector)?;
        Some(self.held_until().map_or(due, |until| until.max(due)))
    }

    /// Whether something is due that was forbidden.
    #[must_use]
    pub fn retries_forbidden(&self, now: Uptime) -> bool {
        let due = [
            self.definitions.forbidden_until(),
            self.history.forbidden_until(),
            self.sessions
                .forbidden_until()
                .filter(|_| !self.history.has_backlog(now)),
            self.agents.forbidden_until(),
        ];
        due.into_iter().flatten().any(|due| due <= now)
    }

    /// What is forbidden is due at once: it may be allowed by now.
    pub fn retry_forbidden(&mut self, now: Uptime) {
        self.definitions.retry_forbidden(now);
        self.history.retry_forbidden(now);
        self.sessions.retry_forbidden(now);
        self.agents.retry_forbidden(now);
    }
}
