//! The rows of the file: CBOR arrays whose fields are numbered, with types of their own.
//!
//! A field keeps its number for ever. A new one is optional or has a default, so that rows
//! that an older version wrote can be read; the number of a removed one is not used again.
//! What the model calls by an enum is a name or a code here: reordering the enum cannot
//! misread a saved state.

use std::collections::BTreeMap;
use std::time::Duration;

use minicbor::{Decode, Encode};

use super::{DefinitionState, StoreError, TenantState};
use crate::budget::Reserve;
use crate::clock::{Clock, Timestamp, Uptime};
use crate::model::Agent;
use crate::model::health::{
    AuthReason, Collector, CollectorHealth, Lifecycle, REQUEST_SECONDS, Reason, Skipped,
};
use crate::model::histogram::Histogram;
use crate::model::view::TARGET_SECONDS;

use super::agent_row::AgentRow;
use super::scan_row::ScanRow;

/// The order of [`TenantState::collectors`].
pub(super) const COLLECTORS: [Collector; 4] = [
    Collector::Definitions,
    Collector::History,
    Collector::Agents,
    Collector::Sessions,
];

/// How old the row of a tenant that is polled may become.
const RENEWED: Duration = Duration::from_hours(1);

/// Encodes a row.
pub(super) fn encode<T: Encode<()>>(row: &T) -> Result<Vec<u8>, StoreError> {
    minicbor::to_vec(row).map_err(|error| StoreError::Encode(error.to_string()))
}

/// Reads a row; one that cannot be read is logged and left out.
pub(super) fn read<'b, T: Decode<'b, ()>>(owner: &str, bytes: &'b [u8]) -> Option<T> {
    let row = minicbor::decode(bytes);
    row.inspect_err(|error| tracing::warn!(tenant = owner, %error, "a row of the saved state cannot be read and is ignored")).ok()
}

/// A moment in a form that survives a restart, and a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stamp {
    #[n(0)]
    pub(super) boot_id: Option<String>,
    #[n(1)]
    pub(super) uptime_ms: u64,
    /// Milliseconds since the Unix epoch.
    #[n(2)]
    pub(super) wall_ms: i64,
}

impl Stamp {
    pub(crate) fn new(boot_id: Option<String>, uptime: Uptime, wall: Timestamp) -> Self {
        Self {
            boot_id,
            uptime_ms: millis(uptime),
            wall_ms: wall.unix_millis(),
        }
    }

    /// The wall clock's time when the stamp was made.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.wall_ms)
    }

    /// How long ago the stamp was made. Within one boot no jump of the wall
    /// clock counts; across boots nothing else is known, and the past cannot be negative.
    #[must_use]
    pub fn age(&self, clock: &Clock) -> Duration {
        let boot_id = clock.boot_id();
        self.age_in(boot_id.as_deref(), clock.uptime())
            .unwrap_or_else(|| {
                clock
                    .wall()
                    .since(Timestamp::from_unix_millis(self.wall_ms))
            })
    }

    /// How long ago the stamp was made, if it was in this boot, and not in its future.
    pub(super) fn age_in(&self, boot_id: Option<&str>, now: Uptime) -> Option<Duration> {
        let then = moment(self.uptime_ms);
        let same_boot = boot_id.is_some() && self.boot_id.as_deref() == boot_id;
        (same_boot && then <= now).then(|| now.since(then))
    }
}

/// What is known of who held a budget.
#[derive(Clone, Debug, Encode, Decode)]
pub(super) struct BudgetRow {
    /// When this exporter took it, or gave it up.
    #[n(0)]
    pub(super) stamp: Stamp,
    /// Whether it was given up: if not, it was held for as long as the exporter lived.
    #[n(1)]
    pub(super) released: bool,
    /// Until when it runs on the reserve of the minute, as uptime in the boot of the stamp.
    #[n(2)]
    minute_ms: Option<u64>,
    /// The same, of the hour.
    #[n(3)]
    hour_ms: Option<u64>,
}

impl BudgetRow {
    pub(super) fn new(stamp: Stamp, released: bool, reserve: Reserve) -> Self {
        Self {
            stamp,
            released,
            minute_ms: reserve.minute.map(millis),
            hour_ms: reserve.hour.map(millis),
        }
    }

    pub(super) fn reserve(&self) -> Reserve {
        Reserve {
            minute: self.minute_ms.map(moment),
            hour: self.hour_ms.map(moment),
        }
    }
}

