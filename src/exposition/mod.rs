//! The snapshot as text that Prometheus reads.
//!
//! ```text
//! catalog (names, types, help) ─┐
//! snapshot ─► scans ────────────┼─► format ─► OpenMetrics or classic text
//! registry ─► own ──────────────┘      ▲
//! request headers ─► negotiate ────────┘
//! ```

pub mod catalog;
pub mod format;
pub mod negotiate;
mod own;
mod scans;

pub use format::Format;
pub use own::OwnMetrics;

use crate::clock::Clock;
use crate::snapshot::Tenants;
use format::Writer;

/// All metrics as of now.
#[must_use]
pub fn render(tenants: &Tenants, clock: &Clock, own: &OwnMetrics, format: Format) -> String {
    let mut writer = Writer::new(format);
    scans::write(&mut writer, tenants, clock.wall());
    own.write(&mut writer);
    writer.finish()
}
