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
//! A file imports only files of a lower level, or its own folder
//! (`tests/architecture.rs` checks it):
//!
//! | module | level | what lives there |
//! | --- | --- | --- |
//! | [`clock`] | 0 | wall-clock time and time since boot; the only reader of either: `crates/clock` |
//! | [`shutdown`] | 0 | signals, cancellation, grace period |
//! | [`stderr`] | 0 | standard error behind a bounded queue |
//! | [`printable`] | 0 | text from elsewhere, made safe to print |
//! | [`histogram`] | 0 | a plain histogram |
//! | [`model`] | 1 | definitions, sessions, agents, statuses, identifiers; not as on the wire |
//! | [`small_file`] | 1 | files that users name: regular ones, bounded, and nobody waits for ever |
//! | [`children`] | 1 | child processes: bounded, and none left behind |
//! | [`shard`] | 2 | which of several processes polls which tenant |
//! | [`health`] | 2 | how polling goes, with every label's values as enums |
//! | [`advice`] | 3 | what failures mean, and the one thing to do about each |
//! | [`quota`] | 3 | the sliding log of calls that hands out permits |
//! | [`snapshot`] | 4 | the immutable view of all tenants |
//! | [`config`] | 4 | the YAML file, the environment and the web configuration file, read with `crates/config-report` |
//! | [`scans`] | 5 | one definition's runs, put together from list and history |
//! | [`plan`] | 5 | pure: what is called next |
//! | [`store`] | 6 | durable state: the log of calls, and what was learned |
//! | [`tenant`] | 7 | what is known of one tenant, and its rows in the store |
//! | [`defender`] | 6 | JSON, errors, tokens, and one request a call |
//! | [`exposition`] | 6 | every metric's name, and how it is written |
//! | [`poller`] | 8 | one task a tenant: plan, permit, call, learn, publish |
//! | [`fleet`] | 9 | the pollers of all configured tenants, and what a reload changes |
//! | [`web`] | 7 | TLS, passwords, router, endpoints, status page |
//! | [`cli`] | 8 | flags, named as Prometheus exporters name them |
//! | [`commands`] | 10 | wiring |
//! | `fuzzing` | 10 | what strangers can send, for tests and fuzzers; not in the program |

pub mod advice;
pub mod children;
pub mod cli;
pub mod commands;
pub mod config;
pub mod defender;
pub mod exposition;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod health;
pub mod histogram;
pub mod model;
pub mod plan;
pub mod poller;
pub mod printable;
pub mod quota;
pub mod scans;
pub mod shard;
pub mod shutdown;
pub mod small_file;
pub mod snapshot;
pub mod stderr;
pub mod store;
pub mod tenant;
pub mod web;

pub use exporter_clock as clock;
