//! A Prometheus exporter for the authenticated scans of Microsoft Defender for Endpoint.
//!
//! ```text
//! Defender API ─► defender::client ─► polling ─► exposition ─► web ─► Prometheus
//!                     ▲ permit          ▲ next call
//!                   budget           schedule
//! ```
//!
//! A scrape never calls the API; a poll never waits for a scrape. They meet in one place, the
//! snapshot.
//!
//! # The tour: one status, from the wire to the text
//!
//! 1. `schedule/mod.rs`: `Schedule::next` says that history of some definitions is due, and takes
//!    a slot of the [`budget`] for the call.
//! 2. `polling/poller.rs`: `Poller::send` pays for the slot, which waits until the call is on disk
//!    and gives a permit, and calls `Client::history` in `defender/client.rs`.
//! 3. `defender/wire`: `Page::read` turns the answer into sessions. `shape.rs` walks through the
//!    JSON once, the macro of `records.rs` takes the fields of a record, and `SessionRecord` in
//!    `records/session.rs` names them; `"scanStatus": "PartialSuccess"` becomes
//!    `ScanStatus::PartialSuccess` in `session_status` of `read.rs`.
//! 4. `polling/poller.rs`: `Poller::handle_answer` takes the answer, and `Pagination::turn` in
//!    `pagination.rs` adds the page to those before, and says whether it was the last.
//! 5. `polling/tenant/mod.rs`: `KnownTenant::apply_history` hands each definition its sessions;
//!    `RunHistory::apply_history` in `model/runs.rs` takes them in, `find_newest` in
//!    `runs/newest.rs` finds the newest, and `RunHistory::last_run` chooses between it and the
//!    latest run that the list names (`LatestScan` in `records.rs`, `tenant/listing.rs`).
//! 6. `polling/poller/publishing.rs`: `Poller::publish` saves what changed in the [`store`], and
//!    then replaces the tenant's view (`model/view.rs`) in `polling/snapshot.rs`.
//! 7. `web/routes.rs`: at a scrape `metrics` asks `Exposition::scrape` in [`exposition`] for the
//!    text. Where something changed, `pages.rs` asks `definitions.rs` for the samples anew:
//!    `ScanStatus::code` makes the 2 of `defender_scan_status_code{…} 2`, `catalog.rs` has the name.
//!
//! # The rooms
//!
//! A file imports only files of a lower level, or of its own room (`tests/architecture.rs`
//! checks it):
//!
//! | room | level | what lives there |
//! | --- | --- | --- |
//! | [`clock`] | 0 | wall-clock time and time since boot; the only reader of either: `crates/clock` |
//! | [`backoff`] | 0 | growing waits after failures |
//! | `durations` | 0 | durations as people read them in the log |
//! | [`shutdown`] | 0 | signals, cancellation, grace period |
//! | `parallel` | 1 | the same work on many things, shared among the cores |
//! | [`model`] | 1 | definitions, sessions, agents, statuses, identifiers; one definition's runs; how polling goes |
//! | [`budget`] | 2 | the sliding log of calls that hands out permits |
//! | [`config`] | 3 | the YAML files and the environment, read with `crates/config-report` |
//! | [`schedule`] | 4 | pure: what is called next |
//! | [`defender`] | 4 | the client: JSON, errors, sign-in, and one request a call |
//! | [`store`] | 4 | durable state: the log of calls, and what was learned |
//! | [`polling`] | 5 | one task a tenant, what is known of each, and what is published |
//! | [`exposition`] | 6 | every metric's name, and how it is written |
//! | [`web`] | 7 | router, endpoints, status page; served by `crates/exporter-toolkit` |
//! | [`cli`] | 8 | flags, and one file a command |
//! | `fuzzing` | 9 | what strangers can send, for tests and fuzzers; not in the program |

pub mod backoff;
pub mod budget;
pub mod cli;
pub mod config;
pub mod defender;
mod durations;
pub mod exposition;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod model;
mod parallel;
pub mod polling;
pub mod schedule;
pub mod shutdown;
pub mod store;
pub mod web;

pub use exporter_clock as clock;
