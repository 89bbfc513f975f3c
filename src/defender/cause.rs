//! Why a connection failed, in plain words: the causes that libraries name.

use std::error::Error;
use std::fmt;

use super::scrub::scrub;
use crate::defender::advice::{self, Cause};

/// An error and its causes in one line, each once: known causes in plain words, others as their
/// library words them. Libraries name causes in words alone, so these are read here, and only here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    text: String,
    known: Option<&'static Cause>,
}

impl Causes {
    /// The causes of `error`, outermost first, scrubbed.
    pub(super) fn of(error: &dyn Error) -> Self {
        let mut causes = Self {
            text: error.to_string(),
            known: None,
        };
        let mut source = error.source();
        while let Some(cause) = source {
            causes.add(&cause.to_string());
            source = cause.source();
        }
        causes.text = scrub(&causes.text, &[]);
        causes
    }

    /// Adds a cause, unless it has been named.
    pub(super) fn add(&mut self, cause: &str) {
        let known = advice::of_cause(cause);
        let words = match known {
            Some(known) if known.begins.ends_with(": ") => {
                let rest = cause.strip_prefix(known.begins).unwrap_or_default();
                format!("{}: {rest}", known.meaning)
            }
            Some(known) => known.meaning.to_owned(),
            None => cause.to_owned(),
        };
        self.known = self.known.or(known);
        if self.text.is_empty() {
            self.text = words;
        } else if !self.text.contains(&words) {
            self.text = format!("{}: {words}", self.text);
        }
    }

    /// The same, without that beginning.
    pub(super) fn without(self, beginning: &str) -> Self {
        let text = self.text.strip_prefix(beginning).unwrap_or(&self.text);
        Self {
            text: text.to_owned(),
            ..self
        }
    }

    /// The one thing to do: that of the known cause, or `otherwise`.
    #[must_use]
    pub fn advice(&self, otherwise: &'static str) -> &'static str {
        self.known.map_or(otherwise, |known| known.advice)
    }
}

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{CertificateError, Error};

    use super::*;

    /// The words are the library's, and may change with it.
    #[test]
    fn faults_of_certificates_are_known() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (time, not_after) = (at(1_700_000_000), at(1_600_000_000));
        let expected = ServerName::try_from("a.example").unwrap();
        for (error, meaning) in [
            (CertificateError::UnknownIssuer, "unknown authority"),
            (
                CertificateError::ExpiredContext { time, not_after },
                "has expired",
            ),
            (CertificateError::InvalidPurpose, "is not accepted: "),
            (
                CertificateError::NotValidForNameContext {
                    expected,
                    presented: vec!["DnsName(\"b.example\")".to_owned()],
                },
                "another name",
            ),
        ] {
            let text = Error::InvalidCertificate(error).to_string();
            let mut causes = Causes::default();
            causes.add(&text);
            assert!(causes.to_string().contains(meaning), "{text}");
            assert_ne!(causes.advice(""), "");
        }
        let mut unknown = Causes::default();
        unknown.add("connection refused");
        assert_eq!(unknown.to_string(), "connection refused");
        assert_eq!(unknown.advice("otherwise"), "otherwise");
    }
}
