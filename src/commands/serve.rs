//! The exporter itself: bind, poll, serve, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listen;
use crate::cli::{Flags, Storage};
use crate::clock::Clock;
use crate::config::{Config, Tenant as TenantConfig};
use crate::defender::{Client, TokenSource, http_client};
use crate::exposition::OwnMetrics;
use crate::plan::Plan;
use crate::poller::{Poller, Source};
use crate::quota::{CallLog, Quota};
use crate::shutdown::{self, GRACE};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tenant::Tenant;
use crate::web::{self, Expected, Gate, WebState};

/// Between the first calls of one tenant and the next, on average: the sign-in host should
/// not see all of them at once.
const SPREAD: Duration = Duration::from_millis(20);

/// Reads the configuration file, or makes one tenant out of Azure's variables.
pub(super) fn config(flags: &Flags) -> anyhow::Result<Config> {
    let Some(file) = &flags.config_file else {
        return Ok(Config::from_env(&|name| std::env::var(name).ok())?);
    };
    let (config, warnings) = Config::load(file)?;
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
    Ok(config)
}

/// Runs the exporter until a signal.
pub(super) async fn run(config: Config, flags: &Flags) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal().context("installing signal handlers")?;
    let storage = flags
        .storage_path
        .clone()
        .unwrap_or_else(|| Storage::Folder("./data".into()));
    let exporter = Exporter::start(&config, flags, &storage, Clock::system(), &shutdown).await?;
    exporter.finish().await
}

/// A running exporter.
pub(super) struct Exporter {
    addresses: Vec<SocketAddr>,
    tls: bool,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Exporter {
    /// Binds all addresses, then starts polling and serving.
    pub(super) async fn start(
        config: &Config,
        flags: &Flags,
        storage: &Storage,
        clock: Clock,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let sockets = listen::sockets(flags).await?;
        let gate = gate(flags, &clock)?;
        let http = http_client(&config.http)?;
        let own = OwnMetrics::new(clock.wall());
        let store = store(storage, &clock, &own)?;
        let snapshot = Snapshot::default();
        let mut tasks = JoinSet::new();
        let mut start = clock.uptime();
        for tenant in &config.tenants {
            let poller = poller(tenant, &http, &snapshot, store.as_ref(), &clock)?;
            start = start + SPREAD.mul_f64(fastrand::f64() * 2.0);
            tasks.spawn(poller.run(start, shutdown.clone()));
        }
        let state = WebState {
            snapshot,
            clock,
            own,
            telemetry_path: flags.telemetry_path.clone(),
            max_requests: flags.max_requests,
            expected: Expected::new(
                config
                    .tenants
                    .iter()
                    .map(|tenant| tenant.name.clone())
                    .collect(),
            ),
            gate: gate.clone(),
        };
        let router = web::router(state);
        let mut addresses = Vec::new();
        let tls = gate.is_tls();
        for socket in sockets {
            if let Some(address) = socket.address()? {
                tracing::info!(%address, tls, telemetry_path = %flags.telemetry_path, "listening");
                addresses.push(address);
            } else {
                tracing::info!(tls, telemetry_path = %flags.telemetry_path, "listening on a UNIX socket");
            }
            tasks.spawn(socket.serve(router.clone(), gate.clone(), shutdown.clone()));
        }
        tracing::info!(
            tenants = config.tenants.len(),
            version = env!("CARGO_PKG_VERSION"),
            "polling"
        );
        Ok(Self {
            addresses,
            tls,
            tasks,
            shutdown: shutdown.clone(),
        })
    }

    /// The addresses that are listened on.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How its addresses begin in URLs.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Waits for the signal, then for the tasks, but not for ever.
    pub(super) async fn finish(mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            // Only a task's panic gets here as an error; the others go on, but it must not go unseen.
            ended.context("a task ended unexpectedly")?;
            if self.shutdown.is_cancelled() {
                let rest = async { while self.tasks.join_next().await.is_some() {} };
                if tokio::time::timeout(GRACE, rest).await.is_err() {
                    tracing::warn!("requests in flight were dropped");
                }
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Who may come in, by the file of `--web.config.file`.
fn gate(flags: &Flags, clock: &Clock) -> anyhow::Result<Gate> {
    match &flags.web_config_file {
        Some(file) => Ok(Gate::load(file, clock.clone())?),
        None => Ok(Gate::open(clock.clone())),
    }
}

fn store(storage: &Storage, clock: &Clock, own: &OwnMetrics) -> anyhow::Result<Option<Store>> {
    let Storage::Folder(folder) = storage else {
        tracing::warn!(
            "state is kept in memory: a restart forgets which calls were made, and all counters"
        );
        return Ok(None);
    };
    let own = own.clone();
    Ok(Some(Store::open(
        folder,
        clock.clone(),
        Box::new(move || own.store_error()),
    )?))
}

fn poller(
    config: &TenantConfig,
    http: &reqwest::Client,
    snapshot: &Snapshot,
    store: Option<&Store>,
    clock: &Clock,
) -> anyhow::Result<Poller> {
    let loaded = store.map(|store| store.load(&config.name)).transpose()?;
    let mut loaded = loaded.unwrap_or_default();
    let store = store.map(|store| store.of(&config.name));
    let log = store
        .clone()
        .map(|store| Arc::new(store) as Arc<dyn CallLog>);
    let quota = Quota::restore(
        clock.clone(),
        config.limits,
        std::mem::take(&mut loaded.calls),
        log,
    );
    let mut tenant = Tenant::new(
        config.name.clone(),
        config.definitions.clone(),
        quota.clone(),
    );
    let mut plan = Plan::new(config.poll, clock.uptime(), fastrand::u64(..));
    tenant.restore(&mut plan, loaded, clock);
    let source = Arc::new(Source {
        client: Client::new(http.clone(), config.api_base_url.clone(), clock.clone()),
        tokens: TokenSource::new(config, http.clone(), clock.clone()),
    });
    Ok(Poller::new(
        tenant,
        plan,
        quota,
        source,
        snapshot.clone(),
        store,
        clock.clone(),
    ))
}
