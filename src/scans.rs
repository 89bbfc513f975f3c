//! What is known of one definition's runs, put together from two sources.
//!
//! The list names each definition's latest run: *that* and *when* it happened.
//! History says *how* it went, and knows "partial". So:
//!
//! | history fetched for the run that the list names? | status of the newest run |
//! | --- | --- |
//! | not yet, or it does not hold the run yet | the list's |
//! | yes | that of history's newest session |
//!
//! Sessions without a time are ordered by when their id was first seen; of
//! several such at once none is the newest, and the list's word stands.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::clock::Timestamp;
use crate::model::{Definition, Run, ScanStatus, Session};
use crate::snapshot::{DefinitionView, KnownSession, SESSIONS, SessionCounts};

/// Sessions remembered per definition, at least; never fewer than the last answer held.
const REMEMBERED: usize = 256;

/// How far a session's time may lie before the run that it belongs to.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Everything known of one definition.
#[derive(Clone, Debug)]
pub struct Scan {
    pub(crate) definition: Arc<Definition>,
    pub(crate) newest: Option<Newest>,
    /// Whether `newest` is the run that `definition.latest` names, or a later one.
    pub(crate) covered: bool,
    /// The newest success of a run that is no longer the latest, or that history confirmed.
    pub(crate) last_success: Option<Timestamp>,
    /// Hashes of known sessions' identities; those of the last answer come last, as the next holds them again.
    pub(crate) seen: VecDeque<u64>,
    pub(crate) counts: SessionCounts,
    /// The newest sessions, the newest last.
    pub(crate) recent: Arc<[KnownSession]>,
}

/// The newest session.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) at: Option<Timestamp>,
    pub(crate) status: ScanStatus,
    pub(crate) targets: Option<u32>,
    pub(crate) targets_succeeded: Option<u32>,
}

/// What one answer of history taught about a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Whether the answer cannot be improved by asking again soon: it holds
    /// the latest run, or it cannot say which session that is.
    pub settled: bool,
    /// Durations of single targets, of sessions that were not known.
    pub target_durations: Vec<Duration>,
}

impl Scan {
    /// A definition as first met.
    #[must_use]
    pub fn new(definition: Definition) -> Self {
        Self {
            definition: Arc::new(definition),
            newest: None,
            covered: false,
            last_success: None,
            seen: VecDeque::new(),
            counts: SessionCounts::default(),
            recent: Arc::default(),
        }
    }

