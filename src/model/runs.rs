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
//!
//! Neither's word is final. A list that changes its word about a run is believed until
//! history agrees with it or changes too. A session whose status says nothing yet is *open*:
//! it is asked about again for a day, and counted when its status is final, or as unknown
//! after that day. A run that is not over leaves what is published at the run before it.

mod details;
mod future;
mod newest;
mod spelling;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::clock::Timestamp;
use crate::model::view::{DefinitionView, KnownSession, SESSIONS, SessionCounts};
use crate::model::{Definition, Run, ScanStatus, Session, SessionId};

/// Sessions remembered per definition, at least; never fewer than the last answer held.
const REMEMBERED: usize = 256;

/// How far a session's time may lie before the run that it belongs to.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How many bytes of what went wrong in a definition's sessions are kept, the newest first.
const ERROR_BYTES: usize = 8 * 1024;

/// For how long a session is asked about whose status is not final, and a run that history
/// does not hold.
const ASKED: Duration = Duration::from_hours(24);

/// Everything known of one definition.
#[derive(Clone, Debug)]
pub struct RunHistory {
    pub(crate) definition: Arc<Definition>,
    pub(crate) newest: Option<KnownSession>,
    /// Whether `newest` is the run that `definition.latest` names, or a later one.
    pub(crate) covered: bool,
    /// Whether the list has changed its word about that run, and history has not followed yet.
    pub(crate) corrected: bool,
    /// When a later run began that is not over, as the list says.
    pub(crate) running: Option<Timestamp>,
    /// The newest success of a run before the newest.
    pub(crate) last_success: Option<Timestamp>,
    /// Hashes of known sessions' identities; those of the last answer come last, as the next holds them again.
    pub(crate) seen: VecDeque<u64>,
    /// When open sessions of the last answer were first seen, by identity. They are not in
    /// `seen`, unless they were there at first sight.
    pub(crate) open: BTreeMap<u64, Timestamp>,
    /// Sessions that are to be asked for by their ids, as history tells no more of them than how
    /// they went; the newest last.
    pub(crate) bare: Vec<SessionId>,
    pub(crate) counts: SessionCounts,
    /// When counting began, if that is known: an older version did not note it.
    pub(crate) created: Option<Timestamp>,
    /// The newest sessions, the newest last.
    pub(crate) recent: Arc<[KnownSession]>,
}

/// What one answer of history taught about a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Whether the answer cannot be improved by asking again soon: every status is final, and
    /// it holds the latest run or cannot say which session that is; or all that is too old.
    pub settled: bool,
    /// Durations of single targets, of sessions that came to their end.
    pub target_durations: Vec<Duration>,
    /// Sessions that are to be asked for by their ids: new ones, and those of which the service
    /// changed its word.
    pub bare: Vec<SessionId>,
}

impl RunHistory {
    /// A definition as first met.
    #[must_use]
    pub fn new(mut definition: Definition) -> Self {
        let running = definition.latest.take_if(|run| run.status.is_running());
        Self {
            definition: Arc::new(definition),
            newest: None,
            covered: false,
            corrected: false,
            running: running.map(|run| run.at),
            last_success: None,
            seen: VecDeque::new(),
            open: BTreeMap::new(),
            bare: Vec::new(),
            counts: SessionCounts::default(),
            created: None,
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
            + definition
                .failure_reason
                .as_ref()
                .map_or(0, |text| text.len())
            + self.seen.len() * size_of::<u64>()
            + self.open.len() * size_of::<(u64, Timestamp)>()
            + self
                .bare
                .iter()
                .map(|id| size_of::<SessionId>() + id.as_str().len())
                .sum::<usize>()
            + self.recent.len() * size_of::<KnownSession>()
            + self.recent.iter().map(error_bytes).sum::<usize>()
    }

    /// The definition as last listed.
    #[must_use]
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Whether history may know more of the newest run, or of others, than it did.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        let unconfirmed = self.definition.latest.is_some() && !self.is_confirmed();
        unconfirmed || self.running.is_some() || !self.open.is_empty()
    }

