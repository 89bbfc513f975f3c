//! The budget: a sliding log of calls that hands out [`Permit`]s.
//!
//! ```text
//! try_acquire ─► Slot ─► pay ─► Permit ─► (request) ─► answered    slot free `window` after the answer
//!                    │                └─► (dropped) ─► unanswered  slot free `window` after the latest
//!                    └─► not written: the slot is free             moment the server may have seen it
//! ```
//!
//! Nothing here waits for a disk: [`Budget::try_acquire`] takes a slot in memory, and
//! [`Slot::pay`] waits, without any lock, until the call is durable. It need not wait for one
//! that was made durable ahead of time, see [`Lease`].
//!
//! A slot is held from before the request leaves until one window's length
//! after its answer arrived. The server saw the request somewhere in between,
//! so no window of the server's clock, sliding or fixed, can hold more calls
//! than the limit, whatever the network does. A token bucket cannot promise
//! that: one of 100 that refills 25 a minute lets 125 calls into one minute.

mod lease;
mod limits;
mod log;
mod permit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::future::{BoxFuture, ready};

pub use self::lease::{Lease, Returned};
pub use self::limits::{Limit, Limits, Reserve, Scope, Usage};
use self::log::Log;
pub use self::permit::{NotWritten, Permit, Slot};
use crate::clock::{Clock, Uptime};
use crate::model::health::Collector;

/// How long after sending a request without an answer may still reach the
/// service, at most: longer than any proxy keeps one that its client gave up,
/// and no shorter than the longest timeout of a request.
pub const UNANSWERED: Duration = Duration::from_mins(2);

/// How long writing a call may take. A call that took longer does not leave: its row
/// says that it left when the writing began.
const LONGEST_WRITE: Duration = Duration::from_secs(30);

/// One call in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which collector pays for it.
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
    /// Makes `call` durable and forgets those numbered below `oldest`. Returns at once;
    /// the result is false if it could not be written, and then the call must not leave.
    fn sent(&self, number: u64, call: &Call, oldest: u64) -> BoxFuture<'static, bool>;

    /// Notes the answer. It need not be durable: a call without one counts for longer.
    fn answered(&self, number: u64, call: &Call);

    /// Makes calls durable ahead of time, which need not be soon: after a crash each of their
    /// numbers counts as a call at the moment of the restart, unless it was settled. Returns at
    /// once; the result is false if they could not be written.
    fn lease(&self, lease: Lease) -> BoxFuture<'static, bool> {
        drop(lease);
        Box::pin(ready(false))
    }

    /// Whether calls can be written now, as far as is known. If not, none is made that was
    /// written ahead of time either.
    fn works(&self) -> bool {
        true
    }
}

/// Whose budget it is: a directory, an application and the host of an API. The service counts
/// by these, whatever the tenant is called in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetKey(Arc<str>);

impl BudgetKey {
    /// The key that reads so.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The key of an application in a directory, at an API. Ids and hosts are the same
    /// whatever their case.
    #[must_use]
    pub fn of(directory: &str, application: &str, api: &str) -> Self {
        Self::new(&[directory, application, api].join("|").to_lowercase())
    }

    /// The text, of which a part is enough to tell it from the name of a tenant.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A budget that goes when nobody spends it any more.
#[derive(Clone, Debug)]
pub struct WeakBudget {
    limits: Limits,
    shared: Weak<Shared>,
}

impl WeakBudget {
    /// The budget, if anyone still spends it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Budget> {
        Some(Budget {
            limits: self.limits,
            shared: self.shared.upgrade()?,
        })
    }
}

/// A tenant's budget; clones share one log.
#[derive(Clone, Debug)]
pub struct Budget {
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

impl Budget {
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
            call.answered
                .get_or_insert(call.sent.min(now) + LONGEST_WRITE + UNANSWERED);
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

    /// The same log under the limits of the whole API, our share and the reserve.
    #[must_use]
    pub fn of_the_whole_api(&self) -> Self {
        self.with_limits(self.limits.with_reserve())
    }

    /// The same budget, which this does not keep.
    #[must_use]
    pub fn downgrade(&self) -> WeakBudget {
        WeakBudget {
            limits: self.limits,
            shared: Arc::downgrade(&self.shared),
        }
    }

    /// Whether no call counts any more, and none is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut log = self.lock();
        log.forget(self.shared.clock.uptime(), self.limits.hour.window);
        log.calls.is_empty()
    }

