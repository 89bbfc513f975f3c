//! The calls that count, and the numbers that are leased for those to come.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;

use super::lease::{self, Lease, Leases};
use super::{Call, CallLog, Limits, Reserve, Retry};
use crate::clock::Uptime;
use crate::model::health::Collector;

/// What a budget knows, behind its lock.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Calls that count against a window or are on their way, by number.
    pub(super) calls: BTreeMap<u64, Call>,
    pub(super) next: u64,
    pub(super) reserve: Reserve,
    pub(super) leases: Leases,
}

impl Log {
    pub(super) fn held(&self, now: Uptime, window: Duration) -> impl Iterator<Item = &Call> {
        self.calls
            .values()
            .filter(move |call| call.free_at(window).is_none_or(|free| now <= free))
    }

    /// The next moment at which any slot of `window` becomes free that `counts`, or the
    /// reserve ends.
    pub(super) fn retry(
        &self,
        now: Uptime,
        window: Duration,
        counts: impl Fn(&Call) -> bool,
    ) -> Retry {
        let next = self
            .held(now, window)
            .filter(|call| counts(call))
            .filter_map(|call| call.free_at(window))
            .chain(self.reserve.until(now))
            .min();
        next.map_or(Retry::AfterAnswer, |free| {
            Retry::At(free + Duration::from_millis(1))
        })
    }

    /// Enters a call under a number that was leased, or else under a new one, which is to be
    /// waited for.
    pub(super) fn enter(
        &mut self,
        call: Call,
        durable: Option<&dyn CallLog>,
    ) -> (u64, Option<BoxFuture<'static, bool>>) {
        let oldest = self.oldest();
        self.leases.look();
        self.leases.forget(oldest);
        let works = durable.is_some_and(CallLog::works);
        let leased = if works {
            self.leases.take(call.collector)
        } else {
            None
        };
        let (number, written) = if let Some(number) = leased {
            (number, None)
        } else {
            let number = self.next;
            self.next += 1;
            let written = durable.map(|durable| durable.sent(number, &call, oldest));
            (number, written)
        };
        self.calls.insert(number, call);
        (number, written)
    }

    /// The lowest number of a call that counts, or of the next one. It never falls: what is
    /// leased below it is dropped before it is spent, as its row may be forgotten by then.
    fn oldest(&self) -> u64 {
        let oldest = self.calls.first_key_value();
        oldest.map_or(self.next, |(number, _)| *number)
    }

    /// Leases numbers if `collector` is about to run out of them.
    pub(super) fn renew_lease(
        &mut self,
        collector: Collector,
        now: Uptime,
        limits: Limits,
        durable: &dyn CallLog,
    ) {
        let since = now - lease::OBSERVED;
        let recent = self.calls.values();
        let recent = recent.filter(|call| call.collector == collector && call.sent >= since);
        let recent = recent.count();
        let counts = |call: &&Call| limits.scope.counts(collector, call.collector);
        let free = limits.both().map(|limit| {
            let used = self.held(now, limit.window).filter(counts).count();
            limit.calls.saturating_sub(used)
        });
        let wanted = lease::wanted(recent, limits, free);
        let lacks = self.leases.lacks(collector, wanted, recent);
        if lacks == 0 || !durable.works() {
            return;
        }
        let first = self.next;
        self.next += lacks as u64;
        let lease = Lease {
            collector,
            numbers: first..self.next,
            settled: self.leases.settled(&self.calls),
            oldest: self.oldest(),
        };
        let written = durable.lease(lease.clone());
        self.leases.renew(lease, written);
    }

    pub(super) fn forget(&mut self, now: Uptime, longest: Duration) {
        self.calls
            .retain(|_, call| call.free_at(longest).is_none_or(|free| now <= free));
    }
}
