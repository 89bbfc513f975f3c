//! Definitions as the list names them: what appears, what changes, what vanishes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::KnownTenant;
use crate::clock::{Moment, Uptime};
use crate::config::{DefinitionFilter, Rule};
use crate::model::health::Skipped;
use crate::model::runs::RunHistory;
use crate::model::{Definition, DefinitionId, ScanType};
use crate::schedule::ListingDiff;

/// How long what is known of a vanished definition is kept.
pub(super) const KEPT: Duration = Duration::from_hours(24);

/// Of how many vanished definitions that much is kept, at most, if fewer are published, and
/// in how many bytes: a service whose ids change with each list must not fill the memory.
pub(super) const MOST_VANISHED: usize = 1_000;
pub(super) const MOST_VANISHED_BYTES: usize = 8 * 1024 * 1024;

impl KnownTenant {
    /// Takes a complete list of definitions in. Of duplicates the last counts.
    pub fn apply_listing(&mut self, listed: Vec<Definition>, now: Moment) -> ListingDiff {
        self.take_in(listed, true, now)
    }

    /// Takes a part of the list of definitions in, of which nothing vanishes.
    pub fn add_definitions(&mut self, listed: Vec<Definition>, now: Moment) -> ListingDiff {
        self.take_in(listed, false, now)
    }

    fn take_in(&mut self, listed: Vec<Definition>, whole: bool, now: Moment) -> ListingDiff {
        let names_runs =
            listed.is_empty() || listed.iter().any(|definition| definition.latest.is_some());
        let runs = listed.iter().filter_map(|listed| listed.latest.as_ref());
        self.believed = self.believed.max(runs.map(|run| run.at).max());
        let mut published = 0;
        let listed: BTreeMap<DefinitionId, Definition> = listed
            .into_iter()
            .filter(|definition| publishes(&self.filter, definition))
            .inspect(|_| published += 1)
            .map(|definition| (definition.id.clone(), definition))
            .fold(BTreeMap::new(), |mut listed, (id, definition)| {
                // Of two, the one that knows of a later run.
                let known = listed.remove(&id).filter(|known: &Definition| {
                    let at = |of: &Definition| of.latest.as_ref().map(|run| run.at);
                    at(known) > at(&definition)
                });
                listed.insert(id, known.unwrap_or(definition));
                listed
            });
        if whole {
            let duplicates = published - listed.len();
            self.health.definitions.skip(Skipped::Duplicate, duplicates);
        }
        let listed = self.within_limit(listed, whole);
        let mut news = ListingDiff {
            names_runs,
            ..ListingDiff::default()
        };
        if whole {
            self.let_vanish(&listed, now.uptime, &mut news);
        }
        for (id, definition) in listed {
            if let Some(scan) = self.scans.get_mut(&id) {
                let doubted = scan.doubt(&definition, self.heard_at);
                let before = scan.definition();
                // As it was spelled first: rows of the store are found by that.
                let id = before.id.clone();
                let before = (**before != definition).then(|| Arc::clone(before));
                let ran = before.is_some() && scan.apply_listing(definition);
                let ran = ran || doubted;
                if ran || (self.restored.remove(&id) && scan.wants_history()) {
                    news.changed.push(id.clone());
                }
                if ran || before.is_some_and(|before| before != *scan.definition()) {
                    self.changed(&[id]);
                }
                continue;
            }
            let scan = match self.vanished.remove(&id) {
                Some((_, mut scan)) => {
                    scan.apply_listing(definition);
                    scan
                }
                None => Box::new(RunHistory {
                    created: Some(now.wall),
                    ..RunHistory::new(definition)
                }),
            };
            let id = scan.definition().id.clone();
            news.appeared.push(id.clone());
            self.changed(std::slice::from_ref(&id));
            self.ask_for(&id, &scan.bare);
            if scan.wants_history() {
                news.changed.push(id.clone());
            }
            self.scans.insert(id, scan);
        }
        if whole {
            self.restored.clear();
            self.forget_vanished(now.uptime);
        }
        news
    }

