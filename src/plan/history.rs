//! Which definitions' history is fetched next, in which batch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff::Backoff;
use crate::clock::Uptime;
use crate::config::Poll;
use crate::model::DefinitionId;

/// Ids in a batch before the service has said how many it allows.
const FIRST_BATCH: usize = 1_000;

/// How long the service is not asked about an id again for which it refused to answer.
pub const QUARANTINE: Duration = Duration::from_hours(24);

/// So many ids refused one after the other, with nothing answered in between,
/// say that the endpoint is broken and not the ids; so do all of fewer, if there are two.
const SUSPECTS: usize = 8;

/// How long such ids are left aside while there are others to ask about.
const ASIDE: Duration = Duration::from_mins(10);

/// How often a batch twice as large as learned is tried: a call a day at most is lost by it.
const GROW: Duration = Duration::from_hours(24);

/// When history that lags behind the list is asked for again; then the sweep is waited for.
const AGAIN: [Duration; 3] = [
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
];

#[derive(Debug)]
pub(super) struct HistoryPlan {
    sweep: Duration,
    /// If set, all definitions are fetched that often, as far as the budget allows.
    fallback: Option<Duration>,
    definitions: BTreeMap<DefinitionId, Fetch>,
    batch_size: usize,
    /// When a larger batch is tried again: what made it small may have passed.
    grow_at: Uptime,
    /// Halves of refused batches, to be fetched before anything else.
    halves: Vec<Vec<DefinitionId>>,
    /// The batch whose next page is due.
    paging: Option<Vec<DefinitionId>>,
    /// Ids refused since anything was answered.
    suspects: Vec<DefinitionId>,
    /// Whether suspicion fell on the endpoint, and nothing was answered since.
    failing: bool,
    under_way: bool,
    /// Nothing is sent before, after failures.
    not_before: Uptime,
    next_sweep: Uptime,
    backoff: Backoff,
}

/// When a definition's history was and will be fetched.
#[derive(Clone, Copy, Debug, Default)]
struct Fetch {
    /// It changed, or the last answer lagged behind.
    due: Option<Uptime>,
    /// Answers in a row that lagged behind.
    lagged: usize,
    last: Option<Uptime>,
    quarantined_until: Option<Uptime>,
}

/// When a definition's history was last fetched, and until when it is not asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchTimes {
    /// When it was last fetched.
    pub last: Option<Uptime>,
    /// Until when it is not asked about.
    pub quarantined_until: Option<Uptime>,
}

impl Fetch {
    fn is_quarantined(&self, now: Uptime) -> bool {
        self.quarantined_until.is_some_and(|until| until > now)
    }
}

impl HistoryPlan {
    pub(super) fn new(poll: Poll, now: Uptime, seed: u64) -> Self {
        Self {
            sweep: poll.sweep,
            fallback: None,
            definitions: BTreeMap::new(),
            batch_size: FIRST_BATCH,
            grow_at: now,
            halves: Vec::new(),
            paging: None,
            suspects: Vec::new(),
            failing: false,
            under_way: false,
            not_before: now,
            next_sweep: now,
            backoff: Backoff::new(seed),
        }
    }

    pub(super) fn set_batch_size(&mut self, now: Uptime, batch_size: usize) {
        self.grow_at = now + GROW;
        self.batch_size = batch_size.clamp(1, FIRST_BATCH);
    }

    pub(super) fn restore(&mut self, id: &DefinitionId, times: FetchTimes) {
        let FetchTimes {
            last,
            quarantined_until,
        } = times;
        let fetch = Fetch {
            due: quarantined_until,
            lagged: 0,
            last,
            quarantined_until,
        };
        self.definitions.insert(id.clone(), fetch);
    }

    pub(super) fn times(&self, id: &DefinitionId) -> FetchTimes {
        let fetch = self.definitions.get(id).copied().unwrap_or_default();
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
        let next = self
            .definitions
            .values()
            .filter_map(|fetch| self.fetch_at(fetch))
            .min();
        let earliest = [next, self.sweep_at()].into_iter().flatten().min()?;
        Some(earliest.max(self.not_before))
    }

    /// When the next batch of the sweep is due: paced, and once one definition is stale.
    fn sweep_at(&self) -> Option<Uptime> {
        let sweepable = self
            .definitions
            .values()
            .filter(|fetch| fetch.quarantined_until.is_none());
        let stale = sweepable.map(|fetch| self.stale_at(fetch)).min()?;
        self.fallback.is_none().then(|| stale.max(self.next_sweep))
    }

    /// When a definition may ride along in a batch that has room.
    fn stale_at(&self, fetch: &Fetch) -> Uptime {
        fetch
            .last
            .map_or(Uptime::default(), |last| last + self.sweep / 2)
    }

    /// When a definition is due beside the sweep.
    fn fetch_at(&self, fetch: &Fetch) -> Option<Uptime> {
        let routine = self
            .fallback
            .map(|interval| fetch.last.map_or(Uptime::default(), |last| last + interval));
        let earliest = [fetch.due, routine].into_iter().flatten().min()?;
        Some(
            fetch
                .quarantined_until
                .map_or(earliest, |until| earliest.max(until)),
        )
    }

    /// The batch to send now.
    pub(super) fn start(&mut self, now: Uptime) -> Vec<DefinitionId> {
        self.under_way = true;
        if let Some(ids) = self.paging.take() {
            return ids;
        }
        if self.batch_size < FIRST_BATCH && self.grow_at <= now {
            self.set_batch_size(now, self.batch_size * 2);
        }
        let batch = self.halves.pop().unwrap_or_else(|| self.batch(now));
        for id in &batch {
            // What makes it due from here on is not in the answer.
            if let Some(fetch) = self.definitions.get_mut(id) {
                fetch.due = None;
            }
        }
        batch
    }

