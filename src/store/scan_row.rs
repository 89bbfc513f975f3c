//! What is known of one definition's runs, as a row. Its texts are those of the model or of the
//! bytes that it is read from: a hundred thousand are read at the start.

use std::sync::Arc;
use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::clock::Timestamp;
use crate::model::runs::RunHistory;
use crate::model::view::{KnownSession, SessionCounts};
use crate::model::{
    AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, SessionErrors, SessionId,
    TargetError, TargetType, Targets,
};

/// What is known of one definition's runs.
#[derive(Debug, Encode, Decode)]
pub(super) struct ScanRow<'a> {
    #[b(0)]
    pub(super) id: &'a str,
    #[b(1)]
    pub(super) scan_name: &'a str,
    #[b(2)]
    pub(super) scan_type: Option<&'a str>,
    #[b(3)]
    pub(super) target_type: Option<&'a str>,
    #[n(4)]
    pub(super) is_active: bool,
    #[n(5)]
    pub(super) interval_seconds: Option<u64>,
    #[b(6)]
    pub(super) agent_id: Option<&'a str>,
    #[b(7)]
    pub(super) latest: Option<RunRow<'a>>,
    #[b(8)]
    pub(super) newest: Option<SessionRow<'a>>,
    #[n(9)]
    pub(super) covered: bool,
    #[n(10)]
    pub(super) last_success_ms: Option<i64>,
    #[n(11)]
    pub(super) seen: Vec<u64>,
    // 12 said whether history had been fetched.
    #[n(13)]
    pub(super) counts: CountsRow,
    #[b(14)]
    pub(super) recent: Vec<SessionRow<'a>>,
    #[n(15)]
    #[cbor(default)]
    pub(super) corrected: bool,
    #[n(16)]
    pub(super) running_ms: Option<i64>,
    #[n(17)]
    #[cbor(default)]
    pub(super) open: Vec<OpenRow>,
    #[n(18)]
    pub(super) troubleshoot_mode: Option<bool>,
    #[b(19)]
    pub(super) failure_reason: Option<&'a str>,
    #[b(20)]
    #[cbor(default)]
    pub(super) bare: Vec<&'a str>,
    #[n(21)]
    pub(super) created_ms: Option<i64>,
}

/// A session whose status is not final.
#[derive(Debug, Encode, Decode)]
pub(super) struct OpenRow {
    #[n(0)]
    pub(super) identity: u64,
    /// When it was first seen.
    #[n(1)]
    pub(super) since_ms: i64,
}

/// A status: its published code, and the service's word if the code says that it is unknown.
#[derive(Debug, Encode, Decode)]
pub(super) struct StatusRow<'a> {
    #[n(0)]
    pub(super) code: i8,
    #[b(1)]
    pub(super) word: Option<&'a str>,
}

/// The run that the list names.
#[derive(Debug, Encode, Decode)]
pub(super) struct RunRow<'a> {
    #[n(0)]
    pub(super) at_ms: i64,
    #[b(1)]
    pub(super) status: StatusRow<'a>,
}

/// A session.
#[derive(Debug, Encode, Decode)]
pub(super) struct SessionRow<'a> {
    #[n(0)]
    #[cbor(default)]
    pub(super) identity: u64,
    #[n(1)]
    pub(super) at_ms: Option<i64>,
    #[b(2)]
    pub(super) status: StatusRow<'a>,
    #[n(3)]
    pub(super) targets: Option<u32>,
    #[n(4)]
    pub(super) targets_succeeded: Option<u32>,
    #[b(5)]
    pub(super) errors: Option<ErrorsRow<'a>>,
}

/// What went wrong in a session.
#[derive(Debug, Encode, Decode)]
pub(super) struct ErrorsRow<'a> {
    #[b(0)]
    pub(super) general: Option<&'a str>,
    #[b(1)]
    pub(super) targets: Vec<TargetErrorRow<'a>>,
}

/// What went wrong with some targets.
#[derive(Debug, Encode, Decode)]
pub(super) struct TargetErrorRow<'a> {
    #[b(0)]
    pub(super) status: StatusRow<'a>,
    #[b(1)]
    pub(super) text: &'a str,
    #[n(2)]
    pub(super) targets: u32,
}

/// Sessions by status.
#[derive(Debug, Encode, Decode)]
pub(super) struct CountsRow {
    #[n(0)]
    pub(super) success: u64,
    #[n(1)]
    pub(super) partial_success: u64,
    #[n(2)]
    pub(super) failure: u64,
    #[n(3)]
    pub(super) unknown: u64,
}

