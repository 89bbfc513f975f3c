//! How collectors share a budget.

use std::time::Duration;

use super::Schedule;
use crate::budget::{Budget, Limit, Reserved, Scope};
use crate::model::health::Collector;

/// The list of definitions takes this part of the budget at most: a half.
pub const DEFINITIONS_SHARE: usize = 2;

/// The list of agents takes this part of the budget at most: a tenth.
pub const AGENTS_SHARE: usize = 10;

impl Schedule {
    /// How many calls `collector` leaves to the others. The lists go first: history leaves them
    /// the calls that they need, but no more than the shares of the budget to which their
    /// intervals are stretched. From its second page on a list keeps to its share, since nobody
    /// knows how many pages follow.
    pub(super) fn reserved(&self, collector: Collector, budget: &Budget) -> Reserved {
        let limits = budget.limits();
        let (minute, hour) = (limits.minute, limits.hour);
        let definitions = |limit: Limit| {
            let calls = self.definitions.calls_within(limit.window);
            calls.min(limit.calls / DEFINITIONS_SHARE)
        };
        let agents = |limit: Limit| {
            let calls = self.agents.calls_within(limit.window);
            calls.min(limit.calls / AGENTS_SHARE)
        };
        let all_but = |limit: Limit, share: usize| {
            let calls = limit.calls;
            // There may be none: a reserve can be empty.
            calls.saturating_sub((calls / share).max(1))
        };
        match collector {
            Collector::Definitions if self.definitions.is_paging() => Reserved {
                minute: all_but(minute, DEFINITIONS_SHARE),
                // A slot is held for a little longer than an hour. With exactly half, each round
                // of a list that takes half of an hour would end later than the one before.
                hour: all_but(hour, DEFINITIONS_SHARE).saturating_sub(hour.calls / 16),
            },
            Collector::Definitions => Reserved::default(),
            Collector::Agents if self.agents.is_paging() => Reserved {
                minute: all_but(minute, AGENTS_SHARE),
                hour: all_but(hour, AGENTS_SHARE),
            },
            Collector::Agents => Reserved {
                minute: definitions(minute),
                hour: definitions(hour),
            },
            Collector::History | Collector::Sessions => Reserved {
                minute: definitions(minute) + agents(minute),
                hour: definitions(hour) + agents(hour),
            },
        }
    }
}

/// The shortest interval at which a list of so many pages takes one `share`th of the budget, or
/// all of one of its own.
pub(super) fn least_interval(pages: usize, share: usize, budget: &Budget) -> Duration {
    let limits = budget.limits();
    let share = match limits.scope {
        Scope::Application => share,
        Scope::Endpoint => 1,
    };
    let calls = u32::try_from(pages.saturating_mul(share)).unwrap_or(u32::MAX);
    [limits.minute, limits.hour]
        .map(|limit| {
            limit.window.saturating_mul(calls) / u32::try_from(limit.calls).unwrap_or(u32::MAX)
        })
        .into_iter()
        .fold(Duration::ZERO, Duration::max)
}
