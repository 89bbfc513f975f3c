//! A tenant as rows of the store, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::KnownTenant;
use crate::budget::Budget;
use crate::clock::{AHEAD, Clock, Uptime};
use crate::config::DefinitionFilter;
use crate::model::DefinitionId;
use crate::model::health::CollectorHealth;
use crate::model::runs::RunHistory;
use crate::polling::snapshot::TenantInfo;
use crate::schedule::{FetchTimes, Schedule};
use crate::store::{Changes, DefinitionState, Loaded, Stamp, TenantState};

impl KnownTenant {
    /// What changed since the last call of this.
    pub fn changes(&mut self, schedule: &Schedule, stamp: Stamp, clock: &Clock) -> Changes {
        let now = clock.now();
        let unsaved = std::mem::take(&mut self.unsaved);
        let rows = unsaved.into_iter().map(|id| {
            let row = match (self.scans.get(&id), self.vanished.get(&id)) {
                (Some(scan), _) => Some((scan, None)),
                (None, Some((since, scan))) => Some((scan, Some(now.wall_of(*since)))),
                (None, None) => None,
            };
            let row = row.map(|(scan, vanished)| {
                let times = schedule.fetch_times(&id);
                DefinitionState {
                    scan: RunHistory::clone(scan),
                    fetched: times.last.map(|moment| now.wall_of(moment)),
                    quarantined_until: times.quarantined_until.map(|moment| now.wall_of(moment)),
                    vanished,
                }
            });
            (id, row)
        });
        let definitions = rows.collect();
        let health = &self.health;
        let collectors = [
            &health.definitions,
            &health.history,
            &health.agents,
            &health.sessions,
        ];
        let tenant = TenantState {
            stamp,
            batch_size: schedule.batch_size(),
            pause: schedule
                .paused_until(now.uptime)
                .map(|until| until.since(now.uptime)),
            agents: self.agents.to_vec(),
            target_seconds: self.target_seconds.clone(),
            collectors: collectors.map(CollectorHealth::clone),
            auth_errors: health.auth_errors.clone(),
            directory: Some(self.info.tenant_id.clone()),
            restarts: health.restarts,
            links_refused: health.links_refused,
            created: health.created,
        };
        Changes {
            tenant,
            definitions,
        }
    }

    /// These could not be saved: they come again with the next changes.
    pub fn not_saved(&mut self, definitions: Vec<DefinitionId>) {
        self.unsaved.extend(definitions);
    }

    /// Goes on under other settings, as after a restart, but with nothing forgotten.
    /// What is no longer published is kept as if it had vanished.
    #[must_use]
    pub fn resume(
        mut self,
        before: &Schedule,
        schedule: &mut Schedule,
        info: TenantInfo,
        filter: DefinitionFilter,
        budget: Budget,
        now: Uptime,
    ) -> Self {
        let pause = before.paused_until(now).map(|until| until.since(now));
        schedule.restore(now, before.batch_size(), pause);
        let (published, hidden): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.scans)
            .into_iter()
            .partition(|(_, scan)| super::publishes(&filter, scan.definition()));
        // The new schedule knows of none.
        self.asked.clear();
        self.bare.clear();
        let times = |id: &DefinitionId| (id.clone(), before.fetch_times(id));
        schedule.restore_fetches(published.keys().map(times));
        for (id, scan) in &published {
            self.ask_for(id, &scan.bare);
        }
        self.unsaved.extend(hidden.keys().cloned());
        self.outdated.extend(hidden.keys().cloned());
        let restored = published.keys().cloned().collect();
        let hidden = hidden.into_iter().map(|(id, scan)| (id, (now, scan)));
        self.vanished.extend(hidden);
        Self {
            info: Arc::new(info),
            filter,
            budget,
            scans: published,
            restored,
            ..self
        }
    }

    /// Goes on from before a restart, as a tenant of which nothing is known yet.
    pub fn restore(&mut self, schedule: &mut Schedule, loaded: Loaded, clock: &Clock) {
        let now = clock.now();
        self.health.created = Some(now.wall);
        // A machine's clock may be behind as it starts, but not as the state was saved.
        let saved = loaded.tenant.as_ref().map(|row| row.stamp.wall());
        let latest = saved.map_or(now.wall, |saved| saved.max(now.wall)) + AHEAD;
        if let Some(row) = loaded.tenant {
            let pause = row
                .pause
                .map(|pause| pause.saturating_sub(row.stamp.age(clock)));
            schedule.restore(
                now.uptime,
                row.batch_size,
                pause.filter(|pause| !pause.is_zero()),
            );
            self.set_agents(row.agents);
            self.target_seconds = row.target_seconds;
            [
                self.health.definitions,
                self.health.history,
                self.health.agents,
                self.health.sessions,
            ] = row.collectors;
            self.health.auth_errors = row.auth_errors;
            self.health.restarts = row.restarts;
            self.health.links_refused = row.links_refused;
            self.health.created = row.created;
        }
        self.believed = Some(latest);
        let (mut published, mut fetches) = (Vec::new(), Vec::new());
        for (id, mut row) in loaded.definitions {
            row.scan.forget_after(latest);
            if let Some(vanished) = row.vanished {
                let scan = Box::new(row.scan);
                self.vanished.insert(id, (now.uptime_of(vanished), scan));
                continue;
            }
            if !super::publishes(&self.filter, row.scan.definition()) {
                self.vanished.insert(id, (now.uptime, Box::new(row.scan)));
                continue;
            }
            let last = row
                .fetched
                .map(|moment| now.uptime_of(moment).min(now.uptime));
            let longest = now.uptime + crate::schedule::QUARANTINE;
            let quarantined_until = row
                .quarantined_until
                .map(|moment| now.uptime_of(moment).min(longest));
            let times = FetchTimes {
                last,
                quarantined_until,
            };
            fetches.push((id.clone(), times));
            self.ask_for(&id, &row.scan.bare);
            published.push((id, Box::new(row.scan)));
        }
        // Nothing was known yet. They come in order, and many at once are little work.
        self.scans = published.into_iter().collect();
        self.restored = self.scans.keys().cloned().collect();
        self.outdated = self.restored.clone();
        schedule.restore_fetches(fetches);
    }
}