    /// Whether history's word about the newest run stands.
    fn is_confirmed(&self) -> bool {
        self.covered && !self.corrected
    }

    /// Takes a newer listing in; true if it names a run that was not known, or changes its
    /// word about one.
    pub fn apply_listing(&mut self, mut listed: Definition) -> bool {
        let known = self.definition.latest.clone();
        let under_way = listed.latest.take_if(|run| run.status.is_running());
        let started = under_way.map(|run| run.at).filter(|at| {
            let is_later = known.as_ref().is_none_or(|known| known.at < *at);
            is_later && self.running != Some(*at)
        });
        self.running = started.or(self.running);
        let at = |run: &Option<Run>| run.as_ref().map(|run| run.at);
        let news = match at(&known).cmp(&at(&listed.latest)) {
            Ordering::Less => {
                self.succeeded(self.last_run().as_ref());
                self.running = self
                    .running
                    .filter(|at| Some(*at) > listed.latest.as_ref().map(|run| run.at));
                (self.covered, self.corrected) = (false, false);
                true
            }
            Ordering::Equal => {
                let changed = known != listed.latest;
                // Of a run that is no longer the newest, history alone tells.
                let newest = self.newest.as_ref().and_then(|newest| newest.at);
                let is_newest = newest <= at(&known).map(|at| at + TOLERANCE);
                self.corrected |= changed && self.covered && is_newest;
                changed
            }
            // A run cannot un-happen: an answer that lacks it, or names an earlier one, is behind.
            Ordering::Greater => {
                listed.latest = known;
                listed
                    .failure_reason
                    .clone_from(&self.definition.failure_reason);
                false
            }
        };
        listed.share_texts(&self.definition);
        self.definition = Arc::new(listed);
        news || started.is_some()
    }

    /// Takes an answer of history in: all its sessions of this definition.
    pub fn apply_history(&mut self, sessions: &[Session], as_of: Timestamp) -> Learned {
        // Sessions found at first sight, in the first answer that held any, are not counted.
        let is_first_sight = self.seen.is_empty();
        let held = distinct(sessions);
        self.find_by_spelling(&held);
        let known: HashSet<u64> = self.seen.iter().copied().collect();
        let was_running = |identity| {
            let mut recent = self.recent.iter();
            recent.any(|known| known.identity == identity && known.status.is_running())
        };
        let mut open = BTreeMap::new();
        let mut over = Vec::new();
        // Those that may be the newest if none has a time, and when they were first seen.
        let mut arrived = Vec::new();
        for &(identity, session) in &held {
            let before = self.open.get(&identity);
            let since = before.map_or(as_of, |since| as_of.min(*since));
            let is_new = before.is_none() && !known.contains(&identity);
            let waits = is_new || (before.is_some() && as_of.since(since) < ASKED);
            if waits && !session.status.is_final() {
                open.insert(identity, since);
            } else if !known.contains(&identity) {
                over.push(session);
            }
            let ended = is_new || (before.is_some() && was_running(identity));
            if ended && !session.status.is_running() {
                arrived.push((since, identity));
            }
        }
        self.open = open;
        let bound = REMEMBERED.max(held.len());
        let held_ids: HashSet<u64> = held.iter().map(|(identity, _)| *identity).collect();
        self.seen.retain(|identity| !held_ids.contains(identity));
        self.seen.extend(held_ids.into_iter().filter(|identity| {
            is_first_sight || known.contains(identity) || !self.open.contains_key(identity)
        }));
        self.seen.drain(..self.seen.len().saturating_sub(bound));
        let mut bare = Vec::new();
        if !is_first_sight {
            for session in &over {
                self.counts.add(&session.status);
            }
            bare = self.ask_for(&held, &over);
        }
        self.remember(&held);
        let can_tell = self.find_newest(&held, &arrived, as_of);
        self.fill_newest();
        let latest = self.definition.latest.as_ref();
        let is_old = latest.is_none_or(|run| as_of.since(run.at) >= ASKED);
        let durations = over
            .iter()
            .flat_map(|session| &session.details.target_durations);
        Learned {
            settled: self.open.is_empty() && (self.is_confirmed() || !can_tell || is_old),
            target_durations: durations.copied().collect(),
            bare,
        }
    }

