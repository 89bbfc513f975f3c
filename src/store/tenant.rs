//! One tenant's part of the store: its calls, and what changed of it.

use std::time::Duration;

use futures::future::{BoxFuture, ready};
use redb::{ReadableTable as _, WriteTransaction};
use tokio::sync::oneshot;

use super::agent_row::AgentRow;
use super::handle::Priority;
use super::rows::{self, BudgetRow, CallRow, DefinitionRow, Stamp, TenantRow};
use super::{
    AGENTS, BUDGETS, CALLS, Changes, DEFINITIONS, DefinitionState, ROWS, Store, StoreError,
    TENANTS, TenantState,
};
use crate::budget::{Budget, BudgetKey, Call, CallLog, Lease, Returned};
use crate::clock::Uptime;
use crate::model::health::Collector;
use crate::model::{DefinitionId, TenantName};

/// One tenant's part of the store.
#[derive(Clone, Debug)]
pub struct TenantStore {
    pub(super) store: Store,
    pub(super) tenant: TenantName,
    pub(super) budget: BudgetKey,
    /// How long what is in no hurry may wait for others to share a transaction with.
    pub(super) delay: Duration,
    /// Whether calls are written ahead of time.
    pub(super) leases: bool,
}

impl TenantStore {
    /// The same, where what is in no hurry may wait for so long, to share a transaction with what
    /// comes meanwhile. It does not wait where nothing of the kind was written for as long.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same for a process that makes few calls and does not give back what it leased: it
    /// writes none ahead of time.
    #[must_use]
    pub fn without_leases(self) -> Self {
        Self {
            leases: false,
            ..self
        }
    }

    /// Has everything written at once that was sent before and waits to share a transaction.
    pub fn hurry(&self) {
        drop(self.store.write(Priority::Later, |_| Ok(())));
    }

    /// Makes `changes` durable, in several transactions if there are many, so that no
    /// other tenant waits long. Returns the definitions that could not be written.
    ///
    /// Only what fits one transaction waits to share one. It is sent before this returns, so that
    /// [`Self::hurry`] afterwards takes it along.
    pub fn save(&self, changes: Changes) -> impl Future<Output = Vec<DefinitionId>> + Send + use<> {
        let store = self.clone();
        let mut from = 0;
        let mut written = store.save_part(&changes, from);
        async move {
            while written.await {
                from += ROWS;
                if from >= changes.definitions.len() {
                    return Vec::new();
                }
                written = store.save_part(&changes, from);
            }
            let failed = changes.definitions.into_iter().skip(from);
            failed.map(|(id, _)| id).collect()
        }
    }

    /// Sends the definitions from number `from` on that fit a transaction; the tenant itself goes
    /// with the last of them.
    fn save_part(
        &self,
        changes: &Changes,
        from: usize,
    ) -> impl Future<Output = bool> + Send + use<> {
        let to = changes.definitions.len().min(from + ROWS);
        let tenant = (to == changes.definitions.len()).then_some(&changes.tenant);
        let priority = if from == 0 && tenant.is_some() {
            Priority::Grouped(self.delay)
        } else {
            Priority::Later
        };
        let written = self.save_rows(&changes.definitions[from..to], tenant, priority);
        async move {
            match written {
                Ok(written) => written.await.unwrap_or(false),
                Err(_) => false,
            }
        }
    }

    fn save_rows(
        &self,
        definitions: &[(DefinitionId, Option<DefinitionState>)],
        tenant: Option<&TenantState>,
        priority: Priority,
    ) -> Result<oneshot::Receiver<bool>, StoreError> {
        let definitions = definitions.iter().map(|(id, state)| {
            let row = state.as_ref().map(DefinitionRow::from);
            let row = row.map(|row| rows::encode(&row)).transpose()?;
            Ok((id.clone(), row))
        });
        let definitions: Vec<_> = definitions.collect::<Result<_, StoreError>>()?;
        let tenant = tenant.map(|tenant| {
            let agents: Vec<_> = tenant.agents.iter().map(AgentRow::from).collect();
            let tenant = rows::encode(&TenantRow::from(tenant))?;
            Ok::<_, StoreError>((tenant, rows::encode(&agents)?))
        });
        let tenant = tenant.transpose()?;
        let name = self.tenant.clone();
        Ok(self.store.write(priority, move |writing| {
            let tenant = tenant.as_ref();
            let tenant = tenant.map(|(tenant, agents)| (tenant.as_slice(), agents.as_slice()));
            put_tenant(writing, name.as_str(), tenant, &definitions)
        }))
    }

