//! What the status page says, before it is written as HTML.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::query::{Query, Sort};
use crate::budget::Usage;
use crate::clock::Timestamp;
use crate::model::health::{Collector, CollectorHealth};
use crate::model::view::DefinitionView;
use crate::model::{Agent, AgentId, ScanStatus, ScanType, TenantName};
use crate::polling::snapshot::{TenantView, Tenants};

/// Definitions on one page.
pub(super) const PAGE: usize = 100;

/// How a definition stands; what needs attention most comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// The newest run failed.
    Failed,
    /// The newest run's status is unknown to this version.
    Unknown,
    /// The newest run reached some of its targets.
    Partial,
    /// Active, but never ran.
    NeverRan,
    /// The newest run succeeded.
    Succeeded,
    /// Not active.
    Inactive,
    /// In progress. Only a session can be; a definition shows the status of its newest finished run.
    Running,
}

impl Condition {
    /// How a definition may stand, in order.
    pub(super) const ALL: [Self; 6] = [
        Self::Failed,
        Self::Unknown,
        Self::Partial,
        Self::NeverRan,
        Self::Succeeded,
        Self::Inactive,
    ];

    /// One or two words.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown status",
            Self::Partial => "partial",
            Self::NeverRan => "never ran",
            Self::Succeeded => "succeeded",
            Self::Inactive => "inactive",
            Self::Running => "running",
        }
    }

    /// As the URL and the style sheet name it.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::NeverRan => "never",
            Self::Succeeded => "succeeded",
            Self::Inactive => "inactive",
            Self::Running => "running",
        }
    }

    /// The member that the URL names, if there is one.
    pub(super) fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|member| member.key() == key)
    }

    /// How a run went.
    pub(super) fn of_run(status: &ScanStatus) -> Self {
        match status {
            running if running.is_running() => Self::Running,
            ScanStatus::Failure => Self::Failed,
            ScanStatus::Unknown(_) => Self::Unknown,
            ScanStatus::PartialSuccess => Self::Partial,
            ScanStatus::Success => Self::Succeeded,
        }
    }

    fn of(view: &DefinitionView) -> Self {
        if !view.definition.is_active {
            return Self::Inactive;
        }
        let last = view.last_run.as_ref();
        last.map_or(Self::NeverRan, |run| Self::of_run(&run.status))
    }
}

/// The whole page.
#[derive(Debug)]
pub(super) struct Status<'s> {
    /// When it was worked out.
    pub(super) now: Timestamp,
    /// One a tenant, what needs attention first, then by name.
    pub(super) tenants: Vec<TenantStatus<'s>>,
    /// All agents, the one that has been silent longest first.
    pub(super) agents: Vec<AgentStatus<'s>>,
    /// How many definitions stand how.
    pub(super) counts: [(Condition, usize); 6],
    /// How many are overdue.
    pub(super) overdue: usize,
    /// All definitions.
    pub(super) definitions: usize,
    /// All scan types.
    pub(super) scan_types: BTreeSet<&'s str>,
    /// Those that were asked for.
    pub(super) matching: usize,
    /// Of these, a page.
    pub(super) rows: Vec<Row<'s>>,
    /// Which page, counted from 1, and how many there are.
    pub(super) page: usize,
    pub(super) pages: usize,
}

/// One tenant.
#[derive(Debug)]
pub(super) struct TenantStatus<'s> {
    pub(super) view: &'s TenantView,
    /// Its budget's use: minute, hour.
    pub(super) usage: [Usage; 2],
    /// What is wrong now.
    pub(super) failures: Vec<(Collector, &'s CollectorHealth)>,
    /// Until when the service asked for a pause, if that has not passed.
    pub(super) throttled_until: Option<Timestamp>,
    /// Until when polling runs on the reserve, if that has not passed.
    pub(super) reserve_until: Option<Timestamp>,
    /// The age of the list of definitions; `None` if it was never fetched.
    pub(super) data_age: Option<Duration>,
}

/// One scanning agent.
#[derive(Debug)]
pub(super) struct AgentStatus<'s> {
    pub(super) tenant: &'s TenantName,
    pub(super) agent: &'s Agent,
    /// How many active definitions it runs.
    pub(super) definitions: usize,
}

