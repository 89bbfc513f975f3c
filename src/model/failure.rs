//! The classes of failed calls: `defender` tells them apart, the schedule decides by them, and
//! metrics, log and pages count them by their [`Reason`].

use std::time::Duration;

use super::health::Reason;

/// The class of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth trying again, after growing pauses.
    Temporary(Reason),
    /// A permission, a licence or a feature is missing.
    Forbidden,
    /// The service asks for a pause, by 429.
    Throttled(Option<Duration>),
    /// Worth trying again, but the service asks for a pause.
    Busy(Reason, Duration),
    /// Too many ids; so many are allowed, if the service says.
    BatchTooLarge(Option<usize>),
    /// The answer lacks its end: because of one of the ids, or of their number.
    Short,
    /// The service refuses the request, maybe because of one of its ids.
    Refused,
}

impl Failure {
    /// Whether any call would have failed so, whatever it asked for.
    #[must_use]
    pub fn concerns_all(self) -> bool {
        match self {
            Self::Forbidden | Self::Throttled(_) => true,
            Self::Temporary(reason) => reason == Reason::Auth,
            Self::Busy(..) | Self::BatchTooLarge(_) | Self::Short | Self::Refused => false,
        }
    }

    /// The label under which it is counted.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Temporary(reason) | Self::Busy(reason, _) => reason,
            Self::Forbidden => Reason::Forbidden,
            Self::Throttled(_) => Reason::Throttled,
            Self::BatchTooLarge(_) | Self::Short | Self::Refused => Reason::Client,
        }
    }
}