    /// The moment `now`, in a form that another process can translate.
    #[must_use]
    pub fn stamp(&self, now: Uptime) -> Stamp {
        self.store.stamp(now)
    }

    /// As of [`Store::unless_it_hangs`].
    ///
    /// # Errors
    /// [`StoreError::Hangs`].
    pub async fn unless_it_hangs<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        self.store.unless_it_hangs(work).await
    }

    /// As of [`Store::generation`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.store.generation()
    }

    /// Waits until the generation is another one than `known`.
    pub async fn lost(&self, known: u64) {
        let mut generation = self.store.0.disk.generation();
        // It fails after the end of the store alone, which this one keeps.
        let _ = generation.wait_for(|now| *now != known).await;
    }

    /// Says that this exporter spends `budget` from now on.
    pub fn hold(&self, budget: &Budget) {
        let held = self.store.0.disk.held();
        held.lock().insert(self.budget.clone(), budget.downgrade());
        let now = self.store.0.clock.uptime();
        let row = BudgetRow::new(self.stamp(now), false, budget.reserve());
        let (key, boot_id) = (self.budget.clone(), self.store.0.boot_id.clone());
        let (tenant, calls) = (self.tenant.clone(), budget.calls());
        drop(self.store.write(Priority::Now, move |writing| {
            put_budget(writing, &key, &row)?;
            put_calls(writing, &key, &calls, boot_id.as_deref())?;
            // Schema 2 kept calls by the name of the tenant.
            let mut table = writing.open_table(CALLS).map_err(redb::Error::from)?;
            let name = tenant.as_str();
            table
                .retain_in((name, 0)..=(name, u64::MAX), |_, _| false)
                .map_err(redb::Error::from)?;
            Ok(())
        }));
    }

    /// Says that this exporter no longer spends `budget`.
    pub fn release(&self, budget: &Budget) {
        self.store.0.disk.held().lock().remove(&self.budget);
        let now = self.store.0.clock.uptime();
        let row = BudgetRow::new(self.stamp(now), true, budget.reserve());
        let (key, boot_id) = (self.budget.clone(), self.store.0.boot_id.clone());
        let Returned { settled, unused } = budget.give_back();
        drop(self.store.write(Priority::Later, move |writing| {
            put_budget(writing, &key, &row)?;
            put_calls(writing, &key, &settled, boot_id.as_deref())?;
            let mut table = writing.open_table(CALLS).map_err(redb::Error::from)?;
            for number in &unused {
                let key = (key.as_str(), *number);
                table.remove(key).map_err(redb::Error::from)?;
            }
            Ok(())
        }));
    }

    fn put(
        &self,
        priority: Priority,
        number: u64,
        call: &Call,
        oldest: u64,
    ) -> oneshot::Receiver<bool> {
        let key = self.budget.clone();
        let row = rows::encode(&CallRow::of(call, self.store.0.boot_id.clone()));
        self.store.write(priority, move |writing| {
            let row = row
                .as_ref()
                .map_err(|error| StoreError::Encode(error.to_string()))?;
            let budget = key.as_str();
            let mut calls = writing.open_table(CALLS).map_err(redb::Error::from)?;
            calls
                .retain_in((budget, 0)..(budget, oldest), |_, _| false)
                .map_err(redb::Error::from)?;
            calls
                .insert((budget, number), row.as_slice())
                .map_err(redb::Error::from)?;
            Ok(())
        })
    }
}

