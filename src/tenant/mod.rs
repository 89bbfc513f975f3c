//! What is known of one tenant: all its scans and agents, and how polling goes.
//!
//! Complete lists go in, a [`TenantView`] comes out. A definition that vanishes
//! from the list vanishes from the view at once, but what is known of it is kept
//! for a while: a list that was incomplete for a moment resets no counter.

mod details;
mod saved;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Timestamp, Uptime};
use crate::config::{DefinitionFilter, Rule};
use crate::health::Health;
use crate::histogram::Histogram;
use crate::model::{Agent, Definition, DefinitionId, ScanType, Session, SessionId, TenantName};
use crate::plan::Listed;
use crate::quota::Quota;
use crate::scans::Scan;
use crate::snapshot::{DefinitionView, TARGET_SECONDS, TenantView};

/// How long what is known of a vanished definition is kept.
const KEPT: Duration = Duration::from_hours(24);

/// Of how many vanished definitions that much is kept, at most, if fewer are published, and
/// in how many bytes: a service whose ids change with each list must not fill the memory.
const MOST_VANISHED: usize = 1_000;
const MOST_VANISHED_BYTES: usize = 8 * 1024 * 1024;

/// What is known of one tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    name: TenantName,
    /// The directory (tenant) id or domain that all of this is about.
    directory: Box<str>,
    filter: DefinitionFilter,
    quota: Quota,
    scans: BTreeMap<DefinitionId, Box<Scan>>,
    vanished: BTreeMap<DefinitionId, (Uptime, Box<Scan>)>,
    /// Ordered by id, each id once.
    agents: Arc<[Agent]>,
    target_seconds: Histogram,
    /// New sessions that are to be asked for by their ids.
    bare: Vec<SessionId>,
    /// Definitions that changed since they were last saved.
    unsaved: BTreeSet<DefinitionId>,
    /// What was last published of the definitions.
    views: Arc<[Arc<DefinitionView>]>,
    /// Definitions that may differ from `views`, or vanished.
    outdated: BTreeSet<DefinitionId>,
    /// Whether what is known comes from before a restart, with nothing listed since.
    restored: bool,
    /// How polling goes; the poller keeps it up to date.
    pub health: Health,
}

impl Tenant {
    /// A tenant of which nothing is known.
    #[must_use]
    pub fn new(name: TenantName, directory: &str, filter: DefinitionFilter, quota: Quota) -> Self {
        Self {
            name,
            directory: directory.into(),
            filter,
            quota,
            scans: BTreeMap::new(),
            vanished: BTreeMap::new(),
            agents: Arc::default(),
            target_seconds: Histogram::new(TARGET_SECONDS),
            bare: Vec::new(),
            unsaved: BTreeSet::new(),
            views: Arc::default(),
            outdated: BTreeSet::new(),
            restored: false,
            health: Health::default(),
        }
    }

    /// Its configured name.
    #[must_use]
    pub fn name(&self) -> &TenantName {
        &self.name
    }

    /// Takes a complete list of definitions in. Of duplicates the last counts.
    pub fn relist(&mut self, listed: Vec<Definition>, now: Uptime) -> Listed {
        let names_runs =
            listed.is_empty() || listed.iter().any(|definition| definition.latest.is_some());
        let listed: BTreeMap<DefinitionId, Definition> = listed
            .into_iter()
            .filter(|definition| publishes(&self.filter, definition))
            .map(|definition| (definition.id.clone(), definition))
            .collect();
        let listed = self.within_limit(listed);
        let mut news = Listed {
            names_runs,
            ..Listed::default()
        };
        let mut ids = listed.keys().peekable();
        let gone = self.scans.extract_if(.., |id, _| {
            // Both are ordered by id.
            while ids.next_if(|listed| *listed < id).is_some() {}
            ids.next_if(|listed| *listed == id).is_none()
        });
        for (id, scan) in gone {
            news.vanished.push(id.clone());
            self.vanished.insert(id, (now, scan));
        }
        self.changed(&news.vanished);
        for (id, definition) in listed {
            if let Some(scan) = self.scans.get_mut(&id) {
                let before = scan.definition();
                let before = (**before != definition).then(|| Arc::clone(before));
                let ran = before.is_some() && scan.relist(definition);
                if ran || (self.restored && scan.wants_history()) {
                    news.changed.push(id.clone());
                }
                if ran || before.is_some_and(|before| before != *scan.definition()) {
                    self.changed(&[id]);
                }
                continue;
            }
            news.appeared.push(id.clone());
            self.changed(std::slice::from_ref(&id));
            let scan = match self.vanished.remove(&id) {
                Some((_, mut scan)) => {
                    scan.relist(definition);
                    scan
                }
                None => Box::new(Scan::new(definition)),
            };
            if scan.wants_history() {
                news.changed.push(id.clone());
            }
            self.scans.insert(id, scan);
        }
        let unsaved = &mut self.unsaved;
        self.vanished.retain(|id, (since, _)| {
            let kept = now.since(*since) < KEPT;
            if !kept {
                unsaved.insert(id.clone());
            }
            kept
        });
        self.forget_excess();
        self.restored = false;
        news
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
    ) -> BTreeMap<DefinitionId, Definition> {
        let excess = listed.len().saturating_sub(self.filter.limit);
        self.health.dropped = excess;
        let is_new = |id: &&DefinitionId| !self.scans.contains_key(*id);
        let new: Vec<_> = listed
            .keys()
            .rev()
            .filter(is_new)
            .take(excess)
            .cloned()
            .collect();
        // A limit that was lowered may leave too few new ones.
        let known = listed.keys().rev().filter(|id| !is_new(id));
        let known: Vec<_> = known.take(excess - new.len()).cloned().collect();
        for id in new.iter().chain(&known) {
            listed.remove(id);
        }
        listed
    }

