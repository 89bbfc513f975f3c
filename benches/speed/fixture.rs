//! Definitions such as a large provider has them.

use std::sync::Arc;
use std::time::Duration;

use defender_scan_exporter::budget::{Budget, Limits};
use defender_scan_exporter::clock::{Clock, Timestamp};
use defender_scan_exporter::model::health::Health;
use defender_scan_exporter::model::histogram::Histogram;
use defender_scan_exporter::model::view::{DefinitionView, SessionCounts, TARGET_SECONDS};
use defender_scan_exporter::model::{
    AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, TargetType, Targets, TenantName,
};
use defender_scan_exporter::polling::snapshot::{TenantView, Tenants};

/// 2026-09-21.
pub const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_123);

/// Something like a GUID, always the same for the same number.
pub fn guid(number: usize) -> String {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let [a, b] = [random.u64(..), random.u64(..)];
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a & 0xffff,
        (a >> 16) & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

/// A definition that ran within the last days.
pub fn definition(number: usize) -> Definition {
    let age = Duration::from_millis(fastrand::Rng::with_seed(number as u64).u64(..400_000_000));
    Definition {
        scan_name: format!("Network scan of site {number}").into(),
        scan_type: Some(ScanType::Network),
        target_type: Some(TargetType::Ip),
        interval: Some(Duration::from_hours(4)),
        agent_id: Some(AgentId::new(&guid(number % 50 + 1_000_000))),
        latest: Some(Run {
            at: NOW - age,
            status: ScanStatus::Success,
        }),
        ..Definition::unlisted(&DefinitionId::new(&guid(number)))
    }
}

fn view(number: usize) -> DefinitionView {
    let definition = definition(number);
    DefinitionView {
        last_success: definition.latest.as_ref().map(|run| run.at),
        last_run: definition.latest.clone(),
        targets: Targets::new(Some(254), Some(250)),
        sessions: SessionCounts {
            success: u32::try_from(number).unwrap_or(u32::MAX),
            ..SessionCounts::default()
        },
        created: None,
        recent: Arc::default(),
        definition: Arc::new(definition),
    }
}

/// One tenant with all `definitions`.
pub fn tenants(definitions: usize, clock: &Clock) -> Arc<Tenants> {
    let mut views: Vec<_> = (0..definitions).map(view).map(Arc::new).collect();
    views.sort_by(|a, b| a.definition.id.cmp(&b.definition.id));
    let name = TenantName::new("contoso");
    let tenant = TenantView {
        name: name.clone(),
        info: Arc::default(),
        definitions: views.into(),
        agents: [].into(),
        target_seconds: Histogram::new(TARGET_SECONDS),
        health: Health::default(),
        budget: Budget::new(clock.clone(), Limits::new(80, 1200)),
    };
    Arc::new(Tenants::from_iter([(name, Arc::new(tenant))]))
}

/// The same, as after a poll without news: only when it was is new.
pub fn after_a_poll(before: &Tenants) -> Arc<Tenants> {
    let again = |tenant: &Arc<TenantView>| Arc::new(TenantView::clone(tenant));
    let tenants = before.iter();
    Arc::new(
        tenants
            .map(|(name, tenant)| (name.clone(), again(tenant)))
            .collect(),
    )
}

/// The same, as after a poll that brought news of the first definition.
pub fn after_a_change(before: &Tenants) -> Arc<Tenants> {
    let change = |tenant: &TenantView| {
        let mut next = tenant.clone();
        let mut views = next.definitions.to_vec();
        let mut first = DefinitionView::clone(&views[0]);
        first.sessions.success += 1;
        views[0] = Arc::new(first);
        next.definitions = views.into();
        Arc::new(next)
    };
    let tenants = before.iter();
    Arc::new(
        tenants
            .map(|(name, tenant)| (name.clone(), change(tenant)))
            .collect(),
    )
}
