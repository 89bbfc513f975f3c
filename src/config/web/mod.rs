//! The web configuration file: TLS, passwords, headers and a rate limit, in the
//! format of Prometheus' exporter-toolkit, key for key.
//!
//! ```text
//! file ─► yaml ─► mod.rs ─┬─ tls.rs ─ protocol.rs, client.rs (how and who)
//!                         ├─ http.rs (protocol, headers, rate limit)
//!                         └─ users.rs (names and hashes)
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
use rustls::ServerConfig;

pub use source::Mark;
pub use users::PasswordHash;

use self::source::Source;
use super::mistake::{Mistakes, Report, Reported, Warning, expected};
use super::node::{self, Value};
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
}

/// The names of the users alone.
impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfig")
            .field("tls", &self.tls.is_some())
            .field("headers", &self.headers)
            .field("users", &self.users.keys())
            .field("rate_limit", &self.rate_limit)
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
    /// The configuration, or all mistakes.
    pub result: Result<(WebConfig, Vec<Warning>), Mistakes>,
    /// Every file that was looked at, as it was then; if one of them differs,
    /// it is time to read again.
    pub files: Vec<(PathBuf, Option<Mark>)>,
}

impl WebConfig {
    /// Reads `path` and the files that it names. Relative paths in it start from its folder.
    #[must_use]
    pub fn load(path: &Path) -> Reading {
        let mut report = Report::new(&path.display().to_string());
        let mut source = Source::new(Some(path.parent().unwrap_or(Path::new(""))));
        let config = match source.read(path) {
            Ok(content) => {
                if let Ok(text) = String::from_utf8(content) {
                    read(&text, &mut report, &mut source)
                } else {
                    let text = expected("UTF-8 text", "other bytes", "save the file as UTF-8");
                    report.mistake(None, "", text);
                    None
                }
            }
            Err(error) => {
                let advice = small_file::advice(&error);
                let text = expected("a readable file", &error.to_string(), advice);
                report.mistake(None, "", text);
                None
            }
        };
        Reading {
            result: report.finish(config),
            files: source.into_files(),
        }
    }

    /// Reads `text`; `origin` names it in mistakes. Files that it names are not
    /// looked at, so that there is no TLS in the result.
    ///
    /// # Errors
    /// All [`Mistakes`] in it.
    pub fn parse(text: &str, origin: &str) -> Result<(Self, Vec<Warning>), Mistakes> {
        let mut report = Report::new(origin);
        let config = read(text, &mut report, &mut Source::new(None));
        report.finish(config)
    }
}

fn read(text: &str, report: &mut Report, source: &mut Source<'_>) -> Option<WebConfig> {
    // An empty file is a good one: no TLS, no passwords.
    let Some(node) = node::root(text, report).ok()? else {
        return Some(WebConfig::default());
    };
    let mut section =
        Value::new(&node, "").section(report, "a mapping with `tls_server_config`")?;
    let tls = section.take("tls_server_config");
    let http = section.take("http_server_config");
    let users = section.take("basic_auth_users");
    let rate_limit = section.take("rate_limit");
    section.finish(report);

    let http = match http {
        Some(value) => http::server(&value, report),
        None => Some(http::Server::default()),
    };
    let http2 = http.as_ref().is_none_or(|http| http.http2);
    let tls = match tls {
        Some(value) => tls::read(&value, report, source, http2),
        None => Ok(None),
    };
    let users = match users {
        Some(value) => users::read(&value, report),
        None => Some(BTreeMap::new()),
    };
    let rate_limit = match rate_limit {
        Some(value) => http::rate_limit(&value, report),
        None => Ok(None),
    };
    Some(WebConfig {
        tls: tls.ok()?,
        headers: http?.headers,
        users: users?,
        rate_limit: rate_limit.ok()?,
    })
}

/// `true` or `false`, in all spellings of YAML 1.1, which exporter-toolkit takes.
fn boolean(value: &Value<'_>, report: &mut Report) -> Option<bool> {
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
