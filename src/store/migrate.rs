//! From older schemas to this one, inside the transaction that opens the file.
//!
//! | to | what changed |
//! | --- | --- |
//! | 2 | a scan ends with its newest sessions; they are learned anew from history |
//! | 3 | rows are CBOR with numbered fields; they were postcard, in the order of live types |
//! | 4 | a row has many calls, and each collector a row; each call had one, and all collectors shared their tenant's, where they are still read |
//!
//! The types here are the layouts of schemas 1 and 2, and so are never changed: postcard
//! knows fields by their order alone. So is [`CallRow`], the layout of a call in schema 3.

use std::collections::BTreeMap;
use std::time::Duration;

use redb::{Key, ReadableTable as _, TableDefinition, Value, WriteTransaction};
use serde::{Deserialize, de::DeserializeOwned};

use super::agent_row::AgentRow;
use super::call_log::{self, CallRow};
use super::rows::{self, CollectorRow, CountRow, DefinitionRow, HistogramRow, Stamp, TenantRow};
use super::scan_row::{CountsRow, RunRow, ScanRow, SessionRow, StatusRow};
use super::{BUDGETS, DEFINITIONS, StoreError, TENANTS};

/// Labels in the order of their enums at the time of schemas 1 and 2.
const COLLECTORS: [&str; 3] = ["definitions", "history", "agents"];
const REASONS: [&str; 8] = [
    "auth",
    "forbidden",
    "throttled",
    "timeout",
    "connect",
    "server",
    "client",
    "decode",
];
const AUTH_REASONS: [&str; 11] = [
    "wrong_secret",
    "expired_secret",
    "unknown_application",
    "unknown_tenant",
    "bad_assertion",
    "missing_service_principal",
    "conditional_access",
    "refused",
    "timeout",
    "connect",
    "other",
];

/// A member of an enum without fields, by its place.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Member(u32);

impl Member {
    fn label(&self, labels: &[&str]) -> String {
        let label = usize::try_from(self.0)
            .ok()
            .and_then(|place| labels.get(place));
        (*label.unwrap_or(&"other")).to_owned()
    }
}

#[derive(Deserialize)]
enum Status {
    Failure,
    Success,
    PartialSuccess,
    Unknown(String),
}

#[derive(Deserialize)]
enum ScanType {
    Network,
    Windows,
    Linux,
    AdvancedActive,
    Other(String),
}

#[derive(Deserialize)]
enum TargetType {
    Ip,
    Hostname,
    Combined,
    Other(String),
}

#[derive(Deserialize)]
struct Definition {
    id: String,
    scan_name: String,
    scan_type: Option<ScanType>,
    target_type: Option<TargetType>,
    is_active: bool,
    interval: Option<Duration>,
    agent_id: Option<String>,
    latest: Option<(i64, Status)>,
}

/// When, how, of how many targets, and how many of them.
type Newest = (Option<i64>, Status, Option<u32>, Option<u32>);

/// A scan of schema 1.
#[derive(Deserialize)]
struct Scan1 {
    definition: Definition,
    newest: Option<Newest>,
    covered: bool,
    last_success: Option<i64>,
    seen: Vec<u64>,
    #[expect(dead_code, reason = "postcard knows fields by their order alone")]
    met: bool,
    /// Success, partial success, failure, unknown.
    counts: (u64, u64, u64, u64),
}

/// Identity, and what [`Newest`] has.
type Known = (u64, Option<i64>, Status, Option<u32>, Option<u32>);

/// A scan of schema 2.
#[derive(Deserialize)]
struct Scan2 {
    scan: Scan1,
    recent: Vec<Known>,
}

/// When it was fetched, until when it is quarantined, and when it vanished.
type Times = (Option<i64>, Option<i64>, Option<i64>);

/// Boot id, uptime and wall clock.
type StampTuple = (Option<String>, u64, i64);

type HistogramTuple = (Vec<u64>, f64);

#[derive(Deserialize)]
struct Collector {
    last_success: Option<i64>,
    last_duration: Option<f64>,
    errors: BTreeMap<Member, u64>,
    requests: BTreeMap<Option<u16>, u64>,
    request_seconds: HistogramTuple,
}

/// Id, machine id, DNS name, last seen, last command, versions of scanner and client.
type Agent = (
    String,
    String,
    String,
    Option<i64>,
    Option<i64>,
    String,
    String,
);

