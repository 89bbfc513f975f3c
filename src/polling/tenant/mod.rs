//! What is known of one tenant: all its scans and agents, and how polling goes.
//!
//! Complete lists go in, a [`TenantView`] comes out. A definition that vanishes
//! from the list vanishes from the view at once, but what is known of it is kept
//! for a while: a list that was incomplete for a moment resets no counter.

mod agents;
mod details;
mod listing;
mod saved;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use self::listing::publishes;
use crate::budget::Budget;
use crate::clock::{AHEAD, Timestamp, Uptime};
use crate::config::DefinitionFilter;
use crate::model::health::Health;
use crate::model::histogram::Histogram;
use crate::model::runs::RunHistory;
use crate::model::view::{DefinitionView, TARGET_SECONDS};
use crate::model::{Agent, Definition, DefinitionId, Session, SessionId, TenantName};
use crate::polling::snapshot::{TenantInfo, TenantView};
use crate::schedule::ListingDiff;

/// What is known of one tenant.
#[derive(Clone, Debug)]
pub struct KnownTenant {
    name: TenantName,
    info: Arc<TenantInfo>,
    filter: DefinitionFilter,
    budget: Budget,
    scans: BTreeMap<DefinitionId, Box<RunHistory>>,
    vanished: BTreeMap<DefinitionId, (Uptime, Box<RunHistory>)>,
    /// Ordered by id, each id once.
    agents: Arc<[Agent]>,
    target_seconds: Histogram,
    /// Sessions that are to be asked for by their ids, and of which definition each is.
    asked: HashMap<SessionId, DefinitionId>,
    /// Those of them that the schedule has not heard of.
    bare: Vec<SessionId>,
    /// Definitions that changed since they were last saved.
    unsaved: BTreeSet<DefinitionId>,
    /// When the last answer was sent.
    heard_at: Timestamp,
    /// The latest time of a run in any answer.
    believed: Option<Timestamp>,
    /// What was last published of the definitions.
    views: Arc<[Arc<DefinitionView>]>,
    /// Definitions that may differ from `views`, or vanished.
    outdated: BTreeSet<DefinitionId>,
    /// Definitions of which more may be in history than is known, once they are listed: after a
    /// restart, and where times were forgotten.
    restored: BTreeSet<DefinitionId>,
    /// How polling goes; the poller keeps it up to date.
    pub health: Health,
}

impl KnownTenant {
    /// A tenant of which nothing is known.
    #[must_use]
    pub fn new(
        name: TenantName,
        info: TenantInfo,
        filter: DefinitionFilter,
        budget: Budget,
    ) -> Self {
        Self {
            name,
            info: Arc::new(info),
            filter,
            budget,
            scans: BTreeMap::new(),
            vanished: BTreeMap::new(),
            agents: Arc::default(),
            target_seconds: Histogram::new(TARGET_SECONDS),
            asked: HashMap::new(),
            bare: Vec::new(),
            unsaved: BTreeSet::new(),
            heard_at: Timestamp::from_unix_millis(0),
            believed: None,
            views: Arc::default(),
            outdated: BTreeSet::new(),
            restored: BTreeSet::new(),
            health: Health::default(),
        }
    }

    /// Its configured name.
    #[must_use]
    pub fn name(&self) -> &TenantName {
        &self.name
    }

    /// The list is forbidden: the ids that the configuration names are all there is to know.
    /// `None` if it names none.
    pub fn without_list(&mut self, now: Timestamp) -> Option<ListingDiff> {
        let mut news = ListingDiff::default();
        for id in &self.filter.ids {
            self.scans.entry(id.clone()).or_insert_with(|| {
                news.appeared.push(id.clone());
                Box::new(RunHistory {
                    created: Some(now),
                    ..RunHistory::new(Definition::unlisted(id))
                })
            });
        }
        self.outdated.extend(news.appeared.iter().cloned());
        (!self.filter.ids.is_empty()).then_some(news)
    }

    /// What the configuration says of it.
    #[must_use]
    pub fn info(&self) -> &TenantInfo {
        &self.info
    }

    /// Whether no definition is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }

    /// Takes a complete answer of history about `ids` in. Returns those that it
    /// does not settle.
    pub fn apply_history(
        &mut self,
        ids: &[DefinitionId],
        sessions: &[Session],
        as_of: Timestamp,
    ) -> BTreeSet<DefinitionId> {
        let mut by_definition: BTreeMap<&DefinitionId, Vec<Session>> = BTreeMap::new();
        for session in sessions {
            self.believed = self.believed.max(session.last_scanned);
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
            let learned =
                scan.apply_history(by_definition.get(id).map_or(&[], Vec::as_slice), as_of);
            for duration in learned.target_durations {
                self.target_seconds.observe(duration.as_secs_f64());
            }
            self.ask_for(id, &learned.bare);
            if !learned.settled {
                unsettled.insert(id.clone());
            }
        }
        unsettled
    }

    /// An answer was sent at `now`, by the service's clock or ours. Forgets what lies far ahead
    /// of that: see [`RunHistory::forget_after`]. The next list says what history is to be asked
    /// for instead.
    pub fn heard_at(&mut self, now: Timestamp) {
        self.heard_at = now;
        let latest = now + AHEAD;
        if self.believed <= Some(latest) {
            return;
        }
        self.believed = Some(latest);
        let scans = self.scans.iter_mut();
        let forgot = scans.filter_map(|(id, scan)| scan.forget_after(latest).then_some(id));
        let forgot: Vec<_> = forgot.cloned().collect();
        self.changed(&forgot);
        self.restored.extend(forgot);
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

    /// What is published.
    #[must_use]
    pub fn view(&mut self) -> TenantView {
        self.refresh_views();
        TenantView {
            name: self.name.clone(),
            info: Arc::clone(&self.info),
            definitions: Arc::clone(&self.views),
            agents: Arc::clone(&self.agents),
            target_seconds: self.target_seconds.clone(),
            health: self.health.clone(),
            budget: self.budget.clone(),
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

#[cfg(test)]
mod tests;
