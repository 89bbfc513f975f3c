//! The configuration file: text → checked [`Config`], or all its errors.
//!
//! ```text
//! file ─► text ─► Document ─► Mapping / YamlValue ─► Config, warnings
//!                      └─ errors, by line ────────► ConfigErrors
//! ```

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use config_report::{
    ConfigErrors, ConfigReport, ConfigWarning, Document, Layout, Reported, YamlValue, collect_all,
    expected, has_placeholder,
};

use super::files::ReadContext;
use super::scalar::proxy;
use super::{Config, Http, Tenant, credential, tenant};
use crate::budget::UNANSWERED;
use exporter_toolkit::small_file::{self, Content};

impl Config {
    /// Reads `path` and checks that the files it names can be read. Relative
    /// paths in it start from its folder.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn load(path: &Path) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        Self::load_with(path, &|name| std::env::var(name).ok())
    }

    /// Like [`Config::load`], but what would keep a tenant from signing in at this
    /// time, such as a certificate that has ended, is an error and not a warning.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn check(path: &Path) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        Self::load_as(path, &|name| std::env::var(name).ok(), true)
    }

    /// Like [`Config::load`], with another environment.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn load_with(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        Self::load_as(path, env, false)
    }

    fn load_as(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        strict: bool,
    ) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let mut report = ConfigReport::new(&path.display().to_string());
        let Content { bytes, exposed } = match read_file(path, &mut report) {
            Ok(content) => content,
            Err(reported) => return report.finish(Err(reported)),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let world = ReadContext {
            folder: Some(folder),
            env,
            strict,
            named: OnceCell::new(),
        };
        let found = read(&bytes, &mut report, &world);
        if exposed && found.as_ref().is_ok_and(|(_, inline)| *inline) {
            let text = "everyone on this machine can read this file, and it holds a secret; run `chmod o-r` on it, or move the secret to a file of its own";
            report.warn(None, "", text);
        }
        report.finish(found.map(|(config, _)| config))
    }

    /// Reads `text`; `origin` names it in errors. Files that it names are not
    /// looked at, and neither is the environment.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn parse(text: &str, origin: &str) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let mut report = ConfigReport::new(origin);
        let world = ReadContext {
            folder: None,
            env: &|_| None,
            strict: false,
            named: OnceCell::new(),
        };
        let config = read(text.as_bytes(), &mut report, &world).map(|(config, _)| config);
        report.finish(config)
    }
}

fn read_file(path: &Path, report: &mut ConfigReport) -> Result<Content, Reported> {
    small_file::blocking_read(path, Document::MAX_BYTES as u64).map_err(|error| {
        if error.kind() == ErrorKind::FileTooLarge {
            return Document::too_large(report);
        }
        let advice = small_file::advice(&error);
        let text = expected("a readable file", &error.to_string(), advice);
        report.error(None, "", text)
    })
}

/// The configuration in `text`, and whether it holds a secret itself.
fn read(
    text: &[u8],
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<(Config, bool), Reported> {
    let what = "a mapping with `tenants`";
    let document = Document::parse(text, report)?;
    let Some(root) = document.root() else {
        return Err(report.error(None, "", expected(what, "nothing", "add `tenants:`")));
    };
    warn_of_placeholders(&root, report);
    let mut section = root.mapping(report, what)?.with_layout(Layout {
        sections: &["tenants", "http"],
        elsewhere: &[
            (
                "it belongs to an entry of `tenants`: indent it",
                tenant::KEYS,
            ),
            (
                "it belongs to `http`: indent it",
                &["timeout", "ca_file", "proxy_url"],
            ),
            (
                "it belongs to the `credential` of a tenant: indent it",
                credential::KEYS,
            ),
        ],
        // For anchors.
        ignored: Some("x-"),
    });
    // Without them a tenant misses what it needs, which would be no help to say too.
    let placed = if section.is_empty("tenants") {
        Ok(())
    } else {
        section.refuse_misplaced(report)
    };
    let tenants = section.require(report, "tenants", "a list of tenants");
    let tenants = placed
        .and(tenants)
        .and_then(|value| read_tenants(&value, report, world));
    let http = match section.take("http") {
        Some(value) => read_http(&value, report, world),
        None => Ok(Http::default()),
    };
    section.finish(report);
    let ((tenants, inline), http) = (tenants?, http?);
    let proxied = http.proxy_url.as_ref();
    let inline = inline || proxied.is_some_and(|url| url.password().is_some());
    Ok((Config { tenants, http }, inline))
}

/// Files of templates, and of programs that replace variables, are often copied as they are.
fn warn_of_placeholders(root: &YamlValue<'_>, report: &mut ConfigReport) {
    root.each_text(&mut |value, text| {
        if has_placeholder(text) {
            value.warn(
                report,
                "holds a variable, and variables are not replaced in this file; write the value itself, and a secret into a file of its own",
            );
        }
    });
}

fn read_tenants(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<(Vec<Tenant>, bool), Reported> {
    let items = value.list(report, "a list of tenants")?;
    if items.is_empty() {
        let text = expected("at least one tenant", "an empty list", "add one");
        return Err(value.error(report, text));
    }
    let continues = |pair: &&[YamlValue<'_>]| {
        let [before, item] = pair else { return false };
        !(item.has("name") || before.has("tenant_id") && before.has("credential"))
    };
    if let Some([_, item]) = items.windows(2).find(continues) {
        let what = "`name` in each entry of the list";
        let found = "one that goes on with the entry before";
        let advice = "write `- ` before the first key of a tenant only";
        return Err(item.error(report, expected(what, found, advice)));
    }
    let found = items.iter().map(|item| tenant::read(item, report, world));
    let found = collect_all(found);
    refuse_duplicates(&items, report);
    let (tenants, inline): (Vec<_>, Vec<_>) = found?;
    warn_of_shared_budgets(&items, &tenants, report);
    Ok((tenants, inline.contains(&true)))
}

/// Names are compared whatever else is wrong with the tenants.
fn refuse_duplicates(items: &[YamlValue<'_>], report: &mut ConfigReport) {
    let mut seen = HashMap::new();
    for item in items {
        let Some((name, value)) = item.peek("name") else {
            continue;
        };
        if let Some(first) = seen.insert(name, item.path()) {
            let found = format!("that of {first} again");
            value.error(
                report,
                expected("a name of its own", &found, "rename one of them"),
            );
        }
    }
}

/// The API counts calls per directory and application. Tenants that share both spend one
/// budget; those that reach the API under different addresses are not known to.
fn warn_of_shared_budgets(items: &[YamlValue<'_>], tenants: &[Tenant], report: &mut ConfigReport) {
    let mut seen = HashMap::new();
    for (value, tenant) in items.iter().zip(tenants) {
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

fn read_http(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<Http, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    // A request lasts no longer than the budget waits for one without an answer.
    let range = Duration::from_secs(1)..=UNANSWERED;
    let timeout = match section.take("timeout") {
        Some(value) => value.duration(report, range),
        None => Ok(Http::default().timeout),
    };
    let ca_file = section.take("ca_file");
    let ca_file = ca_file.map(|value| world.certificates(&value, report));
    let proxy_url = section.take("proxy_url");
    let proxy_url = proxy_url.map(|value| proxy(&value, report));
    section.finish(report);
    Ok(Http {
        timeout: timeout?,
        ca_file: ca_file.transpose()?,
        proxy_url: proxy_url.transpose()?,
    })
}
