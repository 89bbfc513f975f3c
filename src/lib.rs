//! A Prometheus exporter for the authenticated scans of Microsoft Defender for Endpoint.

pub mod clock;
pub mod config;
pub mod exposition;
pub mod health;
pub mod histogram;
pub mod model;
pub mod quota;
pub mod shutdown;
pub mod snapshot;
pub mod web;