impl CallLog for TenantStore {
    fn sent(&self, number: u64, call: &Call, oldest: u64) -> BoxFuture<'static, bool> {
        let written = self.put(Priority::Now, number, call, oldest);
        Box::pin(async move { written.await.unwrap_or(false) })
    }

    fn answered(&self, number: u64, call: &Call) {
        drop(self.put(Priority::WithTheNext, number, call, 0));
    }

    fn lease(&self, lease: Lease) -> BoxFuture<'static, bool> {
        if !self.leases {
            return Box::pin(ready(false));
        }
        let (key, boot_id) = (self.budget.clone(), self.store.0.boot_id.clone());
        let written = self
            .store
            .write(Priority::Grouped(self.delay), move |writing| {
                let mut calls = writing.open_table(CALLS).map_err(redb::Error::from)?;
                let budget = key.as_str();
                calls
                    .retain_in((budget, 0)..(budget, lease.oldest), |_, _| false)
                    .map_err(redb::Error::from)?;
                drop(calls);
                put_calls(writing, &key, &lease.settled, boot_id.as_deref())?;
                let numbers = lease.numbers.clone();
                let leased: Vec<_> = numbers.map(|number| (number, lease.collector)).collect();
                put_leases(writing, &key, &leased)
            });
        Box::pin(async move { written.await.unwrap_or(false) })
    }

    fn works(&self) -> bool {
        self.store.works()
    }
}

pub(super) fn put_budget(
    writing: &WriteTransaction,
    budget: &BudgetKey,
    row: &BudgetRow,
) -> Result<(), StoreError> {
    let mut budgets = writing.open_table(BUDGETS).map_err(redb::Error::from)?;
    budgets
        .insert(budget.as_str(), rows::encode(row)?.as_slice())
        .map_err(redb::Error::from)?;
    Ok(())
}

pub(super) fn put_calls(
    writing: &WriteTransaction,
    budget: &BudgetKey,
    calls: &[(u64, Call)],
    boot_id: Option<&str>,
) -> Result<(), StoreError> {
    let mut table = writing.open_table(CALLS).map_err(redb::Error::from)?;
    for (number, call) in calls {
        let row = rows::encode(&CallRow::of(call, boot_id.map(str::to_owned)))?;
        table
            .insert((budget.as_str(), *number), row.as_slice())
            .map_err(redb::Error::from)?;
    }
    Ok(())
}

/// Writes calls that may be made, but have no time yet.
pub(super) fn put_leases(
    writing: &WriteTransaction,
    budget: &BudgetKey,
    leased: &[(u64, Collector)],
) -> Result<(), StoreError> {
    let mut table = writing.open_table(CALLS).map_err(redb::Error::from)?;
    for (number, collector) in leased {
        let row = rows::encode(&CallRow::leased(*collector))?;
        table
            .insert((budget.as_str(), *number), row.as_slice())
            .map_err(redb::Error::from)?;
    }
    Ok(())
}

/// Writes the encoded rows of a tenant and its agents, and of its definitions, of which `None`
/// is removed.
fn put_tenant(
    writing: &WriteTransaction,
    name: &str,
    tenant: Option<(&[u8], &[u8])>,
    definitions: &[(DefinitionId, Option<Vec<u8>>)],
) -> Result<(), StoreError> {
    if let Some((tenant, agents)) = tenant {
        let mut table = writing.open_table(TENANTS).map_err(redb::Error::from)?;
        table.insert(name, tenant).map_err(redb::Error::from)?;
        drop(table);
        let mut table = writing.open_table(AGENTS).map_err(redb::Error::from)?;
        let saved = table.get(name).map_err(redb::Error::from)?;
        let differs = saved.is_none_or(|saved| saved.value() != agents);
        if differs {
            table.insert(name, agents).map_err(redb::Error::from)?;
        }
    }
    if definitions.is_empty() {
        return Ok(());
    }
    let mut table = writing.open_table(DEFINITIONS).map_err(redb::Error::from)?;
    for (id, row) in definitions {
        let key = (name, id.as_str());
        match row {
            Some(row) => table.insert(key, row.as_slice()).map(drop),
            None => table.remove(key).map(drop),
        }
        .map_err(redb::Error::from)?;
    }
    Ok(())
}
