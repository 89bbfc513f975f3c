//! The client of the Defender API: one request per call, which costs a permit.
//!
//! ```text
//! auth (token) ─┐
//! quota (permit)┴► client ─► http ─► the service
//!                    └─◄ wire, times (model) or error (class) ◄─┘
//! ```
//!
//! Liberal in what it reads, strict in what it sends: nobody who wrote this
//! could reach the real service.

mod times;
mod wire;

pub use self::wire::{DecodeError, NextLink, Page};
