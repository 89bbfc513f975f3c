//! The exporter itself: bind, poll, serve, stop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use exporter_toolkit::{Event, Server};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Process;
use super::file_watch::FileWatch;
use super::reload::{ReadConfig, Reloads};
use crate::cli::{Flags, Storage};
use crate::clock::Clock;
use crate::config::{Config, ConfigErrors, ConfigWarning, InForce, variable};
use crate::defender::children;
use crate::exposition::SelfMetrics;
use crate::exposition::catalog::Handler;
use crate::polling::Expected;
use crate::polling::snapshot::Snapshot;
use crate::polling::supervisor::{self, Shared, Supervisor};
use crate::shutdown::GRACE;
use crate::store::{Store, StoreEvent};
use crate::web::{self, ReloadRequests, WebState};

/// Reads the configuration file, or makes one tenant out of Azure's variables.
pub(super) fn read(flags: &Flags) -> Result<(Config, Vec<ConfigWarning>), ConfigErrors> {
    match flags.config_file() {
        Some(file) => Config::load(file),
        None => Config::from_env(&variable),
    }
}

/// The configuration; what is likely not meant is logged.
fn config(flags: &Flags) -> anyhow::Result<Config> {
    let (config, warnings) = read(flags)?;
    for warning in ConfigWarning::lines(&warnings) {
        tracing::warn!(warning, "configuration");
    }
    Ok(config)
}

/// Where the exporter's state is.
pub(super) fn storage(flags: &Flags) -> Storage {
    let named = flags.storage_path.clone();
    named.unwrap_or_else(|| Storage::Folder("./data".into()))
}

/// Runs the exporter until a signal.
pub(super) async fn run(flags: Flags, process: Process) -> anyhow::Result<()> {
    tokio::spawn(children::reap_orphans());
    let storage = storage(&flags);
    let read = flags.clone();
    let reader = Arc::new(move || config(&read));
    match Exporter::start(reader, &flags, &storage, Clock::system(), &process).await? {
        Some(exporter) => exporter.finish().await,
        None => Ok(()),
    }
}

/// A running exporter.
pub(super) struct Exporter {
    addresses: Vec<SocketAddr>,
    tls: bool,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Exporter {
    /// Reads the configuration, binds all addresses, then starts polling and serving; `None` if
    /// a signal came first.
    pub(super) async fn start(
        reader: ReadConfig,
        flags: &Flags,
        storage: &Storage,
        clock: Clock,
        process: &Process,
    ) -> anyhow::Result<Option<Self>> {
        // It is large, and waits but once.
        let start = Box::pin(Self::start_up(reader, flags, storage, clock, process));
        let stop = &process.asked.stop;
        stop.run_until_cancelled(start).await.transpose()
    }

    async fn start_up(
        reader: ReadConfig,
        flags: &Flags,
        storage: &Storage,
        clock: Clock,
        process: &Process,
    ) -> anyhow::Result<Self> {
        let shutdown = &process.asked.stop;
        let mut watch = flags
            .config_file
            .clone()
            .and_then(|file| FileWatch::new(file, flags.auto_reload_interval));
        if let Some(watch) = &mut watch {
            watch.note().await;
        }
        let config = reader()?;
        let server = Server::bind(&flags.web).await?;
        let own = SelfMetrics::with_log(clock.wall(), process.log.dropped());
        let (events, time) = (own.clone(), clock.clone());
        let server = server.on_event(move |event| count(&events, &time, event));
        // Both read files, and wait for the disk.
        let (store, http) = tokio::join!(
            store(storage, &clock, &own),
            supervisor::new_http(&config, None, &clock)
        );
        let around = Shared {
            snapshot: Snapshot::default(),
            store: store?,
            expected: Expected::default(),
            shard: flags.shard()?,
            clock: clock.clone(),
        };
        let in_force = InForce::default();
        let (requests, waiting) = ReloadRequests::channel();
        let state = WebState {
            snapshot: around.snapshot.clone(),
            clock: clock.clone(),
            own: own.clone(),
            telemetry_path: flags.metrics.telemetry_path.clone(),
            max_requests: flags.metrics.max_requests,
            expected: around.expected.clone(),
            config: in_force.clone(),
            reload: flags.enable_lifecycle.then_some(requests),
        };
        let store = around.store.clone();
        let mut supervisor = Supervisor::new(around, shutdown.clone());
        let tenants = supervisor.apply_with(&config, http?).await?.added;
        in_force.set(config);
        let start = || "command line and environment".to_owned();
        let file = flags.config_file.as_ref();
        let origin = file.map_or_else(start, |file| file.display().to_string());
        let reloads = Reloads {
            supervisor,
            reader,
            watch,
            in_force,
            origin: origin.clone(),
            own,
            clock,
        };
        let mut tasks = JoinSet::new();
        if let Some(store) = store {
            tasks.spawn(store.attend(shutdown.clone()));
        }
        tasks.spawn(reloads.run(process.asked.clone(), waiting));
        let router = web::router(state);
        let mut addresses = Vec::new();
        let tls = server.is_tls();
        for socket in server.sockets() {
            if let Some(address) = socket.address()? {
                tracing::info!(%address, tls, telemetry_path = %flags.metrics.telemetry_path, "listening");
                addresses.push(address);
            } else {
                tracing::info!(tls, telemetry_path = %flags.metrics.telemetry_path, "listening on a UNIX socket");
            }
        }
        let stop = shutdown.clone().cancelled_owned();
        tasks.spawn(server.grace(GRACE).serve(router, stop));
        tracing::info!(
            configuration = origin,
            tenants,
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
        while !self.shutdown.is_cancelled() {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                // Only a task's panic gets here as an error; the others go on, but it must not go unseen.
                Some(ended) = self.tasks.join_next() => ended.context("a task ended unexpectedly")?,
            }
        }
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tracing::warn!("requests in flight were aborted");
        }
        Ok(())
    }
}

/// Counts what happens at the door.
fn count(own: &SelfMetrics, clock: &Clock, event: Event) {
    match event {
        Event::Reloaded => own.web_reload(true, clock.wall()),
        Event::ReloadFailed => own.web_reload(false, clock.wall()),
        Event::HandshakeFailed(reason) => own.handshake_failure(reason),
        Event::RequestRefused(status) => own.http_request(Handler::Other, status.as_u16()),
        _ => {}
    }
}

async fn store(
    storage: &Storage,
    clock: &Clock,
    own: &SelfMetrics,
) -> anyhow::Result<Option<Store>> {
    let Storage::Folder(folder) = storage else {
        tracing::warn!(
            "the state is kept in memory only: a restart loses the log of calls and all counters"
        );
        return Ok(None);
    };
    let own = own.clone();
    let on_event = move |event| match event {
        StoreEvent::Failed => own.store_error(),
        StoreEvent::Committed(took) => own.store_commit(took),
    };
    let store = Store::open(folder, clock.clone(), Arc::new(on_event)).await?;
    Ok(Some(store))
}
