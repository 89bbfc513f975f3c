//! Records and values that are left out: counted, and logged at most once in a while.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Poller;
use crate::defender::Page;
use crate::model::Session;
use crate::model::health::{Collector, Skipped};

/// How often what is left out for the same reason is logged at most.
const QUIET: Duration = Duration::from_hours(1);

impl Poller {
    /// Counts what of a page could not be read; logs it, unless all of its records could not:
    /// then the round may fail, which is logged anyway.
    pub(super) fn note_unread<T>(&mut self, collector: Collector, page: &Page<T>) {
        let (records, values) = (page.unread.records, &page.unread.values);
        let health = self.tenant.health.collector_mut(collector);
        health.values_unreadable += values.values().sum::<usize>() as u64;
        if page.items.is_empty() {
            health.skip(Skipped::Unreadable, records);
            return;
        }
        self.leave_out(collector, Skipped::Unreadable, records);
        if !values.is_empty() && self.is_news((collector, None)) {
            let values: Vec<_> = values
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            let values = values.join(", ");
            tracing::warn!(tenant = %self.tenant.name(), collector = collector.as_label(), values, "values of an answer cannot be read and count as absent");
        }
    }

    /// Counts records of a batch that are about nothing that was asked for.
    pub(super) fn note_unrelated<T, K: Ord>(
        &mut self,
        collector: Collector,
        asked: &[K],
        records: &[T],
        key: fn(&T) -> &K,
    ) {
        let asked: BTreeSet<&K> = asked.iter().collect();
        let unrelated = records.iter().filter(|one| !asked.contains(key(one)));
        self.leave_out(collector, Skipped::Unrelated, unrelated.count());
    }

    /// Counts sessions without an id and a time, which cannot be told from any other.
    pub(super) fn note_nameless(&mut self, sessions: &[Session]) {
        let nameless = |one: &&Session| one.id.is_none() && one.last_scanned.is_none();
        let nameless = sessions.iter().filter(nameless).count();
        self.leave_out(Collector::History, Skipped::Unreadable, nameless);
    }

    fn leave_out(&mut self, collector: Collector, reason: Skipped, records: usize) {
        let health = self.tenant.health.collector_mut(collector);
        health.skip(reason, records);
        if records == 0 || !self.is_news((collector, Some(reason))) {
            return;
        }
        let what = if reason == Skipped::Unrelated {
            "records about ids that were not asked for are left out"
        } else {
            "records of an answer cannot be read and are left out"
        };
        tracing::warn!(tenant = %self.tenant.name(), collector = collector.as_label(), records, "{what}");
    }

    /// Whether that was not logged within [`QUIET`]; it is about to be. `None`: values.
    fn is_news(&mut self, what: (Collector, Option<Skipped>)) -> bool {
        let now = self.clock.uptime();
        let logged = self.announced.left_out.get(&what);
        let is_news = logged.is_none_or(|logged| now.since(*logged) >= QUIET);
        if is_news {
            self.announced.left_out.insert(what, now);
        }
        is_news
    }
}
