//! Sessions: as history by definition tells of them, and as history by session does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;

use super::super::errors::{FailedTarget, session_errors};
use super::super::lenient::{Read, Unreadable};
use super::super::read::{borrowed, count, id, length, session_id, session_status, time};
use super::super::shape::{Record, Shape, is, skip};
use super::{FromWire, unknown};
use crate::clock::Timestamp;
use crate::model::{
    DefinitionId, Details, ScanStatus, Session, SessionDetails, SessionErrors, SessionId, Targets,
};

impl FromWire for Session {
    type Record<'de> = SessionRecord<'de>;

    fn forget_after(&mut self, latest: Timestamp) {
        self.last_scanned.take_if(|at| *at > latest);
    }
}

impl FromWire for SessionDetails {
    type Record<'de> = DetailsRecord<'de>;

    fn forget_after(&mut self, _latest: Timestamp) {}
}

record! { SessionRecord<'de> {
    definition_id: DefinitionId
        = "scanDefinitionId" | "scanDefinitionIds" => id(DefinitionId::new),
    id: SessionId = "sessionId" | "sessionIds" => session_id,
    last_scanned: Timestamp = "lastScanned" => time,
    status: ScanStatus = "scanStatus" => session_status,
    targets: u32 = "numberOfTargets" => count,
    targets_succeeded: u32 = "numberOfSuccessfullyScannedTargets" => count,
    scanned: Vec<TargetRecord<'de>> = "scannedTargets" | "listScannedTargets" => scanned_targets,
    error: Cow<'de, str> = "generalErrorMessage" => borrowed,
    ; unused = "orgId" | "scannerId"
    ; within = |record, into| within(record.scanned.as_ref(), into)
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
record! { DetailsRecord<'de> {
    id: SessionId = "sessionId" | "sessionIds" => session_id,
    targets: u32 = "numberOfTargets" => count,
    targets_succeeded: u32 = "numberOfSuccessfullyScannedTargets" => count,
    scanned: Vec<TargetRecord<'de>> = "scannedTargets" | "listScannedTargets" => scanned_targets,
    error: Cow<'de, str> = "generalErrorMessage" => borrowed,
    ; unused = "scanDefinitionId" | "scanDefinitionIds" | "lastScanned" | "scanStatus" | "orgId"
        | "scannerId"
    ; within = |record, into| within(record.scanned.as_ref(), into)
} => SessionDetails: |record| {
    Some(SessionDetails {
        details: details(record.targets, record.targets_succeeded, record.scanned, record.error.as_deref()),
        id: record.id?,
    })
} }

record! { TargetRecord<'de> {
    duration: Duration = "scanDuration" => length,
    ip: Cow<'de, str> = "ip" => borrowed,
    hostname: Cow<'de, str> = "hostname" => borrowed,
    status: ScanStatus = "scanStatus" => session_status,
    error: Cow<'de, str> = "errorMessage" => borrowed,
} => Self: Some }

/// What cannot be read of targets.
fn within(scanned: Option<&Vec<TargetRecord<'_>>>, into: &mut Vec<&'static str>) {
    let scanned = scanned.into_iter().flatten();
    scanned.for_each(|target| target.unreadable(into));
}

fn details(
    total: Option<u32>,
    succeeded: Option<u32>,
    scanned: Option<Vec<TargetRecord<'_>>>,
    error: Option<&str>,
) -> Details {
    let scanned = scanned.unwrap_or_default();
    Details {
        targets: Targets::new(total, succeeded),
        target_durations: durations(&scanned),
        errors: errors(error, &scanned),
    }
}

fn durations(scanned: &[TargetRecord<'_>]) -> Vec<Duration> {
    scanned
        .iter()
        .filter_map(|target| target.duration)
        .collect()
}

fn errors(general: Option<&str>, scanned: &[TargetRecord<'_>]) -> Option<Arc<SessionErrors>> {
    let targets = scanned.iter().map(|target| FailedTarget {
        names: [target.ip.as_deref(), target.hostname.as_deref()],
        status: target.status.as_ref(),
        error: target.error.as_deref(),
    });
    session_errors(general, &targets.collect::<Vec<_>>())
}

fn scanned_targets<'de>(value: Shape<'de, TargetRecord<'de>>) -> Read<Vec<TargetRecord<'de>>> {
    Ok(value.many()?.map(|list| list.items))
}
