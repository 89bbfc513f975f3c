//! What serving metrics takes: where they are, in which format, and how many at once.

mod format;
mod handler;
mod in_flight;
mod negotiate;
mod path;
mod text;

pub use format::Format;
pub use handler::{GatherError, MetricsHandler, Wanted};
pub use negotiate::{Negotiated, gzip, negotiate};
pub use path::{TelemetryPath, TelemetryPathError};
