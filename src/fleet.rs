//! The pollers of all configured tenants, and what a new configuration changes:
//!
//! | a tenant that | does |
//! | --- | --- |
//! | is the same | go on undisturbed |
//! | has other settings | stop, and go on with all that is known of it and was spent, and with its token if it signs in as before |
//! | is gone | stop, and its series vanish; the store keeps what is known of it |
//! | is new | start, with what the store knows of it |
//!
//! Whatever can fail is done before anything is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Uptime};
use crate::config::{self, Config, Http};
use crate::defender::{Client, HttpError, TokenSource, http_client};
use crate::model::TenantName;
use crate::plan::Plan;
use crate::poller::{Poller, Source};
use crate::quota::{CallLog, Quota};
use crate::shard::Shard;
use crate::small_file;
use crate::snapshot::Snapshot;
use crate::store::{Store, StoreError};
use crate::tenant::Tenant;
use crate::web::Expected;

/// Between the first calls of one tenant and the next, on average: the sign-in host should
/// not see all of them at once.
const SPREAD: Duration = Duration::from_millis(20);

/// Why a configuration can not be put in force.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The section `http` can not be used.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What is known of a new tenant can not be read.
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
pub struct Surroundings {
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
pub struct Fleet {
    around: Surroundings,
    shutdown: CancellationToken,
    http: Option<HttpInUse>,
    members: BTreeMap<TenantName, Member>,
    /// Budgets of removed tenants with calls that still count: they may come back.
    departed: BTreeMap<TenantName, Quota>,
    pollers: JoinSet<Poller>,
}

/// A tenant that is polled.
#[derive(Debug)]
struct Member {
    config: config::Tenant,
    stop: CancellationToken,
}

/// The HTTP client, with what it was made of.
#[derive(Clone, Debug)]
struct HttpInUse {
    settings: Http,
    /// The content of `ca_file`: it may change under the same name.
    roots: Option<Vec<u8>>,
    client: reqwest::Client,
}

impl Fleet {
    /// A fleet without tenants. Its pollers stop when `shutdown` is cancelled.
    #[must_use]
    pub fn new(around: Surroundings, shutdown: CancellationToken) -> Self {
        Self {
            around,
            shutdown,
            http: None,
            members: BTreeMap::new(),
            departed: BTreeMap::new(),
            pollers: JoinSet::new(),
        }
    }

    /// Puts `config` in force. Must not be dropped half-way.
    ///
    /// # Errors
    /// [`FleetError`]; then nothing has changed.
    pub async fn apply(&mut self, config: &Config) -> Result<Applied, FleetError> {
        let (http, new_client) = self.http(&config.http)?;
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
                Some(member) if member.config == *tenant && !new_client => applied.unchanged += 1,
                Some(member) => {
                    let same_token = member.config.signs_in_like(tenant);
                    changed.insert(tenant.name.clone(), (tenant, same_token));
                }
                None => added.push((tenant, self.poller(tenant, &http.client)?)),
            }
        }
        applied.changed = changed.len();
        applied.added = added.len();
        applied.removed = self.members.len() - applied.changed - applied.unchanged;

