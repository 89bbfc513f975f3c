//! A Prometheus exporter for the authenticated scans of Microsoft Defender for Endpoint.
//!
//! ```text
//! Defender API ─► defender::client ─► poller ─► tenant ─► snapshot ─► exposition ─► web ─► Prometheus
//!                     ▲ permit           ▲ next call
//!                   quota              plan
//! ```
//!
//! A scrape never calls the API; a poll never waits for a scrape. They meet in
//! one place, the snapshot.
//!
//! # The rooms
//!
//! A file imports only files of a lower level, or of its own room (`tests/architecture.rs`
//! checks it):
//!
//! | room | level | what lives there |
//! | --- | --- | --- |
//! | [`clock`] | 0 | wall-clock time and time since boot; the only reader of either: `crates/clock` |
//! | [`shutdown`] | 0 | signals, cancellation, grace period |
//! | [`model`] | 1 | definitions, sessions, agents, statuses, identifiers; one definition's runs; how polling goes |
//! | [`budget`] | 2 | the sliding log of calls that hands out permits |
//! | [`config`] | 3 | the YAML file, the environment and the web configuration file, read with `crates/config-report` |
//! | [`schedule`] | 4 | pure: what is called next |
//! | [`defender`] | 4 | the client: JSON, errors, sign-in, and one request a call |
//! | [`store`] | 4 | durable state: the log of calls, and what was learned |
//! | [`polling`] | 5 | one task a tenant, what is known of each, and what is published |
//! | [`exposition`] | 6 | every metric's name, and how it is written |
//! | [`web`] | 7 | TLS, passwords, router, endpoints, status page |
//! | [`cli`] | 8 | flags, and one file a command |
//! | `fuzzing` | 9 | what strangers can send, for tests and fuzzers; not in the program |

pub mod budget;
pub mod cli;
pub mod config;
pub mod defender;
pub mod exposition;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod model;
pub mod polling;
pub mod schedule;
pub mod shutdown;
pub mod store;
pub mod web;

pub use exporter_clock as clock;
