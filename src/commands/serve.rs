//! The exporter itself: bind, poll, serve, stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::reload::{Reader, Reloads};
use crate::cli::{Flags, ListenAddress, Storage};
use crate::clock::Clock;
use crate::config::Config;
use crate::exposition::OwnMetrics;
use crate::fleet::{Fleet, Surroundings};
use crate::shutdown::{self, GRACE};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::web::{self, Expected, ReloadRequests, WebState};

/// Reads the configuration file, or makes one tenant out of Azure's variables.
fn config(flags: &Flags) -> anyhow::Result<Config> {
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
pub(super) async fn run(flags: Flags) -> anyhow::Result<()> {
    let problem = "installing signal handlers";
    let hangups = shutdown::hangups().context(problem)?;
    let shutdown = shutdown::on_signal().context(problem)?;
    let storage = flags
        .storage_path
        .clone()
        .unwrap_or_else(|| Storage::Folder("./data".into()));
    let read = flags.clone();
    let reader = Arc::new(move || config(&read));
    let clock = Clock::system();
    let exporter =
        Exporter::start(reader, Some(hangups), &flags, &storage, clock, &shutdown).await?;
    exporter.finish().await
}

/// A running exporter.
pub(super) struct Exporter {
    addresses: Vec<SocketAddr>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Exporter {
    /// Reads the configuration, binds all addresses, then starts polling and serving.
    pub(super) async fn start(
        reader: Reader,
        hangups: Option<Signal>,
        flags: &Flags,
        storage: &Storage,
        clock: Clock,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let config = reader()?;
        let mut listeners = Vec::new();
        for address in &flags.listen_addresses {
            listeners.push(bind(address).await?);
        }
        let own = OwnMetrics::new(clock.wall());
        let around = Surroundings {
            snapshot: Snapshot::default(),
            store: store(storage, &clock, &own)?,
            expected: Expected::default(),
            shard: flags.shard()?,
            clock: clock.clone(),
        };
        let (requests, waiting) = ReloadRequests::channel();
        let state = WebState {
            snapshot: around.snapshot.clone(),
            clock: clock.clone(),
            own: own.clone(),
            telemetry_path: flags.telemetry_path.clone(),
            max_requests: flags.max_requests,
            expected: around.expected.clone(),
            reload: flags.enable_lifecycle.then_some(requests),
        };
        let mut fleet = Fleet::new(around, shutdown.clone());
        let tenants = fleet.apply(&config).await?.added;
        let environment = || "the environment, which is that of the start".to_owned();
        let file = flags.config_file.as_ref();
        let reloads = Reloads {
            fleet,
            reader,
            origin: file.map_or_else(environment, |file| file.display().to_string()),
            own,
            clock,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(reloads.run(hangups, waiting, shutdown.clone()));
        let router = web::router(state);
        let mut addresses = Vec::new();
        for listener in listeners {
            let address = listener.local_addr()?;
            tracing::info!(%address, telemetry_path = %flags.telemetry_path, "listening");
            addresses.push(address);
            tasks.spawn(web::serve(listener, router.clone(), shutdown.clone()));
        }
        tracing::info!(tenants, version = env!("CARGO_PKG_VERSION"), "polling");
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
