//! Records and values that are left out: counted, and logged at most once in a while.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Poller;
use crate::defender::Unread;
use crate::model::Session;
use crate::model::health::{Collector, Skipped};

/// How often what is left out for the same reason is logged at most.
const QUIET: Duration = Duration::from_hours(1);

impl Poller {
    /// Counts what of a page could not be read.
    pub(super) fn count_unread(&mut self, collector: Collector, unread: &Unread) {
        let health = self.tenant.health.collector_mut(collector);
        health.values_unreadable += unread.values.values().sum::<usize>() as u64;
        health.skip(Skipped::Unreadable, unread.records);
    }

    /// Logs what of a round could not be read, if the rest is of use; else the round fails,
    /// which is logged anyway.
    pub(super) fn log_unread(&mut self, collector: Collector, unread: &Unread) {
        self.log_left_out(collector, Skipped::Unreadable, unread.records);
        if !unread.values.is_empty() && self.is_news((collector, None)) {
            let values: Vec<_> = unread
                .values
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            let values = values.join(", ");
            tracing::warn!(tenant = %self.tenant.name(), collector = collector.as_label(), values, "values in a response cannot be read and are treated as missing");
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
        self.log_left_out(collector, reason, records);
    }

    fn log_left_out(&mut self, collector: Collector, reason: Skipped, records: usize) {
        if records == 0 || !self.is_news((collector, Some(reason))) {
            return;
        }
        let what = if reason == Skipped::Unrelated {
            "records about ids that were not requested are ignored"
        } else {
            "records in a response cannot be read and are ignored"
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
