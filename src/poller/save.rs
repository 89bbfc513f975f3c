//! What was learned becomes durable.

use super::Poller;

impl Poller {
    /// Saves before publishing: a counter that was seen does not go back after a crash.
    pub(super) async fn save(&mut self) {
        let Some(store) = self.store.clone() else {
            return;
        };
        let generation = store.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.tenant.save_all();
        }
        let stamp = store.stamp(self.clock.uptime());
        let changes = self.tenant.changes(&self.plan, stamp, &self.clock);
        let ids = changes.definitions.iter().map(|(id, _)| id.clone());
        let ids: Vec<_> = ids.collect();
        // What a hanging disk cannot save is published all the same, and saved again later.
        let saved = store.unless_it_hangs(store.save(changes)).await;
        self.tenant.not_saved(saved.unwrap_or(ids));
    }
}
