//! The API's records and how they become the model's.
//!
//! Facts: the service's `$metadata` (namespace `microsoft.windowsDefenderATP.api`)
//! and the reference pages, which spell and name some properties differently.

use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;

use super::errors::{Target, failure_reason, session_errors};
use super::lenient::{Id, Record, Scalar, Shape, is, skip};
use crate::clock::Timestamp;
use crate::defender::times;
use crate::model::{
    Agent, AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, Session, SessionErrors,
    SessionId, TargetType,
};

/// The longest identifier, in characters. A label cannot hold a longer one, and a part of it
/// would not identify anything.
const LONGEST_ID: usize = 512;

/// The longest text that is kept, in characters: more than any label or page shows.
const LONGEST_TEXT: usize = 4_096;

/// A model type that can be read from the wire.
pub trait FromWire: Sized {
    /// Its record.
    #[expect(private_bounds, reason = "sealed: only the types below")]
    type Record: Record<Item = Self>;
    /// Whether the answer may be one record without a list around it.
    const ALONE: bool = false;

    /// Forgets times after `latest`: what lies in the future did not happen.
    fn forget_after(&mut self, latest: Timestamp);
}

impl FromWire for Definition {
    type Record = DefinitionRecord;

    fn forget_after(&mut self, latest: Timestamp) {
        self.latest.take_if(|run| run.at > latest);
    }
}

impl FromWire for Session {
    type Record = SessionRecord;

    fn forget_after(&mut self, latest: Timestamp) {
        self.last_scanned.take_if(|at| *at > latest);
    }
}

impl FromWire for Agent {
    type Record = AgentRecord;
    /// "Get agent by id" is documented with a list; an object would be usual.
    const ALONE: bool = true;

    fn forget_after(&mut self, latest: Timestamp) {
        self.last_seen.take_if(|at| *at > latest);
        self.last_command.take_if(|at| *at > latest);
    }
}

/// Declares a record: its fields, the names of each, how it is read; the names of those that
/// are of no use; then what it becomes.
macro_rules! record {
    ($name:ident {
        $($field:ident: $kind:ty = $($property:literal)|+ => $read:expr,)+
        $(; unused = $($unused:literal)|+)?
    } => $item:ty: $build:expr) => {
        #[derive(Default)]
        pub struct $name {
            $($field: Option<$kind>,)+
        }

        impl Record for $name {
            type Item = $item;

            fn property<'de, A: MapAccess<'de>>(
                &mut self,
                name: &[u8],
                map: &mut A,
            ) -> Result<(), A::Error> {
                $(if $(is(name, $property))||+ {
                    // `null` and nonsense do not displace what was read before.
                    if let Some(value) = $read(map.next_value()?) {
                        self.$field = Some(value);
                    }
                    return Ok(());
                })+
                skip(map)
            }

            fn knows(name: &[u8]) -> bool {
                $($(is(name, $property) ||)+)+ $($(is(name, $unused) ||)+)? false
            }

            fn item(self) -> Option<$item> {
                let build: fn(Self) -> Option<$item> = $build;
                build(self)
            }
        }
    };
}

// `scanAuthenticationParams` is left out on purpose. `target` and `createdBy` are read to keep
// them out of the reason for a failure, and not kept.
record! { DefinitionRecord {
    id: DefinitionId = "id" => id(DefinitionId::new),
    scan_name: Arc<str> = "scanName" => text,
    scan_type: ScanType = "scanType" => scan_type,
    target_type: TargetType = "targetType" => target_type,
    is_active: bool = "isActive" => flag,
    interval_hours: u32 = "intervalInHours" => count,
    agent: ScannerAgent = "scannerAgent" => Shape::<ScannerAgent>::one,
    latest: LatestScan = "latestScan" => Shape::<LatestScan>::one,
    troubleshoot_mode: bool = "isTroubleshootMode" => flag,
    target: Arc<str> = "target" => text,
    created_by: Arc<str> = "createdBy" => text,
    ; unused = "orgId" | "advancedActiveConfiguration" | "scanAuthenticationParams"
} => Definition: |record| Some(Definition {
    failure_reason: record.failure_reason(),
    id: record.id?,
    scan_name: record.scan_name.unwrap_or_default(),
    scan_type: record.scan_type,
    target_type: record.target_type,
    // A list that does not say so is a list of what is in use.
    is_active: record.is_active.unwrap_or(true),
    interval: record.interval_hours.and_then(interval),
    agent_id: record.agent.and_then(|agent| agent.id),
    troubleshoot_mode: record.troubleshoot_mode,
    latest: record.latest.and_then(LatestScan::run),
}) }

