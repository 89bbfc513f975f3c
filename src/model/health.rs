//! How the polling of one tenant goes: what the health metrics and the status
//! page show. All label values are enums, never error text.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Timestamp, Uptime};
use crate::model::histogram::Histogram;

/// Declares an enum whose members are the values of a metric label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
        )]
        pub enum $name {
            $($(#[$member_doc])* $member,)+
        }

        impl $name {
            /// All members, in the order in which they are published.
            pub const ALL: &'static [Self] = &[$(Self::$member,)+];

            /// The value of the label.
            #[must_use]
            pub const fn as_label(self) -> &'static str {
                match self {
                    $(Self::$member => $text,)+
                }
            }

            /// The member of that label, if there is one.
            #[must_use]
            pub fn from_label(label: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.as_label() == label)
            }
        }
    };
}

label! {
    /// What is collected, each on its own schedule.
    Collector {
        /// The list of definitions.
        Definitions => "definitions",
        /// The history of definitions' sessions.
        History => "history",
        /// The history of sessions that are asked for by their ids.
        Sessions => "sessions",
        /// The list of agents.
        Agents => "agents",
    }
}

label! {
    /// Why a collector failed.
    Reason {
        /// No token, or the API refused it.
        Auth => "auth",
        /// A permission or licence is missing.
        Forbidden => "forbidden",
        /// The service asked for a pause.
        Throttled => "throttled",
        /// No answer in time.
        Timeout => "timeout",
        /// No connection, or it broke.
        Connect => "connect",
        /// The service failed (5xx).
        Server => "server",
        /// The service refused the request (other 4xx, 3xx).
        Client => "client",
        /// The answer could not be read.
        Decode => "decode",
    }
}

label! {
    /// Why a record of an answer was left out.
    Skipped {
        /// It is no object, or has nothing that says what it is about.
        Unreadable => "unreadable",
        /// Another record of the list has the same id.
        Duplicate => "duplicate",
        /// It is about an id that was not asked for.
        Unrelated => "unrelated",
    }
}

label! {
    /// Why no token could be had: a class of `AADSTS` codes, or how the exchange broke.
    AuthReason {
        /// `AADSTS7000215`.
        WrongSecret => "wrong_secret",
        /// `AADSTS7000222`.
        ExpiredSecret => "expired_secret",
        /// `AADSTS700016`.
        UnknownApplication => "unknown_application",
        /// `AADSTS90002`.
        UnknownTenant => "unknown_tenant",
        /// `AADSTS700027`, and others about assertions.
        BadAssertion => "bad_assertion",
        /// `AADSTS7000229`.
        MissingServicePrincipal => "missing_service_principal",
        /// `AADSTS53003`.
        ConditionalAccess => "conditional_access",
        /// The API refused a token (401) that was just obtained.
        Refused => "refused",
        /// No answer in time.
        Timeout => "timeout",
        /// No connection.
        Connect => "connect",
        /// 429: too many requests.
        Throttled => "throttled",
        /// 408 or 5xx.
        Server => "server",
        /// Anything else.
        Other => "other",
    }
}

impl Collector {
    /// Whose part of the budget its calls are of: sessions are history by another key.
    #[must_use]
    pub const fn payer(self) -> Self {
        match self {
            Self::Sessions => Self::History,
            payer => payer,
        }
    }
}

/// Upper bounds, in seconds, of `defender_api_request_duration_seconds`.
pub const REQUEST_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the service says of the end of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// Header `Deprecation`: it is not to be used any more, now or soon.
    pub is_deprecated: bool,
    /// Header `Sunset`: when it ends. Without one, the first 410.
    pub sunset: Option<Timestamp>,
    /// 410: it has ended.
    pub is_gone: bool,
}

/// Why a list is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// Its pages do not come to an end.
    Endless,
    /// It stops at a cap, and the rest cannot be asked for.
    CutShort,
    /// The link to its next page leads out of the API, or is not a valid link.
    RefusedLink,
    /// Some of its records cannot be read.
    Unreadable,
}

/// What is wrong with a collector, for the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorFailure {
    /// The class that is counted.
    pub reason: Reason,
    /// What happened, in words without secrets.
    pub text: String,
    /// The one thing to do.
    pub advice: &'static str,
    /// When it first failed, of all failures since its last success.
    pub since: Timestamp,
    /// The same moment on a clock that never jumps.
    pub since_uptime: Uptime,
}

