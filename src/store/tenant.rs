//! One tenant's part of the store: its calls, and what changed of it.

use std::iter::zip;
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use redb::{ReadableTable as _, WriteTransaction};
use tokio::sync::oneshot;

use super::agent_row::AgentRow;
use super::handle::Priority;
use super::rows::{self, BudgetRow, CollectorRow, DefinitionRow, Stamp, TenantRow};
use super::{
    AGENTS, BUDGETS, COLLECTORS, Changes, DEFINITIONS, DefinitionState, ROWS, Store, StoreError,
    TENANTS, TenantState, call_log,
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
        let tenant = tenant.map(TenantRows::of).transpose()?;
        let name = self.tenant.clone();
        Ok(self.store.write(priority, move |writing| {
            if let Some(tenant) = &tenant {
                tenant.put(writing, name.as_str())?;
            }
            put_definitions(writing, name.as_str(), &definitions)
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
        let (key, tenant) = (self.budget.clone(), self.tenant.clone());
        let calls: Vec<_> = call_log::made(&budget.calls(), self.boot_id()).collect();
        drop(self.store.write(Priority::Now, move |writing| {
            put_budget(writing, &key, &row)?;
            call_log::change(writing, key.as_str(), 0, &calls)?;
            // The reserve, which was just written, is for those that are missing.
            call_log::complete(writing, key.as_str())?;
            // Schema 2 kept calls by the name of the tenant.
            call_log::forget(writing, tenant.as_str())
        }));
    }

    /// Says that this exporter no longer spends `budget`.
    pub fn release(&self, budget: &Budget) {
        self.store.0.disk.held().lock().remove(&self.budget);
        let now = self.store.0.clock.uptime();
        let row = BudgetRow::new(self.stamp(now), true, budget.reserve());
        let key = self.budget.clone();
        let Returned { settled, unused } = budget.give_back();
        let calls = call_log::made(&settled, self.boot_id());
        let unused = unused.into_iter().map(|number| (number, None));
        let calls: Vec<_> = calls.chain(unused).collect();
        drop(self.store.write(Priority::Later, move |writing| {
            put_budget(writing, &key, &row)?;
            call_log::change(writing, key.as_str(), 0, &calls)
        }));
    }

    fn boot_id(&self) -> Option<&str> {
        self.store.0.boot_id.as_deref()
    }

    fn log(
        &self,
        priority: Priority,
        oldest: u64,
        calls: Vec<call_log::Entry>,
    ) -> oneshot::Receiver<bool> {
        let key = self.budget.clone();
        self.store.write(priority, move |writing| {
            call_log::change(writing, key.as_str(), oldest, &calls)
        })
    }
}

impl CallLog for TenantStore {
    fn sent(&self, number: u64, call: &Call, oldest: u64) -> BoxFuture<'static, bool> {
        let call = call_log::made(&[(number, *call)], self.boot_id()).collect();
        let written = self.log(Priority::Now, oldest, call);
        Box::pin(async move { written.await.unwrap_or(false) })
    }

    fn answered(&self, number: u64, call: &Call) {
        let call = call_log::made(&[(number, *call)], self.boot_id()).collect();
        drop(self.log(Priority::WithTheNext, 0, call));
    }

    fn lease(&self, lease: Lease) -> BoxFuture<'static, bool> {
        if !self.leases {
            return Box::pin(ready(false));
        }
        let settled = call_log::made(&lease.settled, self.boot_id());
        let leased = lease.numbers.map(|number| (number, lease.collector));
        let calls = settled.chain(call_log::leased(leased)).collect();
        let written = self.log(Priority::Grouped(self.delay), lease.oldest, calls);
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
    let mut budgets = writing.open_table(BUDGETS)?;
    budgets.insert(budget.as_str(), rows::encode(row)?.as_slice())?;
    Ok(())
}

/// What is written of a tenant: each only if it has changed, because most polls change one.
struct TenantRows {
    tenant: TenantRow,
    agents: Vec<u8>,
    collectors: Vec<(Collector, Vec<u8>)>,
}

impl TenantRows {
    fn of(tenant: &TenantState) -> Result<Self, StoreError> {
        let agents: Vec<_> = tenant.agents.iter().map(AgentRow::from).collect();
        let collectors = zip(rows::COLLECTORS, &tenant.collectors);
        let collectors = collectors
            .map(|(collector, health)| Ok((collector, rows::encode(&CollectorRow::from(health))?)));
        Ok(Self {
            tenant: TenantRow::from(tenant),
            agents: rows::encode(&agents)?,
            collectors: collectors.collect::<Result<_, StoreError>>()?,
        })
    }

    fn put(&self, writing: &WriteTransaction, name: &str) -> Result<(), StoreError> {
        let mut table = writing.open_table(TENANTS)?;
        let saved = table.get(name)?;
        let saved = saved.and_then(|saved| rows::read::<TenantRow>(name, saved.value()));
        let is_new = saved.map(|saved| self.tenant.replaces(saved));
        if is_new.transpose()?.unwrap_or(true) {
            table.insert(name, rows::encode(&self.tenant)?.as_slice())?;
        }
        put_changed(&mut writing.open_table(AGENTS)?, &name, &self.agents)?;
        // Rows that change at the same time are neighbours, and so share pages of the file.
        let mut table = writing.open_table(COLLECTORS)?;
        for (collector, row) in &self.collectors {
            put_changed(&mut table, &(collector.as_label(), name), row)?;
        }
        Ok(())
    }
}

/// Writes a row unless it is saved already.
fn put_changed<K: redb::Key + 'static>(
    table: &mut redb::Table<'_, K, &'static [u8]>,
    key: &K::SelfType<'_>,
    row: &[u8],
) -> Result<(), StoreError> {
    let saved = table.get(key)?;
    if saved.is_none_or(|saved| saved.value() != row) {
        table.insert(key, row)?;
    }
    Ok(())
}

/// Writes the encoded rows of a tenant's definitions, of which `None` is removed.
fn put_definitions(
    writing: &WriteTransaction,
    name: &str,
    definitions: &[(DefinitionId, Option<Vec<u8>>)],
) -> Result<(), StoreError> {
    if definitions.is_empty() {
        return Ok(());
    }
    let mut table = writing.open_table(DEFINITIONS)?;
    for (id, row) in definitions {
        let key = (name, id.as_str());
        match row {
            Some(row) => table.insert(key, row.as_slice())?,
            None => table.remove(key)?,
        };
    }
    Ok(())
}
