//! Why rounds end before their last page.

use thiserror::Error;

use super::MOST_BYTES;
use crate::defender::{ApiError, advice};
use crate::model::Failure;
use crate::model::health::{Collector, Reason};
use crate::schedule::Request;

/// Why a round was given up.
#[derive(Debug, Error)]
pub(in crate::polling::poller) enum PaginationError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the link to the next page was refused repeatedly: {0}")]
    Page(ApiError),
    #[error("expected all records, but could not reach the last page")]
    Short,
    #[error("expected at most {MOST_BYTES} bytes in all pages, but found more by page {0}")]
    TooLarge(usize),
}

impl PaginationError {
    /// What the schedule needs to know.
    pub(in crate::polling::poller) fn failure(&self, request: &Request) -> Failure {
        match self {
            // An answer about fewer ids is smaller; a list cannot be made smaller.
            Self::Api(ApiError::BodyTooLarge { .. }) | Self::TooLarge(_)
                if request.collector().payer() == Collector::History =>
            {
                Failure::BatchTooLarge(None)
            }
            Self::Short => Failure::Short,
            Self::Api(error) => error.failure(),
            // The first page was not refused, so the ids are not to blame.
            Self::Page(error) => Failure::Temporary(error.reason()),
            Self::TooLarge(_) => Failure::Temporary(Reason::Decode),
        }
    }

    /// The one thing to do.
    pub(in crate::polling::poller) fn advice(&self) -> &'static str {
        match self {
            Self::Api(error) | Self::Page(error) => error.advice(),
            Self::Short | Self::TooLarge(_) => advice::TOO_LARGE_LIST,
        }
    }
}

/// Whether an answer to `$skip`, which nobody had to expect, says that it is not known. Others
/// speak of the moment, or of more than this call.
pub(super) fn refuses_to_skip(error: &ApiError) -> bool {
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
pub(super) fn is_expired(error: &ApiError) -> bool {
    match error {
        ApiError::BadRequestOrId(detail) | ApiError::Client(detail) => {
            matches!(detail.status, 400 | 404 | 410)
        }
        _ => false,
    }
}
