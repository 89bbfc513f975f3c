//! Polling: one task a tenant, what is known of each, and what is published.
//!
//! ```text
//! configuration ─► supervisor ─► one poller a tenant ─► tenant ─► snapshot
//!                                  │    ▲                           │
//!                     schedule ◄───┤    └── defender (one call)     ▼
//!                       budget ◄───┘                       exposition, web
//! ```
//!
//! Read `supervisor` for what a start and a reload do, `poller` for the loop of one tenant and
//! its rounds of pages, `tenant` for what is known, `snapshot` for what scrapes see, and `shard`
//! for which of several processes polls which tenant.

mod expected;
pub mod poller;
pub mod shard;
pub mod snapshot;
pub mod supervisor;
pub mod tenant;

pub use self::expected::Expected;
