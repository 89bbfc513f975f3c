//! The client of the Defender API: one request per call, which costs a permit.
//!
//! ```text
//! auth (token) ───┐
//! budget (permit) ┴► client ─► http ─► the service
//!                      ▲                   │
//!                      └─ wire, times ─────┤  the model
//!                      └─ error ───────────┘  or a class of error
//! ```
//!
//! Liberal in what it reads, strict in what it sends, since it was written without access to
//! the real service. Read `client.rs` first, then `wire/mod.rs` (answers), `error.rs` and
//! `advice.rs` (failures), and `auth.rs` with `issuer.rs` (signing in).

pub mod advice;
mod assertion;
mod auth;
mod auth_error;
mod azure_cli;
mod body;
mod bounded;
mod cause;
pub mod children;
mod client;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod http;
mod issuer;
mod lifecycle;
mod lifetime;
mod lookups;
mod managed_identity;
mod pace;
mod pause;
mod permissions;
mod proxies;
mod roots;
mod scan_message;
mod scrub;
mod sign_in;
#[cfg(test)]
mod testing;
mod times;
mod wire;

pub use self::auth::{AuthError, Bearer, TokenSource};
pub use self::cause::Causes;
pub use self::client::{Answer, Client};
pub use self::error::{ApiError, Detail};
pub use self::http::{HttpClient, HttpError, reach};
pub use self::permissions::Permissions;
pub use self::wire::{DecodeError, FromWire, NextLink, Page, Unread};
