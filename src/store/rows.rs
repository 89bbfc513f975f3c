//! The rows, in postcard. A change to their shape is a change of the schema.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Timestamp, Uptime};
use crate::health::{AuthReason, Collector, CollectorHealth, REQUEST_SECONDS, Reason};
use crate::histogram::Histogram;
use crate::model::Agent;
use crate::quota::Call;
use crate::scans::Scan;

/// Reads a row; one that can not be read is logged and left out.
pub(super) fn read<T: DeserializeOwned>(tenant: &str, bytes: &[u8]) -> Option<T> {
    let row = postcard::from_bytes(bytes);
    row.inspect_err(|error| tracing::warn!(tenant, %error, "a row of the state can not be read and is left out")).ok()
}

/// A call. Uptimes count only in the boot in which they were taken.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CallRow {
    collector: Collector,
    boot_id: Option<String>,
    sent_ms: u64,
    answered_ms: Option<u64>,
}

impl CallRow {
    pub(super) fn of(call: &Call, boot_id: Option<String>) -> Self {
        let (sent_ms, answered_ms) = (millis(call.sent), call.answered.map(millis_up));
        Self {
            collector: call.collector,
            boot_id,
            sent_ms,
            answered_ms,
        }
    }

    /// The call, as far as this boot can tell: of another boot, or from the
    /// future, it has no answer yet, and so counts from now.
    pub(super) fn call(&self, boot_id: Option<&str>, now: Uptime) -> Call {
        let same_boot = boot_id.is_some() && self.boot_id.as_deref() == boot_id;
        let sent = moment(self.sent_ms);
        if same_boot && sent <= now {
            return Call {
                collector: self.collector,
                sent,
                answered: self.answered_ms.map(moment),
            };
        }
        Call {
            collector: self.collector,
            sent: now,
            answered: None,
        }
    }
}

/// A moment in a form that survives a restart, and a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    boot_id: Option<String>,
    uptime_ms: u64,
    wall: Timestamp,
}

impl Stamp {
    pub(super) fn new(boot_id: Option<String>, uptime: Uptime, wall: Timestamp) -> Self {
        Self {
            boot_id,
            uptime_ms: millis(uptime),
            wall,
        }
    }

    /// How long ago the stamp was made. Within one boot no jump of the wall
    /// clock counts; across boots nothing else is known, and the past can not be negative.
    #[must_use]
    pub fn age(&self, clock: &Clock) -> Duration {
        let boot_id = clock.boot_id();
        if boot_id.is_some() && self.boot_id == boot_id {
            return clock.uptime().since(moment(self.uptime_ms));
        }
        clock.wall().since(self.wall)
    }
}

/// A definition: what is known of its runs, and of its history's fetching.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DefinitionRow {
    /// What is known of its runs.
    pub scan: Scan,
    /// When its history was last fetched.
    pub fetched: Option<Timestamp>,
    /// Until when it is not asked about.
    pub quarantined_until: Option<Timestamp>,
    /// When it vanished from the list, if it did.
    pub vanished: Option<Timestamp>,
}

/// What is known of a tenant beside its definitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantRow {
    /// When the row was made.
    pub stamp: Stamp,
    /// The learned maximum of ids a call.
    pub batch_size: usize,
    /// How long the service's pause lasted from then on.
    pub pause: Option<Duration>,
    /// The agents.
    pub agents: Vec<Agent>,
    /// How long single targets took.
    pub target_seconds: HistogramRow,
    /// Definitions, history, agents.
    pub collectors: [CollectorRow; 3],
    /// Failures to get a token.
    pub auth_errors: BTreeMap<AuthReason, u64>,
}

/// A collector's counters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CollectorRow {
    last_success: Option<Timestamp>,
    last_duration: Option<f64>,
    errors: BTreeMap<Reason, u64>,
    requests: BTreeMap<Option<u16>, u64>,
    request_seconds: HistogramRow,
}

impl From<&CollectorHealth> for CollectorRow {
    fn from(health: &CollectorHealth) -> Self {
        Self {
            last_success: health.last_success,
            last_duration: health.last_duration,
            errors: health.errors.clone(),
            requests: health.requests.clone(),
            request_seconds: HistogramRow::from(&health.request_seconds),
        }
    }
}

impl From<CollectorRow> for CollectorHealth {
    fn from(row: CollectorRow) -> Self {
        Self {
            last_success: row.last_success,
            last_duration: row.last_duration,
            errors: row.errors,
            failure: None,
            requests: row.requests,
            request_seconds: row.request_seconds.restore(REQUEST_SECONDS),
        }
    }
}

/// A histogram without its bounds, which are the program's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistogramRow {
    counts: Vec<u64>,
    sum: f64,
}

impl From<&Histogram> for HistogramRow {
    fn from(histogram: &Histogram) -> Self {
        Self {
            counts: histogram.counts().to_vec(),
            sum: histogram.sum(),
        }
    }
}

impl HistogramRow {
    /// The histogram, or an empty one if the bounds have changed since.
    #[must_use]
    pub fn restore(self, bounds: &'static [f64]) -> Histogram {
        Histogram::restore(bounds, self.counts, self.sum).unwrap_or_else(|| Histogram::new(bounds))
    }
}

fn millis(uptime: Uptime) -> u64 {
    u64::try_from(uptime.since_boot().as_millis()).unwrap_or(u64::MAX)
}

/// Rounded up: an answer must not seem earlier than it was.
fn millis_up(uptime: Uptime) -> u64 {
    millis(uptime).saturating_add(1)
}

fn moment(millis: u64) -> Uptime {
    Uptime::from_boot(Duration::from_millis(millis))
}
