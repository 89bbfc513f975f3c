//! What happens at the door, for whoever counts it.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;

/// Something that an exporter may want to count. What a person should know is logged as well.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The web configuration was read again and is in force.
    Reloaded,
    /// The web configuration cannot be used, or does not answer; the former stays in force.
    ReloadFailed,
    /// TLS was not agreed on with a client.
    HandshakeFailed(HandshakeFailure),
    /// A request was answered with this status before it reached the routes.
    RequestRefused(StatusCode),
}

/// Is told of events.
type Listener = Box<dyn Fn(Event) + Send + Sync>;

/// Where events go; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<OnceLock<Listener>>);

impl Events {
    /// Sends all events that come to `listener`, unless somebody else has them already.
    pub(crate) fn set(&self, listener: impl Fn(Event) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(listener));
    }

    pub(crate) fn emit(&self, event: Event) {
        if let Some(listener) = self.0.get() {
            listener(event);
        }
    }
}

/// Why TLS was not agreed on with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandshakeFailure {
    /// The client had no certificate, and one is required.
    NoCertificate,
    /// The client's certificate is not trusted, not current, or not for this.
    BadCertificate,
    /// No version, cipher suite or curve that both know.
    Incompatible,
    /// The client did not like what it saw, such as the server's certificate.
    Alert,
    /// The client spoke plain HTTP.
    PlainHttp,
    /// What the client sent is not TLS, or breaks its rules.
    Protocol,
    /// The client hung up.
    Closed,
    /// It took too long.
    Timeout,
}

impl HandshakeFailure {
    /// All members, in the order of this list.
    pub const ALL: &[Self] = &[
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Incompatible,
        Self::Alert,
        Self::PlainHttp,
        Self::Protocol,
        Self::Closed,
        Self::Timeout,
    ];

    /// A short name, for the value of a label.
    #[must_use]
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Incompatible => "incompatible",
            Self::Alert => "alert",
            Self::PlainHttp => "plain_http",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
        }
    }
}
