//! The API's records and how they become the model's.
//!
//! Facts: the service's `$metadata` (namespace `microsoft.windowsDefenderATP.api`)
//! and the reference pages, which spell and name some properties differently.

use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;

use super::lenient::{Record, Scalar, Shape, skip};
use crate::clock::Timestamp;
use crate::defender::times;
use crate::model::{
    Agent, AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, Session, SessionId,
    TargetType,
};

/// A model type that can be read from the wire.
pub(crate) trait FromWire: Sized {
    /// Its record.
    #[expect(private_bounds, reason = "sealed: only the types below")]
    type Record: Record;
    /// Whether the answer may be one record without a list around it.
    const ALONE: bool = false;

    /// `None` if the record lacks the id without which it means nothing.
    fn from_record(record: Self::Record) -> Option<Self>;
}

/// Declares a record of plain values: fields and the lower-case names of each.
macro_rules! record {
    ($name:ident {
        $($field:ident: $kind:ty = $($property:literal)|+ => $read:expr,)+
    }) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $($field: $kind,)+
        }

        impl Record for $name {
            fn property<'de, A: MapAccess<'de>>(
                &mut self,
                name: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                match name {
                    $($($property)|+ => {
                        let value = map.next_value()?;
                        // `null` and nonsense do not displace what was read before.
                        if let Some(value) = $read(value) {
                            self.$field = Some(value);
                        }
                    })+
                    _ => skip(map)?,
                }
                Ok(())
            }
        }
    };
}

fn some(value: Scalar) -> Option<Scalar> {
    (value != Scalar::Absent).then_some(value)
}

fn time(value: Scalar) -> Option<Timestamp> {
    times::timestamp(&value.text()?)
}

