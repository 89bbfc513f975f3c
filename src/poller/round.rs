//! A round of pages: kept together until the last is in, so that a list that
//! breaks off half-way makes nothing vanish.

use std::time::Duration;

use thiserror::Error;

use crate::clock::Uptime;
use crate::defender::{ApiError, NextLink, Page};
use crate::health::{Collector, Reason};
use crate::plan::Failure;

/// Pages of one round, at most: more is a loop.
const MOST_PAGES: usize = 1_000;

/// Bytes of one round, at most. One hundred thousand definitions take about 100 MB.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// For how long a round of a list goes on at the page where it failed. Beyond that its first
/// pages are too old to stand beside its last.
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

/// Pages so far.
#[derive(Debug)]
struct Pages<T> {
    items: Vec<T>,
    count: usize,
    bytes: usize,
    next: Option<NextLink>,
    started: Option<Uptime>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            count: 0,
            bytes: 0,
            next: None,
            started: None,
        }
    }
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Turn<T> {
    /// There is another page; or its link is good no longer, and the first is asked for again.
    More,
    /// The connection broke for the first time: ask again, on a fresh one.
    Again,
    /// The token was refused for the first time: renew it and ask again.
    Renew,
    /// That was the last page.
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
}

/// Why a round was given up.
#[derive(Debug, Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the link to the next page is refused time and again: {0}")]
    Page(ApiError),
    #[error(
        "expected the last of the answer's pages, but found a loop after page {0}; the service or a proxy is broken"
    )]
    Loop(usize),
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
            Self::Api(error) => failure(error),
            // The first page was not refused, so the ids are not to blame.
            Self::Page(error) => Failure::Temporary(error.reason()),
            Self::Loop(_) | Self::TooLarge(_) => Failure::Temporary(Reason::Decode),
        }
    }
}

impl<T> Round<T> {
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
            Err(error) if self.so_far.next.is_some() && is_expired(&error) => {
                self.renewed = false;
                self.so_far = Pages::default();
                if !std::mem::replace(&mut self.restarted, true) {
                    return Turn::More;
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
        so_far.bytes = so_far.bytes.saturating_add(page.bytes);
        if so_far.bytes > MOST_BYTES {
            return Turn::Failed(RoundError::TooLarge(std::mem::take(so_far).count));
        }
        so_far.items.extend(page.items);
        if page.next.is_some() && (page.next == so_far.next || so_far.count >= MOST_PAGES) {
            return Turn::Failed(RoundError::Loop(std::mem::take(so_far).count));
        }
        so_far.next = page.next;
        if so_far.next.is_some() {
            return Turn::More;
        }
        self.restarted = false;
        let round = std::mem::take(so_far);
        let took = round
            .started
            .map_or(Duration::ZERO, |started| now.since(started));
        Turn::Complete(Complete {
            items: round.items,
            pages: round.count,
            took,
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
        let young = |started| now.since(started) < RESUMED;
        self.kind == Kind::List && passing && self.so_far.started.is_some_and(young)
    }
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