    /// The limits that hold now: those of the reserve, while the budget runs on it.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let now = self.shared.clock.uptime();
        self.lock().reserve.limits(self.limits, now)
    }

    /// Our share of the API's limits, whether or not all of it may be spent now.
    #[must_use]
    pub fn share(&self) -> Limits {
        self.limits
    }

    /// Runs on the reserve for as long as `reserve` says, or did before.
    pub fn run_on_reserve(&self, reserve: Reserve) {
        let mut log = self.lock();
        log.reserve = log.reserve.max(reserve);
    }

    /// Until when the budget runs on the reserve.
    #[must_use]
    pub fn reserve(&self) -> Reserve {
        self.lock().reserve
    }

    /// The calls that count, by number: what a log that was lost is written anew from.
    #[must_use]
    pub fn calls(&self) -> Vec<(u64, Call)> {
        let log = self.lock();
        log.calls
            .iter()
            .map(|(number, call)| (*number, *call))
            .collect()
    }

    /// Takes a slot for one call of `collector`, if every window has one free
    /// beside `reserved`: slots of the minute and the hour that are kept for
    /// the other collectors, beyond what these use already. Where each endpoint has
    /// limits of its own, only its own calls count, and none is kept for others.
    ///
    /// # Errors
    /// The earliest moment to ask again, if there is no slot.
    pub fn try_acquire(&self, collector: Collector, reserved: Reserved) -> Result<Slot, Retry> {
        let collector = collector.payer();
        let now = self.shared.clock.uptime();
        let mut log = self.lock();
        log.forget(now, self.limits.hour.window);
        let limits = log.reserve.limits(self.limits, now);
        for (limit, reserved) in limits
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
            let taken = match limits.scope {
                Scope::Application => own + others.max(reserved),
                Scope::Endpoint => own,
            };
            if taken >= limit.calls {
                let counts = |call: &Call| limits.scope.counts(collector, call.collector);
                return Err(log.retry(now, limit.window, counts));
            }
        }
        let call = Call {
            collector,
            sent: now,
            answered: None,
        };
        // Under the lock: rows are in the order of the numbers.
        let durable = self.shared.durable.as_deref();
        let (number, written) = log.enter(call, durable);
        if let Some(durable) = durable {
            log.renew_lease(collector, now, limits, durable);
        }
        drop(log);
        let permit = Permit {
            budget: self.clone(),
            number,
            call,
            leased: durable.is_some() && written.is_none(),
            leaves: false,
        };
        Ok(Slot { permit, written })
    }

    /// Numbers that are durable and that no call has, to be read before [`Self::calls`]: what a
    /// log that was lost is written anew from.
    #[must_use]
    pub fn leased(&self) -> Vec<(u64, Collector)> {
        self.lock().leases.unused()
    }

    /// Gives back what was made durable ahead of time. It is to be written down.
    #[must_use]
    pub fn give_back(&self) -> Returned {
        let mut log = self.lock();
        let Log { calls, leases, .. } = &mut *log;
        leases.give_back(calls)
    }

    /// How much of the minute and of the hour is in use: of the budget that is fullest, where
    /// each endpoint has its own.
    #[must_use]
    pub fn usage(&self) -> [Usage; 2] {
        let all = Collector::ALL.iter().map(|of| self.usage_of(*of));
        let fuller = |a: Usage, b: Usage| if b.used > a.used { b } else { a };
        all.reduce(|[minute, hour], of| [fuller(minute, of[0]), fuller(hour, of[1])])
            .unwrap_or_else(|| self.usage_of(Collector::Definitions))
    }

    /// How much of the minute and of the hour is in use, of what `collector` spends.
    #[must_use]
    pub fn usage_of(&self, collector: Collector) -> [Usage; 2] {
        let now = self.shared.clock.uptime();
        let log = self.lock();
        let limits = log.reserve.limits(self.limits, now);
        let counts = |call: &&Call| limits.scope.counts(collector.payer(), call.collector);
        limits.both().map(|limit| Usage {
            limit: limit.calls,
            used: log.held(now, limit.window).filter(counts).count(),
        })
    }

    fn leaves(&self, number: u64, at: Uptime) {
        if let Some(call) = self.lock().calls.get_mut(&number) {
            call.sent = at;
        }
    }

    fn settle(&self, number: u64, leased: bool, at: Uptime) {
        let mut log = self.lock();
        if let Some(call) = log.calls.get_mut(&number) {
            call.answered = Some(at);
            // That of a leased number is written with the next lease.
            if let Some(durable) = self.shared.durable.as_ref().filter(|_| !leased) {
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

#[cfg(test)]
mod tests;
