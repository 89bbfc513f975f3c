//! The families of definitions.

use std::sync::Arc;

use super::catalog::{self, Metric};
use super::chunk::Chunk;
use super::format::{SampleWriter, Value};
use super::label::pairs;
use super::pages::{Written, is_boundary};
use super::samples::{Samples, ValueSource};
use crate::config::Metrics;
use crate::model::view::DefinitionView;
use crate::model::{AgentId, DefinitionId, TenantName};
use crate::polling::snapshot::Tenants;

/// A definition of a tenant.
#[derive(Clone, Debug)]
pub(super) struct TenantDefinition {
    tenant: TenantName,
    view: Arc<DefinitionView>,
}

/// What a family says of a definition.
enum Content {
    /// One value, or none.
    Value(fn(&DefinitionView) -> Option<Value>),
    /// How long ago it last ran.
    Age,
    /// Sessions by status.
    Sessions,
    /// Its names.
    Info,
}

static FAMILIES: [(&Metric, Content); 11] = [
    (
        &catalog::SCAN_LAST,
        Content::Value(|view| view.last_run.as_ref().map(|run| run.at.into())),
    ),
    (&catalog::SCAN_AGE, Content::Age),
    (
        &catalog::SCAN_LAST_SUCCESS,
        Content::Value(|view| view.last_success.map(Value::from)),
    ),
    (
        &catalog::SCAN_STATUS,
        Content::Value(|view| {
            let run = view.last_run.as_ref()?;
            Some(f64::from(run.status.code()).into())
        }),
    ),
    (
        &catalog::SCAN_INTERVAL,
        Content::Value(|view| Some(view.definition.interval?.as_secs().into())),
    ),
    (
        &catalog::SCAN_ACTIVE,
        Content::Value(|view| Some(view.definition.is_active.into())),
    ),
    (
        &catalog::SCAN_TARGETS,
        Content::Value(|view| view.targets.total.map(Value::from)),
    ),
    (
        &catalog::SCAN_TARGETS_SUCCEEDED,
        Content::Value(|view| view.targets.succeeded.map(Value::from)),
    ),
    (&catalog::SCAN_SESSIONS, Content::Sessions),
    (
        &catalog::SCAN_TROUBLESHOOT,
        Content::Value(|view| view.definition.troubleshoot_mode.map(Value::from)),
    ),
    (&catalog::SCAN_INFO, Content::Info),
];

impl TenantDefinition {
    /// The definitions of all tenants, without a second one of the same id: two
    /// samples of one series would make Prometheus refuse them.
    pub(super) fn all(tenants: &Tenants) -> impl Iterator<Item = Self> {
        tenants.values().flat_map(|tenant| {
            tenant.distinct_definitions().map(|view| Self {
                tenant: tenant.name.clone(),
                view: Arc::clone(view),
            })
        })
    }
}

impl Written for TenantDefinition {
    type Key = (TenantName, DefinitionId);

    const LONGEST: usize = 1024;

    fn key(&self) -> Self::Key {
        (self.tenant.clone(), self.view.definition.id.clone())
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.view, &other.view) && self.tenant == other.tenant
    }

    fn ends_page(&self) -> bool {
        is_boundary(self.view.definition.id.as_str(), 256)
    }

    fn families() -> impl Iterator<Item = &'static Metric> {
        FAMILIES.iter().map(|(metric, _)| *metric)
    }

    fn render(rows: &[Self], metrics: &Metrics) -> Vec<Chunk> {
        let labels: Vec<String> = rows.iter().map(TenantDefinition::labels).collect();
        let rows = || labels.iter().map(String::as_str).zip(rows);
        let chunks = FAMILIES.iter().map(|(metric, content)| {
            let mut text = String::new();
            if !metrics.publishes(metric.name) {
                return Chunk::of(&text);
            }
            let mut lines = SampleWriter::new(metric, &mut text);
            match content {
                Content::Age => return Chunk::PerScrape(Arc::new(ages(metric, rows()))),
                Content::Value(value) => {
                    for (labels, row) in rows() {
                        if let Some(value) = value(&row.view) {
                            lines.sample_of(labels, &[], value);
                        }
                    }
                }
                Content::Sessions => {
                    for (labels, row) in rows() {
                        lines.created(metrics.created(row.view.created));
                        sessions(&mut lines, labels, &row.view);
                    }
                }
                Content::Info => {
                    for (labels, row) in rows() {
                        info(&mut lines, labels, &row.view);
                    }
                }
            }
            Chunk::of(&text)
        });
        chunks.collect()
    }
}

impl TenantDefinition {
    /// The two labels that all families begin with.
    fn labels(&self) -> String {
        let values = [self.tenant.as_str(), self.view.definition.id.as_str()];
        let mut labels = String::new();
        pairs(&mut labels, catalog::SCAN_AGE.labels, &values);
        labels
    }
}

fn ages<'r>(
    metric: &'static Metric,
    rows: impl Iterator<Item = (&'r str, &'r TenantDefinition)>,
) -> Samples {
    let mut ages = Samples::default();
    for (labels, row) in rows {
        if let Some(run) = &row.view.last_run {
            ages.add(ValueSource::Age(run.at), |out| {
                SampleWriter::new(metric, out).start_of(labels, &[]);
            });
        }
    }
    ages.packed()
}

fn sessions(lines: &mut SampleWriter<'_>, labels: &str, view: &DefinitionView) {
    let counts = &view.sessions;
    let counts = [
        counts.success,
        counts.partial_success,
        counts.failure,
        counts.unknown,
    ];
    for (status, count) in catalog::STATUSES.into_iter().zip(counts) {
        lines.sample_of(labels, &[status], count);
    }
}

fn info(lines: &mut SampleWriter<'_>, labels: &str, view: &DefinitionView) {
    let definition = &view.definition;
    let scan_type = definition.scan_type.as_ref();
    let target_type = definition.target_type.as_ref();
    let names: [&str; 4] = [
        &definition.scan_name,
        scan_type.map_or("", |kind| kind.as_str()),
        target_type.map_or("", |kind| kind.as_str()),
        definition.agent_id.as_ref().map_or("", AgentId::as_str),
    ];
    lines.sample_of(labels, &names, 1_u64);
}
