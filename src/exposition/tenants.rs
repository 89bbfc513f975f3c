//! The families of tenants: their agents, how polling them goes, and what the
//! service grants.

use std::sync::Arc;

use super::catalog::{self, Metric};
use super::chunk::Chunk;
use super::format::{SampleWriter, Value};
use super::label::pairs;
use super::pages::{Written, is_boundary};
use super::samples::{Samples, ValueSource};
use crate::budget::Scope;
use crate::clock::Timestamp;
use crate::config::Metrics;
use crate::model::health::{AuthReason, Collector, CollectorHealth, Reason, Skipped};
use crate::model::{Agent, TenantName};
use crate::polling::snapshot::{TenantInfo, TenantView};

/// What a family says of a tenant.
enum Content {
    /// The tenant's lines.
    Lines(fn(&mut SampleWriter<'_>, &TenantView)),
    /// How much of the budget is in use.
    Used,
}

static FAMILIES: [(&Metric, Content); 30] = [
    (&catalog::TARGET_SECONDS, Content::Lines(target_seconds)),
    (
        &catalog::AGENT_SEEN,
        Content::Lines(|lines, tenant| per_agent(lines, tenant, |agent| agent.last_seen)),
    ),
    (
        &catalog::AGENT_COMMAND,
        Content::Lines(|lines, tenant| per_agent(lines, tenant, |agent| agent.last_command)),
    ),
    (&catalog::AGENT_INFO, Content::Lines(agent_info)),
    (
        &catalog::UP,
        Content::Lines(|lines, tenant| one(lines, tenant, tenant.health.up)),
    ),
    (&catalog::TENANT_INFO, Content::Lines(tenant_info)),
    (
        &catalog::LAST_SUCCESS,
        Content::Lines(|lines, tenant| per_collector(lines, tenant, |health| health.last_success)),
    ),
    (
        &catalog::DURATION,
        Content::Lines(|lines, tenant| per_collector(lines, tenant, |health| health.last_duration)),
    ),
    (&catalog::ERRORS, Content::Lines(errors)),
    (
        &catalog::NEXT_ATTEMPT,
        Content::Lines(|lines, tenant| {
            per_collector(lines, tenant, |health| or_zero(health.next_attempt));
        }),
    ),
    (&catalog::DEFINITIONS, Content::Lines(states)),
    (
        &catalog::DEFINITIONS_DROPPED,
        Content::Lines(|lines, tenant| one(lines, tenant, Some(tenant.health.dropped))),
    ),
    (&catalog::REQUESTS, Content::Lines(requests)),
    (&catalog::REQUEST_SECONDS, Content::Lines(request_seconds)),
    (&catalog::SKIPPED, Content::Lines(skipped)),
    (
        &catalog::LINKS_REFUSED,
        Content::Lines(|lines, tenant| one(lines, tenant, Some(tenant.health.links_refused))),
    ),
    (
        &catalog::SUNSET,
        Content::Lines(|lines, tenant| {
            per_collector(lines, tenant, |health| health.lifecycle.sunset);
        }),
    ),
    (
        &catalog::TRUNCATED,
        Content::Lines(|lines, tenant| {
            per_collector(lines, tenant, |health| Some(health.truncated));
        }),
    ),
    (
        &catalog::VALUES_UNREADABLE,
        Content::Lines(|lines, tenant| {
            per_collector(lines, tenant, |health| Some(health.values_unreadable));
        }),
    ),
    (
        &catalog::ENDLESS,
        Content::Lines(|lines, tenant| {
            per_collector(lines, tenant, |health| Some(health.endless));
        }),
    ),
    (&catalog::QUOTA_LIMIT, Content::Lines(limits)),
    (&catalog::QUOTA_USED, Content::Used),
    (
        &catalog::QUOTA_RESERVE,
        Content::Lines(|lines, tenant| {
            let on_reserve = tenant.health.reserve_until.is_some();
            one(lines, tenant, Some(u64::from(on_reserve)));
        }),
    ),
    (
        &catalog::RESTARTS,
        Content::Lines(|lines, tenant| one(lines, tenant, Some(tenant.health.restarts))),
    ),
    (
        &catalog::THROTTLED_UNTIL,
        Content::Lines(|lines, tenant| {
            one(lines, tenant, or_zero(tenant.health.throttled_until));
        }),
    ),
    (
        &catalog::BATCH_SIZE,
        Content::Lines(|lines, tenant| {
            let size = tenant.health.batch_size;
            one(lines, tenant, (size > 0).then_some(size));
        }),
    ),
    (
        &catalog::TOKEN_EXPIRY,
        Content::Lines(|lines, tenant| one(lines, tenant, tenant.health.token_expiry)),
    ),
    (&catalog::AUTH_ERRORS, Content::Lines(auth_errors)),
    (
        &catalog::CERTIFICATE_EXPIRY,
        Content::Lines(|lines, tenant| one(lines, tenant, tenant.health.certificate_expiry)),
    ),
    (
        &catalog::CREDENTIAL_EXPIRY,
        Content::Lines(|lines, tenant| one(lines, tenant, tenant.health.credential_expiry)),
    ),
];

impl Written for Arc<TenantView> {
    type Key = TenantName;

    const LONGEST: usize = 64;

    fn key(&self) -> TenantName {
        self.name.clone()
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }

    fn ends_page(&self) -> bool {
        is_boundary(self.name.as_str(), 16)
    }

    fn families() -> impl Iterator<Item = &'static Metric> {
        FAMILIES.iter().map(|(metric, _)| *metric)
    }

    fn render(tenants: &[Self], metrics: &Metrics) -> Vec<Chunk> {
        let chunks = FAMILIES.iter().map(|(metric, content)| match content {
            _ if !metrics.publishes(metric.name) => Chunk::of(""),
            Content::Lines(write) => {
                let mut text = String::new();
                let mut lines = SampleWriter::new(metric, &mut text);
                for tenant in tenants {
                    lines.created(metrics.created(tenant.health.created));
                    write(&mut lines, tenant);
                }
                Chunk::of(&text)
            }
            Content::Used => Chunk::PerScrape(Arc::new(used(metric, tenants))),
        });
        chunks.collect()
    }
}

fn used(metric: &'static Metric, tenants: &[Arc<TenantView>]) -> Samples {
    let mut used = Samples::default();
    for tenant in tenants {
        for (of, window, labels) in windows(tenant) {
            used.add(
                ValueSource::Used(tenant.budget.clone(), of, window),
                |out| {
                    SampleWriter::new(metric, out).start_of(&labels, &[]);
                },
            );
        }
    }
    used.packed()
}

/// The windows of a tenant's budgets with their labels: of one for all endpoints, or of one each.
fn windows(tenant: &TenantView) -> Vec<(Collector, usize, String)> {
    let budgets = match tenant.budget.share().scope {
        Scope::Application => 1,
        Scope::Endpoint => Collector::ALL.len(),
    };
    let payers = Collector::ALL.iter().filter(|of| of.payer() == **of);
    let mut windows = Vec::new();
    for of in payers.take(budgets) {
        for (index, window) in catalog::WINDOWS.into_iter().enumerate() {
            let (name, mut labels) = (tenant.name.as_str(), String::new());
            match tenant.budget.share().scope {
                Scope::Application => pairs(&mut labels, &["tenant", "window"], &[name, window]),
                Scope::Endpoint => {
                    let values = [name, of.as_label(), window];
                    pairs(&mut labels, &["tenant", "endpoint", "window"], &values);
                }
            }
            windows.push((*of, index, labels));
        }
    }
    windows
}

/// The tenant's one sample, if there is a value.
fn one<V: Into<Value>>(lines: &mut SampleWriter<'_>, tenant: &TenantView, value: Option<V>) {
    if let Some(value) = value {
        lines.sample(&[tenant.name.as_str()], value);
    }
}

fn tenant_info(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    let TenantInfo {
        tenant_id,
        cloud,
        labels,
        ..
    } = &*tenant.info;
    let names = labels.keys().map(String::as_str);
    let names: Vec<_> = catalog::TENANT_INFO
        .labels
        .iter()
        .copied()
        .chain(names)
        .collect();
    let fixed = [tenant.name.as_str(), tenant_id, cloud];
    let values: Vec<_> = fixed
        .into_iter()
        .chain(labels.values().map(String::as_str))
        .collect();
    let mut written = String::new();
    pairs(&mut written, &names, &values);
    lines.sample_of(&written, &[], 1_u64);
}

/// A moment; 0 if there is none.
fn or_zero(moment: Option<Timestamp>) -> Option<Timestamp> {
    moment.or(Some(Timestamp::from_unix_millis(0)))
}

fn target_seconds(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    lines.histogram(&[tenant.name.as_str()], &tenant.target_seconds);
}

fn distinct_agents(tenant: &TenantView) -> impl Iterator<Item = &Agent> {
    let same = |a: &Agent, b: &Agent| a.id == b.id;
    tenant.agents.chunk_by(same).map(|chunk| &chunk[0])
}

fn per_agent(
    lines: &mut SampleWriter<'_>,
    tenant: &TenantView,
    moment: impl Fn(&Agent) -> Option<Timestamp>,
) {
    for agent in distinct_agents(tenant) {
        if let Some(moment) = moment(agent) {
            lines.sample(&[tenant.name.as_str(), agent.id.as_str()], moment);
        }
    }
}

fn agent_info(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    for agent in distinct_agents(tenant) {
        let labels = [
            tenant.name.as_str(),
            agent.id.as_str(),
            &agent.machine_id,
            &agent.computer_dns_name,
            &agent.scanner_version,
            &agent.client_version,
        ];
        lines.sample(&labels, 1_u64);
    }
}

/// The tenant's collectors with the values of both labels.
fn collectors(tenant: &TenantView) -> impl Iterator<Item = ([&str; 2], &CollectorHealth)> {
    Collector::ALL.iter().map(|collector| {
        let labels = [tenant.name.as_str(), collector.as_label()];
        (labels, tenant.health.collector(*collector))
    })
}

fn per_collector<V: Into<Value>>(
    lines: &mut SampleWriter<'_>,
    tenant: &TenantView,
    value: impl Fn(&CollectorHealth) -> Option<V>,
) {
    for (labels, health) in collectors(tenant) {
        if let Some(value) = value(health) {
            lines.sample(&labels, value);
        }
    }
}

fn errors(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    for ([tenant, collector], health) in collectors(tenant) {
        for reason in Reason::ALL {
            let count = health.errors.get(reason).copied().unwrap_or(0);
            lines.sample(&[tenant, collector, reason.as_label()], count);
        }
    }
}

fn states(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    let mut counts = [0, 0, tenant.health.quarantined];
    for view in tenant.distinct_definitions() {
        counts[usize::from(!view.definition.is_active)] += 1;
    }
    for (state, count) in catalog::STATES.into_iter().zip(counts) {
        lines.sample(&[tenant.name.as_str(), state], count);
    }
}

fn requests(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    for ([tenant, endpoint], health) in collectors(tenant) {
        let mut counts = health.requests.clone();
        for known in [None, Some(200)] {
            counts.entry(known).or_insert(0);
        }
        for (code, count) in counts {
            let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            lines.sample(&[tenant, endpoint, &code], count);
        }
    }
}

fn request_seconds(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    for (labels, health) in collectors(tenant) {
        lines.histogram(&labels, &health.request_seconds);
    }
}

fn skipped(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    for ([tenant, endpoint], health) in collectors(tenant) {
        for reason in Skipped::ALL {
            let count = health.skipped.get(reason).copied().unwrap_or(0);
            lines.sample(&[tenant, endpoint, reason.as_label()], count);
        }
    }
}

fn limits(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    let limits = tenant.budget.share();
    let limits = [limits.minute, limits.hour];
    for (_, window, labels) in windows(tenant) {
        lines.sample_of(&labels, &[], limits[window].calls);
    }
}

fn auth_errors(lines: &mut SampleWriter<'_>, tenant: &TenantView) {
    for reason in AuthReason::ALL {
        let count = tenant.health.auth_errors.get(reason).copied().unwrap_or(0);
        lines.sample(&[tenant.name.as_str(), reason.as_label()], count);
    }
}