impl From<&SessionCounts> for CountsRow {
    fn from(counts: &SessionCounts) -> Self {
        Self {
            success: counts.success.into(),
            partial_success: counts.partial_success.into(),
            failure: counts.failure.into(),
            unknown: counts.unknown.into(),
        }
    }
}

impl From<CountsRow> for SessionCounts {
    fn from(row: CountsRow) -> Self {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            success: count(row.success),
            partial_success: count(row.partial_success),
            failure: count(row.failure),
            unknown: count(row.unknown),
        }
    }
}

impl<'a> From<&'a ScanStatus> for StatusRow<'a> {
    fn from(status: &'a ScanStatus) -> Self {
        let word = match status {
            ScanStatus::Unknown(word) => Some(&**word),
            _ => None,
        };
        Self {
            code: status.code(),
            word,
        }
    }
}

impl From<StatusRow<'_>> for ScanStatus {
    fn from(row: StatusRow<'_>) -> Self {
        match row.code {
            0 => Self::Failure,
            1 => Self::Success,
            2 => Self::PartialSuccess,
            _ => Self::Unknown(row.word.unwrap_or_default().into()),
        }
    }
}

impl<'a> From<&'a SessionErrors> for ErrorsRow<'a> {
    fn from(errors: &'a SessionErrors) -> Self {
        let targets = errors.targets.iter().map(|error| TargetErrorRow {
            status: StatusRow::from(&error.status),
            text: &error.text,
            targets: error.targets,
        });
        Self {
            general: errors.general.as_deref(),
            targets: targets.collect(),
        }
    }
}

impl From<ErrorsRow<'_>> for SessionErrors {
    fn from(row: ErrorsRow<'_>) -> Self {
        let targets = row.targets.into_iter().map(|error| TargetError {
            status: error.status.into(),
            text: error.text.into(),
            targets: error.targets,
        });
        Self {
            general: row.general.map(Arc::from),
            targets: targets.collect(),
        }
    }
}

fn scan_type(name: &str) -> ScanType {
    let known = [
        ScanType::Network,
        ScanType::Windows,
        ScanType::Linux,
        ScanType::AdvancedActive,
    ];
    let known = known.into_iter().find(|known| known.as_str() == name);
    known.unwrap_or_else(|| ScanType::Other(name.into()))
}

fn target_type(name: &str) -> TargetType {
    let known = [TargetType::Ip, TargetType::Hostname, TargetType::Combined];
    let known = known.into_iter().find(|known| known.as_str() == name);
    known.unwrap_or_else(|| TargetType::Other(name.into()))
}

impl<'a> From<&'a KnownSession> for SessionRow<'a> {
    fn from(session: &'a KnownSession) -> Self {
        Self {
            identity: session.identity,
            at_ms: session.at.map(Timestamp::unix_millis),
            status: StatusRow::from(&session.status),
            targets: session.targets.total,
            targets_succeeded: session.targets.succeeded,
            errors: session.errors.as_deref().map(ErrorsRow::from),
        }
    }
}

impl From<SessionRow<'_>> for KnownSession {
    fn from(row: SessionRow<'_>) -> Self {
        Self {
            identity: row.identity,
            at: row.at_ms.map(Timestamp::from_unix_millis),
            status: row.status.into(),
            targets: Targets::new(row.targets, row.targets_succeeded),
            errors: row.errors.map(|errors| Arc::new(errors.into())),
        }
    }
}

impl<'a> From<&'a RunHistory> for ScanRow<'a> {
    fn from(scan: &'a RunHistory) -> Self {
        let definition = &scan.definition;
        let newest = scan.newest.as_ref().map(SessionRow::from);
        let recent = scan.recent.iter().map(SessionRow::from);
        let open = scan.open.iter().map(|(identity, since)| OpenRow {
            identity: *identity,
            since_ms: since.unix_millis(),
        });
        let latest = definition.latest.as_ref().map(|run| RunRow {
            at_ms: run.at.unix_millis(),
            status: StatusRow::from(&run.status),
        });
        Self {
            id: definition.id.as_str(),
            scan_name: &definition.scan_name,
            scan_type: definition.scan_type.as_ref().map(ScanType::as_str),
            target_type: definition.target_type.as_ref().map(TargetType::as_str),
            is_active: definition.is_active,
            interval_seconds: definition.interval.map(|interval| interval.as_secs()),
            agent_id: definition.agent_id.as_ref().map(AgentId::as_str),
            latest,
            newest,
            covered: scan.covered,
            last_success_ms: scan.last_success.map(Timestamp::unix_millis),
            seen: scan.seen.iter().copied().collect(),
            counts: CountsRow::from(&scan.counts),
            recent: recent.collect(),
            corrected: scan.corrected,
            running_ms: scan.running.map(Timestamp::unix_millis),
            open: open.collect(),
            troubleshoot_mode: definition.troubleshoot_mode,
            failure_reason: definition.failure_reason.as_deref(),
            created_ms: scan.created.map(Timestamp::unix_millis),
            bare: scan.bare.iter().map(SessionId::as_str).collect(),
        }
    }
}