impl DefinitionRecord {
    fn failure_reason(&self) -> Option<Arc<str>> {
        let text = self.latest.as_ref()?.failure_reason.as_deref();
        let agent = self.agent.as_ref().and_then(|agent| agent.name.as_deref());
        failure_reason(
            text,
            &[self.target.as_deref(), self.created_by.as_deref(), agent],
        )
    }
}

// Of a definition's agent only the id is kept: the list of agents has the rest.
record! { ScannerAgent {
    id: AgentId = "id" => id(AgentId::new),
    name: Arc<str> = "machineName" => text,
} => Self: Some }

// A run without a time cannot be told from any other.
record! { LatestScan {
    status: ScanStatus = "status" => latest_status,
    at: Timestamp = "executionDateTime" => time,
    failure_reason: Arc<str> = "failureReason" => text,
} => Self: Some }

impl LatestScan {
    fn run(self) -> Option<Run> {
        Some(Run {
            at: self.at?,
            status: self.status.unwrap_or_else(unknown),
        })
    }
}

record! { AgentRecord {
    id: AgentId = "id" => id(AgentId::new),
    machine_id: Arc<str> = "machineId" => text,
    name: Arc<str> = "computerDnsName" | "machineName" => text,
    last_seen: Timestamp = "lastSeen" => time,
    last_command: Timestamp = "lastCommandExecutionTimestamp" => time,
    scanner_version: Arc<str> = "scannerSoftwareVersion" => text,
    client_version: Arc<str> = "mdeClientVersion" => text,
    ; unused = "assignedApplicationId"
} => Agent: |record| Some(Agent {
    id: record.id?,
    machine_id: record.machine_id.unwrap_or_default(),
    computer_dns_name: record.name.unwrap_or_default(),
    last_seen: record.last_seen,
    last_command: record.last_command,
    scanner_version: record.scanner_version.unwrap_or_default(),
    client_version: record.client_version.unwrap_or_default(),
}) }

record! { SessionRecord {
    definition_id: DefinitionId
        = "scanDefinitionId" | "scanDefinitionIds" => id(DefinitionId::new),
    id: SessionId = "sessionId" | "sessionIds" => id(SessionId::new),
    last_scanned: Timestamp = "lastScanned" => time,
    status: ScanStatus = "scanStatus" => session_status,
    targets: u32 = "numberOfTargets" => count,
    targets_succeeded: u32 = "numberOfSuccessfullyScannedTargets" => count,
    targets_scanned: Vec<TargetRecord>
        = "scannedTargets" | "listScannedTargets" => scanned_targets,
    error: Arc<str> = "generalErrorMessage" => text,
    ; unused = "orgId" | "scannerId"
} => Session: |record| {
    let says_something =
        record.id.is_some() || record.last_scanned.is_some() || record.status.is_some();
    Some(Session {
        errors: record.errors(),
        target_durations: record.scanned().filter_map(|target| target.duration).collect(),
        definition_id: record.definition_id.filter(|_| says_something)?,
        id: record.id,
        last_scanned: record.last_scanned,
        status: record.status.unwrap_or_else(unknown),
        targets: record.targets,
        targets_succeeded: record.targets_succeeded,
    })
} }

impl SessionRecord {
    fn scanned(&self) -> impl Iterator<Item = &TargetRecord> {
        self.targets_scanned.iter().flatten()
    }

    fn errors(&self) -> Option<Arc<SessionErrors>> {
        let targets = self.scanned().map(|target| Target {
            names: [target.ip.as_deref(), target.hostname.as_deref()],
            status: target.status.as_ref(),
            error: target.error.as_deref(),
        });
        session_errors(self.error.as_deref(), &targets.collect::<Vec<_>>())
    }
}

record! { TargetRecord {
    duration: Duration = "scanDuration" => length,
    ip: Arc<str> = "ip" => text,
    hostname: Arc<str> = "hostname" => text,
    status: ScanStatus = "scanStatus" => session_status,
    error: Arc<str> = "errorMessage" => text,
} => Self: Some }

fn id<T>(new: fn(&str) -> T) -> impl FnOnce(Id) -> Option<T> {
    move |value| {
        let text = value.text()?;
        (cut(&text, LONGEST_ID).len() == text.len()).then(|| new(&text))
    }
}

fn text(value: Scalar) -> Option<Arc<str>> {
    Some(cut(&value.text()?, LONGEST_TEXT).into())
}

