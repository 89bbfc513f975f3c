//! The path under which the metrics are served.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::server::requests::cleaned;

/// A checked path: `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(String);

impl TelemetryPath {
    /// The path, with its leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TelemetryPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

impl fmt::Display for TelemetryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a path cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TelemetryPathError {
    /// It is relative, or a whole URL.
    #[error("expected a path that begins with \"/\", but found {0:?}")]
    NotAbsolute(String),
    /// `/-/` belongs to the exporter's other endpoints.
    #[error("expected a path outside \"/-/\", which is reserved, but found {0:?}")]
    Reserved(String),
    /// Requests for it would be led elsewhere.
    #[error("expected a path without \"//\", \".\" and \"..\", but found {0:?}")]
    Unclean(String),
    /// Only unreserved characters of URLs can be compared byte for byte.
    #[error("expected only letters, digits, \"/\", \"-\", \"_\", \".\" and \"~\", but found {0:?}")]
    Character(char),
}

impl FromStr for TelemetryPath {
    type Err = TelemetryPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with('/') {
            return Err(TelemetryPathError::NotAbsolute(text.to_owned()));
        }
        if text == "/-" || text.starts_with("/-/") {
            return Err(TelemetryPathError::Reserved(text.to_owned()));
        }
        if cleaned(text) != text {
            return Err(TelemetryPathError::Unclean(text.to_owned()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        match text.chars().find(|c| !allowed(*c)) {
            Some(character) => Err(TelemetryPathError::Character(character)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_taken() {
        for path in ["/metrics", "/metrics/", "/", "/a/b-c_d.e~f", "/..a"] {
            assert_eq!(path.parse::<TelemetryPath>().unwrap().as_str(), path);
        }
        let error = |path: &str| path.parse::<TelemetryPath>().unwrap_err();
        assert_eq!(error(""), TelemetryPathError::NotAbsolute(String::new()));
        assert_eq!(
            error("metrics"),
            TelemetryPathError::NotAbsolute("metrics".into())
        );
        assert_eq!(
            error("/-/healthy"),
            TelemetryPathError::Reserved("/-/healthy".into())
        );
        assert_eq!(error("/{name}"), TelemetryPathError::Character('{'));
        for path in ["/a//b", "//", "/../x", "/./m", "/m/.."] {
            assert_eq!(error(path), TelemetryPathError::Unclean(path.into()));
        }
        assert_eq!(error("/a b"), TelemetryPathError::Character(' '));
    }
}
