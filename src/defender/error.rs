//! What can go wrong with a call, in the classes that the schedule acts on.
//!
//! The classes are those of the reference pages on errors and throttling; the
//! body is `{"error": {"code", "message", "target": "<correlation id>"}}`.

use std::fmt;
use std::time::Duration;

use super::cause::Causes;
use super::pause;
use super::scrub::scrub;
use super::wire::{DecodeError, ErrorBody};
use crate::clock::Timestamp;
use crate::defender::advice;
use crate::model::Failure;
use crate::model::health::{AuthReason, Reason};

/// What the service says of an error: scrubbed, bounded, fit for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`; empty if there is none.
    pub code: String,
    /// `error.message`; empty if there is none.
    pub message: String,
    /// `error.target`: what Microsoft's support asks for; empty if there is none.
    pub correlation_id: String,
}

impl Detail {
    /// As it came.
    pub(super) fn new(status: u16, body: ErrorBody) -> Self {
        Self {
            status,
            code: body.code,
            message: body.message,
            correlation_id: body.correlation_id,
        }
    }

    /// The same without secrets, each text on one line.
    pub(super) fn scrubbed(&self, secrets: &[&str]) -> Self {
        Self {
            status: self.status,
            code: scrub(&self.code, secrets),
            message: scrub(&self.message, secrets),
            correlation_id: scrub(&self.correlation_id, secrets),
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if !self.correlation_id.is_empty() {
            write!(f, " (correlation id {})", self.correlation_id)?;
        }
        Ok(())
    }
}

/// A call that failed, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 400 `MaximumBatchSizeExceeded` (or 413): send fewer ids.
    #[error("too many ids in one call: {detail}")]
    BatchTooLarge {
        /// The maximum that the message names; `None` if it cannot be read.
        allowed: Option<usize>,
        /// What the service says.
        detail: Detail,
    },
    /// 400 `InvalidInput`, `InvalidRequestBody`, `BadRequest`, or 404
    /// `ResourceNotFound` or `NotFound` for a batch of ids: one of them may be bad.
    #[error("the request or one of its ids was refused: {0}")]
    BadRequestOrId(Detail),
    /// 401: a new token is needed.
    #[error("the token was refused: {0}")]
    Unauthorized(Detail),
    /// 401 or 403 because of what the tenant has: a new token changes nothing.
    #[error(
        "the tenant lacks the feature or its licence; expected a licence for vulnerability management: {0}"
    )]
    Unlicensed(Detail),
    /// 403: a permission (`Machine.Read.All`) or a licence is missing.
    #[error(
        "access is forbidden; expected the permission Machine.Read.All and a licence for vulnerability management: {0}"
    )]
    Forbidden(Detail),
    /// 429: nothing may be sent for a while.
    #[error("the service is throttling requests: {detail}")]
    Throttled {
        /// How long; at most a day. `None` if the service does not say.
        retry_after: Option<Duration>,
        /// What the service says.
        detail: Detail,
    },
    /// 5xx and 408: temporary.
    #[error("the service failed: {detail}")]
    Server {
        /// How long nothing may be sent; at most a day. `None` if the service does not say.
        retry_after: Option<Duration>,
        /// What the service says.
        detail: Detail,
    },
    /// Any other status, among them redirects, which are not followed: the
    /// token would travel.
    #[error("the request was refused: {0}")]
    Client(Detail),
    /// 404 for a list of a version of the API that the configuration names.
    #[error(
        "expected a list in version {version} of the API, as set by api_version, but found none: {detail}"
    )]
    NoVersion {
        /// The version.
        version: String,
        /// What the service says.
        detail: Detail,
    },
    /// No whole answer within `http.timeout`.
    #[error("no response within the time limit")]
    Timeout,
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connect(Causes),
    /// The connection broke, or the request was refused below HTTP, with no answer begun. On a
    /// connection that was kept alive, it may be that alone that was at an end.
    #[error("the connection failed: {0}")]
    Unanswered(Causes),
    /// The answer is not what the API sends.
    #[error("the response cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// The answer is larger than any that is believed.
    #[error("the response is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes after decompression.
        limit: usize,
    },
    /// The link to the next page cannot be one, or leads to where nothing of this API is, which
    /// is named without path and query.
    #[error("the link to the next page {0}; it was not followed")]
    RefusedLink(String),
}

