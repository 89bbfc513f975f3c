//! How many calls are allowed, and how many while it is not known how many were made.

use std::time::Duration;

use crate::clock::Uptime;
use crate::model::health::Collector;

/// A gap of at most this length costs the reserve of a minute, a longer one that of an
/// hour: another exporter that keeps to four fifths of the API's limits can spend less
/// than the hour's reserve in it.
const SHORT_GAP: Duration = Duration::from_mins(3);

/// So many calls in any span of `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The span.
    pub window: Duration,
    /// The number of calls, at least 1.
    pub calls: usize,
    /// How many of the API's calls this limit leaves to others. While it is not known how
    /// many calls others made, or were made before, we run on these.
    pub reserve: usize,
}

/// What the limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All calls of an application: the stricter reading of the reference pages.
    #[default]
    Application,
    /// The calls to each endpoint by themselves.
    Endpoint,
}

impl Scope {
    /// Whether a call of `other` counts against what `collector` may call.
    pub(super) fn counts(self, collector: Collector, other: Collector) -> bool {
        self == Self::Application || collector == other
    }
}

/// The two limits that the API states: a minute's and an hour's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in any 60 s.
    pub minute: Limit,
    /// Calls in any 3 600 s.
    pub hour: Limit,
    /// Which calls count together.
    pub scope: Scope,
}

impl Limits {
    /// Limits of `per_minute` and `per_hour` calls of an application, at least 1 each, that
    /// leave no reserve.
    #[must_use]
    pub fn new(per_minute: usize, per_hour: usize) -> Self {
        let limit = |seconds, calls: usize| Limit {
            window: Duration::from_secs(seconds),
            calls: calls.max(1),
            reserve: 0,
        };
        Self {
            minute: limit(60, per_minute),
            hour: limit(3_600, per_hour),
            scope: Scope::Application,
        }
    }

    /// The same limits, of that scope.
    #[must_use]
    pub fn of_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same limits as a share of the limits of the whole API: the rest is the reserve.
    #[must_use]
    pub fn out_of(self, api: Self) -> Self {
        let share = |ours: Limit, api: Limit| Limit {
            reserve: api.calls.saturating_sub(ours.calls),
            ..ours
        };
        Self {
            minute: share(self.minute, api.minute),
            hour: share(self.hour, api.hour),
            ..self
        }
    }

    /// Our share and the reserve together.
    #[must_use]
    pub fn with_reserve(self) -> Self {
        let whole = |limit: Limit| Limit {
            calls: limit.calls + limit.reserve,
            ..limit
        };
        Self {
            minute: whole(self.minute),
            hour: whole(self.hour),
            ..self
        }
    }

    pub(super) fn both(&self) -> [Limit; 2] {
        [self.minute, self.hour]
    }
}

/// How much of a window is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The limit.
    pub limit: usize,
    /// Calls that still count against it.
    pub used: usize,
}

/// Until when a budget runs on the reserve, for want of knowledge of the calls before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// In the minute's window; `None`: it does not.
    pub minute: Option<Uptime>,
    /// In the hour's window, and then in the minute's, too.
    pub hour: Option<Uptime>,
}

impl Reserve {
    /// What a gap in our knowledge costs that ends at `now`: `None` is one of unknown length.
    #[must_use]
    pub fn after(gap: Option<Duration>, now: Uptime) -> Self {
        let short = gap.is_some_and(|gap| gap <= SHORT_GAP);
        Self {
            minute: Some(now + Duration::from_mins(1)),
            hour: (!short).then(|| now + Duration::from_hours(1)),
        }
    }

    /// The longer of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            minute: self.minute.max(other.minute),
            hour: self.hour.max(other.hour),
        }
    }

    /// Until when either lasts, if it does at `now`.
    #[must_use]
    pub fn until(self, now: Uptime) -> Option<Uptime> {
        self.minute.max(self.hour).filter(|until| *until > now)
    }

    /// The limits that hold at `now`.
    pub(super) fn limits(self, limits: Limits, now: Uptime) -> Limits {
        let within = |until: Option<Uptime>, limit: Limit| match until {
            Some(until) if until > now => Limit {
                calls: limit.calls.min(limit.reserve),
                ..limit
            },
            _ => limit,
        };
        Limits {
            minute: within(self.minute.max(self.hour), limits.minute),
            hour: within(self.hour, limits.hour),
            ..limits
        }
    }
}
