//! Which definitions' history is fetched next, in which batch.

mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ListingDiff;
use super::batch_size::BatchSize;
use super::fetches::{Fetch, Fetches};
use super::waits::Waits;
use crate::clock::Uptime;
use crate::config::Poll;
use crate::model::DefinitionId;
use crate::model::Failure;
use crate::model::health::Reason;

/// How long the service is not asked about an id again for which it refused to answer.
pub const QUARANTINE: Duration = Duration::from_hours(24);

/// So many ids refused one after the other, with nothing answered in between,
/// say that the endpoint is broken and not the ids; so do all of fewer, if there are two.
const SUSPECTS: usize = 8;

/// So many failures of a batch in a row, and it is asked for in halves.
const IN_A_ROW: usize = 3;

/// How long such ids are left aside while there are others to ask about.
const ASIDE: Duration = Duration::from_mins(10);

/// For how long after a list the sweep may go on: the next list is far enough away.
const SOON: Duration = Duration::from_secs(15);

/// While a list goes on: for how long a batch that is not full waits for its further pages.
const COLLECT: Duration = Duration::from_secs(15);

/// If there was no list for so long, the sweep waits for none.
const NO_LIST: Duration = Duration::from_mins(5);

/// How long after one answer that settled nothing the next is asked for; the last repeats.
const AGAIN: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(4),
];

#[derive(Debug)]
pub(super) struct HistorySchedule {
    sweep: Duration,
    /// If set, all definitions are fetched that often, as far as the budget allows.
    fallback: Option<Duration>,
    definitions: Fetches,
    batch_size: BatchSize,
    /// Halves of batches that were refused, failed or were short, and those that are tried again as they
    /// are, to be fetched before anything else.
    halves: Vec<Vec<DefinitionId>>,
    /// The batch whose next page is due.
    paging: Option<Vec<DefinitionId>>,
    /// Failures in a row.
    failures: usize,
    /// Ids that failed alone, and how often in a row: each is asked for alone, once no other is
    /// due.
    alone: BTreeMap<DefinitionId, usize>,
    /// How many ids the last answer was about that lacked its end.
    short: usize,
    /// How many of its halves were whole.
    whole: usize,
    /// Ids refused since anything was answered.
    suspects: Vec<DefinitionId>,
    /// Whether suspicion fell on the endpoint, and nothing was answered since.
    failing: bool,
    /// Whether the last batch failed because it is forbidden.
    forbidden: bool,
    under_way: bool,
    /// Nothing is sent before, after failures.
    not_before: Uptime,
    next_sweep: Uptime,
    /// When the last list was complete.
    listed: Uptime,
    /// While a list goes on, until when a batch that is not full waits for its further pages.
    collects_until: Option<Uptime>,
    waits: Waits,
}

/// When a definition's history was last fetched, and until when it is not asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchTimes {
    /// When it was last fetched.
    pub last: Option<Uptime>,
    /// Until when it is not asked about.
    pub quarantined_until: Option<Uptime>,
}

impl HistorySchedule {
    pub(super) fn new(poll: Poll, now: Uptime, seed: u64) -> Self {
        Self {
            sweep: poll.sweep,
            fallback: None,
            definitions: Fetches::default(),
            batch_size: BatchSize::new(now),
            halves: Vec::new(),
            paging: None,
            failures: 0,
            alone: BTreeMap::new(),
            short: 0,
            whole: 0,
            suspects: Vec::new(),
            failing: false,
            forbidden: false,
            under_way: false,
            not_before: now,
            next_sweep: now,
            listed: now,
            collects_until: None,
            waits: Waits::new(seed),
        }
    }

    pub(super) fn set_batch_size(&mut self, now: Uptime, batch_size: usize) {
        self.batch_size.set(now, batch_size);
    }

    pub(super) fn restore(
        &mut self,
        fetches: impl IntoIterator<Item = (DefinitionId, FetchTimes)>,
    ) {
        let fetches = fetches.into_iter();
        self.definitions.insert_all(fetches.map(|(id, times)| {
            let fetch = Fetch {
                due: times.quarantined_until,
                unsettled: 0,
                last: times.last,
                quarantined_until: times.quarantined_until,
            };
            (id, fetch)
        }));
    }

    pub(super) fn times(&self, id: &DefinitionId) -> FetchTimes {
        let fetch = self.definitions.get(id).unwrap_or_default();
        FetchTimes {
            last: fetch.last,
            quarantined_until: fetch.quarantined_until,
        }
    }