    /// Keeps the newest sessions. Those without a time stay in the order in which
    /// they were first seen, and are taken for older than those with one.
    fn remember(&mut self, held: &[(u64, &Session)]) {
        let mut known = self.recent.to_vec();
        let places = known.iter().enumerate();
        let places: HashMap<u64, usize> = places
            .map(|(place, session)| (session.identity, place))
            .collect();
        for &(identity, session) in held {
            let is_bare = session.details.are_missing();
            let mut session = KnownSession {
                identity,
                at: session.last_scanned,
                status: session.status.clone(),
                targets: session.details.targets,
                errors: session.details.errors.clone(),
            };
            let Some(known) = places.get(&identity).map(|place| &mut known[*place]) else {
                known.push(session);
                continue;
            };
            if is_bare {
                // What was asked for by its id is not in this answer.
                session.targets = known.targets;
                let kept = known.errors.take_if(|_| known.status == session.status);
                session.errors = session.errors.or(kept);
            }
            *known = session;
        }
        known.sort_by_key(|session| session.at);
        known.drain(..known.len().saturating_sub(SESSIONS));
        let mut room = ERROR_BYTES;
        for session in known.iter_mut().rev() {
            let bytes = error_bytes(session);
            session.errors.take_if(|_| bytes > room);
            room = room.saturating_sub(bytes);
        }
        if *known != *self.recent {
            self.recent = known.into();
        }
    }

    /// The newest run that is over.
    fn last_run(&self) -> Option<Run> {
        let latest = self.definition.latest.as_ref();
        let newest = self.newest.as_ref();
        match (latest, newest) {
            (Some(latest), Some(newest)) if self.is_confirmed() => {
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
        }
    }

    /// What is published.
    #[must_use]
    pub fn view(&self) -> DefinitionView {
        let newest = self.newest.as_ref();
        let last_run = self.last_run();
        let is_success = |status: &ScanStatus| *status == ScanStatus::Success;
        let successes = [
            self.last_success,
            last_run
                .as_ref()
                .filter(|run| is_success(&run.status))
                .map(|run| run.at),
            // Where the list names a later run than history's newest, that is one before it.
            newest
                .filter(|newest| !self.covered && is_success(&newest.status))
                .and_then(|newest| newest.at),
        ];
        DefinitionView {
            definition: Arc::clone(&self.definition),
            last_run,
            last_success: successes.into_iter().max().flatten(),
            targets: newest.map(|newest| newest.targets).unwrap_or_default(),
            sessions: self.counts,
            created: self.created,
            recent: Arc::clone(&self.recent),
        }
    }
}

fn error_bytes(session: &KnownSession) -> usize {
    session.errors.as_ref().map_or(0, |errors| errors.bytes())
}

/// The sessions of an answer, each once: of duplicates the last, or one whose status is final.
fn distinct(sessions: &[Session]) -> Vec<(u64, &Session)> {
    let mut places = HashMap::with_capacity(sessions.len());
    let mut distinct: Vec<(u64, &Session)> = Vec::with_capacity(sessions.len());
    for session in sessions {
        let Some(identity) = identity(session) else {
            continue;
        };
        let place = *places.entry(identity).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some((_, known)) if session.status.is_final() || !known.status.is_final() => {
                *known = session;
            }
            Some(_) => {}
            None => distinct.push((identity, session)),
        }
    }
    distinct
}

/// A session is its id, or where the service sends none, its time. The hash is
/// the same in every version of the program.
fn identity(session: &Session) -> Option<u64> {
    let by_time = |at: Timestamp| hash(&at.unix_millis());
    let by_id = session.id.as_ref().map(identity_of);
    by_id.or_else(|| session.last_scanned.map(by_time))
}

fn identity_of(id: &SessionId) -> u64 {
    hash(&id.meaning())
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = SipHasher13::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
