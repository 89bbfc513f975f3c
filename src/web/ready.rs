//! Whether there is something to serve.

use crate::model::TenantName;
use crate::polling::snapshot::Tenants;

/// Why the exporter is not ready: one sentence a tenant that has neither restored state nor a
/// first poll behind it, unless that poll has to wait for the end of a pause or for the budget.
pub(super) fn not_ready(tenants: &Tenants, expected: &[TenantName]) -> Vec<String> {
    let waiting = |name: &&TenantName| {
        let view = tenants.get(*name);
        view.is_none_or(|view| {
            let health = &view.health;
            health.up.is_none() && !health.held_back && view.definitions.is_empty()
        })
    };
    let reason = |name| format!("tenant {name}: its first poll has not finished");
    expected.iter().filter(waiting).map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, tenant};
    use super::*;
    use crate::clock::Clock;
    use crate::polling::snapshot::Snapshot;

    #[tokio::test]
    async fn restored_state_is_enough_to_be_ready() {
        let mut view = tenant("contoso", &Clock::anchored(NOW));
        view.health.up = None;
        let expected = [view.name.clone()];
        let snapshot = Snapshot::default();
        assert_eq!(not_ready(&snapshot.read(), &expected).len(), 1);
        snapshot.publish(view.clone());
        assert!(not_ready(&snapshot.read(), &expected).is_empty());
        view.definitions = [].into();
        snapshot.publish(view.clone());
        assert_eq!(not_ready(&snapshot.read(), &expected).len(), 1);
        view.health.held_back = true;
        snapshot.publish(view);
        assert!(not_ready(&snapshot.read(), &expected).is_empty());
    }
}