    /// When the next batch is due; `None` while one is under way, or there is nothing to fetch.
    pub(super) fn due(&self) -> Option<Uptime> {
        if self.under_way || self.definitions.is_empty() {
            return None;
        }
        if self.paging.is_some() || !self.halves.is_empty() {
            return Some(self.not_before);
        }
        let due = self.definitions.by_due().next().map(|(due, _)| due);
        let oldest = self.by_last().next();
        let routine = oldest.and_then(|(last, _)| self.routine_at(last));
        let earliest = [due, routine, self.sweep_at()]
            .into_iter()
            .flatten()
            .min()?
            .max(self.not_before);
        let full = || {
            self.definitions
                .by_due()
                .nth(self.batch_size() - 1)
                .is_some()
        };
        let collects_until = self.collects_until.filter(|_| !full());
        Some(earliest.max(collects_until.unwrap_or_default()))
    }

    /// When the next batch of the sweep is due: paced, once one definition is stale, and
    /// soon after a list, so that what the next list shows does not wait for its answer.
    fn sweep_at(&self) -> Option<Uptime> {
        let (last, _) = self.by_last().next()?;
        let paced = self.stale_at(last).max(self.next_sweep);
        let soon = paced <= self.listed + SOON;
        let at = if soon {
            paced
        } else {
            paced.max(self.listed + NO_LIST)
        };
        self.fallback.is_none().then_some(at)
    }

    /// By their last fetch, but for those that are asked for alone, at times of their own.
    fn by_last(&self) -> impl Iterator<Item = (Option<Uptime>, &DefinitionId)> {
        let all = self.definitions.by_last();
        all.filter(|(_, id)| !self.alone.contains_key(*id))
    }

    /// Whether a change waits for a call, beside one that is under way.
    pub(super) fn has_backlog(&self, now: Uptime) -> bool {
        let due = self.definitions.by_due().next();
        let waits = due.is_some_and(|(due, _)| due <= now);
        waits || self.paging.is_some() || !self.halves.is_empty()
    }

    /// When a definition last fetched then may ride along in a batch that has room.
    fn stale_at(&self, last: Option<Uptime>) -> Uptime {
        last.map_or(Uptime::default(), |last| last + self.sweep / 2)
    }

    /// When a definition last fetched then is due in the fallback.
    fn routine_at(&self, last: Option<Uptime>) -> Option<Uptime> {
        let interval = self.fallback?;
        Some(last.map_or(Uptime::default(), |last| last + interval))
    }

    /// The batch to send now.
    pub(super) fn start(&mut self, now: Uptime) -> Vec<DefinitionId> {
        self.under_way = true;
        if let Some(ids) = self.paging.take() {
            return ids;
        }
        self.batch_size.grow(now);
        if let Some(until) = &mut self.collects_until {
            *until = now + COLLECT;
        }
        let batch = self.halves.pop().unwrap_or_else(|| self.batch(now));
        for id in &batch {
            // What makes it due from here on is not in the answer.
            self.definitions.update(id, |fetch| fetch.due = None);
        }
        batch
    }

    /// Those that are due, oldest first; once it is time for the sweep, others ride along.
    fn batch(&mut self, now: Uptime) -> Vec<DefinitionId> {
        let changed = self.definitions.by_due().take(self.batch_size());
        let routine = self.by_last().take(self.batch_size());
        let routine = routine.filter_map(|(last, id)| Some((self.routine_at(last)?, id)));
        let mut due: Vec<(Uptime, &DefinitionId)> = changed
            .chain(routine)
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort_unstable();
        let mut chosen = BTreeSet::new();
        let (alone, due): (Vec<_>, Vec<_>) = due
            .into_iter()
            .partition(|(_, id)| self.alone.contains_key(*id));
        if let ([], [(_, id), ..]) = (&*due, &*alone) {
            return vec![DefinitionId::clone(id)];
        }
        let mut batch: Vec<DefinitionId> = due
            .into_iter()
            .filter(|(_, id)| chosen.insert(*id))
            .take(self.batch_size())
            .map(|(_, id)| id.clone())
            .collect();
        if batch.is_empty() || now >= self.next_sweep {
            self.fill(&mut batch, now);
        }
        batch
    }

    /// Fills a batch with those whose last fetch is longest ago.
    fn fill(&mut self, batch: &mut Vec<DefinitionId>, now: Uptime) {
        let room = self.batch_size().saturating_sub(batch.len());
        let chosen: BTreeSet<&DefinitionId> = batch.iter().collect();
        let riders: Vec<DefinitionId> = self
            .by_last()
            .take_while(|(last, _)| self.stale_at(*last) <= now)
            .map(|(_, id)| id)
            .filter(|id| !chosen.contains(id))
            .take(room)
            .cloned()
            .collect();
        batch.extend(riders);
        let batches = self.definitions.len().div_ceil(self.batch_size()).max(1);
        self.next_sweep = now + self.sweep / u32::try_from(batches).unwrap_or(u32::MAX);
    }