#[derive(Deserialize)]
struct Tenant {
    stamp: StampTuple,
    batch_size: usize,
    pause: Option<Duration>,
    agents: Vec<Agent>,
    target_seconds: HistogramTuple,
    collectors: [Collector; 3],
    auth_errors: BTreeMap<Member, u64>,
}

/// Collector, boot id, sent and answered.
type Call = (Member, Option<String>, u64, Option<u64>);

/// A row for each call, until schema 3.
const CALLS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("calls");

/// Brings all rows from an older schema to this one. A row that cannot be read is left out.
pub(super) fn run(writing: &WriteTransaction, from: u64) -> Result<(), StoreError> {
    if from < 3 {
        to_3(writing, from)?;
    }
    // Of whose budget those of schema 2 are follows when the tenant is loaded: until then they are
    // kept by its name.
    let mut calls = BTreeMap::<_, Vec<_>>::new();
    for entry in writing.open_table(CALLS)?.iter()? {
        let (key, row) = entry?;
        let (owner, number) = key.value();
        let call = if from < 3 {
            read(owner, row.value()).map(call_row)
        } else {
            rows::read(owner, row.value())
        };
        let of = calls.entry(owner.to_owned()).or_default();
        match call {
            Some(call) => of.push((number, Some(call))),
            None => call_log::incomplete(writing, owner)?,
        }
    }
    writing.delete_table(CALLS)?;
    // Each budget gets a number, also one without calls: where it is lost, so are its calls.
    for budget in writing.open_table(BUDGETS)?.iter()? {
        calls.entry(budget?.0.value().to_owned()).or_default();
    }
    for (owner, calls) in calls {
        call_log::change(writing, &owner, 0, &calls)?;
    }
    Ok(())
}

/// Definitions and tenants, from schema 1 or 2, which is `from`, to 3.
fn to_3(writing: &WriteTransaction, from: u64) -> Result<(), StoreError> {
    rewrite(writing, DEFINITIONS, |(tenant, id), row| {
        let (scan, times): (Scan2, Times) = if from == 1 {
            let (scan, times) = read(tenant, row)?;
            let recent = Vec::new();
            (Scan2 { scan, recent }, times)
        } else {
            read(tenant, row)?
        };
        Some((
            (tenant.to_owned(), id.to_owned()),
            rows::encode(&definition(&scan, times)).ok()?,
        ))
    })?;
    rewrite(writing, TENANTS, |tenant, row| {
        let row = tenant_row(read(tenant, row)?);
        Some((tenant.to_owned(), rows::encode(&row).ok()?))
    })
}

fn call_row((collector, boot_id, sent_ms, answered_ms): Call) -> CallRow {
    CallRow {
        collector: collector.label(&COLLECTORS),
        boot_id,
        sent_ms,
        answered_ms,
    }
}

fn read<T: DeserializeOwned>(tenant: &str, row: &[u8]) -> Option<T> {
    let row = postcard::from_bytes(row);
    row.inspect_err(
        |error| tracing::warn!(tenant, %error, "a row of the saved state cannot be read and is ignored"),
    )
    .ok()
}

/// Writes each row of a table anew; those that become `None` go.
fn rewrite<K, O>(
    writing: &WriteTransaction,
    table: TableDefinition<K, &[u8]>,
    row: impl Fn(K::SelfType<'_>, &[u8]) -> Option<(O, Vec<u8>)>,
) -> Result<(), StoreError>
where
    K: Key + 'static,
    O: OwnedKey<K>,
{
    let mut table = writing.open_table(table)?;
    let mut written = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        written.extend(row(key.value(), value.value()));
    }
    table.retain(|_, _| false)?;
    for (key, value) in written {
        table.insert(key.borrowed(), value.as_slice())?;
    }
    Ok(())
}

/// A key that outlives the table it was read from.
trait OwnedKey<K: Key + 'static> {
    fn borrowed(&self) -> <K as Value>::SelfType<'_>;
}

impl OwnedKey<&'static str> for String {
    fn borrowed(&self) -> &str {
        self
    }
}