    /// The list is forbidden: the ids that the configuration names are all there is to know.
    /// `None` if it names none.
    pub fn without_list(&mut self) -> Option<Listed> {
        let mut news = Listed::default();
        for id in &self.filter.ids {
            self.scans.entry(id.clone()).or_insert_with(|| {
                news.appeared.push(id.clone());
                Box::new(Scan::new(unlisted(id)))
            });
        }
        self.outdated.extend(news.appeared.iter().cloned());
        (!self.filter.ids.is_empty()).then_some(news)
    }

    /// Whether no definition is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }

    /// Takes a complete answer of history about `ids` in. Returns those that it
    /// does not settle.
    pub fn learn(
        &mut self,
        ids: &[DefinitionId],
        sessions: &[Session],
        now: Timestamp,
    ) -> BTreeSet<DefinitionId> {
        let mut by_definition: BTreeMap<&DefinitionId, Vec<Session>> = BTreeMap::new();
        for session in sessions {
            by_definition
                .entry(&session.definition_id)
                .or_default()
                .push(session.clone());
        }
        let mut unsettled = BTreeSet::new();
        for id in ids {
            let Some(scan) = self.scans.get_mut(id) else {
                continue;
            };
            self.unsaved.insert(id.clone());
            self.outdated.insert(id.clone());
            let learned = scan.learn(by_definition.get(id).map_or(&[], Vec::as_slice), now);
            for duration in learned.target_durations {
                self.target_seconds.observe(duration.as_secs_f64());
            }
            self.bare.extend(learned.bare);
            if !learned.settled {
                unsettled.insert(id.clone());
            }
        }
        unsettled
    }

    /// Everything is to be saved again: the store lost it.
    pub fn save_all(&mut self) {
        self.unsaved.extend(self.scans.keys().cloned());
        self.unsaved.extend(self.vanished.keys().cloned());
    }

    /// What a quarantine changed.
    pub fn touch(&mut self, ids: &[DefinitionId]) {
        self.unsaved.extend(ids.iter().cloned());
    }

    fn changed(&mut self, ids: &[DefinitionId]) {
        self.unsaved.extend(ids.iter().cloned());
        self.outdated.extend(ids.iter().cloned());
    }

    /// Takes a complete list of agents in. Of duplicates the last counts.
    pub fn set_agents(&mut self, agents: Vec<Agent>) {
        let by_id: BTreeMap<Box<str>, Agent> = agents
            .into_iter()
            .map(|agent| (agent.id.as_str().into(), agent))
            .collect();
        if !by_id.values().eq(self.agents.iter()) {
            self.agents = by_id.into_values().collect();
        }
    }

    /// What is published.
    #[must_use]
    pub fn view(&mut self) -> TenantView {
        self.refresh_views();
        TenantView {
            name: self.name.clone(),
            definitions: Arc::clone(&self.views),
            agents: Arc::clone(&self.agents),
            target_seconds: self.target_seconds.clone(),
            health: self.health.clone(),
            quota: self.quota.clone(),
        }
    }

    /// Rebuilds the views that differ, and their list if any does.
    fn refresh_views(&mut self) {
        let outdated = std::mem::take(&mut self.outdated);
        if outdated.is_empty() {
            return;
        }
        let mut before = self.views.iter().peekable();
        let mut same = true;
        let views: Vec<_> = self
            .scans
            .iter()
            .map(|(id, scan)| {
                // Both are ordered by id.
                while before.next_if(|view| view.definition.id < *id).is_some() {}
                let kept = before.next_if(|view| view.definition.id == *id);
                match kept {
                    Some(kept) if !outdated.contains(id) => Arc::clone(kept),
                    kept => {
                        let view = scan.view();
                        match kept {
                            Some(kept) if **kept == view => Arc::clone(kept),
                            _ => {
                                same = false;
                                Arc::new(view)
                            }
                        }
                    }
                }
            })
            .collect();
        if !same || views.len() != self.views.len() {
            self.views = views.into();
        }
    }
}

fn unlisted(id: &DefinitionId) -> Definition {
    Definition {
        id: id.clone(),
        scan_name: "".into(),
        scan_type: None,
        target_type: None,
        is_active: true,
        interval: None,
        agent_id: None,
        troubleshoot_mode: None,
        failure_reason: None,
        latest: None,
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

#[cfg(test)]
mod tests;
