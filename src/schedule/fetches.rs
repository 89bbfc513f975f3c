//! When each definition's history was and will be fetched, in order: what is
//! due first and what was fetched longest ago cost nothing to find, whatever
//! the number of definitions.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Uptime;
use crate::model::DefinitionId;

/// When a definition's history was and will be fetched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetch {
    /// It changed, or the last answer did not settle it; in quarantine: when that ends.
    pub(super) due: Option<Uptime>,
    /// Answers in a row that did not settle it.
    pub(super) unsettled: usize,
    /// When it was last fetched.
    pub(super) last: Option<Uptime>,
    /// Until when it is not asked about. It may have passed, with nothing answered since.
    pub(super) quarantined_until: Option<Uptime>,
}

/// All definitions, by id and in the orders in which they are fetched.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    by_id: HashMap<DefinitionId, Fetch>,
    by_due: BTreeSet<(Uptime, DefinitionId)>,
    /// Without those in quarantine; those never fetched come first.
    by_last: BTreeSet<(Option<Uptime>, DefinitionId)>,
    quarantined: BTreeSet<(Uptime, DefinitionId)>,
}

impl Fetches {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get(&self, id: &DefinitionId) -> Option<Fetch> {
        self.by_id.get(id).copied()
    }

    /// Adds a definition, or puts one in its place.
    pub(super) fn insert(&mut self, id: &DefinitionId, fetch: Fetch) {
        self.remove(id);
        self.by_id.insert(id.clone(), fetch);
        self.index_due(id, fetch);
        self.index_last(id, fetch);
    }

    /// The same of many: they are put in order all at once, which is much less work.
    pub(super) fn insert_all(&mut self, fetches: impl IntoIterator<Item = (DefinitionId, Fetch)>) {
        self.by_id.extend(fetches);
        let all = || self.by_id.iter();
        let due = all().filter_map(|(id, fetch)| Some((fetch.due?, id.clone())));
        self.by_due = due.collect();
        let quarantined = all().filter_map(|(id, it)| Some((it.quarantined_until?, id.clone())));
        self.quarantined = quarantined.collect();
        let others = all().filter(|(_, fetch)| fetch.quarantined_until.is_none());
        self.by_last = others.map(|(id, fetch)| (fetch.last, id.clone())).collect();
    }

    pub(super) fn remove(&mut self, id: &DefinitionId) {
        if let Some(fetch) = self.by_id.remove(id) {
            self.unindex_due(id, fetch);
            self.unindex_last(id, fetch);
        }
    }

    /// Changes one definition, if it is known.
    pub(super) fn update(&mut self, id: &DefinitionId, change: impl FnOnce(&mut Fetch)) {
        let Some(fetch) = self.by_id.get_mut(id) else {
            return;
        };
        let before = *fetch;
        change(fetch);
        let after = *fetch;
        if before.due != after.due {
            self.unindex_due(id, before);
            self.index_due(id, after);
        }
        if (before.last, before.quarantined_until) != (after.last, after.quarantined_until) {
            self.unindex_last(id, before);
            self.index_last(id, after);
        }
    }

    /// Those that are due, the longest due first.
    pub(super) fn by_due(&self) -> impl Iterator<Item = (Uptime, &DefinitionId)> {
        self.by_due.iter().map(|(due, id)| (*due, id))
    }

    /// Those not in quarantine, the one fetched longest ago first.
    pub(super) fn by_last(&self) -> impl Iterator<Item = (Option<Uptime>, &DefinitionId)> {
        self.by_last.iter().map(|(last, id)| (*last, id))
    }

    /// How many are in quarantine at `now`.
    pub(super) fn quarantined(&self, now: Uptime) -> usize {
        let lasting = |entry: &&(Uptime, DefinitionId)| entry.0 > now;
        self.quarantined.iter().filter(lasting).count()
    }

    fn index_due(&mut self, id: &DefinitionId, fetch: Fetch) {
        if let Some(due) = fetch.due {
            self.by_due.insert((due, id.clone()));
        }
    }

    fn unindex_due(&mut self, id: &DefinitionId, fetch: Fetch) {
        if let Some(due) = fetch.due {
            self.by_due.remove(&(due, id.clone()));
        }
    }

    fn index_last(&mut self, id: &DefinitionId, fetch: Fetch) {
        match fetch.quarantined_until {
            Some(until) => self.quarantined.insert((until, id.clone())),
            None => self.by_last.insert((fetch.last, id.clone())),
        };
    }

    fn unindex_last(&mut self, id: &DefinitionId, fetch: Fetch) {
        match fetch.quarantined_until {
            Some(until) => self.quarantined.remove(&(until, id.clone())),
            None => self.by_last.remove(&(fetch.last, id.clone())),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_at_once_are_as_one_after_the_other() {
        let at = |seconds| Uptime::from_boot(Duration::from_secs(seconds));
        let fetches = (0..500_u64).map(|number| {
            // Some come twice, and the last counts.
            let id = DefinitionId::new(&format!("{:03}", number * 7 % 400));
            let quarantined_until = number.is_multiple_of(5).then(|| at(number));
            let fetch = Fetch {
                due: number.is_multiple_of(3).then(|| at(number % 11)),
                unsettled: 0,
                last: (!number.is_multiple_of(4)).then(|| at(number % 13)),
                quarantined_until,
            };
            (id, fetch)
        });
        let (mut one_by_one, mut at_once) = (Fetches::default(), Fetches::default());
        for (id, fetch) in fetches.clone() {
            one_by_one.insert(&id, fetch);
        }
        at_once.insert_all(fetches);
        assert_eq!(at_once.len(), 400);
        assert_eq!(at_once.by_due, one_by_one.by_due);
        assert_eq!(at_once.by_last, one_by_one.by_last);
        assert_eq!(at_once.quarantined, one_by_one.quarantined);
    }
}