impl OwnedKey<(&'static str, &'static str)> for (String, String) {
    fn borrowed(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

fn definition(
    scan: &Scan2,
    (fetched_ms, quarantined_until_ms, vanished_ms): Times,
) -> DefinitionRow<'_> {
    let Scan2 { scan, recent } = scan;
    let of = &scan.definition;
    let (success, partial_success, failure, unknown) = scan.counts;
    let newest = scan.newest.as_ref();
    let scan = ScanRow {
        id: &of.id,
        scan_name: &of.scan_name,
        scan_type: of.scan_type.as_ref().map(|it| match it {
            ScanType::Network => "Network",
            ScanType::Windows => "Windows",
            ScanType::Linux => "Linux",
            ScanType::AdvancedActive => "AdvancedActive",
            ScanType::Other(name) => name,
        }),
        target_type: of.target_type.as_ref().map(|it| match it {
            TargetType::Ip => "Ip",
            TargetType::Hostname => "Hostname",
            TargetType::Combined => "Combined",
            TargetType::Other(name) => name,
        }),
        is_active: of.is_active,
        interval_seconds: of.interval.map(|interval| interval.as_secs()),
        agent_id: of.agent_id.as_deref(),
        latest: of.latest.as_ref().map(|(at_ms, status)| RunRow {
            at_ms: *at_ms,
            status: status_row(status),
        }),
        newest: newest.map(|(at_ms, status, targets, succeeded)| SessionRow {
            identity: 0,
            at_ms: *at_ms,
            status: status_row(status),
            targets: *targets,
            targets_succeeded: *succeeded,
            errors: None,
        }),
        covered: scan.covered,
        last_success_ms: scan.last_success,
        seen: scan.seen.clone(),
        counts: CountsRow {
            success,
            partial_success,
            failure,
            unknown,
        },
        recent: recent.iter().map(known).collect(),
        corrected: false,
        running_ms: None,
        open: Vec::new(),
        created_ms: None,
        troubleshoot_mode: None,
        failure_reason: None,
        bare: Vec::new(),
    };
    DefinitionRow {
        scan,
        fetched_ms,
        quarantined_until_ms,
        vanished_ms,
    }
}

fn known((identity, at_ms, status, targets, targets_succeeded): &Known) -> SessionRow<'_> {
    SessionRow {
        identity: *identity,
        at_ms: *at_ms,
        status: status_row(status),
        targets: *targets,
        targets_succeeded: *targets_succeeded,
        errors: None,
    }
}

fn status_row(status: &Status) -> StatusRow<'_> {
    let (code, word) = match status {
        Status::Failure => (0, None),
        Status::Success => (1, None),
        Status::PartialSuccess => (2, None),
        Status::Unknown(word) => (-1, Some(word.as_str())),
    };
    StatusRow { code, word }
}

fn tenant_row(row: Tenant) -> TenantRow {
    let (boot_id, uptime_ms, wall_ms) = row.stamp;
    let histogram = |(counts, sum): HistogramTuple| HistogramRow { counts, sum };
    let labelled = |counts: BTreeMap<Member, u64>, labels: &[&str]| {
        let counts = counts.into_iter();
        counts
            .map(|(member, count)| CountRow {
                label: member.label(labels),
                count,
            })
            .collect()
    };
    let collectors = row.collectors.into_iter().map(|it| CollectorRow {
        last_success_ms: it.last_success,
        last_duration: it.last_duration,
        errors: labelled(it.errors, &REASONS),
        requests: it
            .requests
            .into_iter()
            .map(|(status, count)| CountRow {
                label: status.map_or_else(String::new, |code| code.to_string()),
                count,
            })
            .collect(),
        request_seconds: histogram(it.request_seconds),
        ..CollectorRow::default()
    });
    let agents = row.agents.into_iter().map(
        |(
            id,
            machine_id,
            computer_dns_name,
            last_seen_ms,
            last_command_ms,
            scanner_version,
            client_version,
        )| AgentRow {
            id,
            machine_id,
            computer_dns_name,
            last_seen_ms,
            last_command_ms,
            scanner_version,
            client_version,
        },
    );
    TenantRow {
        stamp: Stamp {
            boot_id,
            uptime_ms,
            wall_ms,
        },
        batch_size: row.batch_size,
        pause_ms: row.pause.map(rows::whole_millis),
        agents: agents.collect(),
        target_seconds: histogram(row.target_seconds),
        collectors: collectors.collect(),
        auth_errors: labelled(row.auth_errors, &AUTH_REASONS),
        directory: None,
        restarts: 0,
        links_refused: 0,
        created_ms: None,
    }
}