/// What is known of one collector.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorHealth {
    /// When it last succeeded.
    pub last_success: Option<Timestamp>,
    /// How long its last successful round took, in seconds.
    pub last_duration: Option<f64>,
    /// Failures since the exporter first met the tenant.
    pub errors: BTreeMap<Reason, u64>,
    /// Records left out since the exporter first met the tenant.
    pub skipped: BTreeMap<Skipped, u64>,
    /// What is wrong now; `None` if it works.
    pub failure: Option<CollectorFailure>,
    /// When it is tried again, if it fails: not before.
    pub next_attempt: Option<Timestamp>,
    /// What the service says of the end of the endpoint.
    pub lifecycle: Lifecycle,
    /// Values that could not be read and count as absent, likewise.
    pub values_unreadable: u64,
    /// Requests by HTTP status; `None` for a request without an answer.
    pub requests: BTreeMap<Option<u16>, u64>,
    /// How long requests took, answered or not.
    pub request_seconds: Histogram,
    /// Answers that stopped at a cap, without a link to the rest.
    pub truncated: u64,
    /// Rounds of pages that did not come to a last one.
    pub endless: u64,
    /// Why its list is incomplete, if it is.
    pub incomplete: Option<Incomplete>,
}

impl CollectorHealth {
    /// Counts one request: its HTTP status, if it was answered, and how long it took.
    pub fn count(&mut self, status: Option<u16>, elapsed: Duration) {
        *self.requests.entry(status).or_default() += 1;
        self.request_seconds.observe(elapsed.as_secs_f64());
    }

    /// Counts records that were left out.
    pub fn skip(&mut self, reason: Skipped, records: usize) {
        if records > 0 {
            *self.skipped.entry(reason).or_default() += records as u64;
        }
    }

    /// Takes in what an answer says of the end of the endpoint.
    pub fn hear(&mut self, said: Lifecycle, now: Timestamp) {
        let announced = self.lifecycle.sunset;
        let gone = said.is_gone.then(|| announced.unwrap_or(now));
        self.lifecycle = Lifecycle {
            sunset: said.sunset.or(gone),
            ..said
        };
    }
}

impl Default for CollectorHealth {
    fn default() -> Self {
        Self {
            last_success: None,
            last_duration: None,
            errors: BTreeMap::new(),
            skipped: BTreeMap::new(),
            values_unreadable: 0,
            failure: None,
            next_attempt: None,
            lifecycle: Lifecycle::default(),
            requests: BTreeMap::new(),
            request_seconds: Histogram::new(REQUEST_SECONDS),
            truncated: 0,
            endless: 0,
            incomplete: None,
        }
    }
}

/// What is known of one tenant's polling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Whether the last poll of the tenant's scans worked; `None` before the first ended.
    pub up: Option<bool>,
    /// Whether the first poll had to wait, for the end of a pause or for the budget: then
    /// readiness does not wait for it.
    pub held_back: bool,
    /// `Collector::Definitions`.
    pub definitions: CollectorHealth,
    /// `Collector::History`.
    pub history: CollectorHealth,
    /// `Collector::Sessions`.
    pub sessions: CollectorHealth,
    /// `Collector::Agents`.
    pub agents: CollectorHealth,
    /// Until when the service asked for a pause; `None` if it did not.
    pub throttled_until: Option<Timestamp>,
    /// The largest number of ids in one call, as learned from the service.
    pub batch_size: usize,
    /// Definitions in quarantine: the service refuses to answer for them.
    pub quarantined: usize,
    /// Definitions of the last list that were left out, being beyond `definitions.limit`.
    pub dropped: usize,
    /// When the current token ends.
    pub token_expiry: Option<Timestamp>,
    /// When the client certificate ends; client certificates only.
    pub certificate_expiry: Option<Timestamp>,
    /// When the client secret or certificate ends, as far as is known.
    pub credential_expiry: Option<Timestamp>,
    /// Failures to get a token.
    pub auth_errors: BTreeMap<AuthReason, u64>,
    /// Until when polling runs on the reserve; `None` if it does not.
    pub reserve_until: Option<Timestamp>,
    /// How often the poller was started anew after an error of this program.
    pub restarts: u64,
    /// Links to next pages that were not followed, because they lead out of the API.
    pub links_refused: u64,
    /// When all of this began to be counted; `None` if an older version did not note it.
    pub created: Option<Timestamp>,
}

impl Health {
    /// Counts one failure to get a token.
    pub fn count_auth_error(&mut self, reason: AuthReason) {
        *self.auth_errors.entry(reason).or_default() += 1;
    }

    /// The part that belongs to `collector`.
    #[must_use]
    pub fn collector(&self, collector: Collector) -> &CollectorHealth {
        match collector {
            Collector::Definitions => &self.definitions,
            Collector::History => &self.history,
            Collector::Sessions => &self.sessions,
            Collector::Agents => &self.agents,
        }
    }

    /// The part that belongs to `collector`, to be changed.
    pub fn collector_mut(&mut self, collector: Collector) -> &mut CollectorHealth {
        match collector {
            Collector::Definitions => &mut self.definitions,
            Collector::History => &mut self.history,
            Collector::Sessions => &mut self.sessions,
            Collector::Agents => &mut self.agents,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_label(reason.as_label()), Some(*reason));
        }
        assert_eq!(Reason::from_label("nonsense"), None);
    }
}
