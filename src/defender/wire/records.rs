//! The API's records and how they become the model's.
//!
//! Facts: the service's `$metadata` (namespace `microsoft.windowsDefenderATP.api`)
//! and the reference pages, which spell and name some properties differently.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;

use super::errors::failure_reason;
use super::lenient::Unreadable;
use super::read::{borrowed, count, flag, id, latest_status, scan_type, target_type, text, time};
use super::shape::{Record, Shape, is, skip};
use crate::clock::Timestamp;
use crate::model::{
    Agent, AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, TargetType,
};

/// A model type that can be read from the wire.
pub trait FromWire: Sized {
    /// Its record.
    #[expect(private_bounds, reason = "sealed: only the types below")]
    type Record<'de>: Record<'de, Item = Self>;
    /// Whether the answer may be one record without a list around it.
    const ALONE: bool = false;
    /// The properties of the time without which all records together mean nothing.
    const TIMES: &[&str] = &[];

    /// Whether it has that time.
    fn has_time(&self) -> bool {
        true
    }

    /// Forgets times after `latest`: what lies in the future did not happen.
    fn forget_after(&mut self, latest: Timestamp);
}

impl FromWire for Definition {
    type Record<'de> = DefinitionRecord<'de>;
    const TIMES: &[&str] = &["latestScan", "executionDateTime"];

    fn has_time(&self) -> bool {
        self.latest.is_some()
    }

    fn forget_after(&mut self, latest: Timestamp) {
        self.latest.take_if(|run| run.at > latest);
    }
}

impl FromWire for Agent {
    type Record<'de> = AgentRecord;
    /// "Get agent by id" is documented with a list; an object would be usual.
    const ALONE: bool = true;

    fn forget_after(&mut self, latest: Timestamp) {
        self.last_seen.take_if(|at| *at > latest);
        self.last_command.take_if(|at| *at > latest);
    }
}

/// Declares a record: its fields, the names of each, how it is read; the names of those that
/// are of no use; the records within it; then what it becomes.
macro_rules! record {
    ($name:ident $(<$life:lifetime>)? {
        $($field:ident: $kind:ty = $($property:literal)|+ => $read:expr,)+
        $(; unused = $($unused:literal)|+)?
        $(; within = $within:expr)?
    } => $item:ty: $build:expr) => {
        #[derive(Default)]
        pub struct $name $(<$life>)? {
            $($field: Option<$kind>,)+
            unreadable: Vec<&'static str>,
        }

        impl<'de> Record<'de> for $name $(<$life>)? {
            type Item = $item;

            fn property<A: MapAccess<'de>>(
                &mut self,
                name: &[u8],
                map: &mut A,
            ) -> Result<(), A::Error> {
                $(if $(is(name, $property))||+ {
                    // `null` and nonsense do not displace what was read before.
                    match $read(map.next_value()?) {
                        Ok(None) => {}
                        Ok(value) => self.$field = value,
                        Err(Unreadable) => self.unreadable.push([$($property),+][0]),
                    }
                    return Ok(());
                })+
                skip(map)
            }

            fn unreadable(&self, into: &mut Vec<&'static str>) {
                into.extend(&self.unreadable);
                $(let within: fn(&Self, &mut Vec<&'static str>) = $within;
                within(self, into);)?
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

mod session;

// `scanAuthenticationParams` is left out on purpose. `target` and `createdBy` are read to keep
// them out of the reason for a failure, and not kept.
record! { DefinitionRecord<'de> {
    id: DefinitionId = "id" => id(DefinitionId::new),
    scan_name: Arc<str> = "scanName" => text,
    scan_type: ScanType = "scanType" => scan_type,
    target_type: TargetType = "targetType" => target_type,
    is_active: bool = "isActive" => flag,
    interval_hours: u32 = "intervalInHours" => count,
    agent: ScannerAgent<'de> = "scannerAgent" => Shape::<ScannerAgent>::one,
    latest: LatestScan<'de> = "latestScan" => Shape::<LatestScan>::one,
    troubleshoot_mode: bool = "isTroubleshootMode" => flag,
    target: Cow<'de, str> = "target" => borrowed,
    created_by: Cow<'de, str> = "createdBy" => borrowed,
    ; unused = "orgId" | "advancedActiveConfiguration" | "scanAuthenticationParams"
    ; within = |record, into| {
        record.latest.iter().for_each(|latest| latest.unreadable(into));
        record.agent.iter().for_each(|agent| agent.unreadable(into));
    }
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

impl DefinitionRecord<'_> {
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
record! { ScannerAgent<'de> {
    id: AgentId = "id" => id(AgentId::new),
    name: Cow<'de, str> = "machineName" => borrowed,
} => Self: Some }

// A run without a time cannot be told from any other.
record! { LatestScan<'de> {
    status: ScanStatus = "status" => latest_status,
    at: Timestamp = "executionDateTime" => time,
    failure_reason: Cow<'de, str> = "failureReason" => borrowed,
} => Self: Some }

impl LatestScan<'_> {
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

/// `null`, 0 and negative run once.
fn interval(hours: u32) -> Option<Duration> {
    (hours > 0).then(|| Duration::from_hours(hours.into()))
}

fn unknown() -> ScanStatus {
    ScanStatus::Unknown("".into())
}