impl From<ScanRow<'_>> for RunHistory {
    fn from(row: ScanRow<'_>) -> Self {
        let definition = Definition {
            id: DefinitionId::new(row.id),
            scan_name: row.scan_name.into(),
            scan_type: row.scan_type.map(scan_type),
            target_type: row.target_type.map(target_type),
            is_active: row.is_active,
            interval: row.interval_seconds.map(Duration::from_secs),
            agent_id: row.agent_id.map(AgentId::new),
            troubleshoot_mode: row.troubleshoot_mode,
            failure_reason: row.failure_reason.map(Arc::from),
            latest: row.latest.map(|run| Run {
                at: Timestamp::from_unix_millis(run.at_ms),
                status: run.status.into(),
            }),
        };
        let newest = row.newest.map(KnownSession::from);
        let recent = row.recent.into_iter().map(KnownSession::from);
        let open = row.open.into_iter();
        let since = |open: OpenRow| (open.identity, Timestamp::from_unix_millis(open.since_ms));
        Self {
            definition: definition.into(),
            newest,
            covered: row.covered,
            corrected: row.corrected,
            running: row.running_ms.map(Timestamp::from_unix_millis),
            last_success: row.last_success_ms.map(Timestamp::from_unix_millis),
            seen: row.seen.into(),
            open: open.map(since).collect(),
            created: row.created_ms.map(Timestamp::from_unix_millis),
            bare: row.bare.into_iter().map(SessionId::new).collect(),
            counts: row.counts.into(),
            recent: recent.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Details, Session};

    /// What is known of a definition with a session that is over and one that is not, when
    /// the list has corrected itself and names a run under way.
    fn scan() -> RunHistory {
        let at = |hours: i64| Timestamp::from_unix_millis(hours * 3_600_000);
        let definition = |hours, status| Definition {
            id: DefinitionId::new("d"),
            scan_name: "name".into(),
            scan_type: Some(ScanType::Linux),
            target_type: Some(TargetType::Other("Else".into())),
            is_active: true,
            interval: Some(Duration::from_hours(1)),
            agent_id: Some(AgentId::new("a")),
            troubleshoot_mode: Some(true),
            failure_reason: Some("reason".into()),
            latest: Some(Run {
                at: at(hours),
                status,
            }),
        };
        let running = || ScanStatus::Unknown("Running".into());
        let session = |id: &str, hours, status| Session {
            definition_id: DefinitionId::new("d"),
            id: Some(SessionId::new(id)),
            last_scanned: Some(at(hours)),
            status,
            details: Details {
                targets: Targets::new(Some(3), Some(2)),
                target_durations: Vec::new(),
                errors: Some(Arc::new(SessionErrors {
                    general: Some("general".into()),
                    targets: vec![TargetError {
                        status: ScanStatus::Failure,
                        text: "single".into(),
                        targets: 3,
                    }],
                })),
            },
        };
        let mut scan = RunHistory::new(definition(10, ScanStatus::Success));
        let over = session("a", 10, ScanStatus::Success);
        scan.apply_history(std::slice::from_ref(&over), at(10));
        scan.apply_history(&[over, session("b", 11, running())], at(11));
        scan.apply_listing(definition(10, ScanStatus::Failure));
        scan.apply_listing(definition(11, running()));
        scan
    }

    #[test]
    fn a_scan_comes_back_as_it_was() {
        let scan = scan();
        assert!(scan.corrected && scan.running.is_some() && !scan.open.is_empty());
        let row = minicbor::to_vec(ScanRow::from(&scan)).expect("it can be encoded");
        let row: ScanRow<'_> = minicbor::decode(&row).expect("it can be read");
        assert_eq!(format!("{:?}", RunHistory::from(row)), format!("{scan:?}"));
    }
}
