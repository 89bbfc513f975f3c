//! The configuration file: text → checked [`Config`], or all its mistakes.
//!
//! ```text
//! file ─► text ─► yaml::Node ─► Section / Value ─► Config, warnings
//!                      └─ mistakes, by line ────► Mistakes
//! ```

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::files::World;
use super::mistake::{Mistakes, Report, Warning, expected};
use super::node::{self, MAX_BYTES, Value, too_large};
use super::scalar::{Range, duration, proxy};
use super::{Config, Http, Tenant, tenant};
use crate::quota::UNANSWERED;
use crate::small_file::{self, Content};

impl Config {
    /// Reads `path` and checks that the files it names can be read. Relative
    /// paths in it start from its folder.
    ///
    /// # Errors
    /// All [`Mistakes`] in it.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Mistakes> {
        Self::load_with(path, &|name| std::env::var(name).ok())
    }

    /// Like [`Config::load`], but what would keep a tenant from signing in at this
    /// time, such as a certificate that has ended, is a mistake and not a warning.
    ///
    /// # Errors
    /// All [`Mistakes`] in it.
    pub fn check(path: &Path) -> Result<(Self, Vec<Warning>), Mistakes> {
        Self::load_as(path, &|name| std::env::var(name).ok(), true)
    }

    /// Like [`Config::load`], with another environment.
    ///
    /// # Errors
    /// All [`Mistakes`] in it.
    pub fn load_with(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Warning>), Mistakes> {
        Self::load_as(path, env, false)
    }

    fn load_as(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        strict: bool,
    ) -> Result<(Self, Vec<Warning>), Mistakes> {
        let mut report = Report::new(&path.display().to_string());
        let Some((text, exposed)) = read_file(path, &mut report) else {
            return report.finish(None);
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let world = World {
            folder: Some(folder),
            env,
            strict,
            named: OnceCell::new(),
        };
        let found = read(&text, &mut report, &world);
        if exposed && found.as_ref().is_some_and(|(_, inline)| *inline) {
            let text = "everyone on this machine can read this file, and it holds a secret; run `chmod o-r` on it, or move the secret to a file of its own";
            report.warn(None, "", text.to_owned());
        }
        report.finish(found.map(|(config, _)| config))
    }

    /// Reads `text`; `origin` names it in mistakes. Files that it names are not
    /// looked at, and neither is the environment.
    ///
    /// # Errors
    /// All [`Mistakes`] in it.
    pub fn parse(text: &str, origin: &str) -> Result<(Self, Vec<Warning>), Mistakes> {
        let mut report = Report::new(origin);
        let world = World {
            folder: None,
            env: &|_| None,
            strict: false,
            named: OnceCell::new(),
        };
        let config = read(text, &mut report, &world).map(|(config, _)| config);
        report.finish(config)
    }
}

/// The text of `path`, and whether everyone may read it.
fn read_file(path: &Path, report: &mut Report) -> Option<(String, bool)> {
    let text = match small_file::blocking_read(path, MAX_BYTES as u64) {
        Ok(Content { bytes, exposed }) => match String::from_utf8(bytes) {
            Ok(text) => return Some((text, exposed)),
            Err(_) => expected("UTF-8 text", "other bytes", "save the file as UTF-8"),
        },
        Err(error) if error.kind() == ErrorKind::FileTooLarge => too_large(),
        Err(error) => {
            let advice = small_file::advice(&error);
            expected("a readable file", &error.to_string(), advice)
        }
    };
    report.mistake(None, "", text);
    None
}

/// The configuration in `text`, and whether it holds a secret itself.
fn read(text: &str, report: &mut Report, world: &World<'_>) -> Option<(Config, bool)> {
    let Some(node) = node::root(text, report).ok()? else {
        let text = expected("a mapping with `tenants`", "nothing", "add `tenants:`");
        report.mistake(None, "", text);
        return None;
    };
    let mut section = Value::new(&node, "").section(report, "a mapping with `tenants`")?;
    let tenants = section
        .require(report, "tenants", "a list of tenants")
        .and_then(|value| read_tenants(&value, report, world));
    let http = match section.take("http") {
        Some(value) => read_http(&value, report, world),
        None => Some(Http::default()),
    };
    section.finish(report);
    let ((tenants, inline), http) = (tenants?, http?);
    let proxied = http.proxy_url.as_ref();
    let inline = inline || proxied.is_some_and(|url| url.password().is_some());
    Some((Config { tenants, http }, inline))
}

fn read_tenants(
    value: &Value<'_>,
    report: &mut Report,
    world: &World<'_>,
) -> Option<(Vec<Tenant>, bool)> {
    let what = "a list of tenants";
    // What is no list has been reported; an empty one has not.
    let items = value.list(report, what);
    if items.is_empty() {
        if value.is_list() {
            let text = expected("at least one tenant", "an empty list", "add one");
            value.mistake(report, text);
        }
        return None;
    }
    let mut found = Vec::new();
    let mut any_inline = false;
    for item in &items {
        if let Some((tenant, inline)) = tenant::read(item, report, world) {
            found.push((item, tenant));
            any_inline |= inline;
        }
    }
    refuse_twins(&items, report);
    warn_of_shared_budgets(&found, report);
    if found.len() < items.len() {
        return None;
    }
    let tenants = found.into_iter().map(|(_, tenant)| tenant).collect();
    Some((tenants, any_inline))
}

/// Names are compared whatever else is wrong with the tenants.
fn refuse_twins(items: &[Value<'_>], report: &mut Report) {
    let mut seen = HashMap::new();
    for item in items {
        let Some((name, value)) = item.peek("name") else {
            continue;
        };
        if let Some(first) = seen.insert(name, item.path()) {
            let found = format!("that of {first} again");
            value.mistake(
                report,
                expected("a name of its own", &found, "rename one of them"),
            );
        }
    }
}

/// The API counts calls per directory and application. Tenants that share both spend one
/// budget; those that reach the API under different addresses are not known to.
fn warn_of_shared_budgets(tenants: &[(&Value<'_>, Tenant)], report: &mut Report) {
    let mut seen = HashMap::new();
    for (value, tenant) in tenants {
        let key = tenant.budget_key();
        let (application, _) = key.as_str().rsplit_once('|').unwrap_or_default();
        let scope = tenant.limits.scope;
        let (first, path, known) = seen
            .entry(application.to_owned())
            .or_insert_with(|| (key.clone(), value.path(), scope));
        if *first == key && *known != scope {
            let text = format!(
                "counts calls by another `quota.scope` than {path}, with which it shares a budget; set the same for both"
            );
            value.warn(report, text);
        }
        if *first != key {
            let text = format!(
                "names the same directory and application as {path} at another address of the API, which may count their calls together; lower `quota.use` of both"
            );
            value.warn(report, text);
        }
    }
}

fn read_http(value: &Value<'_>, report: &mut Report, world: &World<'_>) -> Option<Http> {
    let mut section = value.section(report, "a mapping")?;
    // A request lasts no longer than the budget waits for one without an answer.
    let range = Range::new(Duration::from_secs(1), UNANSWERED);
    let timeout = section
        .take("timeout")
        .map_or(Some(Http::default().timeout), |value| {
            duration(&value, report, range)
        });
    let ca_file = section
        .take("ca_file")
        .and_then(|value| world.certificates(&value, report));
    let proxy_url = section
        .take("proxy_url")
        .and_then(|value| proxy(&value, report));
    section.finish(report);
    Some(Http {
        timeout: timeout?,
        ca_file,
        proxy_url,
    })
}