        let stays = |name: &TenantName| wanted.contains(name) && !changed.contains_key(name);
        let mut start = self.around.clock.uptime();
        for poller in self.stop(|name| !stays(name)).await {
            let name = poller.tenant().clone();
            if let Some((tenant, same_token)) = changed.get(&name) {
                let mut source = self.source(tenant, &http.client);
                if *same_token {
                    source.tokens = source.tokens.succeeding(poller.tokens());
                    if new_client {
                        source.tokens.end_pause().await;
                    }
                }
                let poller = poller.resume(tenant, Arc::new(source));
                self.start(tenant, poller, &mut start);
            } else {
                self.around.snapshot.remove(&name);
                self.departed.insert(name, poller.quota().clone());
            }
        }
        for (tenant, poller) in added {
            self.departed.remove(&tenant.name);
            self.start(tenant, poller, &mut start);
        }
        self.http = Some(http);
        self.around.expected.set(wanted.into_iter().collect());
        self.prune();
        Ok(applied)
    }

    /// Forgets what is kept of removed tenants and no longer of use.
    pub fn prune(&mut self) {
        self.departed.retain(|_, quota| !quota.is_idle());
        if let Some(store) = &self.around.store {
            store.prune(&self.members.keys().cloned().collect());
        }
    }

    /// Waits for a poller to end, which none does by itself; for ever if there is none.
    ///
    /// # Panics
    /// As the poller did: better to end, and be started again with all that was
    /// saved, than to go on without one of the tenants.
    pub async fn watch(&mut self) {
        match self.pollers.join_next().await {
            Some(ended) => drop(poller_of(ended)),
            None => std::future::pending().await,
        }
    }

    /// Stops all pollers and waits for their end.
    pub async fn shut_down(mut self) {
        self.stop(|_| true).await;
    }

    /// Stops the members that `leaves` names, and waits for their end.
    async fn stop(&mut self, leaves: impl Fn(&TenantName) -> bool) -> Vec<Poller> {
        let mut leaving = BTreeSet::new();
        self.members.retain(|name, member| {
            let stays = !leaves(name);
            if !stays {
                leaving.insert(name.clone());
                member.stop.cancel();
            }
            stays
        });
        let mut stopped = Vec::new();
        while !leaving.is_empty() {
            let Some(ended) = self.pollers.join_next().await else {
                break;
            };
            // At the end of the process others stop too, unasked.
            let ended = poller_of(ended);
            stopped.extend(ended.filter(|poller| leaving.remove(poller.tenant())));
        }
        stopped
    }

    fn start(&mut self, tenant: &config::Tenant, mut poller: Poller, at: &mut Uptime) {
        poller.show();
        let stop = self.shutdown.child_token();
        *at = *at + SPREAD.mul_f64(fastrand::f64() * 2.0);
        self.pollers.spawn(poller.run(*at, stop.clone()));
        let config = tenant.clone();
        self.members
            .insert(tenant.name.clone(), Member { config, stop });
    }

    /// The client for `settings`, and whether it is another than before.
    fn http(&self, settings: &Http) -> Result<(HttpInUse, bool), HttpError> {
        let read = |path: &Path| {
            let content = small_file::blocking_read(path, small_file::CERTIFICATES).ok()?;
            Some(content.bytes)
        };
        let roots = settings.ca_file.as_deref().and_then(read);
        let same = |http: &&HttpInUse| http.settings == *settings && http.roots == roots;
        if let Some(http) = self.http.as_ref().filter(same) {
            return Ok((http.clone(), false));
        }
        let client = http_client(settings)?;
        let settings = settings.clone();
        let http = HttpInUse {
            settings,
            roots,
            client,
        };
        Ok((http, true))
    }

    fn source(&self, tenant: &config::Tenant, http: &reqwest::Client) -> Source {
        let clock = &self.around.clock;
        Source {
            client: Client::new(http.clone(), tenant.api_base_url.clone(), clock.clone()),
            tokens: TokenSource::new(tenant, http.clone(), clock.clone()),
        }
    }

    /// A poller of a new tenant, with what is known of it from before.
    fn poller(
        &self,
        tenant: &config::Tenant,
        http: &reqwest::Client,
    ) -> Result<Poller, StoreError> {
        let (store, clock) = (self.around.store.as_ref(), &self.around.clock);
        let loaded = store.map(|store| store.load(&tenant.name)).transpose()?;
        let mut loaded = loaded.unwrap_or_default();
        let store = store.map(|store| store.of(&tenant.name));
        let calls = std::mem::take(&mut loaded.calls);
        let quota = if let Some(quota) = self.departed.get(&tenant.name) {
            quota.with_limits(tenant.limits)
        } else {
            let log = store
                .clone()
                .map(|store| Arc::new(store) as Arc<dyn CallLog>);
            Quota::restore(clock.clone(), tenant.limits, calls, log)
        };
        let filter = tenant.definitions.clone();
        let mut known = Tenant::new(tenant.name.clone(), filter, quota.clone());
        let mut plan = Plan::new(tenant.poll, clock.uptime(), fastrand::u64(..));
        known.restore(&mut plan, loaded, clock);
        Ok(Poller::new(
            known,
            plan,
            quota,
            Arc::new(self.source(tenant, http)),
            self.around.snapshot.clone(),
            store,
            clock.clone(),
        ))
    }
}

/// What a poller knew at its end; goes on with its panic.
fn poller_of(ended: Result<Poller, JoinError>) -> Option<Poller> {
    match ended {
        Ok(poller) => Some(poller),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}
