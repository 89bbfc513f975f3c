//! When a list is due: at an interval, later after failures.

use std::time::Duration;

use super::waits::Waits;
use crate::clock::Uptime;
use crate::model::Failure;

#[derive(Debug)]
pub(super) struct ListTimer {
    /// As configured; `None`: never.
    interval: Option<Duration>,
    /// Stretched where the budget is scarce.
    least: Duration,
    due: Uptime,
    under_way: bool,
    /// When the round under way started: intervals count from there.
    started: Option<Uptime>,
    /// Pages of the last complete round.
    pages: usize,
    /// Whether the last round failed because it is forbidden.
    forbidden: bool,
    /// Calls of the round under way.
    so_far: usize,
    waits: Waits,
}

impl ListTimer {
    pub(super) fn new(interval: Option<Duration>, now: Uptime, seed: u64) -> Self {
        Self {
            interval,
            least: Duration::ZERO,
            due: now,
            under_way: false,
            started: None,
            pages: 1,
            forbidden: false,
            so_far: 0,
            waits: Waits::new(seed),
        }
    }

    pub(super) fn due(&self) -> Option<Uptime> {
        (self.interval.is_some() && !self.under_way).then_some(self.due)
    }

    /// The next page, or the first.
    pub(super) fn start(&mut self, now: Uptime) {
        self.under_way = true;
        self.so_far += 1;
        self.started.get_or_insert(now);
    }

    pub(super) fn more_pages(&mut self, now: Uptime) {
        self.under_way = false;
        self.due = now;
    }

    pub(super) fn succeeded(&mut self, now: Uptime, pages: usize, least: Duration) {
        self.under_way = false;
        self.pages = pages.max(1);
        self.so_far = 0;
        self.least = least;
        self.forbidden = false;
        self.waits.reset();
        let next = self.started.take().unwrap_or(now) + self.effective();
        self.due = next.max(now);
    }

    /// Waits as long as the back-off says; returns until when.
    pub(super) fn failed(&mut self, now: Uptime, failure: Failure) -> Uptime {
        self.under_way = false;
        self.started = None;
        self.forbidden = failure == Failure::Forbidden;
        self.so_far = 0;
        self.due = now + self.waits.after(failure);
        self.due
    }

    /// When what is forbidden is due.
    pub(super) fn forbidden_until(&self) -> Option<Uptime> {
        self.due().filter(|_| self.forbidden)
    }

    /// What is forbidden is due at once.
    pub(super) fn retry_forbidden(&mut self, now: Uptime) {
        if self.forbidden_until().is_some() {
            self.due = self.due.min(now);
        }
    }

    /// Whether the next call asks for a further page.
    pub(super) fn is_paging(&self) -> bool {
        self.so_far > 0
    }

    fn effective(&self) -> Duration {
        self.interval.unwrap_or_default().max(self.least)
    }

    /// Calls that fall into any `window`, at most.
    pub(super) fn calls_within(&self, window: Duration) -> usize {
        let Some(interval) = self.interval else {
            return 0;
        };
        let interval = interval.max(self.least).max(Duration::from_millis(1));
        let rounds = window.as_millis().div_ceil(interval.as_millis());
        usize::try_from(rounds)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.pages.max(self.so_far))
    }
}