/// The first `limit` characters.
fn cut(text: &str, limit: usize) -> &str {
    // Nearly all are shorter in bytes, too.
    if text.len() <= limit {
        return text;
    }
    let end = text.char_indices().nth(limit);
    end.map_or(text, |(end, _)| &text[..end])
}

fn time(value: Scalar) -> Option<Timestamp> {
    times::timestamp(&value.text()?)
}

fn length(value: Scalar) -> Option<Duration> {
    times::duration(&value.text()?)
}

fn scanned_targets(value: Shape<TargetRecord>) -> Option<Vec<TargetRecord>> {
    Some(value.many()?.items)
}

#[expect(clippy::needless_pass_by_value, reason = "readers take their value")]
fn flag(value: Scalar) -> Option<bool> {
    value.flag()
}

/// An int32 that counts something; negative is nonsense, too large is the maximum.
#[expect(clippy::needless_pass_by_value, reason = "readers take their value")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; saturates"
)]
fn count(value: Scalar) -> Option<u32> {
    let number = value.number()?;
    (number >= 0.0).then_some(number as u32)
}

/// `null`, 0 and negative run once. The wire's type is int32, and so is the maximum.
fn interval(hours: u32) -> Option<Duration> {
    let hours = hours.min(i32::MAX.unsigned_abs());
    (hours > 0).then(|| Duration::from_hours(hours.into()))
}

/// `ScanStatus`: `Success` 0, `Fail` 1. Not the numbers of `AuthenticatedScanStatus`.
fn latest_status(value: Scalar) -> Option<ScanStatus> {
    status(value, &[ScanStatus::Success, ScanStatus::Failure])
}

/// `AuthenticatedScanStatus`: `Failure` 0, `Success` 1, `PartialSuccess` 2.
fn session_status(value: Scalar) -> Option<ScanStatus> {
    let numbers = [
        ScanStatus::Failure,
        ScanStatus::Success,
        ScanStatus::PartialSuccess,
    ];
    status(value, &numbers)
}

fn status(value: Scalar, numbers: &[ScanStatus]) -> Option<ScanStatus> {
    if let Some(known) = member(&value, numbers) {
        return Some(known);
    }
    let text = text(value)?;
    let names = [
        ("success", ScanStatus::Success),
        ("succeeded", ScanStatus::Success),
        ("partialsuccess", ScanStatus::PartialSuccess),
        ("fail", ScanStatus::Failure),
        ("failed", ScanStatus::Failure),
        ("failure", ScanStatus::Failure),
    ];
    let known = names.into_iter().find(|(name, _)| names_alike(&text, name));
    Some(known.map_or_else(|| ScanStatus::Unknown(text.clone()), |(_, known)| known))
}

fn unknown() -> ScanStatus {
    ScanStatus::Unknown("".into())
}

fn scan_type(value: Scalar) -> Option<ScanType> {
    let numbers = [
        ScanType::Network,
        ScanType::Windows,
        ScanType::Linux,
        ScanType::AdvancedActive,
    ];
    if let Some(known) = member(&value, &numbers) {
        return Some(known);
    }
    let text = text(value)?;
    let named = numbers
        .into_iter()
        .find(|member| names_alike(&text, member.as_str()));
    Some(named.unwrap_or(ScanType::Other(text)))
}

fn target_type(value: Scalar) -> Option<TargetType> {
    let text = text(value)?;
    let named = [TargetType::Ip, TargetType::Hostname, TargetType::Combined]
        .into_iter()
        .find(|member| names_alike(&text, member.as_str()));
    Some(named.unwrap_or(TargetType::Other(text)))
}

/// The enum's member of that number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and not negative"
)]
fn member<T: Clone>(value: &Scalar, members: &[T]) -> Option<T> {
    match value {
        Scalar::Integer(number) => members.get(usize::try_from(*number).ok()?).cloned(),
        Scalar::Number(number) if *number >= 0.0 && number.fract() == 0.0 => {
            members.get(*number as usize).cloned()
        }
        _ => None,
    }
}

/// Whether the text is that name of an enum, but for case, spaces, `_` and `-`.
fn names_alike(text: &str, name: &str) -> bool {
    let squeezed = || {
        text.chars()
            .filter(|letter| !letter.is_whitespace() && !matches!(letter, '_' | '-'))
            .map(|letter| letter.to_ascii_lowercase())
    };
    text.eq_ignore_ascii_case(name)
        || squeezed().eq(name.chars().map(|letter| letter.to_ascii_lowercase()))
}
