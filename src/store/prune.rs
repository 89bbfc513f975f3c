//! What is known of tenants that are no longer configured: kept for a while, in
//! case they come back, then forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use redb::{ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::disk::Disk;
use super::handle::Priority;
use super::rows::{self, BudgetRow, TenantRow};
use super::{AGENTS, BUDGETS, COLLECTORS, DEFINITIONS, Store, StoreError, TENANTS, call_log};
use crate::budget::BudgetKey;
use crate::clock::Clock;
use crate::model::TenantName;

/// How long what is known of a removed tenant is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

impl Store {
    /// Forgets the tenants that are not `configured`, and were last polled 30 days ago.
    pub async fn prune(&self, configured: BTreeSet<TenantName>) {
        let clock = self.0.clock.clone();
        let removed = self
            .run(move |disk| removed(disk, &configured, &clock))
            .await;
        let (tenants, budgets) = match removed {
            Ok(Ok(removed)) => removed,
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(%error, "cannot look for the data of removed tenants");
                return;
            }
        };
        if tenants.is_empty() && budgets.is_empty() {
            return;
        }
        let names = tenants.join(" ");
        let forgotten = self.write(Priority::Later, move |writing| {
            tenants
                .iter()
                .try_for_each(|tenant| forget(writing, tenant))?;
            budgets
                .iter()
                .try_for_each(|budget| forget_budget(writing, budget))
        });
        if forgotten.await.unwrap_or(false) && !names.is_empty() {
            tracing::info!(
                tenants = names,
                "deleted the data of tenants that were removed 30 days ago"
            );
        }
    }
}

/// Tenants and budgets of which nothing is of use any more.
fn removed(
    disk: &mut Disk,
    configured: &BTreeSet<TenantName>,
    clock: &Clock,
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let held: BTreeSet<_> = disk
        .held
        .budgets()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let reading = disk.database()?.begin_read()?;
    let mut old = (Vec::new(), Vec::new());
    let tenants = reading.open_table(TENANTS)?;
    for row in tenants.iter()? {
        let (name, row) = row?;
        let name = name.value();
        if configured.contains(&TenantName::new(name)) {
            continue;
        }
        let row = rows::read::<TenantRow>(name, row.value());
        if row.is_some_and(|row| row.stamp.age(clock) >= KEPT) {
            old.0.push(name.to_owned());
        }
    }
    let budgets = reading.open_table(BUDGETS)?;
    for row in budgets.iter()? {
        let (budget, row) = row?;
        let row = rows::read::<BudgetRow>(budget.value(), row.value());
        let is_held = held.contains(&BudgetKey::new(budget.value()));
        if !is_held && row.is_some_and(|row| row.stamp.age(clock) >= KEPT) {
            old.1.push(budget.value().to_owned());
        }
    }
    Ok(old)
}

/// Forgets what is known of a tenant.
pub(super) fn forget(writing: &WriteTransaction, tenant: &str) -> Result<(), StoreError> {
    let mut tenants = writing.open_table(TENANTS)?;
    tenants.remove(tenant)?;
    let mut agents = writing.open_table(AGENTS)?;
    agents.remove(tenant)?;
    // Schema 2 kept calls by the name of the tenant.
    call_log::forget(writing, tenant)?;
    let mut definitions = writing.open_table(DEFINITIONS)?;
    // The first name behind: no name holds a zero byte.
    let behind = format!("{tenant}\0");
    definitions.retain_in((tenant, "")..(behind.as_str(), ""), |_, _| false)?;
    let mut collectors = writing.open_table(COLLECTORS)?;
    for collector in rows::COLLECTORS {
        collectors.remove((collector.as_label(), tenant))?;
    }
    Ok(())
}

fn forget_budget(writing: &WriteTransaction, budget: &str) -> Result<(), StoreError> {
    let mut budgets = writing.open_table(BUDGETS)?;
    budgets.remove(budget)?;
    call_log::forget(writing, budget)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asked, budget_key, changes, open};
    use super::*;
    use crate::budget::{Call, CallLog as _};
    use crate::clock::{Clock, Timestamp};
    use crate::model::health::Collector;

    /// Saves a tenant, one of its definitions and one of its calls.
    async fn save(store: &Store, name: &str) {
        let now = store.0.clock.uptime();
        let of = store.of(&TenantName::new(name), &budget_key(name));
        assert!(of.save(changes(&of, now, 1)).await.is_empty());
        let call = Call {
            collector: Collector::History,
            sent: now,
            answered: Some(now),
        };
        assert!(of.sent(1, &call, 0).await);
    }

    async fn is_known(store: &Store, name: &str) -> bool {
        let tenant = TenantName::new(name);
        let loaded = store
            .load(asked(&tenant, &budget_key(name), "directory"))
            .await;
        let loaded = loaded.unwrap();
        let owner = tenant.as_str().to_owned();
        let others = store.run(move |disk| {
            let reading = disk.database().unwrap().begin_read().unwrap();
            let agents = reading.open_table(AGENTS).unwrap();
            let collectors = reading.open_table(COLLECTORS).unwrap();
            let is_of = |label: &str| collectors.get((label, owner.as_str())).unwrap().is_some();
            let collectors = Collector::ALL.iter().filter(|it| is_of(it.as_label()));
            let agents = agents.get(owner.as_str()).unwrap().is_some();
            (usize::from(agents), collectors.count())
        });
        let (agents, collectors) = others.await.unwrap();
        let rows = [
            usize::from(loaded.tenant.is_some()),
            loaded.definitions.len(),
            agents,
            collectors / Collector::ALL.len(),
        ];
        assert!(rows == [1; 4] || rows == [0; 4], "{name}: {rows:?}");
        rows == [1; 4]
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_tenant_is_forgotten_after_thirty_days_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        let store = open(folder.path(), &clock).await;
        for name in ["a", "a-b", "ab", "b"] {
            save(&store, name).await;
        }
        let configured = || BTreeSet::from(["b"].map(TenantName::new));
        tokio::time::advance(KEPT.saturating_sub(Duration::from_mins(1))).await;
        save(&store, "ab").await;
        store.prune(configured()).await;
        assert!(is_known(&store, "a").await && is_known(&store, "a-b").await);
        tokio::time::advance(Duration::from_mins(1)).await;
        store.prune(configured()).await;
        let mut known = Vec::new();
        for name in ["a", "a-b", "ab", "b"] {
            known.push(is_known(&store, name).await);
        }
        assert_eq!(known, [false, false, true, true]);
    }
}
