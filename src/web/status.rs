//! What the status page says, worked out from the snapshot: no HTML here.

use std::cmp::Reverse;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::health::{Collector, Reason};
use crate::model::{ScanStatus, TenantName};
use crate::quota::Usage;
use crate::snapshot::{DefinitionView, TenantView, Tenants};

/// How many definitions the page shows.
pub(super) const SHOWN: usize = 500;

/// How a definition stands; what needs attention most comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// The newest run failed.
    Failed,
    /// The newest run's status is unknown to this version.
    Unknown,
    /// The newest run reached some of its targets.
    Partial,
    /// The newest run succeeded, but is older than twice the interval.
    Overdue,
    /// Active, but never ran.
    NeverRan,
    /// The newest run succeeded and is recent enough.
    Good,
    /// Not active.
    Inactive,
}

impl Condition {
    /// All members, in order.
    pub(super) const ALL: [Self; 7] = [
        Self::Failed,
        Self::Unknown,
        Self::Partial,
        Self::Overdue,
        Self::NeverRan,
        Self::Good,
        Self::Inactive,
    ];

    /// One or two words.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown status",
            Self::Partial => "partial",
            Self::Overdue => "overdue",
            Self::NeverRan => "never ran",
            Self::Good => "good",
            Self::Inactive => "inactive",
        }
    }

    fn of(view: &DefinitionView, overdue: bool) -> Self {
        if !view.definition.is_active {
            return Self::Inactive;
        }
        match view.last_run.as_ref().map(|run| &run.status) {
            None => Self::NeverRan,
            Some(ScanStatus::Failure) => Self::Failed,
            Some(ScanStatus::Unknown(_)) => Self::Unknown,
            Some(ScanStatus::PartialSuccess) => Self::Partial,
            Some(ScanStatus::Success) if overdue => Self::Overdue,
            Some(ScanStatus::Success) => Self::Good,
        }
    }
}

/// The whole page.
#[derive(Debug)]
pub(super) struct Status<'s> {
    /// When it was worked out.
    pub(super) now: Timestamp,
    /// One a tenant, by name.
    pub(super) tenants: Vec<TenantStatus<'s>>,
    /// How many definitions stand how.
    pub(super) counts: [(Condition, usize); 7],
    /// Active definitions whose newest run is older than twice their interval.
    pub(super) overdue: usize,
    /// All definitions.
    pub(super) definitions: usize,
    /// The first [`SHOWN`] of them, what needs attention most first.
    pub(super) rows: Vec<Row<'s>>,
}

/// One tenant.
#[derive(Debug)]
pub(super) struct TenantStatus<'s> {
    pub(super) view: &'s TenantView,
    /// Its budget's use: minute, hour.
    pub(super) usage: [Usage; 2],
    /// What is wrong now.
    pub(super) failures: Vec<(Collector, Reason, &'s str)>,
    /// Until when the service asked for a pause, if that has not passed.
    pub(super) throttled_until: Option<Timestamp>,
}

/// One definition.
#[derive(Debug)]
pub(super) struct Row<'s> {
    pub(super) tenant: &'s TenantName,
    pub(super) view: &'s DefinitionView,
    pub(super) condition: Condition,
    pub(super) overdue: bool,
    pub(super) age: Option<Duration>,
    /// The agent's host name, or its id where that is all that is known.
    pub(super) agent: &'s str,
}

impl<'s> Status<'s> {
    /// The page as of `now`.
    pub(super) fn new(tenants: &'s Tenants, now: Timestamp) -> Self {
        let mut rows: Vec<Row> = tenants
            .values()
            .flat_map(|tenant| {
                tenant
                    .definitions
                    .iter()
                    .map(|view| Row::new(tenant, view, now))
            })
            .collect();
        // Stable: within one condition the oldest run first, then by tenant and id.
        rows.sort_by_key(|row| (row.condition, Reverse(row.age)));
        let counts = Condition::ALL.map(|condition| {
            let rows = rows.iter().filter(|row| row.condition == condition);
            (condition, rows.count())
        });
        let overdue = rows.iter().filter(|row| row.overdue).count();
        let definitions = rows.len();
        rows.truncate(SHOWN);
        Self {
            now,
            tenants: tenants
                .values()
                .map(|view| TenantStatus::new(view, now))
                .collect(),
            counts,
            overdue,
            definitions,
            rows,
        }
    }

