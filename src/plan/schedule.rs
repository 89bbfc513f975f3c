//! When a list is due: at an interval, later after failures.

use std::time::Duration;

use super::backoff::Backoff;
use crate::clock::Uptime;
use crate::quota::Quota;

#[derive(Debug)]
pub(super) struct Schedule {
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
    backoff: Backoff,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>, now: Uptime, seed: u64) -> Self {
        Self {
            interval,
            least: Duration::ZERO,
            due: now,
            under_way: false,
            started: None,
            pages: 1,
            backoff: Backoff::new(seed),
        }
    }

    pub(super) fn due(&self) -> Option<Uptime> {
        (self.interval.is_some() && !self.under_way).then_some(self.due)
    }

    /// The next page, or the first.
    pub(super) fn start(&mut self, now: Uptime) {
        self.under_way = true;
        self.started.get_or_insert(now);
    }

    pub(super) fn more_pages(&mut self, now: Uptime) {
        self.under_way = false;
        self.due = now;
    }

    pub(super) fn succeeded(&mut self, now: Uptime, pages: usize, least: Duration) {
        self.under_way = false;
        self.pages = pages.max(1);
        self.least = least;
        self.backoff.reset();
        let next = self.started.take().unwrap_or(now) + self.effective();
        self.due = next.max(now);
    }

    /// Waits as long as the back-off says, but no less than `least`; returns until when.
    pub(super) fn failed(&mut self, now: Uptime, least: Duration) -> Uptime {
        self.under_way = false;
        self.started = None;
        self.due = now + self.backoff.next().max(least);
        self.due
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
            .saturating_mul(self.pages)
    }
}

/// The shortest interval at which a list of so many pages takes one `share`th of the budget.
pub(super) fn least_interval(pages: usize, share: u32, quota: &Quota) -> Duration {
    let limits = quota.limits();
    let calls = u32::try_from(pages)
        .unwrap_or(u32::MAX)
        .saturating_mul(share);
    [limits.minute, limits.hour]
        .map(|limit| {
            limit.window.saturating_mul(calls) / u32::try_from(limit.calls).unwrap_or(u32::MAX)
        })
        .into_iter()
        .fold(Duration::ZERO, Duration::max)
}
