//! What serving metrics takes: where they are, in which format, and how many at once.

mod format;
mod in_flight;
pub mod negotiate;
mod path;

pub use format::Format;
pub use in_flight::{InFlight, Slot};
pub use path::{TelemetryPath, TelemetryPathError};
