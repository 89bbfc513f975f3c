//! Sessions that an earlier version saved by the spelling of their id.

use std::collections::HashMap;

use super::{RunHistory, hash};
use crate::model::Session;

impl RunHistory {
    /// Finds the sessions again that were saved under the hash of their id as it is spelled,
    /// when upper and lower case were not yet the same: otherwise they would count once more.
    pub(super) fn find_by_spelling(&mut self, held: &[(u64, &Session)]) {
        let former = held.iter().filter_map(|&(identity, session)| {
            let former = hash(&session.id.as_ref()?.as_str());
            (former != identity).then_some((former, identity))
        });
        let former: HashMap<u64, u64> = former.collect();
        if former.is_empty() {
            return;
        }
        let now = |identity: u64| former.get(&identity).copied().unwrap_or(identity);
        let newest = self.newest.iter_mut().map(|newest| &mut newest.identity);
        for known in self.seen.iter_mut().chain(newest) {
            *known = now(*known);
        }
        let open = self.open.iter();
        self.open = open.map(|(id, since)| (now(*id), *since)).collect();
        let mut recent = self.recent.to_vec();
        for known in &mut recent {
            known.identity = now(known.identity);
        }
        if *recent != *self.recent {
            self.recent = recent.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::Timestamp;
    use crate::model::Details;
    use crate::model::{Definition, DefinitionId, ScanStatus, SessionId};

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000);

    fn session(id: &str, status: ScanStatus) -> Session {
        Session {
            definition_id: DefinitionId::new("d"),
            id: Some(SessionId::new(id)),
            last_scanned: None,
            status,
            details: Details::default(),
        }
    }

    #[test]
    fn an_upgrade_counts_no_session_again() {
        let over = session("0AB", ScanStatus::Success);
        let under_way = session("0CD", ScanStatus::Unknown("Running".into()));
        let sessions = [over, under_way];
        let mut scan = RunHistory::new(Definition::unlisted(&DefinitionId::new("d")));
        scan.apply_history(&sessions[..1], NOW);
        scan.apply_history(&sessions, NOW);
        let expected = scan.clone();
        // As the earlier version saved it.
        let former: BTreeMap<_, _> = ["0AB", "0CD"]
            .map(|id| (hash(&id.to_ascii_lowercase()), hash(&id)))
            .into();
        scan.seen.iter_mut().for_each(|id| *id = former[id]);
        let open = scan.open.iter();
        scan.open = open.map(|(id, since)| (former[id], *since)).collect();
        let mut recent = scan.recent.to_vec();
        let known = recent.iter_mut().map(|known| &mut known.identity);
        let newest = scan.newest.iter_mut().map(|newest| &mut newest.identity);
        known.chain(newest).for_each(|id| *id = former[id]);
        scan.recent = recent.into();

        scan.apply_history(&sessions, NOW);
        assert_eq!(format!("{scan:?}"), format!("{expected:?}"));
        assert_eq!(scan.view().sessions, expected.view().sessions);
        let ended = [sessions[0].clone(), session("0CD", ScanStatus::Failure)];
        scan.apply_history(&ended, NOW);
        let counts = scan.view().sessions;
        assert_eq!((counts.success, counts.failure), (0, 1));
    }
}
