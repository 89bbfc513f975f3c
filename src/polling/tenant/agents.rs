//! The agents, as lists name them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::KnownTenant;
use crate::model::health::Skipped;
use crate::model::{Agent, AgentId};

/// How many agents stay that a partial list does not name, at most, if it names fewer: a
/// service whose ids change with each list must not fill the memory.
const MOST_UNNAMED: usize = 1_000;

impl KnownTenant {
    /// Takes a complete list of agents in. Of duplicates the last counts.
    pub fn set_agents(&mut self, agents: Vec<Agent>) {
        let duplicates = self.agents_are(agents.into_iter());
        self.health.agents.skip(Skipped::Duplicate, duplicates);
    }

    /// Takes a part of the list of agents in, of which nothing vanishes, unless it is too much:
    /// then those go first that the service heard of longest ago.
    pub fn add_agents(&mut self, agents: Vec<Agent>) {
        let named: BTreeSet<&AgentId> = agents.iter().map(|agent| &agent.id).collect();
        let unnamed = self.agents.iter();
        let unnamed = unnamed.filter(|agent| !named.contains(&agent.id));
        let mut unnamed: Vec<Agent> = unnamed.cloned().collect();
        unnamed.sort_by_key(|agent| Reverse(agent.last_seen));
        unnamed.truncate(MOST_UNNAMED.max(agents.len()));
        self.agents_are(unnamed.into_iter().chain(agents));
    }

    /// Takes agents in; returns how many gave way to one of the same id.
    fn agents_are(&mut self, agents: impl Iterator<Item = Agent>) -> usize {
        let mut listed = 0;
        let by_id: BTreeMap<AgentId, Agent> = agents
            .inspect(|_| listed += 1)
            .map(|agent| (agent.id.clone(), agent))
            .collect();
        let duplicates = listed - by_id.len();
        if !by_id.values().eq(self.agents.iter()) {
            self.agents = by_id.into_values().collect();
        }
        duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all, tenant};
    use super::*;
    use crate::clock::Timestamp;

    fn agent(id: &str, version: &str) -> Agent {
        Agent {
            id: AgentId::new(id),
            machine_id: "".into(),
            computer_dns_name: "".into(),
            last_seen: None,
            last_command: None,
            scanner_version: version.into(),
            client_version: "".into(),
        }
    }

    #[test]
    fn of_a_part_of_the_agents_none_vanishes() {
        let mut tenant = tenant(all());
        tenant.set_agents(vec![agent("a", "1"), agent("b", "1")]);
        tenant.add_agents(vec![agent("b", "2"), agent("c", "1")]);
        let agents = tenant.view().agents;
        let known: Vec<_> = agents
            .iter()
            .map(|it| (it.id.as_str(), &*it.scanner_version))
            .collect();
        assert_eq!(known, [("a", "1"), ("b", "2"), ("c", "1")]);
    }

    #[test]
    fn agents_of_which_no_list_speaks_any_more_are_bounded() {
        let mut tenant = tenant(all());
        for round in 0..12_i64 {
            let named = (0..100).map(|number| Agent {
                last_seen: Some(Timestamp::from_unix_millis(round)),
                ..agent(&format!("{round}-{number}"), "1")
            });
            tenant.add_agents(named.collect());
        }
        let agents = tenant.view().agents;
        assert_eq!(agents.len(), MOST_UNNAMED + 100);
        let oldest = agents.iter().filter_map(|agent| agent.last_seen).min();
        assert_eq!(oldest, Some(Timestamp::from_unix_millis(1)));
        let many = (0..1_500).map(|number| agent(&number.to_string(), "1"));
        tenant.add_agents(many.collect());
        let known = tenant.view().agents.len();
        assert_eq!(known, 1_500 + 1_100, "as many as the list names");
    }
}
