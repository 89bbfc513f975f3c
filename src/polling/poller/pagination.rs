//! A round of pages, from the first to the last, or to where it is clear that there is no last.
//!
//! ```text
//! page ─► a link to the next ─► More, unless it came before or nothing new comes any more
//!      ─► none, but as many records as a cap allows ─► More, asked for with `$skip`
//!      ─► none ─► Complete
//! ```

mod error;

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::Duration;

pub(super) use self::error::PaginationError;
use self::error::{is_expired, refuses_to_skip};
use super::extent::Extent;
use crate::clock::{Timestamp, Uptime};
use crate::defender::{ApiError, NextLink, Page, Unread};
use crate::model::{Agent, Definition, Session, SessionDetails};

/// Pages of one round, at most.
pub(super) const MOST_PAGES: usize = 1_000;

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
pub(super) struct Pagination<T> {
    so_far: Round<T>,
    /// Whether a refused token was renewed already, with nothing answered since.
    renewed: bool,
    /// Whether the last call was given up by the connection, without an answer.
    broken: bool,
    /// Whether a round began anew because its next page was refused, with none complete since.
    restarted: bool,
    kind: RoundKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum RoundKind {
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

impl Keyed for SessionDetails {
    fn key(&self) -> impl Hash {
        &self.id
    }
}

impl Keyed for Agent {
    fn key(&self) -> impl Hash {
        &self.id
    }
}

/// The pages so far.
#[derive(Debug)]
struct Round<T> {
    items: Vec<T>,
    /// How many of these were looked at before the round's end.
    looked_at: usize,
    /// What could not be read.
    unread: Unread,
    /// When the last page was sent.
    as_of: Timestamp,
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
    /// How many answers were cut short.
    cuts: usize,
    started: Option<Uptime>,
    /// When the last page came.
    came: Option<Uptime>,
}

impl<T> Default for Round<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            looked_at: 0,
            unread: Unread::default(),
            as_of: Timestamp::from_unix_millis(0),
            keys: HashSet::new(),
            hasher: RandomState::new(),
            links: HashSet::new(),
            count: 0,
            bytes: 0,
            next: None,
            skips: false,
            blank: false,
            cuts: 0,
            started: None,
            came: None,
        }
    }
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum PageOutcome<T> {
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
    Failed(PaginationError),
}

/// A round that came to its end.
#[derive(Debug)]
pub(super) struct Complete<T> {
    pub(super) items: Vec<T>,
    pub(super) pages: usize,
    pub(super) took: Duration,
    pub(super) extent: Extent,
    /// When its last page was sent.
    pub(super) as_of: Timestamp,
    /// What could not be read.
    pub(super) unread: Unread,
}

impl<T: Keyed> Pagination<T> {
    /// Rounds of a list: after a failure the next goes on at the same page, for a while. With
    /// many pages, one that always began anew might never come to its end.
    pub(super) fn of_list() -> Self {
        Self {
            kind: RoundKind::List,
            ..Self::of_batches()
        }
    }

    /// Rounds that each ask for something else.
    pub(super) fn of_batches() -> Self {
        Self {
            so_far: Round::default(),
            renewed: false,
            broken: false,
            restarted: false,
            kind: RoundKind::Batches,
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
    pub(super) fn turn(
        &mut self,
        answer: Result<Page<T>, ApiError>,
        now: Uptime,
    ) -> PageOutcome<T> {
        let broken = matches!(answer, Err(ApiError::Unanswered(_)));
        if !std::mem::replace(&mut self.broken, broken) && broken {
            return PageOutcome::Again;
        }
        let page = match answer {
            Err(ApiError::Unauthorized(_)) if !self.renewed => {
                self.renewed = true;
                return PageOutcome::Renew;
            }
            Err(error) if self.so_far.skips && refuses_to_skip(&error) => {
                self.renewed = false;
                return self.complete(Extent::Truncated, now);
            }
            Err(error) if self.so_far.next.is_some() && is_expired(&error) => {
                self.renewed = false;
                self.so_far = Round::default();
                if !std::mem::replace(&mut self.restarted, true) {
                    return PageOutcome::Again;
                }
                return PageOutcome::Failed(PaginationError::Page(error));
            }
            Err(error) => {
                self.renewed &= matches!(error, ApiError::Unauthorized(_));
                if !self.goes_on_after(&error, now) {
                    self.so_far = Round::default();
                }
                return PageOutcome::Failed(error.into());
            }
            Ok(page) => page,
        };
        self.renewed = false;
        let so_far = &mut self.so_far;
        so_far.count += 1;
        so_far.came = Some(now);
        so_far.bytes = so_far.bytes.saturating_add(page.bytes);
        if so_far.bytes > MOST_BYTES {
            return PageOutcome::Failed(PaginationError::TooLarge(std::mem::take(so_far).count));
        }
        match so_far.take_in(page) {
            Ok(cut) => PageOutcome::More { cut },
            Err(extent) => self.complete(extent, now),
        }
    }

    /// The records that came since this was last called, if the round goes on.
    pub(super) fn news(&mut self) -> &[T] {
        let so_far = &mut self.so_far;
        let looked_at = std::mem::replace(&mut so_far.looked_at, so_far.items.len());
        &so_far.items[looked_at..]
    }

    fn complete(&mut self, extent: Extent, now: Uptime) -> PageOutcome<T> {
        self.restarted = false;
        let round = std::mem::take(&mut self.so_far);
        let extent = match extent {
            Extent::Whole | Extent::Continued if round.unread.records > 0 => Extent::Unreadable,
            extent => extent,
        };
        let took = round
            .started
            .map_or(Duration::ZERO, |started| now.since(started));
        PageOutcome::Complete(Complete {
            items: round.items,
            pages: round.count,
            took,
            extent,
            as_of: round.as_of,
            unread: round.unread,
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
        self.kind == RoundKind::List && passing && self.so_far.came.is_some_and(young)
    }
}

impl<T: Keyed> Round<T> {
    /// Takes a page in. Returns whether it was cut short, or how far the round went if it ends.
    fn take_in(&mut self, page: Page<T>) -> Result<bool, Extent> {
        let (records, known) = (page.items.len() + page.unread.records, self.keys.len());
        let blank = page.items.is_empty();
        let keys = page
            .items
            .iter()
            .map(|item| self.hasher.hash_one(item.key()));
        self.keys.extend(keys);
        let is_new = self.keys.len() > known;
        self.items.extend(page.items);
        self.unread.add(page.unread);
        self.as_of = page.as_of;
        let total = self.keys.len() + self.unread.records;
        let was_blank = std::mem::replace(&mut self.blank, blank);
        let skipped = std::mem::take(&mut self.skips);
        if page.refused_link.is_some() {
            return Err(Extent::Refused);
        }
        let Some(link) = page.next else {
            let cut = is_new && (CAPS.contains(&records) || CAPS.contains(&total));
            if cut && self.count < MOST_PAGES {
                self.cuts += 1;
                self.skips = true;
                self.next = Some(NextLink::new(&format!("?$skip={total}")));
                return Ok(true);
            }
            // Nothing may mean that nothing is left, or that the service ends at its cap.
            let in_vain = skipped && !is_new && !(records == 0 && self.cuts > 1);
            let repeats = self.count > 1 && !skipped && !blank && !is_new;
            return Err(match self.cuts {
                _ if cut || in_vain => Extent::Truncated,
                _ if repeats => Extent::Endless,
                0 => Extent::Whole,
                _ => Extent::Continued,
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

#[cfg(test)]
mod tests;
