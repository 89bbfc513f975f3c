//! A Prometheus exporter for the authenticated scans of Microsoft Defender for Endpoint.

pub mod clock;
pub mod config;
pub mod health;
pub mod histogram;
pub mod model;
pub mod plan;
pub mod quota;
pub mod scans;
pub mod shutdown;
pub mod snapshot;
pub mod tenant;
