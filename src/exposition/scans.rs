//! The families of the tenants: their definitions, agents and health.
//!
//! A family runs through all tenants before the next begins, as both formats
//! demand. Everything comes from the snapshot; only the age of the runs and the
//! use of the budget are worked out here.

use std::sync::Arc;

use super::catalog::{self, Metric};
use super::format::{Value, Writer};
use crate::clock::Timestamp;
use crate::health::{AuthReason, Collector, CollectorHealth, Reason};
use crate::model::{Agent, AgentId};
use crate::snapshot::{DefinitionView, TenantView, Tenants};

/// Writes the families of all tenants as of `now`.
pub(super) fn write(writer: &mut Writer, tenants: &Tenants, now: Timestamp) {
    let scans = Families { writer, tenants };
    definitions(scans, now);
    agents(Families { writer, tenants });
    health(Families { writer, tenants });
    access(Families { writer, tenants });
}

/// Writes families, each through all tenants.
struct Families<'a> {
    writer: &'a mut Writer,
    tenants: &'a Tenants,
}

impl Families<'_> {
    fn per_definition<V: Into<Value>>(
        &mut self,
        metric: &'static Metric,
        value: impl Fn(&DefinitionView) -> Option<V>,
    ) {
        let mut family = self.writer.family(metric);
        for tenant in self.tenants.values() {
            for view in distinct_definitions(tenant) {
                if let Some(value) = value(view) {
                    let id = view.definition.id.as_str();
                    family.sample(&[tenant.name.as_str(), id], value);
                }
            }
        }
    }

    fn per_agent(&mut self, metric: &'static Metric, moment: impl Fn(&Agent) -> Option<Timestamp>) {
        let mut family = self.writer.family(metric);
        for tenant in self.tenants.values() {
            for agent in distinct_agents(tenant) {
                if let Some(moment) = moment(agent) {
                    let labels = [tenant.name.as_str(), agent.id.as_str()];
                    family.sample(&labels, moment.unix_seconds());
                }
            }
        }
    }

    fn per_tenant<V: Into<Value>>(
        &mut self,
        metric: &'static Metric,
        value: impl Fn(&TenantView) -> Option<V>,
    ) {
        let mut family = self.writer.family(metric);
        for tenant in self.tenants.values() {
            if let Some(value) = value(tenant) {
                family.sample(&[tenant.name.as_str()], value);
            }
        }
    }

    fn per_collector(
        &mut self,
        metric: &'static Metric,
        value: impl Fn(&CollectorHealth) -> Option<f64>,
    ) {
        let mut family = self.writer.family(metric);
        for (tenant, collector, health) in collectors(self.tenants) {
            if let Some(value) = value(health) {
                family.sample(&[tenant, collector], value);
            }
        }
    }
}

/// The tenant's definitions, without a second one of the same id: two samples
/// of one series would make Prometheus refuse them.
fn distinct_definitions(tenant: &TenantView) -> impl Iterator<Item = &DefinitionView> {
    let same =
        |a: &Arc<DefinitionView>, b: &Arc<DefinitionView>| a.definition.id == b.definition.id;
    tenant.definitions.chunk_by(same).map(|chunk| &*chunk[0])
}

fn distinct_agents(tenant: &TenantView) -> impl Iterator<Item = &Agent> {
    let same = |a: &Agent, b: &Agent| a.id == b.id;
    tenant.agents.chunk_by(same).map(|chunk| &chunk[0])
}

/// Each tenant's collectors with the values of both labels.
fn collectors(tenants: &Tenants) -> impl Iterator<Item = (&str, &'static str, &CollectorHealth)> {
    tenants.values().flat_map(|tenant| {
        Collector::ALL.iter().map(|collector| {
            let health = tenant.health.collector(*collector);
            (tenant.name.as_str(), collector.as_label(), health)
        })
    })
}

fn definitions(mut scans: Families<'_>, now: Timestamp) {
    scans.per_definition(&catalog::SCAN_LAST, |view| {
        view.last_run.as_ref().map(|run| run.at.unix_seconds())
    });
    scans.per_definition(&catalog::SCAN_AGE, |view| {
        let run = view.last_run.as_ref()?;
        Some(now.since(run.at).as_secs_f64())
    });
    scans.per_definition(&catalog::SCAN_LAST_SUCCESS, |view| {
        view.last_success.map(Timestamp::unix_seconds)
    });
    scans.per_definition(&catalog::SCAN_STATUS, |view| {
        view.last_run
            .as_ref()
            .map(|run| f64::from(run.status.code()))
    });
    scans.per_definition(&catalog::SCAN_INTERVAL, |view| {
        view.definition.interval.map(|interval| interval.as_secs())
    });
    scans.per_definition(&catalog::SCAN_ACTIVE, |view| {
        Some(view.definition.is_active)
    });
    scans.per_definition(&catalog::SCAN_TARGETS, |view| view.targets);
    scans.per_definition(&catalog::SCAN_TARGETS_SUCCEEDED, |view| {
        view.targets_succeeded
    });

    let Families { writer, tenants } = scans;
    let mut sessions = writer.family(&catalog::SCAN_SESSIONS);
    for tenant in tenants.values() {
        for view in distinct_definitions(tenant) {
            let counts = &view.sessions;
            let counts = [
                counts.success,
                counts.partial_success,
                counts.failure,
                counts.unknown,
            ];
            for (status, count) in catalog::STATUSES.into_iter().zip(counts) {
                let id = view.definition.id.as_str();
                sessions.sample(&[tenant.name.as_str(), id, status], count);
            }
        }
    }
    let mut info = writer.family(&catalog::SCAN_INFO);
    for tenant in tenants.values() {
        for view in distinct_definitions(tenant) {
            let definition = &view.definition;
            info.info(&[
                tenant.name.as_str(),
                definition.id.as_str(),
                &definition.scan_name,
                definition
                    .scan_type
                    .as_ref()
                    .map_or("", |kind| kind.as_str()),
                definition
                    .target_type
                    .as_ref()
                    .map_or("", |kind| kind.as_str()),
                definition.agent_id.as_ref().map_or("", AgentId::as_str),
            ]);
        }
    }
    let mut target_seconds = writer.family(&catalog::TARGET_SECONDS);
    for tenant in tenants.values() {
        target_seconds.histogram(&[tenant.name.as_str()], &tenant.target_seconds);
    }
}

