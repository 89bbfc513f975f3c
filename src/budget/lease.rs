//! Calls that are made durable ahead of time, a few at once, so that not each of them waits for
//! the disk.
//!
//! ```text
//! renew ─► numbers, durable without a time ─► taken by a call ─► settled: the row tells the truth
//! crash ───────────────────────────────────────────────────────► all that were not settled count
//!                                                                as made at the restart
//! ```
//!
//! A number costs nothing as long as no call has it: the service has seen nothing of it. So many
//! are leased as the collector needs in some minutes, and never more than a small part of the
//! budget: a process that is killed again and again loses them each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Call, Limits};
use crate::model::health::Collector;

/// Numbers that a collector has leased, at most.
const MOST: usize = 12;

/// The calls of so long are counted to see how many a collector makes.
pub(super) const OBSERVED: Duration = Duration::from_mins(5);

/// How many times a lease can be written in that time: each may wait for 5 s to share a
/// transaction.
const WRITES: usize = 60;

/// What is leased is meant for as many times that long.
const AHEAD: usize = 2;

/// The part of the minute's limit that a collector may have leased.
const OF_MINUTE: usize = 6;

/// The part of the hour's limit that a collector may have leased.
const OF_HOUR: usize = 100;

/// The part of what is free of either limit that a collector may have leased.
const OF_FREE: usize = 4;

/// Calls to be made durable before anyone wants to make them.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Who is going to make them.
    pub collector: Collector,
    /// Their numbers.
    pub numbers: Range<u64>,
    /// Calls with numbers that were leased before, as they were made.
    pub settled: Vec<(u64, Call)>,
    /// Rows with numbers below are forgotten.
    pub oldest: u64,
}

/// What a budget gives back that nobody spends any more.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// Calls with leased numbers, as they were made.
    pub settled: Vec<(u64, Call)>,
    /// Numbers that no call ever had.
    pub unused: Vec<u64>,
}

/// The leased numbers of one budget.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// They are durable, and no call has them.
    free: BTreeMap<Collector, BTreeSet<u64>>,
    /// Calls have them, but their rows do not say so.
    spent: BTreeSet<u64>,
    /// One a collector, at most.
    renewals: Vec<Renewal>,
}

/// A lease that is being written.
struct Renewal {
    lease: Lease,
    written: BoxFuture<'static, bool>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Renewal").field(&self.lease).finish()
    }
}

/// How many numbers a collector leases that made `calls` within [`OBSERVED`], of a budget with
/// so many calls `free` in the minute and in the hour.
pub(super) fn wanted(calls: usize, limits: Limits, free: [usize; 2]) -> usize {
    let bounds = [
        calls.saturating_mul(AHEAD),
        MOST,
        limits.minute.calls / OF_MINUTE,
        limits.hour.calls / OF_HOUR,
        free[0] / OF_FREE,
        free[1] / OF_FREE,
    ];
    bounds.into_iter().min().unwrap_or_default()
}

impl Leases {
    /// Takes note of leases that have been written meanwhile.
    pub(super) fn look(&mut self) {
        let (free, spent) = (&mut self.free, &mut self.spent);
        self.renewals.retain_mut(|renewal| {
            let Some(written) = (&mut renewal.written).now_or_never() else {
                return true;
            };
            if written {
                let lease = &renewal.lease;
                for (number, _) in &lease.settled {
                    spent.remove(number);
                }
                free.entry(lease.collector)
                    .or_default()
                    .extend(lease.numbers.clone());
            }
            false
        });
    }

    /// A number that `collector` has leased, for one call.
    pub(super) fn take(&mut self, collector: Collector) -> Option<u64> {
        let number = self.free.get_mut(&collector)?.pop_first()?;
        self.spent.insert(number);
        Some(number)
    }

    /// The call with this leased number was not made.
    pub(super) fn untake(&mut self, collector: Collector, number: u64) {
        if self.spent.remove(&number) {
            self.free.entry(collector).or_default().insert(number);
        }
    }

    /// Drops what is numbered below `oldest`, whose rows are forgotten.
    pub(super) fn forget(&mut self, oldest: u64) {
        for free in self.free.values_mut() {
            *free = free.split_off(&oldest);
        }
        self.spent = self.spent.split_off(&oldest);
    }

    /// How many numbers are to be leased for `collector`, which wants so many, and made so many
    /// `calls` within [`OBSERVED`]: none while it has enough for the time that writing takes.
    pub(super) fn lacks(&self, collector: Collector, wanted: usize, calls: usize) -> usize {
        let free = self.free.get(&collector).map_or(0, BTreeSet::len);
        let is_low = free <= (calls / WRITES).min(wanted / 2);
        let mut renewals = self.renewals.iter();
        let renews = renewals.any(|renewal| renewal.lease.collector == collector);
        if wanted > 1 && is_low && !renews {
            wanted - free
        } else {
            0
        }
    }

    /// A lease is being written.
    pub(super) fn renew(&mut self, lease: Lease, written: BoxFuture<'static, bool>) {
        self.renewals.push(Renewal { lease, written });
    }

    /// Those of `calls` that are settled, but their rows do not say so.
    pub(super) fn settled(&self, calls: &BTreeMap<u64, Call>) -> Vec<(u64, Call)> {
        let calls = self.spent.iter().filter_map(|number| {
            let call = calls.get(number)?;
            call.answered.map(|_| (*number, *call))
        });
        calls.collect()
    }

    /// All numbers that no call has, also of a lease that is being written.
    pub(super) fn unused(&self) -> Vec<(u64, Collector)> {
        let free = self.free.iter();
        let free = free.flat_map(|(of, numbers)| numbers.iter().map(|number| (*number, *of)));
        let renewed = self.renewals.iter().flat_map(|renewal| {
            let lease = &renewal.lease;
            lease
                .numbers
                .clone()
                .map(|number| (number, lease.collector))
        });
        free.chain(renewed).collect()
    }

    /// Gives all back.
    pub(super) fn give_back(&mut self, calls: &BTreeMap<u64, Call>) -> Returned {
        let unused = self.unused().into_iter().map(|(number, _)| number);
        let unused = unused.collect();
        let before = std::mem::take(self);
        let spent = before.spent.into_iter();
        let settled = spent.filter_map(|number| Some((number, *calls.get(&number)?)));
        Returned {
            settled: settled.collect(),
            unused,
        }
    }
}
