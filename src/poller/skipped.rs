//! Records that could not be read.

use std::time::Duration;

use super::Poller;
use crate::defender::{ApiError, DecodeError, Page};
use crate::health::{Collector, Skipped};

/// How often records that cannot be read are logged at most.
const QUIET: Duration = Duration::from_hours(1);

impl Poller {
    /// Counts records that could not be read; logs them at most once in [`QUIET`], unless the
    /// whole answer fails, which is logged anyway.
    pub(super) fn note_skipped<T>(
        &mut self,
        collector: Collector,
        answer: &Result<Page<T>, ApiError>,
    ) {
        let (records, whole) = match answer {
            Ok(page) => (page.skipped, false),
            Err(ApiError::Decode(DecodeError::NoRecord { records, .. })) => (*records, true),
            Err(_) => return,
        };
        let health = self.tenant.health.collector_mut(collector);
        health.skip(Skipped::Unreadable, records);
        if records == 0 || whole {
            return;
        }
        let now = self.clock.uptime();
        let logged = self.announced.skipped.get(&collector);
        if logged.is_none_or(|logged| now.since(*logged) >= QUIET) {
            self.announced.skipped.insert(collector, now);
            tracing::warn!(tenant = %self.tenant.name(), collector = collector.as_label(), records, "records of an answer cannot be read and are left out");
        }
    }
}
