//! Records and values that could not be read.

use std::time::Duration;

use super::Poller;
use crate::defender::Page;
use crate::health::{Collector, Skipped};

/// How often they are logged at most.
const QUIET: Duration = Duration::from_hours(1);

impl Poller {
    /// Counts what of a page could not be read; logs it at most once in [`QUIET`].
    pub(super) fn note_unread<T>(&mut self, collector: Collector, page: &Page<T>) {
        let (records, values) = (page.unread.records, &page.unread.values);
        let health = self.tenant.health.collector_mut(collector);
        health.skip(Skipped::Unreadable, records);
        health.values_unreadable += values.values().sum::<usize>() as u64;
        // Otherwise the round may fail, which is logged anyway.
        if (records == 0 && values.is_empty()) || page.items.is_empty() {
            return;
        }
        let now = self.clock.uptime();
        let logged = self.announced.unread.get(&collector);
        if logged.is_none_or(|logged| now.since(*logged) >= QUIET) {
            self.announced.unread.insert(collector, now);
            let (tenant, label) = (self.tenant.name(), collector.as_label());
            if records > 0 {
                tracing::warn!(%tenant, collector = label, records, "records of an answer cannot be read and are left out");
            }
            if !values.is_empty() {
                let values: Vec<_> = values
                    .iter()
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect();
                let values = values.join(", ");
                tracing::warn!(%tenant, collector = label, values, "values of an answer cannot be read and count as absent");
            }
        }
    }
}
