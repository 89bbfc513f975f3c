//! How collectors share a budget.

use std::time::Duration;

use super::Plan;
use crate::health::Collector;
use crate::quota::{Quota, Reserved};

impl Plan {
    /// What `collector` leaves to the others: to the lists that go before it the calls that
    /// these need, and half of the budget where a list is at its further pages, of which
    /// nobody knows how many there are.
    pub(super) fn reserved(&self, collector: Collector, quota: &Quota) -> Reserved {
        let limits = quota.limits();
        let (minute, hour) = (limits.minute.calls, limits.hour.calls);
        let is_paging = match collector {
            Collector::Definitions => self.definitions.is_paging(),
            Collector::Agents => self.agents.is_paging(),
            Collector::History => false,
        };
        if is_paging {
            // A slot is held for a little longer than an hour. With exactly half, each round
            // of a list that takes half of an hour would end later than the one before.
            return Reserved {
                minute: minute / 2,
                hour: hour / 2 - hour / 16,
            };
        }
        // The same shares as those of their intervals.
        let definitions = |window, limit| self.definitions.calls_within(window).min(limit / 2);
        let agents = |window, limit| self.agents.calls_within(window).min(limit / 10);
        let needed = |window, limit| match collector {
            Collector::Definitions => 0,
            Collector::Agents => definitions(window, limit),
            Collector::History => definitions(window, limit) + agents(window, limit),
        };
        Reserved {
            minute: needed(limits.minute.window, minute),
            hour: needed(limits.hour.window, hour),
        }
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
