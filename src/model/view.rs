//! What is published of one definition.

use std::sync::Arc;

use super::{Definition, Run, ScanStatus, SessionErrors, Targets};
use crate::clock::Timestamp;

/// Upper bounds, in seconds, of `defender_scan_target_duration_seconds`.
pub const TARGET_SECONDS: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Sessions counted by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// All targets were scanned.
    pub success: u32,
    /// Some targets were scanned.
    pub partial_success: u32,
    /// No target was scanned.
    pub failure: u32,
    /// The status is unknown to this version.
    pub unknown: u32,
}

impl SessionCounts {
    /// Counts one session.
    pub fn add(&mut self, status: &ScanStatus) {
        let count = match status {
            ScanStatus::Success => &mut self.success,
            ScanStatus::PartialSuccess => &mut self.partial_success,
            ScanStatus::Failure => &mut self.failure,
            ScanStatus::Unknown(_) => &mut self.unknown,
        };
        *count = count.saturating_add(1);
    }
}

/// How many sessions of a definition are kept for the status page.
pub const SESSIONS: usize = 32;

/// A session as it is remembered: without its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSession {
    /// A hash of its id, or of its time if it has none.
    pub identity: u64,
    /// When it ran, if the service says.
    pub at: Option<Timestamp>,
    /// How it went.
    pub status: ScanStatus,
    /// How many targets it had.
    pub targets: Targets,
    /// What went wrong; shared, and left out of older ones where it would take too much room.
    pub errors: Option<Arc<SessionErrors>>,
}

/// What is published of one definition.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionView {
    /// As the list names it.
    pub definition: Arc<Definition>,
    /// The newest known run; `None` if it never ran.
    pub last_run: Option<Run>,
    /// The newest run known to have succeeded.
    pub last_success: Option<Timestamp>,
    /// How many targets the newest session had.
    pub targets: Targets,
    /// Sessions first seen since the exporter first met the definition.
    pub sessions: SessionCounts,
    /// When that was; `None` if an older version did not note it.
    pub created: Option<Timestamp>,
    /// The newest [`SESSIONS`] known sessions, the newest last. Shared with what
    /// is known of the definition, so that a view costs no copy.
    pub recent: Arc<[KnownSession]>,
}
