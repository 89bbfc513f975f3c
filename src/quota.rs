//! The budget: a sliding log of calls that hands out [`Permit`]s.
//!
//! ```text
//! try_acquire ─► Permit ─► (request) ─► answered        slot free `window` after the answer
//!                      └─► (dropped) ─► unanswered      slot free `window` after the latest
//!                                                       moment the server may have seen it
//! ```
//!
//! A slot is held from before the request leaves until one window's length
//! after its answer arrived. The server saw the request somewhere in between,
//! so no window of the server's clock, sliding or fixed, can hold more calls
//! than the limit, whatever the network does. A token bucket can not promise
//! that: one of 100 that refills 25 a minute lets 125 calls into one minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Uptime};
use crate::health::Collector;

/// How long after sending a request without an answer may still reach the
/// service, at most: longer than any proxy keeps one that its client gave up,
/// and no shorter than the longest timeout of a request.
pub const UNANSWERED: Duration = Duration::from_mins(2);

/// How long to wait before asking again, if a call can not be written down.
const UNWRITTEN: Duration = Duration::from_secs(5);

/// So many calls in any span of `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The span.
    pub window: Duration,
    /// The number of calls, at least 1.
    pub calls: usize,
}

/// The two limits that the API states: a minute's and an hour's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in any 60 s.
    pub minute: Limit,
    /// Calls in any 3 600 s.
    pub hour: Limit,
}

impl Limits {
    /// Limits of `per_minute` and `per_hour` calls, at least 1 each.
    #[must_use]
    pub fn new(per_minute: usize, per_hour: usize) -> Self {
        let limit = |seconds, calls: usize| Limit {
            window: Duration::from_secs(seconds),
            calls: calls.max(1),
        };
        Self {
            minute: limit(60, per_minute),
            hour: limit(3_600, per_hour),
        }
    }

    fn both(&self) -> [Limit; 2] {
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

/// One call in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which collector made it.
    pub collector: Collector,
    /// When it was allowed, just before it left.
    pub sent: Uptime,
    /// When its answer arrived; `None` while it is on its way.
    pub answered: Option<Uptime>,
}

impl Call {
    /// When the call no longer counts against `window`; `None` while it is on its way.
    fn free_at(&self, window: Duration) -> Option<Uptime> {
        self.answered.map(|answered| answered + window)
    }
}

/// Where calls are written down before they leave, so that neither a crash nor
/// a restart renews the budget.
pub trait CallLog: std::fmt::Debug + Send + Sync {
    /// Makes `call` durable and forgets those numbered below `oldest`. False if
    /// it could not be written; then the call must not leave.
    fn sent(&self, number: u64, call: &Call, oldest: u64) -> bool;

    /// Notes the answer. It need not be durable: a call without one counts for longer.
    fn answered(&self, number: u64, call: &Call);
}

/// A tenant's budget; clones share one log.
#[derive(Clone, Debug)]
pub struct Quota {
    limits: Limits,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    log: Mutex<Log>,
    /// `None`: a restart forgets.
    durable: Option<Arc<dyn CallLog>>,
}

#[derive(Debug, Default)]
struct Log {
    /// Calls that count against a window or are on their way, by number.
    calls: BTreeMap<u64, Call>,
    next: u64,
}

impl Quota {
    /// An unused budget that a restart forgets.
    #[must_use]
    pub fn new(clock: Clock, limits: Limits) -> Self {
        Self::restore(clock, limits, [], None)
    }

    /// A budget that remembers `calls`, by number, and writes new ones to
    /// `durable`. A call without an answer counts as one that got none: it may
    /// have outlived whoever waited for it.
    #[must_use]
    pub fn restore(
        clock: Clock,
        limits: Limits,
        calls: impl IntoIterator<Item = (u64, Call)>,
        durable: Option<Arc<dyn CallLog>>,
    ) -> Self {
        let now = clock.uptime();
        let mut log = Log::default();
        for (number, mut call) in calls {
            // From when it was sent, not from now: else each restart would make it count for longer.
            call.answered.get_or_insert(call.sent.min(now) + UNANSWERED);
            log.calls.insert(number, call);
            log.next = log.next.max(number.saturating_add(1));
        }
        let shared = Arc::new(Shared {
            clock,
            log: Mutex::new(log),
            durable,
        });
        Self { limits, shared }
    }

