//! An agent, as a part of the row of its tenant's agents.

use minicbor::{Decode, Encode};

use crate::clock::Timestamp;
use crate::model::{Agent, AgentId};

/// An agent.
#[derive(Debug, Encode, Decode)]
pub(super) struct AgentRow {
    #[n(0)]
    pub(super) id: String,
    #[n(1)]
    pub(super) machine_id: String,
    #[n(2)]
    pub(super) computer_dns_name: String,
    #[n(3)]
    pub(super) last_seen_ms: Option<i64>,
    #[n(4)]
    pub(super) last_command_ms: Option<i64>,
    #[n(5)]
    pub(super) scanner_version: String,
    #[n(6)]
    pub(super) client_version: String,
}

impl From<&Agent> for AgentRow {
    fn from(agent: &Agent) -> Self {
        Self {
            id: agent.id.as_str().to_owned(),
            machine_id: agent.machine_id.to_string(),
            computer_dns_name: agent.computer_dns_name.to_string(),
            last_seen_ms: agent.last_seen.map(Timestamp::unix_millis),
            last_command_ms: agent.last_command.map(Timestamp::unix_millis),
            scanner_version: agent.scanner_version.to_string(),
            client_version: agent.client_version.to_string(),
        }
    }
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        Self {
            id: AgentId::new(&row.id),
            machine_id: row.machine_id.into(),
            computer_dns_name: row.computer_dns_name.into(),
            last_seen: row.last_seen_ms.map(Timestamp::from_unix_millis),
            last_command: row.last_command_ms.map(Timestamp::from_unix_millis),
            scanner_version: row.scanner_version.into(),
            client_version: row.client_version.into(),
        }
    }
}
