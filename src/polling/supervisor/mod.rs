//! The pollers of all configured tenants, and what a new configuration changes:
//!
//! | a tenant that | does |
//! | --- | --- |
//! | is the same | go on undisturbed |
//! | has other settings | stop, and go on with all that is known of it and was spent, and with its token if it signs in as before |
//! | is gone | stop, and its series vanish; the store keeps what is known of it |
//! | is new | start, with what the store knows of it |
//! | is another directory under the same name | stop, and start as if it were new |
//!
//! Whatever can fail is done before anything is changed. A poller that panics costs its
//! tenant alone: it is restarted from what was saved, after a pause that grows each time.

mod budgets;
mod restart;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::zip;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use self::budgets::{Budgets, Unknown};
use self::restart::FIRST_RESTART;
use crate::budget::{Budget, BudgetKey};
use crate::clock::{Clock, Uptime};
use crate::config::{self, Config};
use crate::defender::{Client, HttpClient, HttpError, TokenSource};
use crate::model::TenantName;
use crate::parallel;
use crate::polling::Expected;
use crate::polling::poller::{ApiAccess, Poller};
use crate::polling::shard::Shard;
use crate::polling::snapshot::Snapshot;
use crate::polling::tenant::KnownTenant;
use crate::schedule::Schedule;
use crate::store::{Asked, Loaded, Store, StoreError, TenantStore};

/// Between the first calls of one tenant and the next, on average: the sign-in host should
/// not see all of them at once.
const SPREAD: Duration = Duration::from_millis(20);

/// Why a configuration cannot be put in force.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The section `http` cannot be used.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What is known of a new tenant cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many tenants of this shard a new configuration concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// They go on undisturbed.
    pub unchanged: usize,
    /// They go on under other settings.
    pub changed: usize,
    /// They start.
    pub added: usize,
    /// They are no longer polled.
    pub removed: usize,
}

/// What the pollers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where pollers publish.
    pub snapshot: Snapshot,
    /// `None`: a restart forgets.
    pub store: Option<Store>,
    /// The tenants that readiness waits for.
    pub expected: Expected,
    /// Tenants of other shards are left alone.
    pub shard: Shard,
    /// The time.
    pub clock: Clock,
}

/// The pollers of all configured tenants.
#[derive(Debug)]
pub struct Supervisor {
    around: Shared,
    shutdown: CancellationToken,
    /// Of all tenants: what a reload replaces, it replaces underneath them.
    http: Option<HttpClient>,
    members: BTreeMap<TenantName, PolledTenant>,
    budgets: Budgets,
    pollers: JoinSet<Poller>,
    /// Whose task is whose.
    tasks: HashMap<Id, TenantName>,
}

/// A tenant that is polled.
#[derive(Debug)]
struct PolledTenant {
    config: config::Tenant,
    stop: CancellationToken,
    /// Asks it to try at once what is forbidden.
    retry: Arc<Notify>,
    /// When it last started.
    started: Uptime,
    /// How long to wait before it starts anew after a panic.
    restart: Duration,
}

impl Supervisor {
    /// A supervisor without tenants. Its pollers stop when `shutdown` is cancelled.
    #[must_use]
    pub fn new(around: Shared, shutdown: CancellationToken) -> Self {
        Self {
            around,
            shutdown,
            http: None,
            members: BTreeMap::new(),
            budgets: Budgets::default(),
            pollers: JoinSet::new(),
            tasks: HashMap::new(),
        }
    }

    /// Puts `config` in force. Must not be dropped half-way.
    ///
    /// # Errors
    /// [`FleetError`]; then nothing has changed.
    pub async fn apply(&mut self, config: &Config) -> Result<Applied, FleetError> {
        let new = new_http(config, self.http.clone(), &self.around.clock).await?;
        self.apply_with(config, new).await
    }