    /// The same log under other limits: the calls so far still count, those on
    /// their way included.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self {
            limits,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether no call counts any more, and none is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut log = self.lock();
        log.forget(self.shared.clock.uptime(), self.limits.hour.window);
        log.calls.is_empty()
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes a slot for one call of `collector`, if every window has one free
    /// beside `reserved`: slots of the minute and the hour that are kept for
    /// the other collectors, beyond what these use already.
    ///
    /// # Errors
    /// The earliest moment to ask again, if there is no slot or the call can
    /// not be written down.
    pub fn try_acquire(&self, collector: Collector, reserved: Reserved) -> Result<Permit, Retry> {
        let now = self.shared.clock.uptime();
        let mut log = self.lock();
        log.forget(now, self.limits.hour.window);
        for (limit, reserved) in self
            .limits
            .both()
            .into_iter()
            .zip([reserved.minute, reserved.hour])
        {
            let (mut own, mut others) = (0, 0);
            for call in log.held(now, limit.window) {
                *(if call.collector == collector {
                    &mut own
                } else {
                    &mut others
                }) += 1;
            }
            if own + others.max(reserved) >= limit.calls {
                return Err(log.retry(now, limit.window));
            }
        }
        let number = log.next;
        log.next += 1;
        let call = Call {
            collector,
            sent: now,
            answered: None,
        };
        let oldest = log
            .calls
            .first_key_value()
            .map_or(number, |(oldest, _)| *oldest);
        // Under the lock: rows are in the order of the numbers.
        if let Some(durable) = &self.shared.durable
            && !durable.sent(number, &call, oldest)
        {
            return Err(Retry::At(now + UNWRITTEN));
        }
        log.calls.insert(number, call);
        Ok(Permit {
            quota: self.clone(),
            number,
            call,
        })
    }

    /// How much of the minute and of the hour is in use.
    #[must_use]
    pub fn usage(&self) -> [Usage; 2] {
        let now = self.shared.clock.uptime();
        let log = self.lock();
        self.limits.both().map(|limit| Usage {
            limit: limit.calls,
            used: log.held(now, limit.window).count(),
        })
    }

    fn settle(&self, number: u64, at: Uptime) {
        let mut log = self.lock();
        if let Some(call) = log.calls.get_mut(&number) {
            call.answered = Some(at);
            if let Some(durable) = &self.shared.durable {
                durable.answered(number, call);
            }
        }
    }

    /// The log stays consistent between any two statements: poison is harmless.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.shared
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots kept for other collectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Of the minute's.
    pub minute: usize,
    /// Of the hour's.
    pub hour: usize,
}

/// When to ask again after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At that moment.
    At(Uptime),
    /// Once a call that is on its way has been answered.
    AfterAnswer,
}

impl Log {
    fn held(&self, now: Uptime, window: Duration) -> impl Iterator<Item = &Call> {
        self.calls
            .values()
            .filter(move |call| call.free_at(window).is_none_or(|free| now <= free))
    }

    /// The next moment at which any slot of `window` becomes free.
    fn retry(&self, now: Uptime, window: Duration) -> Retry {
        let next = self
            .held(now, window)
            .filter_map(|call| call.free_at(window))
            .min();
        next.map_or(Retry::AfterAnswer, |free| {
            Retry::At(free + Duration::from_millis(1))
        })
    }

    fn forget(&mut self, now: Uptime, longest: Duration) {
        self.calls
            .retain(|_, call| call.free_at(longest).is_none_or(|free| now <= free));
    }
}

/// The right to send one request. It is consumed by sending, so a request
/// outside the budget does not compile.
#[derive(Debug)]
#[must_use = "a permit that is not used still costs a call"]
pub struct Permit {
    quota: Quota,
    number: u64,
    call: Call,
}

impl Permit {
    /// The call's number, unique and ascending within its budget.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The call as logged.
    #[must_use]
    pub fn call(&self) -> Call {
        self.call
    }

    /// The answer has arrived: the service has seen the request by now.
    pub fn answered(mut self) {
        let now = self.quota.shared.clock.uptime();
        self.quota.settle(self.number, now);
        self.call.answered = Some(now);
    }
}

/// No answer came. The service may see the request until [`UNANSWERED`] after it was sent.
impl Drop for Permit {
    fn drop(&mut self) {
        if self.call.answered.is_none() {
            let now = self.quota.shared.clock.uptime();
            self.quota
                .settle(self.number, now.max(self.call.sent + UNANSWERED));
        }
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
