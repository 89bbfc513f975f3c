#![doc = include_str!("../README.md")]

mod access;
mod config;
mod event;
pub mod flags;
mod landing;
pub mod listen;
pub mod metrics;
mod security_headers;
mod server;
pub mod small_file;

pub use access::{Access, AccessError};
pub use config::{FileStamp, PasswordHash, RateLimit, Reading, WebConfig};
pub use event::{Event, HandshakeFailure};
pub use flags::{MetricsFlags, WebFlags};
pub use landing::LandingPage;
pub use metrics::{Format, MetricsHandler};
pub use security_headers::security_headers;
pub use server::{Peer, ServeError, Server, hold, serve, stop_signal};

/// 2026-09-21.
#[cfg(test)]
const NOW: exporter_clock::Timestamp =
    exporter_clock::Timestamp::from_unix_millis(1_790_000_000_123);
