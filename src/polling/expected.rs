//! Which tenants are to be polled.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::TenantName;

/// The tenants that must have data before the exporter is ready; a reload may
/// change them. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Expected(Arc<ArcSwap<Vec<TenantName>>>);

impl Expected {
    /// These tenants.
    #[must_use]
    pub fn new(tenants: Vec<TenantName>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(tenants)))
    }

    /// Replaces the list.
    pub fn set(&self, tenants: Vec<TenantName>) {
        self.0.store(Arc::new(tenants));
    }

    /// The list as it is now.
    #[must_use]
    pub fn read(&self) -> Arc<Vec<TenantName>> {
        self.0.load_full()
    }
}
