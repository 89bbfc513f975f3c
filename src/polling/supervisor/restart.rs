//! A poller that panics costs its tenant alone: it starts anew from what was saved.

use std::time::Duration;

use tokio::task::{Id, JoinError};

use super::Supervisor;
use super::budgets::Unknown;
use crate::model::TenantName;
use crate::polling::poller::Poller;
use crate::store::Loaded;

/// How long after a panic a poller starts anew: doubled after each, up to the longest.
pub(super) const FIRST_RESTART: Duration = Duration::from_secs(1);
const LONGEST_RESTART: Duration = Duration::from_mins(5);

/// A poller that lived for so long starts anew as soon as one that never panicked.
const STABLE: Duration = Duration::from_hours(1);

impl Supervisor {
    /// Waits until a poller ends, which none does by itself but after an error of this
    /// program; then it starts anew.
    pub async fn watch(&mut self) {
        let Some(ended) = self.pollers.join_next_with_id().await else {
            return std::future::pending().await;
        };
        if let Some(name) = self.panicked(ended) {
            self.restart(&name).await;
        }
    }

    /// The tenant whose poller panicked.
    pub(super) fn panicked(
        &mut self,
        ended: Result<(Id, Poller), JoinError>,
    ) -> Option<TenantName> {
        match ended {
            Ok((id, _)) => {
                self.tasks.remove(&id);
                None
            }
            Err(error) => self.tasks.remove(&error.id()).filter(|_| error.is_panic()),
        }
    }

    /// Starts a poller anew that panicked, from what was saved.
    pub(super) async fn restart(&mut self, name: &TenantName) {
        let (Some(member), Some(http)) = (self.members.get(name), self.http.clone()) else {
            return;
        };
        let (tenant, now) = (member.config.clone(), self.around.clock.uptime());
        let wait = if now.since(member.started) > STABLE {
            FIRST_RESTART
        } else {
            member.restart
        };
        let before = self.around.snapshot.read();
        let times = before.get(name).map_or(0, |view| view.health.restarts) + 1;
        tracing::error!(tenant = %name, times, retry_in = %humantime::format_duration(wait), "polling stopped because of a bug in this program and restarts from the saved state; please report it");
        let loaded = self.load(&tenant).await;
        let mut loaded = loaded.unwrap_or_else(|error| {
            tracing::warn!(tenant = %name, %error, "the saved state cannot be read");
            Loaded::default()
        });
        let mut unknown = Unknown::default();
        let (budget, store) = self.hold(&tenant, &mut loaded, &mut unknown);
        unknown.log();
        let mut poller = self.around.poller(&tenant, loaded, &http, budget, store);
        poller.restarted(times);
        poller.publish_restored();
        self.start(&tenant, poller, &mut (now + wait));
        if let Some(member) = self.members.get_mut(name) {
            member.restart = (wait * 2).min(LONGEST_RESTART);
        }
    }
}