/// One definition.
#[derive(Debug)]
pub(super) struct Row<'s> {
    pub(super) tenant: &'s TenantName,
    pub(super) view: &'s DefinitionView,
    pub(super) condition: Condition,
    /// Since when the next run is due, if the newest is older than twice the interval.
    pub(super) overdue: Option<Duration>,
    /// Of the newest run.
    pub(super) age: Option<Duration>,
    /// Its agent, if it is in the list of agents.
    pub(super) agent: Option<&'s Agent>,
    /// The agent's host name, or its id where that is all that is known.
    pub(super) agent_name: &'s str,
}

impl<'s> Status<'s> {
    /// What was asked for, as of `now`.
    pub(super) fn new(tenants: &'s Tenants, query: &Query, now: Timestamp) -> Self {
        let mut rows: Vec<Row> = tenants.values().flat_map(|view| rows(view, now)).collect();
        let counts = Condition::ALL.map(|condition| {
            let rows = rows.iter().filter(|row| row.condition == condition);
            (condition, rows.count())
        });
        let overdue = rows.iter().filter(|row| row.overdue.is_some()).count();
        let definitions = rows.len();
        let scan_types = rows.iter().filter_map(Row::scan_type).collect();
        let words: Vec<String> = query
            .search
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        rows.retain(|row| row.matches(query, &words));
        // Stable: what is alike stays by tenant and id.
        rows.sort_by_key(Row::attention);
        sort(&mut rows, query);
        let matching = rows.len();
        let pages = matching.div_ceil(PAGE).max(1);
        let page = query.page.min(pages);
        let rows = rows.into_iter().skip((page - 1) * PAGE).take(PAGE);
        let mut status = Self {
            now,
            tenants: tenants
                .values()
                .map(|view| TenantStatus::new(view, now))
                .collect(),
            agents: tenants.values().flat_map(|view| agents(view)).collect(),
            counts,
            overdue,
            definitions,
            scan_types,
            matching,
            rows: rows.collect(),
            page,
            pages,
        };
        status.tenants.sort_by_key(TenantStatus::is_well);
        status.agents.sort_by_key(|known| known.agent.last_seen);
        status
    }

    /// Tenants whose last poll worked.
    pub(super) fn up(&self) -> usize {
        let up = |tenant: &&TenantStatus| tenant.view.health.up == Some(true);
        self.tenants.iter().filter(up).count()
    }

    /// The largest share of an hour's budget that a tenant has used, in percent.
    pub(super) fn budget_used(&self) -> usize {
        let shares = self.tenants.iter().map(|tenant| percent(tenant.usage[1]));
        shares.max().unwrap_or(0)
    }

    /// The age of the oldest list of definitions; `None` if one was never fetched.
    pub(super) fn data_age(&self) -> Option<Duration> {
        let ages = self.tenants.iter().map(|tenant| tenant.data_age);
        ages.min_by_key(|age| age.map(Reverse)).flatten()
    }
}

/// A budget's use, in percent.
pub(super) fn percent(usage: Usage) -> usize {
    (usage.used * 100).checked_div(usage.limit).unwrap_or(0)
}

impl<'s> TenantStatus<'s> {
    /// How it stands as of `now`.
    pub(super) fn new(view: &'s TenantView, now: Timestamp) -> Self {
        let collectors = Collector::ALL.iter();
        let collectors = collectors.map(|known| (*known, view.health.collector(*known)));
        Self {
            view,
            usage: view.budget.usage(),
            failures: collectors
                .filter(|(_, health)| health.failure.is_some())
                .collect(),
            throttled_until: view.health.throttled_until.filter(|until| *until > now),
            reserve_until: view.health.reserve_until.filter(|until| *until > now),
            data_age: view.health.definitions.last_success.map(|at| now.since(at)),
        }
    }

    /// Whether there is nothing to say of it.
    pub(super) fn is_well(&self) -> bool {
        let up = self.view.health.up == Some(true);
        up && self.failures.is_empty() && self.throttled_until.is_none()
    }
}

/// All definitions of a tenant.
fn rows(tenant: &TenantView, now: Timestamp) -> impl Iterator<Item = Row<'_>> {
    let agents: HashMap<&AgentId, &Agent> = tenant
        .agents
        .iter()
        .map(|agent| (&agent.id, agent))
        .collect();
    let definitions = tenant.definitions.iter();
    definitions.map(move |view| Row::new(tenant, view, &agents, now))
}