fn length(value: Scalar) -> Option<Duration> {
    times::duration(&value.text()?)
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

// `target`, `createdBy` and `scanAuthenticationParams` are left out on purpose.
record! { DefinitionRecord {
    id: Option<String> = "id" => Scalar::text,
    scan_name: Option<String> = "scanname" => Scalar::text,
    scan_type: Option<Scalar> = "scantype" => some,
    target_type: Option<Scalar> = "targettype" => some,
    is_active: Option<bool> = "isactive" => flag,
    interval_hours: Option<u32> = "intervalinhours" => count,
    scanner_agent: Option<AgentRecord> = "scanneragent" => Shape::one,
    latest_scan: Option<LatestScan> = "latestscan" => Shape::one,
}}

record! { LatestScan {
    status: Option<Scalar> = "status" => some,
    execution_date_time: Option<Timestamp> = "executiondatetime" => time,
}}

record! { AgentRecord {
    id: Option<String> = "id" => Scalar::text,
    machine_id: Option<String> = "machineid" => Scalar::text,
    name: Option<String> = "computerdnsname" | "machinename" => Scalar::text,
    last_seen: Option<Timestamp> = "lastseen" => time,
    last_command: Option<Timestamp> = "lastcommandexecutiontimestamp" => time,
    scanner_version: Option<String> = "scannersoftwareversion" => Scalar::text,
    client_version: Option<String> = "mdeclientversion" => Scalar::text,
}}

record! { SessionRecord {
    definition_id: Option<String> = "scandefinitionid" | "scandefinitionids" => Scalar::text,
    id: Option<String> = "sessionid" | "sessionids" => Scalar::text,
    last_scanned: Option<Timestamp> = "lastscanned" => time,
    status: Option<Scalar> = "scanstatus" => some,
    targets: Option<u32> = "numberoftargets" => count,
    targets_succeeded: Option<u32> = "numberofsuccessfullyscannedtargets" => count,
    scanned: Option<Vec<Option<TargetRecord>>>
        = "scannedtargets" | "listscannedtargets" => Shape::many,
}}

record! { TargetRecord {
    duration: Option<Duration> = "scanduration" => length,
}}

impl FromWire for Definition {
    type Record = DefinitionRecord;

    fn from_record(record: DefinitionRecord) -> Option<Self> {
        Some(Self {
            id: DefinitionId::new(&record.id?),
            scan_name: text(record.scan_name),
            scan_type: record.scan_type.and_then(scan_type),
            target_type: record.target_type.and_then(target_type),
            // A list that does not say so is a list of what is in use.
            is_active: record.is_active.unwrap_or(true),
            interval: record.interval_hours.and_then(interval),
            agent_id: record
                .scanner_agent
                .and_then(|agent| agent.id)
                .map(|id| AgentId::new(&id)),
            latest: record.latest_scan.and_then(latest),
        })
    }
}

impl FromWire for Session {
    type Record = SessionRecord;

    fn from_record(record: SessionRecord) -> Option<Self> {
        let scanned = record.scanned.unwrap_or_default();
        Some(Self {
            definition_id: DefinitionId::new(&record.definition_id?),
            id: record.id.map(|id| SessionId::new(&id)),
            last_scanned: record.last_scanned,
            status: session_status(record.status),
            targets: record.targets,
            targets_succeeded: record.targets_succeeded,
            target_durations: scanned
                .into_iter()
                .flatten()
                .filter_map(|target| target.duration)
                .collect(),
        })
    }
}

impl FromWire for Agent {
    type Record = AgentRecord;
    /// "Get agent by id" is documented with a list; an object would be usual.
    const ALONE: bool = true;

    fn from_record(record: AgentRecord) -> Option<Self> {
        Some(Self {
            id: AgentId::new(&record.id?),
            machine_id: text(record.machine_id),
            computer_dns_name: text(record.name),
            last_seen: record.last_seen,
            last_command: record.last_command,
            scanner_version: text(record.scanner_version),
            client_version: text(record.client_version),
        })
    }
}

fn text(value: Option<String>) -> Arc<str> {
    value.unwrap_or_default().into()
}

/// `null`, 0 and negative run once. The wire's type is int32, and so is the maximum.
fn interval(hours: u32) -> Option<Duration> {
    let hours = hours.min(i32::MAX.unsigned_abs());
    (hours > 0).then(|| Duration::from_hours(hours.into()))
}

/// A run without a time can not be told from any other.
fn latest(record: LatestScan) -> Option<Run> {
    let at = record.execution_date_time?;
    // `ScanStatus`: `Success` 0, `Fail` 1. Not the numbers of `AuthenticatedScanStatus`.
    let numbers = [ScanStatus::Success, ScanStatus::Failure];
    Some(Run {
        at,
        status: status(record.status, &numbers),
    })
}

/// `AuthenticatedScanStatus`: `Failure` 0, `Success` 1, `PartialSuccess` 2.
fn session_status(value: Option<Scalar>) -> ScanStatus {
    let numbers = [
        ScanStatus::Failure,
        ScanStatus::Success,
        ScanStatus::PartialSuccess,
    ];
    status(value, &numbers)
}

fn status(value: Option<Scalar>, numbers: &[ScanStatus]) -> ScanStatus {
    let value = value.unwrap_or_default();
    if let Some(known) = member(&value, numbers) {
        return known;
    }
    let text = value.text().unwrap_or_default();
    match squeezed(&text).as_str() {
        "success" | "succeeded" => ScanStatus::Success,
        "partialsuccess" => ScanStatus::PartialSuccess,
        "fail" | "failed" | "failure" => ScanStatus::Failure,
        _ => ScanStatus::Unknown(text.into()),
    }
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
    let text = value.text()?;
    let known = squeezed(&text);
    let named = numbers
        .into_iter()
        .find(|member| member.as_str().eq_ignore_ascii_case(&known));
    Some(named.unwrap_or_else(|| ScanType::Other(text.into())))
}

fn target_type(value: Scalar) -> Option<TargetType> {
    let text = value.text()?;
    let known = squeezed(&text);
    let named = [TargetType::Ip, TargetType::Hostname, TargetType::Combined]
        .into_iter()
        .find(|member| member.as_str().eq_ignore_ascii_case(&known));
    Some(named.unwrap_or_else(|| TargetType::Other(text.into())))
}

/// The enum's member of that number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and not negative"
)]
fn member<T: Clone>(value: &Scalar, members: &[T]) -> Option<T> {
    match value {
        Scalar::Number(number) if *number >= 0.0 && number.fract() == 0.0 => {
            members.get(*number as usize).cloned()
        }
        _ => None,
    }
}

/// An enum's name without case, spaces, `_` and `-`.
fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_whitespace() && !matches!(letter, '_' | '-'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}
