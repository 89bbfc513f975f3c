//! What happens at the door, for whoever counts it.

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

/// Where events go; it is called on any thread, and must not wait.
pub(crate) type OnEvent = std::sync::Arc<dyn Fn(Event) + Send + Sync>;

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