/// All agents of a tenant.
fn agents(tenant: &TenantView) -> impl Iterator<Item = AgentStatus<'_>> {
    let mut definitions: HashMap<&AgentId, usize> = HashMap::new();
    for view in tenant.definitions.iter() {
        if let (true, Some(id)) = (view.definition.is_active, &view.definition.agent_id) {
            *definitions.entry(id).or_default() += 1;
        }
    }
    tenant.agents.iter().map(move |agent| AgentStatus {
        tenant: &tenant.name,
        agent,
        definitions: definitions.get(&agent.id).copied().unwrap_or(0),
    })
}

/// One definition, if it is known.
pub(super) fn find<'s>(tenant: &'s TenantView, id: &str, now: Timestamp) -> Option<Row<'s>> {
    rows(tenant, now).find(|row| row.view.definition.id.as_str() == id)
}

impl<'s> Row<'s> {
    fn new(
        tenant: &'s TenantView,
        view: &'s DefinitionView,
        agents: &HashMap<&AgentId, &'s Agent>,
        now: Timestamp,
    ) -> Self {
        let definition = &view.definition;
        let age = view.last_run.as_ref().map(|run| now.since(run.at));
        let late = age
            .zip(definition.interval)
            .filter(|(age, interval)| *age > interval.saturating_mul(2))
            .map(|(age, interval)| age.saturating_sub(interval));
        let agent_id = definition.agent_id.as_ref();
        let agent = agent_id.and_then(|id| agents.get(id).copied());
        let name = agent.map_or("", |agent| &*agent.computer_dns_name);
        Self {
            tenant: &tenant.name,
            view,
            condition: Condition::of(view),
            overdue: late.filter(|_| definition.is_active),
            age,
            agent,
            agent_name: match name {
                "" => agent_id.map_or("", AgentId::as_str),
                name => name,
            },
        }
    }

    /// The type's name, if the service sent one.
    pub(super) fn scan_type(&self) -> Option<&'s str> {
        let scan_type = self.view.definition.scan_type.as_ref();
        scan_type
            .map(ScanType::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Whether a scan succeeded, but is not recent enough.
    fn is_only_overdue(&self) -> bool {
        self.condition == Condition::Succeeded && self.overdue.is_some()
    }

    /// What needs attention most is least: by condition, where what is merely
    /// overdue comes before what never ran; within one, the oldest first.
    fn attention(&self) -> (Condition, bool, Reverse<Option<Duration>>) {
        let overdue = self.is_only_overdue();
        let condition = if overdue {
            Condition::NeverRan
        } else {
            self.condition
        };
        (condition, !overdue, Reverse(self.age))
    }

    fn matches(&self, query: &Query, words: &[String]) -> bool {
        let wanted = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        if !wanted(&query.tenant, self.tenant.as_str())
            || !wanted(&query.scan_type, self.scan_type().unwrap_or_default())
            || query
                .condition
                .is_some_and(|wanted| wanted != self.condition)
            || (query.overdue && self.overdue.is_none())
        {
            return false;
        }
        if words.is_empty() {
            return true;
        }
        let definition = &self.view.definition;
        let texts = [
            &*definition.scan_name,
            definition.id.as_str(),
            self.agent_name,
        ];
        let texts = texts.map(str::to_lowercase);
        let found = |word: &String| texts.iter().any(|text| text.contains(word));
        words.iter().all(found)
    }

    /// What it is sorted by; `None` comes last in both directions.
    fn key(&self, sort: Sort) -> Option<SortKey<'s>> {
        let text = |text: &str| (!text.is_empty()).then(|| SortKey::Text(text.to_lowercase()));
        let definition = &self.view.definition;
        match sort {
            Sort::Status => None,
            Sort::Name => text(&definition.scan_name),
            Sort::Tenant => Some(SortKey::Tenant(self.tenant)),
            Sort::Type => text(self.scan_type()?),
            Sort::Last => self.age.map(SortKey::Time),
            Sort::Interval => definition.interval.map(SortKey::Time),
            Sort::Overdue => self.overdue.map(SortKey::Time),
            Sort::Targets => self.view.targets.total.map(SortKey::Count),
            Sort::Agent => text(self.agent_name),
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey<'s> {
    Text(String),
    Tenant(&'s TenantName),
    Time(Duration),
    Count(u32),
}

/// Sorts rows that are in the order of attention.
fn sort(rows: &mut Vec<Row>, query: &Query) {
    if query.sort == Sort::Status {
        if query.descending {
            rows.reverse();
        }
        return;
    }
    let mut keyed: Vec<_> = rows
        .drain(..)
        .map(|row| (row.key(query.sort), row))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) if query.descending => b.cmp(a),
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    rows.extend(keyed.into_iter().map(|(_, row)| row));
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
