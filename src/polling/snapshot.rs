//! The one place where polling and scraping meet: an immutable view of all
//! tenants, replaced as a whole by pollers and read without a lock by scrapes.
//!
//! A view is rebuilt, never mutated: what is not in the new one is gone, so a
//! vanished definition takes its series with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rpds::RedBlackTreeMapSync;

use crate::budget::Budget;
use crate::clock::Timestamp;
use crate::config;
use crate::model::health::Health;
use crate::model::histogram::Histogram;
use crate::model::view::DefinitionView;
use crate::model::{Agent, TenantName};

/// What the configuration says of a tenant, and no answer of the service changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantInfo {
    /// The directory (tenant) id or domain.
    pub tenant_id: String,
    /// The cloud's name.
    pub cloud: &'static str,
    /// Further labels, by their names.
    pub labels: BTreeMap<String, String>,
    /// When the client secret ends, if the configuration says so.
    pub credential_expires: Option<Timestamp>,
}

impl From<&config::Tenant> for TenantInfo {
    fn from(tenant: &config::Tenant) -> Self {
        Self {
            tenant_id: tenant.tenant_id.clone(),
            cloud: tenant.cloud,
            labels: tenant.labels.clone(),
            credential_expires: tenant.credential_expires,
        }
    }
}

/// What is published of one tenant.
#[derive(Clone, Debug)]
pub struct TenantView {
    /// Its configured name.
    pub name: TenantName,
    /// What the configuration says of it.
    pub info: Arc<TenantInfo>,
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
    pub budget: Budget,
}

impl TenantView {
    /// The definitions, of each id the first alone.
    pub fn distinct_definitions(&self) -> impl Iterator<Item = &Arc<DefinitionView>> {
        let same =
            |a: &Arc<DefinitionView>, b: &Arc<DefinitionView>| a.definition.id == b.definition.id;
        self.definitions.chunk_by(same).map(|chunk| &chunk[0])
    }
}

/// All tenants, by name. A changed copy shares with the former what did not change: each of
/// thousands of pollers publishes again and again.
pub type Tenants = RedBlackTreeMapSync<TenantName, Arc<TenantView>>;

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
            let view = Arc::clone(&view);
            tenants.insert(view.name.clone(), view)
        });
    }

    /// Removes a tenant and with it all its series.
    pub fn remove(&self, name: &TenantName) {
        self.0.rcu(|tenants| tenants.remove(name));
    }
}
