//! The configuration in force: read again at SIGHUP, on request, or when its file has changed, one
//! reload after the other.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc::Receiver;

use super::file_watch::FileWatch;
use crate::clock::Clock;
use crate::config::{Config, InForce};
use crate::exposition::SelfMetrics;
use crate::polling::supervisor::Supervisor;
use crate::shutdown::Asked;
use crate::web::ReloadRequest;

/// How often what is known of removed tenants is looked through, and a summary is logged.
const DAY: Duration = Duration::from_hours(24);

/// Reads the configuration, wherever it is.
pub(super) type ReadConfig = Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// Keeps the supervisor as the configuration wants it.
pub(super) struct Reloads {
    pub(super) supervisor: Supervisor,
    pub(super) reader: ReadConfig,
    /// Where `--config.auto-reload-interval` is set.
    pub(super) watch: Option<FileWatch>,
    pub(super) in_force: InForce,
    /// What the reader reads, for the log.
    pub(super) origin: String,
    pub(super) own: SelfMetrics,
    pub(super) clock: Clock,
}

impl Reloads {
    /// Serves SIGHUPs and `requests` until a signal asks for the end.
    pub(super) async fn run(mut self, asked: Asked, mut requests: Receiver<ReloadRequest>) {
        let clock = self.clock.clone();
        let mut tomorrow = clock.uptime() + DAY;
        loop {
            tokio::select! {
                () = asked.stop.cancelled() => break,
                () = self.supervisor.watch() => {}
                () = asked.reload.notified() => {
                    // Logged and counted; there is nobody else to tell.
                    let _ = self.reload().await;
                }
                () = changed(&mut self.watch) => {
                    let _ = self.reload().await;
                }
                Some(request) = requests.recv() => {
                    let outcome = self.reload().await;
                    // Whoever asked may have gone.
                    let _ = request.send(outcome.map_err(|error| format!("{error:#}")));
                }
                () = clock.sleep_until(tomorrow) => {
                    tomorrow = clock.uptime() + DAY;
                    self.supervisor.log_summary();
                    self.supervisor.prune().await;
                }
            }
        }
        self.supervisor.shut_down().await;
    }

    async fn reload(&mut self) -> anyhow::Result<()> {
        let outcome = self.try_reload().await;
        self.supervisor.retry_forbidden();
        self.own.reload(outcome.is_ok(), self.clock.wall());
        if let Err(error) = &outcome {
            for reason in format!("{error:#}").lines() {
                tracing::error!(
                    reason,
                    "the configuration was not reloaded: the previous one stays in effect"
                );
            }
        }
        outcome
    }

    async fn try_reload(&mut self) -> anyhow::Result<()> {
        if let Some(watch) = &mut self.watch {
            watch.note().await;
        }
        let reader = Arc::clone(&self.reader);
        let read = tokio::task::spawn_blocking(move || reader());
        let config = read.await.context("reading the configuration")??;
        let applied = self.supervisor.apply(&config).await?;
        self.in_force.set(config);
        tracing::info!(
            from = self.origin,
            unchanged = applied.unchanged,
            changed = applied.changed,
            added = applied.added,
            removed = applied.removed,
            "reloaded"
        );
        Ok(())
    }
}

/// Waits until the watched file has changed; for ever where none is watched.
async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}