fn agents(mut families: Families<'_>) {
    families.per_agent(&catalog::AGENT_SEEN, |agent| agent.last_seen);
    families.per_agent(&catalog::AGENT_COMMAND, |agent| agent.last_command);
    let mut info = families.writer.family(&catalog::AGENT_INFO);
    for tenant in families.tenants.values() {
        for agent in distinct_agents(tenant) {
            info.info(&[
                tenant.name.as_str(),
                agent.id.as_str(),
                &agent.machine_id,
                &agent.computer_dns_name,
                &agent.scanner_version,
                &agent.client_version,
            ]);
        }
    }
}

/// How polling goes, up to the requests.
fn health(mut families: Families<'_>) {
    families.per_tenant(&catalog::UP, |tenant| tenant.health.up);
    families.per_collector(&catalog::LAST_SUCCESS, |health| {
        health.last_success.map(Timestamp::unix_seconds)
    });
    families.per_collector(&catalog::DURATION, |health| health.last_duration);

    let Families { writer, tenants } = families;
    let mut errors = writer.family(&catalog::ERRORS);
    for (tenant, collector, health) in collectors(tenants) {
        for reason in Reason::ALL {
            let count = health.errors.get(reason).copied().unwrap_or(0);
            errors.sample(&[tenant, collector, reason.as_label()], count);
        }
    }
    let mut states = writer.family(&catalog::DEFINITIONS);
    for tenant in tenants.values() {
        let total = distinct_definitions(tenant).count();
        let active = distinct_definitions(tenant)
            .filter(|view| view.definition.is_active)
            .count();
        let counts = [active, total - active, tenant.health.quarantined];
        for (state, count) in catalog::STATES.into_iter().zip(counts) {
            states.sample(&[tenant.name.as_str(), state], count);
        }
    }
    let mut dropped = writer.family(&catalog::DEFINITIONS_DROPPED);
    for tenant in tenants.values() {
        dropped.sample(&[tenant.name.as_str()], tenant.health.dropped);
    }
    let mut requests = writer.family(&catalog::REQUESTS);
    for (tenant, endpoint, health) in collectors(tenants) {
        let mut counts = health.requests.clone();
        for known in [None, Some(200)] {
            counts.entry(known).or_insert(0);
        }
        for (code, count) in counts {
            let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            requests.sample(&[tenant, endpoint, &code], count);
        }
    }
    let mut seconds = writer.family(&catalog::REQUEST_SECONDS);
    for (tenant, endpoint, health) in collectors(tenants) {
        seconds.histogram(&[tenant, endpoint], &health.request_seconds);
    }
}

/// What the service grants: the budget and the credentials.
fn access(mut families: Families<'_>) {
    let Families { writer, tenants } = &mut families;
    let usages: Vec<_> = tenants
        .values()
        .map(|tenant| (tenant.name.as_str(), tenant.quota.usage()))
        .collect();
    let mut limit = writer.family(&catalog::QUOTA_LIMIT);
    for (tenant, usage) in &usages {
        for (window, usage) in catalog::WINDOWS.into_iter().zip(usage) {
            limit.sample(&[tenant, window], usage.limit);
        }
    }
    let mut used = writer.family(&catalog::QUOTA_USED);
    for (tenant, usage) in &usages {
        for (window, usage) in catalog::WINDOWS.into_iter().zip(usage) {
            used.sample(&[tenant, window], usage.used);
        }
    }
    families.per_tenant(&catalog::THROTTLED_UNTIL, |tenant| {
        let until = tenant.health.throttled_until;
        Some(until.map_or(0.0, Timestamp::unix_seconds))
    });
    families.per_tenant(&catalog::BATCH_SIZE, |tenant| {
        Some(tenant.health.batch_size).filter(|size| *size > 0)
    });
    families.per_tenant(&catalog::TOKEN_EXPIRY, |tenant| {
        tenant.health.token_expiry.map(Timestamp::unix_seconds)
    });
    let mut errors = families.writer.family(&catalog::AUTH_ERRORS);
    for tenant in families.tenants.values() {
        for reason in AuthReason::ALL {
            let count = tenant.health.auth_errors.get(reason).copied().unwrap_or(0);
            errors.sample(&[tenant.name.as_str(), reason.as_label()], count);
        }
    }
    families.per_tenant(&catalog::CERTIFICATE_EXPIRY, |tenant| {
        tenant
            .health
            .certificate_expiry
            .map(Timestamp::unix_seconds)
    });
}