impl ApiError {
    /// The class by which the schedule decides.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        match self {
            Self::BatchTooLarge { allowed, .. } => Failure::BatchTooLarge(*allowed),
            Self::BadRequestOrId(_) => Failure::Refused,
            Self::Client(_) | Self::NoVersion { .. } | Self::RefusedLink(_) => {
                Failure::Temporary(Reason::Client)
            }
            Self::Unauthorized(_) => Failure::Temporary(Reason::Auth),
            Self::Forbidden(_) | Self::Unlicensed(_) => Failure::Forbidden,
            Self::Throttled { retry_after, .. } => Failure::Throttled(*retry_after),
            Self::Server {
                retry_after: Some(pause),
                ..
            } => Failure::Busy(Reason::Server, *pause),
            Self::Server { .. } => Failure::Temporary(Reason::Server),
            Self::Timeout => Failure::Temporary(Reason::Timeout),
            Self::Connect(_) | Self::Unanswered(_) => Failure::Temporary(Reason::Connect),
            Self::Decode(_) | Self::BodyTooLarge { .. } => Failure::Temporary(Reason::Decode),
        }
    }

    /// The class that is counted.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.failure().reason()
    }

    /// The one thing to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::BatchTooLarge { .. } | Self::BadRequestOrId(_) => advice::IDS,
            Self::Unauthorized(_) => advice::of_sign_in(AuthReason::Refused),
            Self::Forbidden(_) => advice::FORBIDDEN,
            Self::Unlicensed(_) => advice::UNLICENSED,
            Self::Throttled { .. } => advice::THROTTLED,
            Self::Server { .. } => advice::SERVER,
            Self::Client(detail) if detail.status < 400 => advice::REDIRECT,
            Self::Client(detail) if detail.status == 410 => advice::GONE,
            Self::Client(_) => advice::CLIENT,
            Self::NoVersion { .. } => advice::NO_VERSION,
            Self::Timeout => advice::TIMEOUT,
            Self::Connect(causes) | Self::Unanswered(causes) => {
                causes.advice(advice::API_CONNECTION)
            }
            Self::Decode(_) => advice::DECODE,
            Self::BodyTooLarge { .. } => advice::TOO_LARGE,
            Self::RefusedLink(_) => advice::FOREIGN_PAGE,
        }
    }

    /// Classifies an answer that is no success.
    pub(super) fn refused(answer: &Refusal<'_>) -> Self {
        let body = ErrorBody::read(answer.body);
        let allowed = allowed(&body.message);
        let is_of_licence = is_of_licence(&body);
        let detail = Detail::new(answer.status, body).scrubbed(&[answer.token]);
        let code = detail.code.to_ascii_lowercase();
        let retry_after = pause::asked(answer.retry_after, answer.date, answer.wall);
        match (answer.status, code.as_str()) {
            (400, "maximumbatchsizeexceeded") | (413, _) if answer.batch => {
                Self::BatchTooLarge { allowed, detail }
            }
            (400, "invalidinput" | "invalidrequestbody" | "badrequest")
            | (404, "resourcenotfound" | "notfound")
                if answer.batch =>
            {
                Self::BadRequestOrId(detail)
            }
            (401 | 403, _) if is_of_licence => Self::Unlicensed(detail),
            (401, _) => Self::Unauthorized(detail),
            (403, _) => Self::Forbidden(detail),
            (429, _) => Self::Throttled {
                retry_after,
                detail,
            },
            (408 | 500.., _) => Self::Server {
                retry_after: retry_after.filter(|_| pause::may_ask(answer.status)),
                detail,
            },
            _ => Self::Client(detail),
        }
    }

    /// Classifies what broke before an answer began.
    pub(super) fn unanswered(error: reqwest::Error) -> Self {
        let connected = !error.is_connect() && !error.is_builder();
        match Self::broken(error) {
            Self::Connect(causes) if connected => Self::Unanswered(causes),
            error => error,
        }
    }

    /// Classifies what broke on the way.
    pub(super) fn broken(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let causes = Causes::of(&error.without_url());
        // These say nothing that `Connect` does not.
        let causes = causes.without("error sending request: ");
        Self::Connect(causes.without("client error (Connect): "))
    }
}

/// An answer that is no success.
pub(super) struct Refusal<'a> {
    pub(super) status: u16,
    /// Header `Retry-After`.
    pub(super) retry_after: Option<&'a str>,
    /// Header `Date`.
    pub(super) date: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// When the answer arrived.
    pub(super) wall: Timestamp,
    /// Whether the request named ids.
    pub(super) batch: bool,
    /// What must not appear in any text.
    pub(super) token: &'a str,
}

/// Whether a refusal is about what the tenant has, and not about the token or its permissions:
/// `DisabledFeature`, `Tenant feature is not enabled`, `No Tvm license`, `Account mode is inactive`.
fn is_of_licence(body: &ErrorBody) -> bool {
    let message = body.message.to_ascii_lowercase();
    let words = [
        "license",
        "licence",
        "account mode",
        "feature is not enabled",
    ];
    body.code.eq_ignore_ascii_case("disabledfeature")
        || words.iter().any(|words| message.contains(words))
}

/// The number in `… Received: {n}, allowed: {m}`.
fn allowed(message: &str) -> Option<usize> {
    let message = message.to_ascii_lowercase();
    let (_, rest) = message.rsplit_once("allowed")?;
    let rest = rest.trim_start_matches([':', ' ', '=']);
    let end = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests;