    /// Roughly how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let definition = &self.definition;
        size_of::<Self>()
            + size_of::<Definition>()
            + definition.id.as_str().len()
            + definition.scan_name.len()
            + self.seen.len() * size_of::<u64>()
            + self.recent.len() * size_of::<KnownSession>()
    }

    /// The definition as last listed.
    #[must_use]
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Whether history has not been fetched for the run that the list names.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        self.definition.latest.is_some() && !self.covered
    }

    /// Takes a newer listing in; true if it names a run that was not known.
    pub fn relist(&mut self, mut listed: Definition) -> bool {
        let known = self.definition.latest.clone();
        // A run cannot un-happen: an answer that lacks it, or names an earlier one, is behind.
        let newer = match (&known, &listed.latest) {
            (Some(known), Some(listed)) => known.at < listed.at,
            (None, listed) => listed.is_some(),
            (Some(_), None) => false,
        };
        if newer {
            if let Some(run) =
                known.filter(|run| !self.covered && run.status == ScanStatus::Success)
            {
                self.succeeded(run.at);
            }
            self.covered = false;
        } else {
            let corrected = listed
                .latest
                .take()
                .filter(|run| known.as_ref().is_some_and(|known| known.at == run.at));
            listed.latest = corrected.or(known);
        }
        listed.share_texts(&self.definition);
        self.definition = Arc::new(listed);
        newer
    }

    /// Takes an answer of history in: all its sessions of this definition.
    pub fn learn(&mut self, sessions: &[Session]) -> Learned {
        // Sessions found at first sight, in the first answer that held any, are not counted.
        let is_first_sight = self.seen.is_empty();
        let known: HashSet<u64> = self.seen.iter().copied().collect();
        let mut fresh: Vec<&Session> = Vec::new();
        let mut held = HashSet::with_capacity(sessions.len());
        for session in sessions {
            let Some(identity) = identity(session) else {
                continue;
            };
            if held.insert(identity) && !known.contains(&identity) {
                fresh.push(session);
            }
        }
        self.seen.retain(|identity| !held.contains(identity));
        let bound = REMEMBERED.max(held.len());
        self.seen.extend(held);
        self.seen.drain(..self.seen.len().saturating_sub(bound));
        if !is_first_sight {
            for session in &fresh {
                self.counts.add(&session.status);
            }
        }
        self.remember(sessions);
        let settled = self.find_newest(sessions, &fresh);
        let target_durations = fresh
            .iter()
            .flat_map(|session| session.target_durations.iter().copied())
            .collect();
        Learned {
            settled,
            target_durations,
        }
    }

    /// Keeps the newest sessions. Those without a time stay in the order in which
    /// they were first seen, and are taken for older than those with one.
    fn remember(&mut self, sessions: &[Session]) {
        let mut known = self.recent.to_vec();
        let places = known.iter().enumerate();
        let mut places: HashMap<u64, usize> = places
            .map(|(place, session)| (session.identity, place))
            .collect();
        for session in sessions {
            let Some(identity) = identity(session) else {
                continue;
            };
            let session = KnownSession {
                identity,
                at: session.last_scanned,
                status: session.status.clone(),
                targets: session.targets,
                targets_succeeded: session.targets_succeeded,
            };
            let place = *places.entry(identity).or_insert(known.len());
            match known.get_mut(place) {
                Some(known) => *known = session,
                None => known.push(session),
            }
        }
        known.sort_by_key(|session| session.at);
        known.drain(..known.len().saturating_sub(SESSIONS));
        if *known != *self.recent {
            self.recent = known.into();
        }
    }

    fn find_newest(&mut self, sessions: &[Session], fresh: &[&Session]) -> bool {
        let latest = self.definition.latest.as_ref().map(|run| run.at);
        for session in sessions
            .iter()
            .filter(|session| session.status == ScanStatus::Success)
        {
            if let Some(at) = session.last_scanned {
                self.succeeded(at);
            }
        }
        let timed = sessions
            .iter()
            .filter(|session| session.last_scanned.is_some());
        if let Some(session) = timed.max_by_key(|session| session.last_scanned) {
            let known = self.newest.as_ref().and_then(|newest| newest.at);
            if known.is_none_or(|known| session.last_scanned >= Some(known)) {
                self.newest = Some(Newest::of(session));
            }
            self.covered = latest.is_none_or(|latest| {
                let newest = self.newest.as_ref().and_then(|newest| newest.at);
                newest.is_some_and(|newest| newest + TOLERANCE >= latest)
            });
            return self.covered;
        }
        match fresh {
            [] => self.covered || latest.is_none(),
            [session] => {
                self.newest = Some(Newest::of(session));
                self.covered = true;
                if let (ScanStatus::Success, Some(at)) = (&session.status, latest) {
                    self.succeeded(at);
                }
                true
            }
            // Which of them came last cannot be told, now or later.
            _ => {
                self.newest = None;
                self.covered = false;
                true
            }
        }
    }

    fn succeeded(&mut self, at: Timestamp) {
        self.last_success = self.last_success.max(Some(at));
    }

    /// What is published.
    #[must_use]
    pub fn view(&self) -> DefinitionView {
        let latest = self.definition.latest.as_ref();
        let newest = self.newest.as_ref();
        let last_run = match (latest, newest) {
            (Some(latest), Some(newest)) if self.covered => {
                let at = newest.at.map_or(latest.at, |at| at.max(latest.at));
                Some(Run {
                    at,
                    status: newest.status.clone(),
                })
            }
            (Some(latest), _) => Some(latest.clone()),
            (None, Some(newest)) => newest.at.map(|at| Run {
                at,
                status: newest.status.clone(),
            }),
            (None, None) => None,
        };
        let unconfirmed = latest.filter(|run| !self.covered && run.status == ScanStatus::Success);
        DefinitionView {
            definition: Arc::clone(&self.definition),
            last_run,
            last_success: self.last_success.max(unconfirmed.map(|run| run.at)),
            targets: newest.and_then(|newest| newest.targets),
            targets_succeeded: newest.and_then(|newest| newest.targets_succeeded),
            sessions: self.counts,
            recent: Arc::clone(&self.recent),
        }
    }
}

impl Newest {
    fn of(session: &Session) -> Self {
        Self {
            at: session.last_scanned,
            status: session.status.clone(),
            targets: session.targets,
            targets_succeeded: session.targets_succeeded,
        }
    }
}

/// A session is its id, or where the service sends none, its time. The hash is
/// the same in every version of the program.
fn identity(session: &Session) -> Option<u64> {
    let mut hasher = SipHasher13::new();
    match (&session.id, session.last_scanned) {
        (Some(id), _) => id.as_str().hash(&mut hasher),
        (None, Some(at)) => at.unix_millis().hash(&mut hasher),
        (None, None) => return None,
    }
    Some(hasher.finish())
}

#[cfg(test)]
#[path = "scans_tests.rs"]
mod tests;
