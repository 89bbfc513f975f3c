//! The tests of the whole, in one binary: compiled and linked once, and run beside each
//! other. `cargo test --test suite restart::` runs those of `tests/restart.rs`.
//!
//! `tests/matrix` and `tests/soak` are apart: they take the whole machine for themselves.

mod access;
mod access_bounds;
mod architecture;
mod authority;
#[path = "browser/main.rs"]
mod browser;
mod budget;
mod canaries;
#[path = "check/main.rs"]
mod check;
mod clouds;
mod common;
mod config;
mod connections;
mod credentials;
#[path = "dashboards/main.rs"]
mod dashboards;
mod dependencies;
mod disk;
mod docs;
mod docs_commands;
mod e2e;
mod endless;
mod environment;
mod exposition;
mod faults;
mod files;
mod hostile_answers;
mod lifetimes;
mod limits;
mod log;
mod machine;
mod many_tenants;
mod orphans;
#[path = "outgoing/main.rs"]
mod outgoing;
mod pages;
mod process;
mod proxy;
mod ready;
mod refusals;
mod reload;
mod restart;
mod routing;
mod schema;
mod scrape;
mod shards;
#[path = "shipping/main.rs"]
mod shipping;
mod sign_in_changes;
mod signals;
mod simulation;
mod statuses;
mod stopping;
mod stranger;
mod surface;
mod tenant_files;
mod troubleshooting;
mod web_config;
mod web_listeners;
mod web_tls;
