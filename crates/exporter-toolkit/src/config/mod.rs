//! The web configuration file: TLS, passwords, headers and a rate limit, in the
//! format of Prometheus' exporter-toolkit, key for key.
//!
//! ```text
//! file ─► Document ─► mod.rs ─┬─ tls.rs ─ protocol.rs, client.rs (how and who)
//!                             ├─ http.rs (protocol, headers, rate limit)
//!                             └─ users.rs (names and hashes)
//! ```
//!
//! The format is that of `docs/web-configuration.md` of `prometheus/exporter-toolkit`.

mod client;
mod http;
mod protocol;
mod source;
mod tls;
mod users;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use config_report::{
    ConfigErrors, ConfigReport, ConfigWarning, Document, Reported, YamlValue, expected,
};
use rustls::ServerConfig;

pub use source::FileStamp;
pub use users::PasswordHash;

use self::source::Source;
use crate::small_file;

/// How the web server protects itself.
#[derive(Clone, Default)]
pub struct WebConfig {
    /// `None`: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Set in every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may read anything; empty: everyone.
    pub users: BTreeMap<String, PasswordHash>,
    /// `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// Whether clients must show a certificate; `None`: the file does not say.
    client_certificates: Option<bool>,
}

/// Of the users the names alone.
impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfig")
            .field("tls", &self.tls.is_some())
            .field("headers", &self.headers)
            .field("users", &self.users.keys())
            .field("rate_limit", &self.rate_limit)
            .field("client_certificates", &self.client_certificates)
            .finish()
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// A request is earned each time this has passed; not zero.
    pub interval: Duration,
    /// How many requests may be saved up; at least one.
    pub burst: u32,
}

/// What came of reading the file.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or all errors.
    pub result: Result<(WebConfig, Vec<ConfigWarning>), ConfigErrors>,
    /// Every file that was looked at, as it was then; if one of them differs,
    /// it is time to read again.
    pub files: Vec<(PathBuf, Option<FileStamp>)>,
}

impl WebConfig {
    /// Reads `path` and the files that it names. Relative paths in it start from its folder.
    #[must_use]
    pub fn load(path: &Path) -> Reading {
        let mut report = ConfigReport::new(&path.display().to_string());
        let mut source = Source::new(Some(path.parent().unwrap_or(Path::new(""))));
        let config = match source.read(path) {
            Ok(text) => read(&text, &mut report, &mut source),
            Err(error) => {
                let advice = small_file::advice(&error);
                let text = expected("a readable file", &error.to_string(), advice);
                Err(report.error(None, "", text))
            }
        };
        Reading {
            result: report.finish(config),
            files: source.into_files(),
        }
    }

    /// Whether clients must show who they are, by password or certificate.
    fn asks_who(&self) -> bool {
        !self.users.is_empty() || self.client_certificates == Some(true)
    }

    /// Whether this protects nothing any more where `former` did. A file that was
    /// emptied or cut off looks like that; whoever means it says so by name, with TLS
    /// and a `client_auth_type`, or restarts the exporter.
    #[must_use]
    pub fn drops_protection(&self, former: &Self) -> bool {
        let bare = self.tls.is_none() && self.users.is_empty();
        let was_bare = former.tls.is_none() && former.users.is_empty();
        let open = !self.asks_who() && self.client_certificates.is_none();
        (bare && !was_bare) || (open && former.asks_who())
    }

    /// Reads `text`; `origin` names it in errors. Files that it names are not
    /// looked at, so that there is no TLS in the result.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn parse(text: &str, origin: &str) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let mut report = ConfigReport::new(origin);
        let config = read(text.as_bytes(), &mut report, &mut Source::new(None));
        report.finish(config)
    }
}

fn read(
    text: &[u8],
    report: &mut ConfigReport,
    source: &mut Source<'_>,
) -> Result<WebConfig, Reported> {
    // An empty file is a good one: no TLS, no passwords.
    let document = Document::parse(text, report)?;
    let mut section = document.mapping(report, "a mapping with `tls_server_config`")?;
    let tls = section.take("tls_server_config");
    let http = section.take("http_server_config");
    let users = section.take("basic_auth_users");
    let rate_limit = section.take("rate_limit");
    section.finish(report);

    let http = match http {
        Some(value) => http::server(&value, report),
        None => Ok(http::Server::default()),
    };
    let http2 = http.as_ref().map_or(true, |http| http.http2);
    let tls = match tls {
        Some(value) => tls::read(&value, report, source, http2),
        None => Ok(None),
    };
    let users = match users {
        Some(value) => users::read(&value, report),
        None => Ok(BTreeMap::new()),
    };
    let rate_limit = match rate_limit {
        Some(value) => http::rate_limit(&value, report),
        None => Ok(None),
    };
    let tls = tls?;
    Ok(WebConfig {
        client_certificates: tls.as_ref().and_then(|tls| tls.client_certificates),
        tls: tls.map(|tls| tls.server),
        headers: http?.headers,
        users: users?,
        rate_limit: rate_limit?,
    })
}

/// `true` or `false`, in all spellings of YAML 1.1, which exporter-toolkit takes.
fn boolean(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<bool, Reported> {
    value.parse(
        report,
        "`true` or `false`",
        "write one of them",
        |text| match text {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
                Some(true)
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n"
            | "N" => Some(false),
            _ => None,
        },
    )
}