/// A definition: what is known of its runs, and of its history's fetching.
#[derive(Debug, Encode, Decode)]
pub(super) struct DefinitionRow<'a> {
    #[b(0)]
    pub(super) scan: ScanRow<'a>,
    #[n(1)]
    pub(super) fetched_ms: Option<i64>,
    #[n(2)]
    pub(super) quarantined_until_ms: Option<i64>,
    #[n(3)]
    pub(super) vanished_ms: Option<i64>,
}

impl<'a> From<&'a DefinitionState> for DefinitionRow<'a> {
    fn from(state: &'a DefinitionState) -> Self {
        Self {
            scan: ScanRow::from(&state.scan),
            fetched_ms: state.fetched.map(Timestamp::unix_millis),
            quarantined_until_ms: state.quarantined_until.map(Timestamp::unix_millis),
            vanished_ms: state.vanished.map(Timestamp::unix_millis),
        }
    }
}

impl From<DefinitionRow<'_>> for DefinitionState {
    fn from(row: DefinitionRow<'_>) -> Self {
        Self {
            scan: row.scan.into(),
            fetched: row.fetched_ms.map(Timestamp::from_unix_millis),
            quarantined_until: row.quarantined_until_ms.map(Timestamp::from_unix_millis),
            vanished: row.vanished_ms.map(Timestamp::from_unix_millis),
        }
    }
}

/// What is known of a tenant beside its definitions.
#[derive(Debug, Encode, Decode)]
pub(super) struct TenantRow {
    #[n(0)]
    pub(super) stamp: Stamp,
    #[n(1)]
    pub(super) batch_size: usize,
    #[n(2)]
    pub(super) pause_ms: Option<u64>,
    /// Older versions kept the agents here, and this one in a row of their own.
    #[n(3)]
    pub(super) agents: Vec<AgentRow>,
    #[n(4)]
    pub(super) target_seconds: HistogramRow,
    /// Older versions kept the [`COLLECTORS`] here, and this one in rows of their own: one
    /// changes with each call, and little else does.
    #[n(5)]
    pub(super) collectors: Vec<CollectorRow>,
    /// By label.
    #[n(6)]
    pub(super) auth_errors: Vec<CountRow>,
    #[n(7)]
    pub(super) directory: Option<String>,
    #[n(8)]
    #[cbor(default)]
    pub(super) restarts: u64,
    #[n(9)]
    #[cbor(default)]
    pub(super) links_refused: u64,
    #[n(10)]
    pub(super) created_ms: Option<i64>,
}

impl From<&TenantState> for TenantRow {
    fn from(state: &TenantState) -> Self {
        Self {
            stamp: state.stamp.clone(),
            batch_size: state.batch_size,
            pause_ms: state.pause.map(whole_millis),
            agents: Vec::new(),
            target_seconds: HistogramRow::from(&state.target_seconds),
            collectors: Vec::new(),
            auth_errors: counts(&state.auth_errors, |reason| reason.as_label().to_owned()),
            directory: state.directory.clone(),
            restarts: state.restarts,
            links_refused: state.links_refused,
            created_ms: state.created.map(Timestamp::unix_millis),
        }
    }
}

impl TenantRow {
    /// Whether it is to be written in place of `saved`: it says something else, or `saved` would
    /// soon seem to be of a tenant that is no longer polled.
    pub(super) fn replaces(&self, saved: Self) -> Result<bool, StoreError> {
        let age = self.stamp.wall_ms.abs_diff(saved.stamp.wall_ms);
        // Until when a pause lasts follows from the stamp.
        if self.pause_ms.is_some() || Duration::from_millis(age) >= RENEWED {
            return Ok(true);
        }
        let stamp = self.stamp.clone();
        Ok(encode(self)? != encode(&Self { stamp, ..saved })?)
    }
}

impl From<TenantRow> for TenantState {
    fn from(row: TenantRow) -> Self {
        let mut collectors = row.collectors.into_iter().map(CollectorHealth::from);
        let mut next = || collectors.next().unwrap_or_default();
        let collectors = [next(), next(), next(), next()];
        Self {
            stamp: row.stamp,
            batch_size: row.batch_size,
            pause: row.pause_ms.map(Duration::from_millis),
            agents: row.agents.into_iter().map(Agent::from).collect(),
            target_seconds: row.target_seconds.restore(TARGET_SECONDS),
            collectors,
            auth_errors: restored(row.auth_errors, AuthReason::from_label),
            directory: row.directory,
            restarts: row.restarts,
            links_refused: row.links_refused,
            created: row.created_ms.map(Timestamp::from_unix_millis),
        }
    }
}

