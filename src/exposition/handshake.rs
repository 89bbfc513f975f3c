//! Why a client and the exporter did not agree on TLS.

/// The label `reason` of `defender_exporter_tls_handshake_failures_total`.
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
    /// All members, in the order in which the reference names them.
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

    /// The value of the label.
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