    /// What is not in a complete list vanishes.
    fn let_vanish(
        &mut self,
        listed: &BTreeMap<DefinitionId, Definition>,
        now: Uptime,
        news: &mut ListingDiff,
    ) {
        let mut ids = listed.keys().peekable();
        let gone = self.scans.extract_if(.., |id, _| {
            // Both are ordered by id.
            while ids.next_if(|listed| *listed < id).is_some() {}
            ids.next_if(|listed| *listed == id).is_none()
        });
        for (id, scan) in gone {
            for session in &scan.bare {
                self.asked.remove(session);
            }
            news.vanished.push(id.clone());
            self.vanished.insert(id, (now, scan));
        }
        self.changed(&news.vanished);
    }

    /// Forgets what vanished long ago, and what is too many.
    fn forget_vanished(&mut self, now: Uptime) {
        let unsaved = &mut self.unsaved;
        self.vanished.retain(|id, (since, _)| {
            let kept = now.since(*since) < KEPT;
            if !kept {
                unsaved.insert(id.clone());
            }
            kept
        });
        self.forget_excess();
    }

    /// Forgets the vanished that are too many, those that vanished first before the others.
    fn forget_excess(&mut self) {
        if self.vanished.is_empty() {
            return;
        }
        let published: usize = self.scans.values().map(|scan| scan.bytes()).sum();
        let mut places = MOST_VANISHED.max(self.scans.len());
        let mut bytes = MOST_VANISHED_BYTES.max(published);
        let mut newest: Vec<_> = self.vanished.iter().collect();
        newest.sort_unstable_by_key(|(_, (at, _))| Reverse(*at));
        let excess = newest.into_iter().skip_while(|(_, (_, scan))| {
            let fits = places > 0 && bytes >= scan.bytes();
            places = places.saturating_sub(1);
            bytes = bytes.saturating_sub(scan.bytes());
            fits
        });
        let excess: Vec<_> = excess.map(|(id, _)| id.clone()).collect();
        for id in excess {
            self.vanished.remove(&id);
            self.unsaved.insert(id);
        }
    }

    /// Leaves out what is beyond the limit: of those not known yet, the last by id. So
    /// nothing that was published gives way to what comes new.
    fn within_limit(
        &mut self,
        mut listed: BTreeMap<DefinitionId, Definition>,
        whole: bool,
    ) -> BTreeMap<DefinitionId, Definition> {
        let stays = |id: &&DefinitionId| !whole && !listed.contains_key(*id);
        let total = listed.len() + self.scans.keys().filter(stays).count();
        let excess = total.saturating_sub(self.filter.limit);
        let is_new = |id: &&DefinitionId| !self.scans.contains_key(*id);
        let new: Vec<_> = listed
            .keys()
            .rev()
            .filter(is_new)
            .take(excess)
            .cloned()
            .collect();
        // A limit that was lowered may leave too few new ones.
        let too_many = if whole { excess - new.len() } else { 0 };
        let known = listed.keys().rev().filter(|id| !is_new(id));
        let known: Vec<_> = known.take(too_many).cloned().collect();
        for id in new.iter().chain(&known) {
            listed.remove(id);
        }
        let dropped = new.len() + known.len();
        self.health.dropped = if whole {
            dropped
        } else {
            self.health.dropped.max(dropped)
        };
        listed
    }
}

/// Whether `filter` lets a definition be published.
#[must_use]
pub fn publishes(filter: &DefinitionFilter, definition: &Definition) -> bool {
    if !filter.ids.is_empty() {
        return filter.ids.contains(&definition.id);
    }
    let scan_type = definition.scan_type.as_ref().map_or("", ScanType::as_str);
    let of_type = |rule: &Rule| {
        rule.scan_types
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(scan_type))
    };
    let of_name = |rule: &Rule| {
        rule.names
            .iter()
            .any(|name| name.is_match(&definition.scan_name))
    };
    let include = &filter.include;
    let included = (include.scan_types.is_empty() || of_type(include))
        && (include.names.is_empty() || of_name(include));
    included
        && !of_type(&filter.exclude)
        && !of_name(&filter.exclude)
        && (filter.inactive || definition.is_active)
}
