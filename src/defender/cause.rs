//! Why a connection failed, in plain words: the causes that libraries name.

use crate::defender::advice;

/// What `cause` means, if that is known; else its own words.
pub(super) fn plain(cause: &str) -> String {
    advice::of_cause(cause).map_or_else(|| cause.to_owned(), |known| known.meaning.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{CertificateError, Error};

    use super::*;

    /// The words are the library's, and may change with it.
    #[test]
    fn what_is_wrong_with_certificates_is_known() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (time, not_after) = (at(1_700_000_000), at(1_600_000_000));
        let expected = ServerName::try_from("a.example").unwrap();
        for (error, meaning) in [
            (CertificateError::UnknownIssuer, "unknown authority"),
            (
                CertificateError::ExpiredContext { time, not_after },
                "has ended",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected,
                    presented: vec!["DnsName(\"b.example\")".to_owned()],
                },
                "another name",
            ),
        ] {
            let text = Error::InvalidCertificate(error).to_string();
            assert!(plain(&text).contains(meaning), "{text}");
        }
        assert_eq!(plain("connection refused"), "connection refused");
    }
}
