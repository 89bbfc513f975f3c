//! What is known becomes durable, then visible.

use super::Poller;
use crate::model::health::Collector;

impl Poller {
    /// Saves before publishing: a counter that was seen does not go back after a crash.
    async fn save(&mut self) {
        let Some(store) = self.store.clone() else {
            return;
        };
        let generation = store.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.tenant.save_all();
        }
        let stamp = store.stamp(self.clock.uptime());
        let changes = self.tenant.changes(&self.schedule, stamp, &self.clock);
        let ids = changes.definitions.iter().map(|(id, _)| id.clone());
        let ids: Vec<_> = ids.collect();
        // What a hanging disk cannot save is published all the same, and saved again later.
        let saved = store.unless_it_hangs(store.save(changes)).await;
        self.tenant.not_saved(saved.unwrap_or(ids));
    }

    pub(super) async fn publish(&mut self) {
        self.refresh_health();
        self.save().await;
        self.snapshot.publish(self.tenant.view());
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
