//! A round of pages, from the first to the last, or to where it is clear that there is no last.
//!
//! ```text
//! page ─► a link to the next ─► More, unless it came before or nothing new comes any more
//!      ─► none, but as many records as a cap allows ─► More, asked for with `$skip`
//!      ─► none ─► Complete
//! ```

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::Duration;

use thiserror::Error;

use super::extent::Extent;
use crate::clock::Uptime;
use crate::defender::{ApiError, NextLink, Page};
use crate::health::{Collector, Reason};
use crate::model::{Agent, Definition, Session};
use crate::plan::Failure;

/// Pages of one round, at most.
const MOST_PAGES: usize = 1_000;

/// Bytes of one round, at most. One hundred thousand definitions take about 100 MB.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// Where the API's answers are known to stop without a link to the rest: the documented maxima
/// of `$top`, the older one and the newer.
const CAPS: [usize; 2] = [4_096, 10_000];

/// For how long after a page a round of a list goes on where it failed. Beyond that the pages
/// so far are too old to stand beside its last.
const RESUMED: Duration = Duration::from_mins(5);

/// A round under way.
#[derive(Debug)]
pub(super) struct Round<T> {
    so_far: Pages<T>,
    /// Whether a refused token was renewed already, with nothing answered since.
    renewed: bool,
    /// Whether the last call was given up by the connection, without an answer.
    broken: bool,
    /// Whether a round began anew because its next page was refused, with none complete since.
    restarted: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Every round asks for the same, so that one can go on where another failed.
    List,
    /// Each round asks for something else.
    Batches,
}

/// What tells the records of a round apart.
pub(super) trait Keyed {
    /// The same for the same record on another page.
    fn key(&self) -> impl Hash;
}

impl Keyed for Definition {
    fn key(&self) -> impl Hash {
        &self.id
    }
}

impl Keyed for Session {
    fn key(&self) -> impl Hash {
        (&self.definition_id, &self.id, self.last_scanned)
    }
}

impl Keyed for Agent {
    fn key(&self) -> impl Hash {
        &self.id
    }
}

/// Pages so far.
#[derive(Debug)]
struct Pages<T> {
    items: Vec<T>,
    /// How many of these were looked at before the round's end.
    looked_at: usize,
    /// Hashes of the records' keys.
    keys: HashSet<u64>,
    hasher: RandomState,
    /// The links so far.
    links: HashSet<NextLink>,
    count: usize,
    bytes: usize,
    next: Option<NextLink>,
    /// Whether `next` is our own, with `$skip`.
    skips: bool,
    /// Whether the page before had no records: one such page is followed, two are not.
    blank: bool,
    /// Whether an answer was cut short.
    cut: bool,
    started: Option<Uptime>,
    /// When the last page came.
    came: Option<Uptime>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            looked_at: 0,
            keys: HashSet::new(),
            hasher: RandomState::new(),
            links: HashSet::new(),
            count: 0,
            bytes: 0,
            next: None,
            skips: false,
            blank: false,
            cut: false,
            started: None,
            came: None,
        }
    }
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Turn<T> {
    /// There is another page.
    More {
        /// Whether this one was cut short, so that the rest is asked for with `$skip`.
        cut: bool,
    },
    /// The connection broke for the first time: ask again, on a fresh one. Or the link is good
    /// no longer: ask for the first page.
    Again,
    /// The token was refused for the first time: renew it and ask again.
    Renew,
    /// That was the last page, or there is none.
    Complete(Complete<T>),
    /// The round is given up.
    Failed(RoundError),
}

/// A round that came to its end.
#[derive(Debug)]
pub(super) struct Complete<T> {
    pub(super) items: Vec<T>,
    pub(super) pages: usize,
    pub(super) took: Duration,
    pub(super) extent: Extent,
}

/// Why a round was given up.
#[derive(Debug, Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the link to the next page is refused time and again: {0}")]
    Page(ApiError),
    #[error("expected all records, but the answer was cut short and $skip brought no more")]
    Truncated,
    #[error("expected an answer of {MOST_BYTES} bytes at most, but found more by page {0}")]
    TooLarge(usize),
}

impl RoundError {
    /// What the plan needs to know.
    pub(super) fn failure(&self, collector: Collector) -> Failure {
        match self {
            // An answer about fewer ids is smaller; a list cannot be made smaller.
            Self::Api(ApiError::BodyTooLarge { .. }) | Self::TooLarge(_)
                if collector == Collector::History =>
            {
                Failure::BatchTooLarge(None)
            }
            Self::Truncated => Failure::BatchTooLarge(None),
            Self::Api(error) => failure(error),
            // The first page was not refused, so the ids are not to blame.
            Self::Page(error) => Failure::Temporary(error.reason()),
            Self::TooLarge(_) => Failure::Temporary(Reason::Decode),
        }
    }
}

impl<T: Keyed> Round<T> {
    /// Rounds of a list: after a failure the next goes on at the same page, for a while. With
    /// many pages, one that always began anew might never come to its end.
    pub(super) fn of_list() -> Self {
        Self {
            kind: Kind::List,
            ..Self::of_batches()
        }
    }

    /// Rounds that each ask for something else.
    pub(super) fn of_batches() -> Self {
        Self {
            so_far: Pages::default(),
            renewed: false,
            broken: false,
            restarted: false,
            kind: Kind::Batches,
        }
    }

    /// The page to ask for.
    fn start(&mut self, now: Uptime) -> Option<NextLink> {
        self.so_far.started.get_or_insert(now);
        self.so_far.next.clone()
    }

    /// The page to ask for, and whether on a fresh connection: where one broke that was kept
    /// alive, others may be at an end too.
    pub(super) fn ask(&mut self, now: Uptime) -> (Option<NextLink>, bool) {
        (self.start(now), self.broken)
    }