    /// Those that are due, oldest first; once it is time for the sweep, others ride along.
    fn batch(&mut self, now: Uptime) -> Vec<DefinitionId> {
        let mut due: Vec<(Uptime, &DefinitionId)> = self
            .definitions
            .iter()
            .filter_map(|(id, fetch)| Some((self.fetch_at(fetch)?, id)))
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort_unstable();
        let mut batch: Vec<DefinitionId> = due
            .into_iter()
            .take(self.batch_size)
            .map(|(_, id)| id.clone())
            .collect();
        if batch.is_empty() || now >= self.next_sweep {
            self.fill(&mut batch, now);
        }
        batch
    }

    /// Fills a batch with those whose last fetch is longest ago.
    fn fill(&mut self, batch: &mut Vec<DefinitionId>, now: Uptime) {
        let mut oldest: Vec<(Option<Uptime>, &DefinitionId)> = self
            .definitions
            .iter()
            .filter(|(_, fetch)| self.stale_at(fetch) <= now && fetch.quarantined_until.is_none())
            .map(|(id, fetch)| (fetch.last, id))
            .collect();
        oldest.sort_unstable();
        for (_, id) in oldest {
            if batch.len() >= self.batch_size {
                break;
            }
            if !batch.contains(id) {
                batch.push(id.clone());
            }
        }
        let batches = self.definitions.len().div_ceil(self.batch_size).max(1);
        self.next_sweep = now + self.sweep / u32::try_from(batches).unwrap_or(u32::MAX);
    }

    pub(super) fn more_pages(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.under_way = false;
        self.not_before = now;
        self.paging = Some(ids.to_vec());
    }

    /// These definitions exist now; `changed` have news.
    pub(super) fn set_definitions(
        &mut self,
        now: Uptime,
        all: &BTreeSet<DefinitionId>,
        changed: &[DefinitionId],
    ) {
        self.definitions.retain(|id, _| all.contains(id));
        for half in &mut self.halves {
            half.retain(|id| all.contains(id));
        }
        self.halves.retain(|half| !half.is_empty());
        for id in all {
            if !self.definitions.contains_key(id) {
                self.definitions.insert(id.clone(), Fetch::default());
            }
        }
        for id in changed {
            if let Some(fetch) = self.definitions.get_mut(id) {
                fetch.due.get_or_insert(now);
                fetch.lagged = 0;
            }
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
        self.failing = false;
        self.backoff.reset();
        for id in ids {
            let Some(fetch) = self.definitions.get_mut(id) else {
                continue;
            };
            fetch.last = Some(now);
            fetch.quarantined_until = None;
            if fetch.due.is_some() {
                continue;
            }
            fetch.due = unsettled
                .contains(id)
                .then(|| AGAIN.get(fetch.lagged))
                .flatten()
                .map(|wait| now + *wait);
            fetch.lagged = if fetch.due.is_some() {
                fetch.lagged + 1
            } else {
                0
            };
        }
    }

    pub(super) fn failed(&mut self, now: Uptime, ids: &[DefinitionId], wait: Option<Duration>) {
        self.under_way = false;
        self.ask_again(now, ids);
        self.not_before = now + wait.unwrap_or_else(|| self.backoff.next());
    }

    /// A sweep that failed is made up for: what it held is due like a change.
    fn ask_again(&mut self, now: Uptime, ids: &[DefinitionId]) {
        for id in ids {
            if let Some(fetch) = self.definitions.get_mut(id) {
                fetch.due.get_or_insert(now);
            }
        }
    }

    pub(super) fn too_large(&mut self, now: Uptime, ids: &[DefinitionId], allowed: Option<usize>) {
        if ids.len() <= 1 {
            // A single id is never too many: the answer about it is.
            self.refused(now, ids);
            return;
        }
        let allowed = allowed.filter(|allowed| (1..ids.len()).contains(allowed));
        self.batch_size = allowed.unwrap_or(ids.len() / 2);
        self.grow_at = now + GROW;
        self.under_way = false;
        self.not_before = now;
        self.ask_again(now, ids);
    }

    pub(super) fn refused(&mut self, now: Uptime, ids: &[DefinitionId]) {
        self.under_way = false;
        self.not_before = now;
        if ids.len() > 1 {
            let (first, second) = ids.split_at(ids.len() / 2);
            self.halves.extend([second.to_vec(), first.to_vec()]);
            return;
        }
        self.suspects.extend_from_slice(ids);
        if self.suspects.len() < SUSPECTS.min(self.definitions.len()).max(2) {
            self.quarantine(ids, Some(now + QUARANTINE));
            return;
        }
        self.failing = true;
        let suspects = std::mem::take(&mut self.suspects);
        self.quarantine(&suspects, None);
        let left = std::mem::take(&mut self.halves).concat();
        // If it is the ids' fault after all, the others must not wait behind them.
        let aside = if left.is_empty() {
            Duration::ZERO
        } else {
            ASIDE
        };
        self.ask_again(now, &left);
        self.ask_again(now + aside, &suspects);
        self.not_before = now + self.backoff.next();
    }

    fn quarantine(&mut self, ids: &[DefinitionId], until: Option<Uptime>) {
        for id in ids {
            if let Some(fetch) = self.definitions.get_mut(id) {
                fetch.quarantined_until = until;
                fetch.due = until;
            }
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub(super) fn quarantined(&self, now: Uptime) -> usize {
        self.definitions
            .values()
            .filter(|fetch| fetch.is_quarantined(now))
            .count()
    }
}