    /// Tenants whose last poll worked.
    pub(super) fn up(&self) -> usize {
        let up = |tenant: &&TenantStatus| tenant.view.health.up == Some(true);
        self.tenants.iter().filter(up).count()
    }
}

impl<'s> TenantStatus<'s> {
    fn new(view: &'s TenantView, now: Timestamp) -> Self {
        let failure = |collector: &Collector| {
            let (reason, text) = view.health.collector(*collector).failure.as_ref()?;
            Some((*collector, *reason, text.as_str()))
        };
        Self {
            view,
            usage: view.quota.usage(),
            failures: Collector::ALL.iter().filter_map(failure).collect(),
            throttled_until: view.health.throttled_until.filter(|until| *until > now),
        }
    }
}

impl<'s> Row<'s> {
    fn new(tenant: &'s TenantView, view: &'s DefinitionView, now: Timestamp) -> Self {
        let definition = &view.definition;
        let age = view.last_run.as_ref().map(|run| now.since(run.at));
        let late = age
            .zip(definition.interval)
            .is_some_and(|(age, interval)| age > interval.saturating_mul(2));
        let overdue = late && definition.is_active;
        let agent = definition.agent_id.as_ref().map_or("", |id| {
            let known = tenant.agents.iter().find(|agent| agent.id == *id);
            let name = known.map(|agent| &*agent.computer_dns_name);
            name.filter(|name| !name.is_empty()).unwrap_or(id.as_str())
        });
        Self {
            tenant: &tenant.name,
            view,
            condition: Condition::of(view, overdue),
            overdue,
            age,
            agent,
        }
    }
}

/// Why the exporter is not ready: one sentence a tenant that has neither
/// restored state nor a first poll behind it.
pub(super) fn not_ready(tenants: &Tenants, expected: &[TenantName]) -> Vec<String> {
    let waiting = |name: &&TenantName| {
        let view = tenants.get(*name);
        view.is_none_or(|view| view.health.up.is_none() && view.definitions.is_empty())
    };
    let reason = |name| format!("tenant {name}: its first poll has not ended");
    expected.iter().filter(waiting).map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, definition, tenant};
    use super::*;
    use crate::clock::Clock;
    use crate::snapshot::Snapshot;

    #[tokio::test]
    async fn what_needs_attention_comes_first() {
        let clock = Clock::anchored(NOW);
        let hours = |hours| Some(Duration::from_hours(hours));
        let mut inactive = definition("g", hours(900), ScanStatus::Failure);
        inactive.definition.is_active = false;
        let mut view = tenant("contoso", &clock);
        view.definitions = [
            definition("a", hours(1), ScanStatus::Success),
            definition("b", hours(9), ScanStatus::Success),
            definition("c", hours(1), ScanStatus::PartialSuccess),
            definition("d", None, ScanStatus::Success),
            definition("e", hours(1), ScanStatus::Failure),
            definition("f", hours(2), ScanStatus::Failure),
            inactive,
            definition("h", hours(8), ScanStatus::Success),
            definition("i", hours(1), ScanStatus::Unknown("Odd".into())),
        ]
        .map(Into::into)
        .into();
        let snapshot = Snapshot::default();
        snapshot.publish(view);
        let tenants = snapshot.read();
        let status = Status::new(&tenants, NOW);
        let order: Vec<_> = status
            .rows
            .iter()
            .map(|row| row.view.definition.id.as_str())
            .collect();
        assert_eq!(order, ["f", "e", "i", "c", "b", "d", "h", "a", "g"]);
        assert_eq!(status.overdue, 1);
        assert_eq!(status.counts.map(|(_, count)| count), [2, 1, 1, 1, 1, 2, 1]);
        assert_eq!(status.up(), 1);
    }

    #[tokio::test]
    async fn restored_state_is_enough_to_be_ready() {
        let mut view = tenant("contoso", &Clock::anchored(NOW));
        view.health.up = None;
        let expected = [view.name.clone()];
        let snapshot = Snapshot::default();
        assert_eq!(not_ready(&snapshot.read(), &expected).len(), 1);
        snapshot.publish(view.clone());
        assert!(not_ready(&snapshot.read(), &expected).is_empty());
        view.definitions = [].into();
        snapshot.publish(view);
        assert_eq!(not_ready(&snapshot.read(), &expected).len(), 1);
    }
}