    pub(super) fn more_pages(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.under_way = false;
        self.not_before = now;
        self.paging = Some(ids.to_vec());
    }

    /// What a page of a list says, of which another is to come.
    pub(super) fn page_listed(&mut self, now: Uptime, page: &ListingDiff) {
        self.collects_until.get_or_insert(now + COLLECT);
        self.take_in(now, page);
    }

    /// The list came to its end, or was given up.
    pub(super) fn list_ended(&mut self) {
        self.collects_until = None;
    }

    /// What a list says at its end, beside what was known.
    pub(super) fn listed(&mut self, now: Uptime, listed: &ListingDiff) {
        self.listed = now;
        self.list_ended();
        self.take_in(now, listed);
    }

    fn take_in(&mut self, now: Uptime, listed: &ListingDiff) {
        for id in &listed.vanished {
            self.alone.remove(id);
            self.definitions.remove(id);
        }
        if !listed.vanished.is_empty() {
            let definitions = &self.definitions;
            for half in &mut self.halves {
                half.retain(|id| definitions.get(id).is_some());
            }
            self.halves.retain(|half| !half.is_empty());
        }
        for id in &listed.appeared {
            self.definitions.insert(id, Fetch::default());
        }
        for id in &listed.changed {
            self.definitions.update(id, |fetch| {
                // A change does not wait for the end of a pause, but for that of a quarantine.
                let free = fetch.quarantined_until.is_none_or(|until| until <= now);
                fetch.due = fetch.due.filter(|due| !free || *due < now).or(Some(now));
                fetch.unsettled = 0;
            });
        }
    }

    pub(super) fn set_fallback(&mut self, interval: Option<Duration>) {
        self.fallback = interval;
    }

    pub(super) fn fetched(
        &mut self,
        now: Uptime,
        ids: &[DefinitionId],
        unsettled: &BTreeSet<DefinitionId>,
    ) {
        self.under_way = false;
        self.not_before = now;
        self.suspects.clear();
        self.failures = 0;
        self.was_whole(now, ids.len());
        if self.halves.is_empty() {
            self.short = 0;
        }
        self.failing = false;
        self.forbidden = false;
        self.waits.reset();
        for id in ids {
            self.alone.remove(id);
            let unsettled = unsettled.contains(id);
            self.definitions.update(id, |fetch| {
                fetch.last = Some(now);
                fetch.quarantined_until = None;
                if fetch.due.is_some() {
                    return;
                }
                let wait = AGAIN[fetch.unsettled.min(AGAIN.len() - 1)];
                fetch.due = unsettled.then(|| now + wait);
                fetch.unsettled = if unsettled { fetch.unsettled + 1 } else { 0 };
            });
        }
    }

    /// Waits as long as the back-off says; returns until when.
    pub(super) fn failed(&mut self, now: Uptime, ids: &[DefinitionId], failure: Failure) -> Uptime {
        self.under_way = false;
        self.forbidden = failure == Failure::Forbidden;
        if matches!(failure, Failure::Temporary(reason) if reason != Reason::Auth) {
            self.failed_for_now(now, ids);
        } else {
            self.failures = 0;
            self.ask_again(now, ids);
        }
        self.not_before = now + self.waits.after(failure);
        self.not_before
    }

    /// When what is forbidden is due.
    pub(super) fn forbidden_until(&self) -> Option<Uptime> {
        self.due().filter(|_| self.forbidden)
    }

    /// What is forbidden is due at once.
    pub(super) fn retry_forbidden(&mut self, now: Uptime) {
        if self.forbidden {
            self.not_before = self.not_before.min(now);
        }
    }

    /// A sweep that failed is made up for: what it held is due like a change.
    fn ask_again(&mut self, now: Uptime, ids: &[DefinitionId]) {
        for id in ids {
            self.definitions.update(id, |fetch| {
                fetch.due.get_or_insert(now);
            });
        }
    }

    /// Whether these are one id that is asked for alone while there are others: its failures say
    /// nothing of them.
    pub(super) fn is_apart(&self, ids: &[DefinitionId]) -> bool {
        matches!(ids, [id] if self.alone.contains_key(id)) && self.definitions.len() > 1
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size.get()
    }

    pub(super) fn quarantined(&self, now: Uptime) -> usize {
        self.definitions.quarantined(now)
    }
}
