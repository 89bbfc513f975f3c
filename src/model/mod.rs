//! What the exporter knows of authenticated scans, free of any wire format.
//!
//! A [`Definition`] says what is to be scanned and how often; a [`Session`] is
//! one run of it; an [`Agent`] is the machine that runs it. The words are those
//! of the service's `$metadata`. The wire format and the store's rows have types
//! of their own.
//!
//! - [`Run`]: when a definition ran and how that went, as far as a list names it.
//! - [`runs::RunHistory`]: a definition, and all that is known of its sessions.
//! - [`view`]: what is published of a definition; made by `RunHistory::view`.
//! - [`health`]: how the polling of a tenant goes; [`histogram`] is for its durations.

mod failure;
pub mod health;
pub mod histogram;
mod id;
pub mod runs;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

pub use self::failure::Failure;
pub use self::id::{AgentId, DefinitionId, SessionId, TenantName};
use crate::clock::Timestamp;

/// How a run went: `AuthenticatedScanStatus` of `$metadata`, open-ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScanStatus {
    /// No target was scanned successfully.
    Failure,
    /// All targets were scanned.
    Success,
    /// Some targets were scanned.
    PartialSuccess,
    /// A status this version does not know, or that of a run that is not over, kept verbatim.
    Unknown(Arc<str>),
}

impl ScanStatus {
    /// The published status code: 0, 1, 2, or −1 for an unknown status.
    #[must_use]
    pub const fn code(&self) -> i8 {
        match self {
            Self::Failure => 0,
            Self::Success => 1,
            Self::PartialSuccess => 2,
            Self::Unknown(_) => -1,
        }
    }

    /// The status of that code; an unknown one has no word.
    #[must_use]
    pub fn of_code(code: i8) -> Self {
        match code {
            0 => Self::Failure,
            1 => Self::Success,
            2 => Self::PartialSuccess,
            _ => Self::Unknown("".into()),
        }
    }

    /// Whether the run is over and nothing but a correction can change the status.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Whether the run is not over yet. No documentation has a word for that; these are the
    /// ones that the service uses elsewhere, and their usual synonyms.
    #[must_use]
    pub fn is_running(&self) -> bool {
        const WORDS: [&str; 8] = [
            "inprogress",
            "running",
            "started",
            "notstarted",
            "pending",
            "queued",
            "scheduled",
            "executing",
        ];
        let Self::Unknown(text) = self else {
            return false;
        };
        let letters = || text.chars().filter(|letter| letter.is_alphanumeric());
        WORDS.iter().any(|word| {
            word.chars()
                .eq(letters().map(|letter| letter.to_ascii_lowercase()))
        })
    }
}

/// What kind of machines a definition scans: an open set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScanType {
    /// Network devices, over SNMP.
    Network,
    /// Windows machines; retired by Microsoft in November 2025.
    Windows,
    /// Linux machines.
    Linux,
    /// Active scans.
    AdvancedActive,
    /// A type this version does not know, kept verbatim.
    Other(Arc<str>),
}

impl ScanType {
    /// The name as `$metadata` spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Network => "Network",
            Self::Windows => "Windows",
            Self::Linux => "Linux",
            Self::AdvancedActive => "AdvancedActive",
            Self::Other(text) => text,
        }
    }
}

/// How a definition names its targets: an open set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetType {
    /// By IP address or range.
    Ip,
    /// By host name.
    Hostname,
    /// By either.
    Combined,
    /// A type this version does not know, kept verbatim.
    Other(Arc<str>),
}

impl TargetType {
    /// The name as `$metadata` spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ip => "Ip",
            Self::Hostname => "Hostname",
            Self::Combined => "Combined",
            Self::Other(text) => text,
        }
    }
}

/// A run and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it ran.
    pub at: Timestamp,
    /// How it went.
    pub status: ScanStatus,
}

/// A scan definition as the list names it (`DeviceAuthenticatedScanDefinition`).
/// Targets, creator and credentials are left out on purpose: they are personal
/// data or secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `id`.
    pub id: DefinitionId,
    /// `scanName`; empty if the service sent none.
    pub scan_name: Arc<str>,
    /// `scanType`, if named.
    pub scan_type: Option<ScanType>,
    /// `targetType`, if named.
    pub target_type: Option<TargetType>,
    /// `isActive`.
    pub is_active: bool,
    /// `intervalInHours` as a duration; `None` runs once.
    pub interval: Option<Duration>,
    /// `scannerAgent.id`.
    pub agent_id: Option<AgentId>,
    /// `isTroubleshootMode`, if the service says.
    pub troubleshoot_mode: Option<bool>,
    /// `latestScan`; `None` if it never ran or the list does not say.
    pub latest: Option<Run>,
    /// `latestScan.failureReason`, without what could name a target, an account or a secret.
    pub failure_reason: Option<Arc<str>>,
}

