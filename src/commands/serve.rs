//! The exporter itself: bind, poll, serve, stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::{Flags, ListenAddress};
use crate::clock::Clock;
use crate::config::{Config, Tenant as TenantConfig};
use crate::defender::{Client, TokenSource, http_client};
use crate::exposition::OwnMetrics;
use crate::plan::Plan;
use crate::poller::{Poller, Source};
use crate::quota::Quota;
use crate::shutdown::{self, GRACE};
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;
use crate::web::{self, Expected, TelemetryPath, WebState};

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
    let exporter = Exporter::start(&config, flags, Clock::system(), &shutdown).await?;
    exporter.finish().await
}

/// A running exporter.
pub(super) struct Exporter {
    addresses: Vec<SocketAddr>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Exporter {
    /// Binds all addresses, then starts polling and serving.
    pub(super) async fn start(
        config: &Config,
        flags: &Flags,
        clock: Clock,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for address in &flags.listen_addresses {
            listeners.push(bind(address).await?);
        }
        let http = http_client(&config.http)?;
        let own = OwnMetrics::new(clock.wall());
        let snapshot = Snapshot::default();
        let mut tasks = JoinSet::new();
        for tenant in &config.tenants {
            let poller = poller(tenant, &http, &snapshot, &clock);
            let shutdown = shutdown.clone();
            tasks.spawn(poller.run(shutdown));
        }
        let state = WebState {
            snapshot,
            clock,
            own,
            telemetry_path: flags.telemetry_path.parse::<TelemetryPath>()?,
            max_requests: flags.max_requests,
            expected: Expected::new(
                config
                    .tenants
                    .iter()
                    .map(|tenant| tenant.name.clone())
                    .collect(),
            ),
        };
        let router = web::router(state);
        let mut addresses = Vec::new();
        for listener in listeners {
            let address = listener.local_addr()?;
            tracing::info!(%address, telemetry_path = %flags.telemetry_path, "listening");
            addresses.push(address);
            tasks.spawn(web::serve(listener, router.clone(), shutdown.clone()));
        }
        tracing::info!(
            tenants = config.tenants.len(),
            version = env!("CARGO_PKG_VERSION"),
            "polling; the budget is kept in memory, so a restart forgets which calls were made"
        );
        Ok(Self {
            addresses,
            tasks,
            shutdown: shutdown.clone(),
        })
    }

    /// The addresses that are listened on.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
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

fn poller(
    config: &TenantConfig,
    http: &reqwest::Client,
    snapshot: &Snapshot,
    clock: &Clock,
) -> Poller {
    let quota = Quota::new(clock.clone(), config.limits);
    let tenant = Tenant::new(
        config.name.clone(),
        config.definitions.clone(),
        quota.clone(),
    );
    let plan = Plan::new(config.poll, clock.uptime(), fastrand::u64(..));
    let source = Arc::new(Source {
        client: Client::new(http.clone(), config.api_base_url.clone(), clock.clone()),
        tokens: TokenSource::new(config, http.clone(), clock.clone()),
    });
    Poller::new(tenant, plan, quota, source, snapshot.clone(), clock.clone())
}

/// Binds the first of an address's candidates that can be bound.
async fn bind(address: &ListenAddress) -> anyhow::Result<TcpListener> {
    let problem = || {
        format!(
            "expected to listen on {address}; choose another --web.listen-address or free this one"
        )
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in address.resolve().with_context(problem)? {
        match TcpListener::bind(candidate).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure).with_context(problem)
}