/// A counter by a label's value.
#[derive(Debug, Encode, Decode)]
pub(super) struct CountRow {
    #[n(0)]
    pub(super) label: String,
    #[n(1)]
    pub(super) count: u64,
}

fn counts<'a, K: Copy + 'a>(
    counts: impl IntoIterator<Item = (&'a K, &'a u64)>,
    label: impl Fn(K) -> String,
) -> Vec<CountRow> {
    let counts = counts.into_iter();
    counts
        .map(|(key, count)| CountRow {
            label: label(*key),
            count: *count,
        })
        .collect()
}

/// The counters by what `key` reads from their labels; those of unknown labels are left out.
fn restored<K: Ord>(rows: Vec<CountRow>, key: impl Fn(&str) -> Option<K>) -> BTreeMap<K, u64> {
    let rows = rows.into_iter();
    rows.filter_map(|row| Some((key(&row.label)?, row.count)))
        .collect()
}

/// A collector's counters.
#[derive(Debug, Default, Encode, Decode)]
pub(super) struct CollectorRow {
    #[n(0)]
    pub(super) last_success_ms: Option<i64>,
    #[n(1)]
    pub(super) last_duration: Option<f64>,
    /// By the label of the reason.
    #[n(2)]
    pub(super) errors: Vec<CountRow>,
    /// By HTTP status; empty: no answer.
    #[n(3)]
    pub(super) requests: Vec<CountRow>,
    #[n(4)]
    pub(super) request_seconds: HistogramRow,
    /// By the label of the reason.
    #[n(5)]
    #[cbor(default)]
    pub(super) skipped: Vec<CountRow>,
    #[n(6)]
    #[cbor(default)]
    pub(super) truncated: u64,
    #[n(7)]
    #[cbor(default)]
    pub(super) endless: u64,
    #[n(8)]
    #[cbor(default)]
    pub(super) values_unreadable: u64,
    /// When the endpoint ends. Later answers do not repeat the time of the first 410.
    #[n(9)]
    pub(super) sunset_ms: Option<i64>,
}

impl From<&CollectorHealth> for CollectorRow {
    fn from(health: &CollectorHealth) -> Self {
        let status = |status: Option<u16>| status.map_or_else(String::new, |code| code.to_string());
        Self {
            last_success_ms: health.last_success.map(Timestamp::unix_millis),
            last_duration: health.last_duration,
            errors: counts(&health.errors, |reason| reason.as_label().to_owned()),
            requests: counts(&health.requests, status),
            request_seconds: HistogramRow::from(&health.request_seconds),
            skipped: counts(&health.skipped, |reason| reason.as_label().to_owned()),
            truncated: health.truncated,
            endless: health.endless,
            values_unreadable: health.values_unreadable,
            sunset_ms: health.lifecycle.sunset.map(Timestamp::unix_millis),
        }
    }
}

impl From<CollectorRow> for CollectorHealth {
    fn from(row: CollectorRow) -> Self {
        Self {
            last_success: row.last_success_ms.map(Timestamp::from_unix_millis),
            last_duration: row.last_duration.filter(|seconds| seconds.is_finite()),
            errors: restored(row.errors, Reason::from_label),
            skipped: restored(row.skipped, Skipped::from_label),
            requests: restored(row.requests, |code| Some(code.parse().ok())),
            request_seconds: row.request_seconds.restore(REQUEST_SECONDS),
            truncated: row.truncated,
            endless: row.endless,
            values_unreadable: row.values_unreadable,
            lifecycle: Lifecycle {
                sunset: row.sunset_ms.map(Timestamp::from_unix_millis),
                ..Lifecycle::default()
            },
            ..Self::default()
        }
    }
}

/// A histogram without its bounds, which are the program's.
#[derive(Debug, Default, Encode, Decode)]
pub(super) struct HistogramRow {
    #[n(0)]
    pub(super) counts: Vec<u64>,
    #[n(1)]
    pub(super) sum: f64,
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
    fn restore(self, bounds: &'static [f64]) -> Histogram {
        Histogram::restore(bounds, self.counts, self.sum).unwrap_or_else(|| Histogram::new(bounds))
    }
}

pub(super) fn millis(uptime: Uptime) -> u64 {
    whole_millis(uptime.since_boot())
}

pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn moment(millis: u64) -> Uptime {
    Uptime::from_boot(Duration::from_millis(millis))
}