    /// Takes an answer in.
    pub(super) fn turn(&mut self, answer: Result<Page<T>, ApiError>, now: Uptime) -> Turn<T> {
        let broken = matches!(answer, Err(ApiError::Unanswered(_)));
        if !std::mem::replace(&mut self.broken, broken) && broken {
            return Turn::Again;
        }
        let page = match answer {
            Err(ApiError::Unauthorized(_)) if !self.renewed => {
                self.renewed = true;
                return Turn::Renew;
            }
            Err(error) if self.so_far.skips && refuses_to_skip(&error) => {
                self.renewed = false;
                return self.complete(Extent::Truncated, now);
            }
            Err(error) if self.so_far.next.is_some() && is_expired(&error) => {
                self.renewed = false;
                self.so_far = Pages::default();
                if !std::mem::replace(&mut self.restarted, true) {
                    return Turn::Again;
                }
                return Turn::Failed(RoundError::Page(error));
            }
            Err(error) => {
                self.renewed &= matches!(error, ApiError::Unauthorized(_));
                if !self.goes_on_after(&error, now) {
                    self.so_far = Pages::default();
                }
                return Turn::Failed(error.into());
            }
            Ok(page) => page,
        };
        self.renewed = false;
        let so_far = &mut self.so_far;
        so_far.count += 1;
        so_far.came = Some(now);
        so_far.bytes = so_far.bytes.saturating_add(page.bytes);
        if so_far.bytes > MOST_BYTES {
            return Turn::Failed(RoundError::TooLarge(std::mem::take(so_far).count));
        }
        match so_far.take_in(page) {
            Ok(cut) => Turn::More { cut },
            Err(extent) => self.complete(extent, now),
        }
    }

    /// The records that came since this was last called, if the round goes on.
    pub(super) fn news(&mut self) -> &[T] {
        let so_far = &mut self.so_far;
        let looked_at = std::mem::replace(&mut so_far.looked_at, so_far.items.len());
        &so_far.items[looked_at..]
    }

    fn complete(&mut self, extent: Extent, now: Uptime) -> Turn<T> {
        self.restarted = false;
        let round = std::mem::take(&mut self.so_far);
        let took = round
            .started
            .map_or(Duration::ZERO, |started| now.since(started));
        Turn::Complete(Complete {
            items: round.items,
            pages: round.count,
            took,
            extent,
        })
    }

    fn goes_on_after(&self, error: &ApiError, now: Uptime) -> bool {
        let passing = matches!(
            error,
            ApiError::Throttled { .. }
                | ApiError::Server { .. }
                | ApiError::Timeout
                | ApiError::Connect(_)
                | ApiError::Unanswered(_)
                | ApiError::Decode(_)
        );
        let young = |came| now.since(came) < RESUMED;
        self.kind == Kind::List && passing && self.so_far.came.is_some_and(young)
    }
}

impl<T: Keyed> Pages<T> {
    /// Takes a page in. Returns whether it was cut short, or how far the round went if it ends.
    fn take_in(&mut self, page: Page<T>) -> Result<bool, Extent> {
        let (records, known) = (page.items.len() + page.skipped, self.keys.len());
        let blank = page.items.is_empty();
        let keys = page
            .items
            .iter()
            .map(|item| self.hasher.hash_one(item.key()));
        self.keys.extend(keys);
        self.items.extend(page.items);
        let total = self.keys.len();
        let is_new = total > known;
        let was_blank = std::mem::replace(&mut self.blank, blank);
        let skipped = std::mem::take(&mut self.skips);
        if page.refused_link.is_some() {
            return Err(Extent::Refused);
        }
        let Some(link) = page.next else {
            let cut = is_new && (CAPS.contains(&records) || CAPS.contains(&total));
            if cut && self.count < MOST_PAGES {
                (self.cut, self.skips) = (true, true);
                self.next = Some(NextLink::new(&format!("?$skip={total}")));
                return Ok(true);
            }
            let is_ignored = skipped && !blank && !is_new;
            return Err(match self.cut {
                _ if cut || is_ignored => Extent::Truncated,
                true => Extent::Continued,
                false => Extent::Whole,
            });
        };
        let repeats = if blank { was_blank } else { !is_new };
        if repeats || self.count >= MOST_PAGES || !self.links.insert(link.clone()) {
            return Err(Extent::Endless);
        }
        self.next = Some(link);
        Ok(false)
    }
}

/// Whether an answer to `$skip`, which nobody had to expect, says that it is not known. Others
/// speak of the moment, or of more than this call.
fn refuses_to_skip(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::BadRequestOrId(_)
            | ApiError::Client(_)
            | ApiError::Decode(_)
            | ApiError::BodyTooLarge { .. }
            | ApiError::Server {
                retry_after: None,
                ..
            }
    )
}

/// How services answer to a link that came too late.
fn is_expired(error: &ApiError) -> bool {
    match error {
        ApiError::BadRequestOrId(detail) | ApiError::Client(detail) => {
            matches!(detail.status, 400 | 404 | 410)
        }
        _ => false,
    }
}

fn failure(error: &ApiError) -> Failure {
    match error {
        ApiError::BatchTooLarge { allowed, .. } => Failure::BatchTooLarge(*allowed),
        ApiError::BadRequestOrId(_) => Failure::Refused,
        ApiError::Forbidden(_) | ApiError::Unlicensed(_) => Failure::Forbidden,
        ApiError::Throttled { retry_after, .. } => Failure::Throttled(*retry_after),
        ApiError::Server {
            retry_after: Some(pause),
            ..
        } => Failure::Busy(Reason::Server, *pause),
        other => Failure::Temporary(other.reason()),
    }
}

#[cfg(test)]
mod tests;
