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

/// Pages so far.
#[derive(Debug)]
pub(super) struct Round<T> {
    items: Vec<T>,
    pages: usize,
    next: Option<NextLink>,
    started: Option<Uptime>,
    /// Whether a refused token was renewed already, with nothing answered since.
    renewed: bool,
}

impl<T> Default for Round<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            pages: 0,
            next: None,
            started: None,
            renewed: false,
        }
    }
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Turn<T> {
    /// There is another page.
    More,
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
    #[error(
        "expected the last of the answer's pages, but found a loop after page {0}; the service or a proxy is broken"
    )]
    Loop(usize),
}

impl RoundError {
    /// What the plan needs to know.
    pub(super) fn failure(&self, collector: Collector) -> Failure {
        match self {
            // An answer about fewer ids is smaller; a list can not be made smaller.
            Self::Api(ApiError::BodyTooLarge { .. }) if collector == Collector::History => {
                Failure::BatchTooLarge(None)
            }
            Self::Api(error) => failure(error),
            Self::Loop(_) => Failure::Temporary(Reason::Decode),
        }
    }
}

impl<T> Round<T> {
    /// The page to ask for.
    pub(super) fn start(&mut self, now: Uptime) -> Option<NextLink> {
        self.started.get_or_insert(now);
        self.next.clone()
    }

    /// Takes an answer in.
    pub(super) fn turn(&mut self, answer: Result<Page<T>, ApiError>, now: Uptime) -> Turn<T> {
        let page = match answer {
            Err(ApiError::Unauthorized(_)) if !self.renewed => {
                self.renewed = true;
                return Turn::Renew;
            }
            Err(error) => {
                let renewed = self.renewed && matches!(error, ApiError::Unauthorized(_));
                *self = Self {
                    renewed,
                    ..Self::default()
                };
                return Turn::Failed(error.into());
            }
            Ok(page) => page,
        };
        self.renewed = false;
        self.pages += 1;
        self.items.extend(page.items);
        if page.next.is_some() && (page.next == self.next || self.pages >= MOST_PAGES) {
            return Turn::Failed(RoundError::Loop(std::mem::take(self).pages));
        }
        self.next = page.next;
        if self.next.is_some() {
            return Turn::More;
        }
        let round = std::mem::take(self);
        let took = round
            .started
            .map_or(Duration::ZERO, |started| now.since(started));
        Turn::Complete(Complete {
            items: round.items,
            pages: round.pages,
            took,
        })
    }
}

fn failure(error: &ApiError) -> Failure {
    match error {
        ApiError::BatchTooLarge { allowed, .. } => Failure::BatchTooLarge(*allowed),
        ApiError::BadRequestOrId(_) => Failure::Refused,
        ApiError::Forbidden(_) => Failure::Forbidden,
        ApiError::Throttled { retry_after, .. } => Failure::Throttled(*retry_after),
        other => Failure::Temporary(other.reason()),
    }
}
