//! What is known from before, when a tenant is taken over. Of several it is read on several cores,
//! for which the thread of the disk waits.

use std::iter::zip;
use std::time::Duration;

use redb::{Database, ReadableDatabase as _};
use tokio::sync::oneshot;

use super::agent_row::AgentRow;
use super::disk::Disk;
use super::file;
use super::handle::{Job, Priority};
use super::rows::{self, BudgetRow, DefinitionRow, Stamp, TenantRow};
use super::{
    AGENTS, BUDGETS, COLLECTORS, DEFINITIONS, DefinitionState, STAMPS, Store, StoreError, TENANTS,
    TenantState, call_log, prune,
};
use crate::budget::{BudgetKey, Call, Reserve};
use crate::clock::Uptime;
use crate::config;
use crate::model::{DefinitionId, TenantName};
use crate::parallel;

/// The span of the longest limit, in which calls count.
const HOUR: Duration = Duration::from_hours(1);

/// Tenants that are read at once, at most: nothing is written meanwhile.
const AT_ONCE: usize = 32;

/// Of whom it is asked what is known.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The tenant.
    pub tenant: TenantName,
    /// What its calls come out of.
    pub budget: BudgetKey,
    /// Its directory: what is known of another one under its name is forgotten.
    pub directory: String,
}

impl From<&config::Tenant> for Asked {
    fn from(tenant: &config::Tenant) -> Self {
        Self {
            tenant: tenant.name.clone(),
            budget: tenant.budget_key(),
            directory: tenant.tenant_id.clone(),
        }
    }
}

/// What is known of one tenant from before.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Calls of its budget that may still count, by number.
    pub calls: Vec<(u64, Call)>,
    /// How long ago this exporter last held the budget; `None` if that is not known.
    pub gap: Option<Duration>,
    /// Whether `calls` are all that this exporter made within the last hour.
    pub is_complete: bool,
    /// Until when the budget ran on the reserve.
    pub reserve: Reserve,
    /// The tenant itself.
    pub tenant: Option<TenantState>,
    /// Its definitions.
    pub definitions: Vec<(DefinitionId, DefinitionState)>,
}

impl Store {
    /// Everything known of a tenant and of its budget. A row that cannot be read is left out.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn load(&self, asked: Asked) -> Result<Loaded, StoreError> {
        let loaded = self.load_all(&[asked]).await?;
        Ok(loaded.into_iter().next().unwrap_or_default())
    }

    /// The same of several tenants, in their order, read on several cores.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn load_all(&self, asked: &[Asked]) -> Result<Vec<Loaded>, StoreError> {
        let mut all = Vec::with_capacity(asked.len());
        for asked in asked.chunks(AT_ONCE) {
            let wanted = asked.to_vec();
            let loaded = self.run(move |disk| load(disk, &wanted)).await??;
            all.extend(zip(asked, loaded).map(|(asked, loaded)| self.checked(asked, loaded)));
        }
        Ok(all)
    }

    /// Without what is about another directory, which is forgotten.
    fn checked(
        &self,
        Asked {
            tenant, directory, ..
        }: &Asked,
        mut loaded: Loaded,
    ) -> Loaded {
        let known = loaded.tenant.as_ref();
        let known = known.and_then(|tenant| tenant.directory.as_ref());
        if known.is_some_and(|known| known != directory) {
            tracing::warn!(%tenant, "the tenant's directory id has changed: the data saved under its name is discarded");
            loaded.tenant = None;
            loaded.definitions = Vec::new();
            self.forget(tenant);
        }
        loaded
    }

    /// Forgets what is known of `tenant`, but not the calls of its budget.
    pub fn forget(&self, tenant: &TenantName) {
        let tenant = tenant.clone();
        drop(self.write(Priority::Later, move |writing| {
            prune::forget(writing, tenant.as_str())
        }));
    }

    /// Runs something on the thread of the disk, and waits for as long as that takes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Disk) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_as(Job::Run, run).await
    }

    /// The same of what does not look at the file.
    pub(super) async fn run_aside<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Disk) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_as(Job::Aside, run).await
    }

    async fn run_as<T: Send + 'static>(
        &self,
        job: impl FnOnce(Box<dyn FnOnce(&mut Disk) + Send>) -> Job,
        run: impl FnOnce(&mut Disk) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.disk.send(job(Box::new(move |disk| {
            // Whoever asked may have gone.
            let _ = reply.send(run(disk));
        })));
        answer
            .await
            .map_err(|_| StoreError::Closed(self.0.path.clone()))
    }
}

