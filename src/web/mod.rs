//! The web server: metrics, status page, health and readiness.
//!
//! ```text
//! exporter_toolkit (TLS, passwords, bounds) ─► count ─► routes ─► exposition, page
//! ```

mod page;
mod ready;
mod reload;
mod renderer;
mod routes;

pub use page::DEFINITION;
pub use reload::{ReloadRequest, ReloadRequests};
pub use routes::{CONFIG, router};

use exporter_toolkit::metrics::TelemetryPath;

use crate::clock::Clock;
use crate::config::InForce;
use crate::exposition::SelfMetrics;
use crate::polling::Expected;
use crate::polling::snapshot::Snapshot;

/// What the handlers read; clones share it.
#[derive(Clone, Debug)]
pub struct WebState {
    /// What is published.
    pub snapshot: Snapshot,
    /// For the age of scans.
    pub clock: Clock,
    /// The exporter's own metrics; requests are counted there.
    pub own: SelfMetrics,
    /// Where the metrics are.
    pub telemetry_path: TelemetryPath,
    /// How many scrapes may be under way at once, beyond which 503 is answered; 0: no limit.
    pub max_requests: usize,
    /// The configured tenants, for readiness.
    pub expected: Expected,
    /// The configuration in force.
    pub config: InForce,
    /// Where to ask for a reload; `None`: nobody may by HTTP.
    pub reload: Option<ReloadRequests>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::budget::{Budget, Limits};
    use crate::clock::Timestamp;
    use crate::model::health::Health;
    use crate::model::histogram::Histogram;
    use crate::model::view::{DefinitionView, SessionCounts, TARGET_SECONDS};
    use crate::model::{Definition, DefinitionId, Run, ScanStatus, ScanType, Targets, TenantName};
    use crate::polling::snapshot::TenantView;

    /// 2026-09-21.
    pub(super) const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_123);

    /// A definition that runs every four hours and last ran `age` ago.
    pub(super) fn definition(
        id: &str,
        age: Option<Duration>,
        status: ScanStatus,
    ) -> DefinitionView {
        let last_run = age.map(|age| Run {
            at: NOW - age,
            status,
        });
        DefinitionView {
            definition: Arc::new(Definition {
                scan_name: id.into(),
                scan_type: Some(ScanType::Network),
                interval: Some(Duration::from_hours(4)),
                latest: last_run.clone(),
                ..Definition::unlisted(&DefinitionId::new(id))
            }),
            last_run,
            last_success: None,
            targets: Targets::default(),
            sessions: SessionCounts::default(),
            created: None,
            recent: Arc::default(),
        }
    }

    /// A tenant that is up and has one definition.
    pub(super) fn tenant(name: &str, clock: &Clock) -> TenantView {
        let age = Some(Duration::from_hours(1));
        TenantView {
            name: TenantName::new(name),
            info: Arc::default(),
            definitions: [definition("a", age, ScanStatus::Success).into()].into(),
            agents: [].into(),
            target_seconds: Histogram::new(TARGET_SECONDS),
            health: Health {
                up: Some(true),
                ..Health::default()
            },
            budget: Budget::new(clock.clone(), Limits::new(80, 1200)),
        }
    }

    /// The state of an exporter with one tenant, `contoso`.
    pub(super) fn state() -> WebState {
        let clock = Clock::anchored(NOW);
        let snapshot = Snapshot::default();
        snapshot.publish(tenant("contoso", &clock));
        WebState {
            snapshot,
            clock,
            own: SelfMetrics::new(NOW),
            telemetry_path: TelemetryPath::default(),
            max_requests: 40,
            expected: Expected::new(vec![TenantName::new("contoso")]),
            config: InForce::default(),
            reload: None,
        }
    }
}
