//! What is known of tenants that are no longer configured: kept for a while, in
//! case they come back, then forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use redb::{Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::rows::{self, TenantRow};
use super::{CALLS, DEFINITIONS, Store, StoreError, TENANTS};
use crate::model::TenantName;

/// How long what is known of a removed tenant is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

impl Store {
    /// Forgets the tenants that are not `configured`, and were last polled 30 days ago.
    pub fn prune(&self, configured: &BTreeSet<TenantName>) {
        let departed = match self.departed(configured) {
            Ok(departed) => departed,
            Err(error) => {
                tracing::warn!(%error, "what is known of removed tenants can not be looked through");
                return;
            }
        };
        if departed.is_empty() {
            return;
        }
        let forgotten = self.write(Durability::Immediate, |writing| {
            departed
                .iter()
                .try_for_each(|tenant| forget(writing, tenant))
        });
        if forgotten {
            tracing::info!(
                tenants = departed.join(" "),
                "forgotten, 30 days after they were removed"
            );
        }
    }

    fn departed(&self, configured: &BTreeSet<TenantName>) -> Result<Vec<String>, StoreError> {
        let mut state = self.lock();
        let reading = self
            .database(&mut state)?
            .begin_read()
            .map_err(redb::Error::from)?;
        let tenants = reading.open_table(TENANTS).map_err(redb::Error::from)?;
        let mut departed = Vec::new();
        for row in tenants.iter().map_err(redb::Error::from)? {
            let (name, row) = row.map_err(redb::Error::from)?;
            let name = name.value();
            if configured.contains(&TenantName::new(name)) {
                continue;
            }
            let row = rows::read::<TenantRow>(name, row.value());
            if row.is_some_and(|row| row.stamp.age(&self.0.clock) >= KEPT) {
                departed.push(name.to_owned());
            }
        }
        Ok(departed)
    }
}

fn forget(writing: &WriteTransaction, tenant: &str) -> Result<(), StoreError> {
    let mut tenants = writing.open_table(TENANTS).map_err(redb::Error::from)?;
    tenants.remove(tenant).map_err(redb::Error::from)?;
    let mut calls = writing.open_table(CALLS).map_err(redb::Error::from)?;
    calls
        .retain_in((tenant, 0)..=(tenant, u64::MAX), |_, _| false)
        .map_err(redb::Error::from)?;
    let mut definitions = writing.open_table(DEFINITIONS).map_err(redb::Error::from)?;
    // The first name behind: no name holds a zero byte.
    let behind = format!("{tenant}\0");
    definitions
        .retain_in((tenant, "")..(behind.as_str(), ""), |_, _| false)
        .map_err(redb::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Changes, CollectorRow, DefinitionRow, HistogramRow};
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::health::{Collector, CollectorHealth};
    use crate::histogram::Histogram;
    use crate::model::{Definition, DefinitionId};
    use crate::quota::{Call, CallLog as _};
    use crate::scans::Scan;

    fn definition() -> Definition {
        Definition {
            id: DefinitionId::new("d"),
            scan_name: "".into(),
            scan_type: None,
            target_type: None,
            is_active: true,
            interval: None,
            agent_id: None,
            latest: None,
        }
    }

    /// Saves a tenant's row, one of its definitions and one of its calls.
    fn save(store: &Store, name: &str) {
        let now = store.0.clock.uptime();
        let of = store.of(&TenantName::new(name));
        let collectors = [(); 3].map(|()| CollectorRow::from(&CollectorHealth::default()));
        let tenant = TenantRow {
            stamp: of.stamp(now),
            batch_size: 7,
            pause: None,
            agents: Vec::new(),
            target_seconds: HistogramRow::from(&Histogram::new(&[1.0])),
            collectors,
            auth_errors: std::collections::BTreeMap::new(),
        };
        let row = DefinitionRow {
            scan: Scan::new(definition()),
            fetched: None,
            quarantined_until: None,
            vanished: None,
        };
        let definitions = vec![(DefinitionId::new("d"), Some(row))];
        let changes = Changes {
            tenant,
            definitions,
        };
        assert!(of.save(&changes).is_empty());
        let call = Call {
            collector: Collector::History,
            sent: now,
            answered: Some(now),
        };
        assert!(of.sent(1, &call, 0));
    }

    fn is_known(store: &Store, name: &str) -> bool {
        let loaded = store.load(&TenantName::new(name)).unwrap();
        let rows = [
            usize::from(loaded.tenant.is_some()),
            loaded.calls.len(),
            loaded.definitions.len(),
        ];
        assert!(rows == [1; 3] || rows == [0; 3], "{name}: {rows:?}");
        rows == [1; 3]
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_tenant_is_forgotten_after_thirty_days_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        let store = Store::open(folder.path(), clock, Box::new(|| ())).unwrap();
        for name in ["a", "a-b", "ab", "b"] {
            save(&store, name);
        }
        let configured = BTreeSet::from(["b"].map(TenantName::new));
        tokio::time::advance(KEPT.saturating_sub(Duration::from_secs(1))).await;
        save(&store, "ab");
        store.prune(&configured);
        assert!(is_known(&store, "a") && is_known(&store, "a-b"));
        tokio::time::advance(Duration::from_secs(1)).await;
        store.prune(&configured);
        let known = ["a", "a-b", "ab", "b"].map(|name| is_known(&store, name));
        assert_eq!(known, [false, false, true, true]);
    }
}
