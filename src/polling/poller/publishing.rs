//! What is known becomes durable, then visible.

use std::future::pending;

use tokio::task::JoinError;

use super::Poller;
use crate::model::DefinitionId;
use crate::model::health::Collector;
use crate::store::TenantStore;

/// Waits until the state was lost under the running process: then all is to be saved again.
pub(super) async fn lost(store: Option<&TenantStore>, generation: u64) {
    match store {
        Some(store) => store.lost(generation).await,
        None => pending().await,
    }
}

impl Poller {
    /// Has what is known saved, and published then: a counter that was seen does not go back
    /// after a crash. Polling goes on meanwhile; what it brings is saved next.
    pub(super) fn publish(&mut self) {
        self.is_unsaved = true;
        if self.saving.is_empty() {
            self.save();
        }
    }

    fn save(&mut self) {
        self.is_unsaved = false;
        self.refresh_health();
        let Some(store) = self.store.clone() else {
            self.snapshot.publish(self.tenant.view());
            return;
        };
        let generation = store.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.tenant.save_all();
        }
        let stamp = store.stamp(self.clock.uptime());
        let changes = self.tenant.changes(&self.schedule, stamp, &self.clock);
        let (view, snapshot) = (self.tenant.view(), self.snapshot.clone());
        let ids = changes.definitions.iter().map(|(id, _)| id.clone());
        let ids: Vec<_> = ids.collect();
        // Sent at once: what hurries the disk later must find it there.
        let saved = store.save(changes);
        self.saving.spawn(async move {
            // What a hanging disk cannot save is published all the same, and saved again later.
            let saved = store.unless_it_hangs(saved).await;
            snapshot.publish(view);
            saved.unwrap_or(ids)
        });
    }

    /// Something was saved and published. What came meanwhile is next.
    pub(super) fn saved(&mut self, saved: Result<Vec<DefinitionId>, JoinError>) {
        match saved {
            Ok(failed) => self.tenant.not_saved(failed),
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
        if self.is_unsaved {
            self.save();
        }
    }

    /// Waits until all is saved and published.
    pub(super) async fn finish_saving(&mut self) {
        while !self.saving.is_empty() {
            if let Some(store) = &self.store {
                store.hurry();
            }
            if let Some(saved) = self.saving.join_next().await {
                self.saved(saved);
            }
        }
    }

    /// Publishes what is known from before: to be done before anyone can ask for it.
    pub fn publish_restored(&mut self) {
        self.refresh_health();
        self.snapshot.publish(self.tenant.view());
    }

    fn refresh_health(&mut self) {
        let (now, wall) = (self.clock.uptime(), self.clock.wall());
        // Where the reserve is as large as our share, it is no less.
        let is_less = self.budget.limits() != self.budget.share();
        let reserve_until = self.budget.reserve().until(now).filter(|_| is_less);
        let credential_expires = self.tenant.info().credential_expires;
        let health = &mut self.tenant.health;
        health.reserve_until = reserve_until.map(|until| wall + until.since(now));
        health.throttled_until = self
            .schedule
            .paused_until(now)
            .map(|until| wall + until.since(now));
        if !self.schedule.wants_sessions() {
            // None is left that could be fetched, and end the failure.
            health.sessions.failure = None;
        }
        for collector in Collector::ALL {
            let next = self.schedule.next_attempt(*collector);
            let health = health.collector_mut(*collector);
            // While it is tried again, the last word holds.
            let next = next
                .map(|next| wall + next.since(now))
                .or(health.next_attempt);
            health.next_attempt = next.filter(|_| health.failure.is_some());
        }
        health.batch_size = self.schedule.batch_size();
        health.quarantined = self.schedule.quarantined(now);
        health.token_expiry = self.tokens.expiry();
        health.certificate_expiry = self.tokens.certificate_expiry();
        health.credential_expiry = credential_expires.or(health.certificate_expiry);
        let listed = health.definitions.failure.is_none() || self.schedule.goes_without_list();
        health.up = self
            .polled
            .then_some(listed && health.history.failure.is_none());
    }
}
