//! Sessions: as history by definition tells of them, and as history by session does.

use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;

use super::super::errors::{FailedTarget, session_errors};
use super::super::lenient::{Read, Unreadable};
use super::super::read::{count, id, length, session_id, session_status, text, time};
use super::super::shape::{Record, Shape, is, skip};
use super::{FromWire, unknown};
use crate::clock::Timestamp;
use crate::model::{
    DefinitionId, Details, ScanStatus, Session, SessionDetails, SessionErrors, SessionId, Targets,
};

impl FromWire for Session {
    type Record = SessionRecord;

    fn forget_after(&mut self, latest: Timestamp) {
        self.last_scanned.take_if(|at| *at > latest);
    }
}

impl FromWire for SessionDetails {
    type Record = DetailsRecord;

    fn forget_after(&mut self, _latest: Timestamp) {}
}

record! { SessionRecord {
    definition_id: DefinitionId
        = "scanDefinitionId" | "scanDefinitionIds" => id(DefinitionId::new),
    id: SessionId = "sessionId" | "sessionIds" => session_id,
    last_scanned: Timestamp = "lastScanned" => time,
    status: ScanStatus = "scanStatus" => session_status,
    targets: u32 = "numberOfTargets" => count,
    targets_succeeded: u32 = "numberOfSuccessfullyScannedTargets" => count,
    scanned: Vec<TargetRecord> = "scannedTargets" | "listScannedTargets" => scanned_targets,
    error: Arc<str> = "generalErrorMessage" => text,
    ; unused = "orgId" | "scannerId"
    ; within = |record| within(record.scanned.as_ref())
} => Session: |record| {
    let says_something =
        record.id.is_some() || record.last_scanned.is_some() || record.status.is_some();
    Some(Session {
        details: details(record.targets, record.targets_succeeded, record.scanned, record.error.as_deref()),
        definition_id: record.definition_id.filter(|_| says_something)?,
        id: record.id,
        last_scanned: record.last_scanned,
        status: record.status.unwrap_or_else(unknown),
    })
} }

// Which definition it is of, and how it went, is known of a session that is asked for by its id.
record! { DetailsRecord {
    id: SessionId = "sessionId" | "sessionIds" => session_id,
    targets: u32 = "numberOfTargets" => count,
    targets_succeeded: u32 = "numberOfSuccessfullyScannedTargets" => count,
    scanned: Vec<TargetRecord> = "scannedTargets" | "listScannedTargets" => scanned_targets,
    error: Arc<str> = "generalErrorMessage" => text,
    ; unused = "scanDefinitionId" | "scanDefinitionIds" | "lastScanned" | "scanStatus" | "orgId"
        | "scannerId"
    ; within = |record| within(record.scanned.as_ref())
} => SessionDetails: |record| {
    Some(SessionDetails {
        details: details(record.targets, record.targets_succeeded, record.scanned, record.error.as_deref()),
        id: record.id?,
    })
} }

record! { TargetRecord {
    duration: Duration = "scanDuration" => length,
    ip: Arc<str> = "ip" => text,
    hostname: Arc<str> = "hostname" => text,
    status: ScanStatus = "scanStatus" => session_status,
    error: Arc<str> = "errorMessage" => text,
} => Self: Some }

/// What cannot be read of targets.
fn within(scanned: Option<&Vec<TargetRecord>>) -> Vec<&'static str> {
    let scanned = scanned.into_iter().flatten();
    scanned.flat_map(Record::unreadable).collect()
}

fn details(
    total: Option<u32>,
    succeeded: Option<u32>,
    scanned: Option<Vec<TargetRecord>>,
    error: Option<&str>,
) -> Details {
    let scanned = scanned.unwrap_or_default();
    Details {
        targets: Targets::new(total, succeeded),
        target_durations: durations(&scanned),
        errors: errors(error, &scanned),
    }
}

fn durations(scanned: &[TargetRecord]) -> Vec<Duration> {
    scanned
        .iter()
        .filter_map(|target| target.duration)
        .collect()
}

fn errors(general: Option<&str>, scanned: &[TargetRecord]) -> Option<Arc<SessionErrors>> {
    let targets = scanned.iter().map(|target| FailedTarget {
        names: [target.ip.as_deref(), target.hostname.as_deref()],
        status: target.status.as_ref(),
        error: target.error.as_deref(),
    });
    session_errors(general, &targets.collect::<Vec<_>>())
}

fn scanned_targets(value: Shape<TargetRecord>) -> Read<Vec<TargetRecord>> {
    Ok(value.many()?.map(|list| list.items))
}