impl Definition {
    /// One of which nothing is known but its id.
    #[must_use]
    pub fn unlisted(id: &DefinitionId) -> Self {
        Self {
            id: id.clone(),
            scan_name: "".into(),
            scan_type: None,
            target_type: None,
            is_active: true,
            interval: None,
            agent_id: None,
            troubleshoot_mode: None,
            failure_reason: None,
            latest: None,
        }
    }

    /// Shares what it says with the same words as `before`, of which copies would only
    /// take room: most listings bring a new run and nothing else.
    pub fn share_texts(&mut self, before: &Self) {
        if self.id == before.id {
            self.id.clone_from(&before.id);
        }
        if self.scan_name == before.scan_name {
            self.scan_name.clone_from(&before.scan_name);
        }
        if self.agent_id == before.agent_id {
            self.agent_id.clone_from(&before.agent_id);
        }
    }
}

/// One run of a definition (`AuthScanHistoryContract`).
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// `scanDefinitionId`.
    pub definition_id: DefinitionId,
    /// `sessionId`; the reference pages' samples have none.
    pub id: Option<SessionId>,
    /// `lastScanned`; missing in `$metadata`.
    pub last_scanned: Option<Timestamp>,
    /// `scanStatus`.
    pub status: ScanStatus,
    /// What it tells beside how the run went.
    pub details: Details,
}

/// A session as history by session tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionDetails {
    /// `sessionId`.
    pub id: SessionId,
    /// All but the id.
    pub details: Details,
}

/// How many targets a run had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// `numberOfTargets`.
    pub total: Option<u32>,
    /// `numberOfSuccessfullyScannedTargets`.
    pub succeeded: Option<u32>,
}

impl Targets {
    /// So many in all, and so many scanned successfully, as far as known.
    #[must_use]
    pub const fn new(total: Option<u32>, succeeded: Option<u32>) -> Self {
        Self { total, succeeded }
    }

    /// Whether neither number is known.
    #[must_use]
    pub fn are_unknown(self) -> bool {
        self == Self::default()
    }
}

/// What sessions tell beside how they went. History by definition may leave it out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// How many targets there were.
    pub targets: Targets,
    /// `scannedTargets[].scanDuration`.
    pub target_durations: Vec<Duration>,
    /// What went wrong; `None` if nothing is said to have.
    pub errors: Option<Arc<SessionErrors>>,
}

impl Details {
    /// Whether they tell nothing of the targets.
    #[must_use]
    pub fn are_missing(&self) -> bool {
        self.targets.are_unknown() && self.target_durations.is_empty()
    }
}

/// What went wrong in a session, in the service's words, without what could name a target, an
/// account or a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionErrors {
    /// `generalErrorMessage`.
    pub general: Option<Arc<str>>,
    /// What went wrong with targets, what most have in common first.
    pub targets: Vec<TargetError>,
}

/// What went wrong with some of a session's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError {
    /// `scannedTargets[].scanStatus`; an unknown one without the service's word.
    pub status: ScanStatus,
    /// `scannedTargets[].errorMessage`.
    pub text: Arc<str>,
    /// How many targets have both in common.
    pub targets: u32,
}

impl SessionErrors {
    /// The length of its texts, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let targets = self.targets.iter().map(|error| error.text.len());
        self.general.as_ref().map_or(0, |text| text.len()) + targets.sum::<usize>()
    }
}

/// A scanning agent (`DeviceAuthenticatedScanAgent`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// `id`.
    pub id: AgentId,
    /// `machineId`.
    pub machine_id: Arc<str>,
    /// `computerDnsName`, or `machineName`.
    pub computer_dns_name: Arc<str>,
    /// `lastSeen`.
    pub last_seen: Option<Timestamp>,
    /// `lastCommandExecutionTimestamp`.
    pub last_command: Option<Timestamp>,
    /// `scannerSoftwareVersion`.
    pub scanner_version: Arc<str>,
    /// `mdeClientVersion`.
    pub client_version: Arc<str>,
}
