//! The one place where polling and scraping meet: an immutable view of all
//! tenants, replaced as a whole by pollers and read without a lock by scrapes.
//!
//! A view is rebuilt, never mutated: what is not in the new one is gone, so a
//! vanished definition takes its series with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::health::Health;
use crate::histogram::Histogram;
use crate::model::{Agent, Definition, Run, ScanStatus, SessionErrors, TenantName};
use crate::quota::Quota;

/// Upper bounds, in seconds, of `defender_scan_target_duration_seconds`.
pub const TARGET_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Sessions counted by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// All targets were scanned.
    pub success: u64,
    /// Some targets were scanned.
    pub partial_success: u64,
    /// No target was scanned.
    pub failure: u64,
    /// The status is unknown to this version.
    pub unknown: u64,
}

impl SessionCounts {
    /// Counts one session.
    pub fn add(&mut self, status: &ScanStatus) {
        *match status {
            ScanStatus::Success => &mut self.success,
            ScanStatus::PartialSuccess => &mut self.partial_success,
            ScanStatus::Failure => &mut self.failure,
            ScanStatus::Unknown(_) => &mut self.unknown,
        } += 1;
    }
}

/// How many sessions of a definition are kept for the status page.
pub const SESSIONS: usize = 32;

/// A session as it is remembered: without its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSession {
    /// A hash of its id, or of its time if it has none.
    pub identity: u64,
    /// When it ran, if the service says.
    pub at: Option<Timestamp>,
    /// How it went.
    pub status: ScanStatus,
    /// How many targets it had.
    pub targets: Option<u32>,
    /// Of these, scanned successfully.
    pub targets_succeeded: Option<u32>,
    /// What went wrong; shared, and left out of older ones where it would take too much room.
    pub errors: Option<Arc<SessionErrors>>,
}

impl KnownSession {
    /// Whether its targets are known.
    #[must_use]
    pub fn is_detailed(&self) -> bool {
        self.targets.is_some() || self.targets_succeeded.is_some()
    }
}

/// What is published of one definition.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionView {
    /// As the list names it.
    pub definition: Arc<Definition>,
    /// The newest known run; `None` if it never ran.
    pub last_run: Option<Run>,
    /// The newest run known to have succeeded.
    pub last_success: Option<Timestamp>,
    /// Targets of the newest session.
    pub targets: Option<u32>,
    /// Of these, scanned successfully.
    pub targets_succeeded: Option<u32>,
    /// Sessions first seen since the exporter first met the definition.
    pub sessions: SessionCounts,
    /// The newest [`SESSIONS`] known sessions, the newest last. Shared with what
    /// is known of the definition, so that a view costs no copy.
    pub recent: Arc<[KnownSession]>,
}

/// What is published of one tenant.
#[derive(Clone, Debug)]
pub struct TenantView {
    /// Its configured name.
    pub name: TenantName,
    /// Ordered by definition id. The same list as before, and in another one the same
    /// views as before, where nothing changed: whoever keeps what was made of them need
    /// only compare pointers.
    pub definitions: Arc<[Arc<DefinitionView>]>,
    /// Ordered by agent id; the same list as before if nothing changed.
    pub agents: Arc<[Agent]>,
    /// How long single targets took.
    pub target_seconds: Histogram,
    /// How its polling goes.
    pub health: Health,
    /// Its budget, whose use falls as time passes.
    pub quota: Quota,
}

impl TenantView {
    /// The definitions, of each id the first alone.
    pub fn distinct_definitions(&self) -> impl Iterator<Item = &Arc<DefinitionView>> {
        let same =
            |a: &Arc<DefinitionView>, b: &Arc<DefinitionView>| a.definition.id == b.definition.id;
        self.definitions.chunk_by(same).map(|chunk| &chunk[0])
    }
}

/// All tenants, by name.
pub type Tenants = BTreeMap<TenantName, Arc<TenantView>>;

/// The current view; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Arc<ArcSwap<Tenants>>);

impl Snapshot {
    /// The view as it is now; it stays the same however long it is held.
    #[must_use]
    pub fn read(&self) -> Arc<Tenants> {
        self.0.load_full()
    }

    /// Replaces the view of one tenant.
    pub fn publish(&self, view: TenantView) {
        let view = Arc::new(view);
        self.0.rcu(|tenants| {
            let mut tenants = Tenants::clone(tenants);
            tenants.insert(view.name.clone(), Arc::clone(&view));
            tenants
        });
    }

    /// Removes a tenant and with it all its series.
    pub fn remove(&self, name: &TenantName) {
        self.0.rcu(|tenants| {
            let mut tenants = Tenants::clone(tenants);
            tenants.remove(name);
            tenants
        });
    }
}
