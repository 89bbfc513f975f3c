//! What is known of one definition's runs, as a row.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::clock::Timestamp;
use crate::model::{AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, TargetType};
use crate::scans::{Newest, Scan};
use crate::snapshot::{KnownSession, SessionCounts};

/// What is known of one definition's runs.
#[derive(Debug, Encode, Decode)]
pub(super) struct ScanRow {
    #[n(0)]
    pub(super) id: String,
    #[n(1)]
    pub(super) scan_name: String,
    #[n(2)]
    pub(super) scan_type: Option<String>,
    #[n(3)]
    pub(super) target_type: Option<String>,
    #[n(4)]
    pub(super) is_active: bool,
    #[n(5)]
    pub(super) interval_seconds: Option<u64>,
    #[n(6)]
    pub(super) agent_id: Option<String>,
    #[n(7)]
    pub(super) latest: Option<RunRow>,
    #[n(8)]
    pub(super) newest: Option<SessionRow>,
    #[n(9)]
    pub(super) covered: bool,
    #[n(10)]
    pub(super) last_success_ms: Option<i64>,
    #[n(11)]
    pub(super) seen: Vec<u64>,
    // 12 said whether history had been fetched.
    #[n(13)]
    pub(super) counts: CountsRow,
    #[n(14)]
    pub(super) recent: Vec<SessionRow>,
}

/// A status: its published code, and the service's word if the code says that it is unknown.
#[derive(Debug, Encode, Decode)]
pub(super) struct StatusRow {
    #[n(0)]
    pub(super) code: i8,
    #[n(1)]
    pub(super) word: Option<String>,
}

/// The run that the list names.
#[derive(Debug, Encode, Decode)]
pub(super) struct RunRow {
    #[n(0)]
    pub(super) at_ms: i64,
    #[n(1)]
    pub(super) status: StatusRow,
}

/// A session.
#[derive(Debug, Encode, Decode)]
pub(super) struct SessionRow {
    #[n(0)]
    #[cbor(default)]
    pub(super) identity: u64,
    #[n(1)]
    pub(super) at_ms: Option<i64>,
    #[n(2)]
    pub(super) status: StatusRow,
    #[n(3)]
    pub(super) targets: Option<u32>,
    #[n(4)]
    pub(super) targets_succeeded: Option<u32>,
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

impl From<&ScanStatus> for StatusRow {
    fn from(status: &ScanStatus) -> Self {
        let word = match status {
            ScanStatus::Unknown(word) => Some(word.to_string()),
            _ => None,
        };
        Self {
            code: status.code(),
            word,
        }
    }
}

impl From<StatusRow> for ScanStatus {
    fn from(row: StatusRow) -> Self {
        match row.code {
            0 => Self::Failure,
            1 => Self::Success,
            2 => Self::PartialSuccess,
            _ => Self::Unknown(row.word.unwrap_or_default().into()),
        }
    }
}

fn scan_type(name: String) -> ScanType {
    let known = [
        ScanType::Network,
        ScanType::Windows,
        ScanType::Linux,
        ScanType::AdvancedActive,
    ];
    let known = known.into_iter().find(|known| known.as_str() == name);
    known.unwrap_or_else(|| ScanType::Other(name.into()))
}

fn target_type(name: String) -> TargetType {
    let known = [TargetType::Ip, TargetType::Hostname, TargetType::Combined];
    let known = known.into_iter().find(|known| known.as_str() == name);
    known.unwrap_or_else(|| TargetType::Other(name.into()))
}

impl From<&Scan> for ScanRow {
    fn from(scan: &Scan) -> Self {
        let definition = &scan.definition;
        let newest = scan.newest.as_ref().map(|newest| SessionRow {
            identity: 0,
            at_ms: newest.at.map(Timestamp::unix_millis),
            status: StatusRow::from(&newest.status),
            targets: newest.targets,
            targets_succeeded: newest.targets_succeeded,
        });
        let recent = scan.recent.iter().map(|session| SessionRow {
            identity: session.identity,
            at_ms: session.at.map(Timestamp::unix_millis),
            status: StatusRow::from(&session.status),
            targets: session.targets,
            targets_succeeded: session.targets_succeeded,
        });
        let latest = definition.latest.as_ref().map(|run| RunRow {
            at_ms: run.at.unix_millis(),
            status: StatusRow::from(&run.status),
        });
        Self {
            id: definition.id.as_str().to_owned(),
            scan_name: definition.scan_name.to_string(),
            scan_type: definition
                .scan_type
                .as_ref()
                .map(|it| it.as_str().to_owned()),
            target_type: definition
                .target_type
                .as_ref()
                .map(|it| it.as_str().to_owned()),
            is_active: definition.is_active,
            interval_seconds: definition.interval.map(|interval| interval.as_secs()),
            agent_id: definition
                .agent_id
                .as_ref()
                .map(|id| id.as_str().to_owned()),
            latest,
            newest,
            covered: scan.covered,
            last_success_ms: scan.last_success.map(Timestamp::unix_millis),
            seen: scan.seen.iter().copied().collect(),
            counts: CountsRow {
                success: scan.counts.success,
                partial_success: scan.counts.partial_success,
                failure: scan.counts.failure,
                unknown: scan.counts.unknown,
            },
            recent: recent.collect(),
        }
    }
}

impl From<ScanRow> for Scan {
    fn from(row: ScanRow) -> Self {
        let definition = Definition {
            id: DefinitionId::new(&row.id),
            scan_name: row.scan_name.into(),
            scan_type: row.scan_type.map(scan_type),
            target_type: row.target_type.map(target_type),
            is_active: row.is_active,
            interval: row.interval_seconds.map(Duration::from_secs),
            agent_id: row.agent_id.map(|id| AgentId::new(&id)),
            latest: row.latest.map(|run| Run {
                at: Timestamp::from_unix_millis(run.at_ms),
                status: run.status.into(),
            }),
        };
        let newest = row.newest.map(|session| Newest {
            at: session.at_ms.map(Timestamp::from_unix_millis),
            status: session.status.into(),
            targets: session.targets,
            targets_succeeded: session.targets_succeeded,
        });
        let recent = row.recent.into_iter().map(|session| KnownSession {
            identity: session.identity,
            at: session.at_ms.map(Timestamp::from_unix_millis),
            status: session.status.into(),
            targets: session.targets,
            targets_succeeded: session.targets_succeeded,
        });
        Self {
            definition: definition.into(),
            newest,
            covered: row.covered,
            last_success: row.last_success_ms.map(Timestamp::from_unix_millis),
            seen: row.seen.into(),
            counts: SessionCounts {
                success: row.counts.success,
                partial_success: row.counts.partial_success,
                failure: row.counts.failure,
                unknown: row.counts.unknown,
            },
            recent: recent.collect(),
        }
    }
}