    /// The same with a client that was built for `config` while something else was done.
    ///
    /// # Errors
    /// As of [`Self::apply`].
    pub async fn apply_with(
        &mut self,
        config: &Config,
        new: HttpClient,
    ) -> Result<Applied, FleetError> {
        let http = self.http.clone().unwrap_or_else(|| new.clone());
        let shard = self.around.shard;
        let ours = config.tenants.iter();
        let ours = ours.filter(|tenant| shard.holds(&tenant.name));
        let mut changed = BTreeMap::new();
        let mut added = Vec::new();
        let mut applied = Applied::default();
        let mut wanted = BTreeSet::new();
        for tenant in ours {
            wanted.insert(tenant.name.clone());
            match self.members.get(&tenant.name) {
                Some(member) if member.config == *tenant => applied.unchanged += 1,
                Some(member) if member.config.tenant_id == tenant.tenant_id => {
                    // Nothing of a budget that is in memory need be loaded.
                    let known = self.budgets.knows(&tenant.budget_key());
                    let loaded = if known {
                        Loaded::default()
                    } else {
                        self.load(tenant).await?
                    };
                    let same_token = member.config.signs_in_like(tenant);
                    changed.insert(tenant.name.clone(), (tenant, loaded, same_token));
                }
                _ => added.push(tenant),
            }
        }
        let loaded = self.load_all(&added).await?;
        let mut added: Vec<_> = zip(added, loaded).collect();
        for warning in new.warnings() {
            tracing::warn!(%warning, "configuration");
        }
        http.adopt(&new);
        applied.changed = changed.len();
        applied.added = added.len();
        applied.removed = self.members.len() - applied.changed - applied.unchanged;

        let stays = |name: &TenantName| wanted.contains(name) && !changed.contains_key(name);
        let starts_anew: BTreeSet<_> = added.iter().map(|(tenant, _)| &tenant.name).collect();
        let leaves = |name: &TenantName| !stays(name) || starts_anew.contains(name);
        let (stopped, held) = self.stop(leaves).await;
        let mut start = self.around.clock.uptime();
        let mut unknown = Unknown::default();
        for poller in stopped {
            let name = poller.tenant().clone();
            if let Some((tenant, mut loaded, same_token)) = changed.remove(&name) {
                let mut access = self.around.access(tenant, &http);
                if same_token {
                    access.tokens = access.tokens.succeeding(poller.tokens());
                }
                let (budget, store) = self.hold(tenant, &mut loaded, &mut unknown);
                let mut poller = poller.resume(tenant, access, budget, store);
                poller.publish_restored();
                self.start(tenant, poller, &mut start);
            } else {
                self.around.snapshot.remove(&name);
            }
        }
        // Those that panicked meanwhile start from what was saved.
        for (tenant, ..) in changed.into_values() {
            added.push((tenant, self.load(tenant).await.unwrap_or_default()));
        }
        // Those that are polled one after the other have rows side by side, which share a page.
        added.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        for (tenant, poller) in self.pollers(added, &http, &mut unknown) {
            self.start(tenant, poller, &mut start);
        }
        unknown.log();
        // Not before the pollers have their budgets: what was held until here was in no other hands.
        self.release(held);
        self.http = Some(http);
        self.around.expected.set(wanted.into_iter().collect());
        self.prune().await;
        Ok(applied)
    }

    /// Tries at once what is forbidden: whoever reloads may have granted it.
    pub fn retry_forbidden(&self) {
        for member in self.members.values() {
            member.retry.notify_one();
        }
    }

    /// Logs how all tenants stand: for those who look once a day.
    pub fn log_summary(&self) {
        let tenants = self.around.snapshot.read();
        let up = tenants
            .values()
            .filter(|tenant| tenant.health.up == Some(true));
        let definitions = tenants
            .values()
            .map(|tenant| tenant.distinct_definitions().count());
        let agents = tenants.values().map(|tenant| tenant.agents.len());
        tracing::info!(
            tenants = self.members.len(),
            up = up.count(),
            definitions = definitions.sum::<usize>(),
            agents = agents.sum::<usize>(),
            "daily summary"
        );
    }

    /// Forgets what is kept of removed tenants and no longer of use.
    pub async fn prune(&mut self) {
        self.budgets.prune(self.around.clock.uptime());
        if let Some(store) = &self.around.store {
            let names = self.members.keys().cloned().collect();
            // Where the disk hangs, there is another time.
            let _ = store.unless_it_hangs(store.prune(names)).await;
        }
    }

    /// Stops all pollers and waits for their end.
    pub async fn shut_down(mut self) {
        let (_, held) = self.stop(|_| true).await;
        self.release(held);
    }

    /// Stops the members that `leaves` names, and waits for their end. Returns the budgets that
    /// they still hold too.
    async fn stop(
        &mut self,
        leaves: impl Fn(&TenantName) -> bool,
    ) -> (Vec<Poller>, BTreeMap<TenantName, BudgetKey>) {
        let mut leaving = BTreeSet::new();
        let mut held = BTreeMap::new();
        self.members.retain(|name, member| {
            let stays = !leaves(name);
            if !stays {
                leaving.insert(name.clone());
                member.stop.cancel();
                held.insert(name.clone(), member.config.budget_key());
            }
            stays
        });
        let mut stopped = Vec::new();
        let mut panicked = Vec::new();
        while !leaving.is_empty() {
            match self.pollers.join_next_with_id().await {
                Some(Ok((id, poller))) => {
                    self.tasks.remove(&id);
                    // At the end of the process others stop too, unasked.
                    if leaving.remove(poller.tenant()) {
                        stopped.push(poller);
                    }
                }
                Some(failed) => {
                    let name = self.panicked(failed);
                    panicked.extend(name.filter(|name| !leaving.remove(name)));
                }
                None => break,
            }
        }
        for name in panicked {
            self.restart(&name).await;
        }
        (stopped, held)
    }