fn load(disk: &mut Disk, asked: &[Asked]) -> Result<Vec<Loaded>, StoreError> {
    let (boot_id, now) = (disk.boot_id.clone(), disk.clock.uptime());
    let boot_id = boot_id.as_deref();
    let path = disk.path.clone();
    let database = disk.database()?;
    let read = |asked| file::caught(&path, || read(database, asked, boot_id, now));
    let loaded = parallel::map(asked.iter().collect(), 1, read);
    loaded.into_iter().collect()
}

fn read(
    database: &Database,
    Asked { tenant, budget, .. }: &Asked,
    boot_id: Option<&str>,
    now: Uptime,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let reading = database.begin_read()?;
    let name = tenant.as_str();

    let mut is_whole = true;
    // Schema 2 kept calls by the name of the tenant.
    for owner in [budget.as_str(), name] {
        let next = loaded.calls.last().map_or(0, |(number, _)| number + 1);
        let (calls, are_all) = call_log::read(&reading, owner)?;
        is_whole &= are_all;
        let calls = calls.into_iter();
        loaded.calls.extend(
            calls.map(|(number, row)| (next.saturating_add(number), row.call(boot_id, now))),
        );
    }

    let definitions = reading.open_table(DEFINITIONS)?;
    for row in definitions.range((name, "")..)? {
        let (key, value) = row?;
        let (owner, id) = key.value();
        if owner != name {
            break;
        }
        if let Some(row) = rows::read::<DefinitionRow<'_>>(name, value.value()) {
            let state = DefinitionState::from(row);
            let known = &state.scan.definition().id;
            let is_spelled_alike = known.as_str() == id;
            let id = if is_spelled_alike {
                known.clone()
            } else {
                DefinitionId::new(id)
            };
            loaded.definitions.push((id, state));
        }
    }

    let tenants = reading.open_table(TENANTS)?;
    let row = tenants.get(name)?;
    let row = row.and_then(|row| rows::read::<TenantRow>(name, row.value()));
    if let Some(mut row) = row {
        // Older versions left both in the tenant's row.
        if row.agents.is_empty() {
            let agents = reading.open_table(AGENTS)?.get(name)?;
            let agents = agents.and_then(|row| rows::read::<Vec<AgentRow>>(name, row.value()));
            row.agents = agents.unwrap_or_default();
        }
        if row.collectors.is_empty() {
            let collectors = reading.open_table(COLLECTORS)?;
            for collector in rows::COLLECTORS {
                let collector = collectors.get((collector.as_label(), name))?;
                let collector = collector.and_then(|row| rows::read(name, row.value()));
                row.collectors.push(collector.unwrap_or_default());
            }
        }
        loaded.tenant = Some(row.into());
    }

    let stamps = reading.open_table(STAMPS)?;
    let age = |name: &str| -> Result<Option<Duration>, StoreError> {
        let row = stamps.get(name)?;
        let stamp = row.and_then(|row| rows::read::<Stamp>(name, row.value()));
        Ok(stamp.and_then(|stamp| stamp.age_in(boot_id, now)))
    };
    let budgets = reading.open_table(BUDGETS)?;
    let row = budgets.get(budget.as_str())?;
    let row = row.and_then(|row| rows::read::<BudgetRow>(name, row.value()));
    if let Some(row) = row {
        let since = row.stamp.age_in(boot_id, now);
        if since.is_some() {
            loaded.reserve = row.reserve();
            loaded.is_complete = true;
        }
        loaded.gap = match since {
            Some(since) if !row.released => Some(age("alive")?.map_or(since, |it| it.min(since))),
            since => since,
        };
    } else {
        // Written by a version that knew no budgets, whose last sign of life is its row.
        let row = loaded.tenant.as_ref().filter(|row| row.directory.is_none());
        loaded.gap = row.and_then(|row| row.stamp.age_in(boot_id, now));
        loaded.is_complete = loaded.gap.is_some() || age("created")?.is_some_and(|age| age >= HOUR);
    }
    if !is_whole {
        // Many calls may be missing: as if another exporter had made them.
        (loaded.gap, loaded.is_complete) = (None, false);
    }
    Ok(loaded)
}