    /// Releases the budgets that stopped members held and that are not theirs any more.
    fn release(&mut self, held: BTreeMap<TenantName, BudgetKey>) {
        let now = self.around.clock.uptime();
        for (name, key) in held {
            let member = self.members.get(&name);
            if member.is_none_or(|member| member.config.budget_key() != key) {
                self.budgets.release(&name, &key, now);
            }
        }
    }

    fn start(&mut self, tenant: &config::Tenant, poller: Poller, at: &mut Uptime) {
        let retry = poller.retry();
        let stop = self.shutdown.child_token();
        *at = *at + SPREAD.mul_f64(fastrand::f64() * 2.0);
        let task = self.pollers.spawn(poller.run(*at, stop.clone()));
        self.tasks.insert(task.id(), tenant.name.clone());
        let member = PolledTenant {
            config: tenant.clone(),
            stop,
            retry,
            started: *at,
            restart: FIRST_RESTART,
        };
        self.members.insert(tenant.name.clone(), member);
    }

    /// What is known of a tenant and its budget from before.
    async fn load(&self, tenant: &config::Tenant) -> Result<Loaded, StoreError> {
        let loaded = self.load_all(&[tenant]).await?;
        Ok(loaded.into_iter().next().unwrap_or_default())
    }

    /// The same of several tenants, in their order.
    async fn load_all(&self, tenants: &[&config::Tenant]) -> Result<Vec<Loaded>, StoreError> {
        let Some(store) = &self.around.store else {
            return Ok(tenants.iter().map(|_| Loaded::default()).collect());
        };
        let asked: Vec<_> = tenants.iter().map(|tenant| Asked::from(*tenant)).collect();
        store.unless_it_hangs(store.load_all(&asked)).await?
    }

    /// The tenant's budget, which it holds from now on, and its part of the store.
    fn hold(
        &mut self,
        tenant: &config::Tenant,
        loaded: &mut Loaded,
        unknown: &mut Unknown,
    ) -> (Budget, Option<TenantStore>) {
        let Shared { store, clock, .. } = &self.around;
        self.budgets
            .hold(tenant, loaded, store.as_ref(), clock, unknown)
    }

    /// Pollers of new tenants, with what is known of them from before, which they publish. Of
    /// many definitions that is a lot of work, and done on several cores.
    fn pollers<'t>(
        &mut self,
        tenants: Vec<(&'t config::Tenant, Loaded)>,
        http: &HttpClient,
        unknown: &mut Unknown,
    ) -> Vec<(&'t config::Tenant, Poller)> {
        let tenants = tenants.into_iter().map(|(tenant, mut loaded)| {
            let held = self.hold(tenant, &mut loaded, unknown);
            (tenant, loaded, held)
        });
        let (tenants, around) = (tenants.collect(), &self.around);
        parallel::map(tenants, 1, |(tenant, loaded, (budget, store))| {
            let mut poller = around.poller(tenant, loaded, http, budget, store);
            poller.publish_restored();
            (tenant, poller)
        })
    }
}

/// A client with the roots of the system as they are now, which takes the place of the one
/// `before`. Files that hang hold up nothing else.
///
/// # Errors
/// [`HttpError`].
pub async fn new_http(
    config: &Config,
    before: Option<HttpClient>,
    clock: &Clock,
) -> Result<HttpClient, HttpError> {
    let (settings, clock) = (config.http.clone(), clock.clone());
    let built = tokio::task::spawn_blocking(move || match before {
        Some(before) => before.anew(&settings),
        None => HttpClient::new(&settings, clock),
    });
    let built = built.await;
    built.unwrap_or_else(|error| Err(HttpError::Build(error.to_string())))
}

impl Shared {
    fn access(&self, tenant: &config::Tenant, http: &HttpClient) -> ApiAccess {
        let clock = &self.clock;
        ApiAccess {
            client: Client::new(http.clone(), tenant.api_base_url.clone(), clock.clone())
                .of_version(tenant.api_version.as_deref()),
            tokens: TokenSource::new(tenant, http.clone(), clock.clone()),
        }
    }

    /// A poller of a new tenant, with what is known of it from before.
    fn poller(
        &self,
        tenant: &config::Tenant,
        loaded: Loaded,
        http: &HttpClient,
        budget: Budget,
        store: Option<TenantStore>,
    ) -> Poller {
        let clock = &self.clock;
        let filter = tenant.definitions.clone();
        let mut known =
            KnownTenant::new(tenant.name.clone(), tenant.into(), filter, budget.clone());
        let mut schedule = Schedule::new(tenant.poll, clock.uptime(), fastrand::u64(..));
        known.restore(&mut schedule, loaded, clock);
        Poller::new(
            known,
            schedule,
            budget,
            self.access(tenant, http),
            self.snapshot.clone(),
            store,
            clock.clone(),
        )
    }
}

#[cfg(test)]
mod tests;
