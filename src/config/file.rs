//! The configuration file: text → checked [`Config`], or all its errors.
//!
//! ```text
//! file ─► text ─► Document ─► Mapping / YamlValue ─► Config, warnings
//!                      └─ errors, by line ────────► ConfigErrors
//! ```

use std::cell::OnceCell;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use config_report::{
    ConfigErrors, ConfigReport, ConfigWarning, Document, Layout, Mapping, Reported, YamlValue,
    expected, has_placeholder,
};

use super::defaults::Defaults;
use super::files::ReadContext;
use super::scalar::proxy;
use super::tenants::Tenants;
use super::{Config, Http, Metrics, Tenant, metrics, tenant, tenant_files, variable};
use crate::budget::UNANSWERED;
use exporter_toolkit::small_file::{self, Content};

impl Config {
    /// Reads `path` and checks that the files it names can be read. Relative
    /// paths in it start from its folder.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn load(path: &Path) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        Self::load_with(path, &variable)
    }

    /// Like [`Config::load`], but what would keep a tenant from signing in at this
    /// time, such as a certificate that has ended, is an error and not a warning.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn check(path: &Path) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        Self::load_as(path, &variable, true)
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
        let advice = "name the right file, or move tenants to files that `tenant_files` names";
        let Content { bytes, exposed } = match read_file(path, &mut report, advice) {
            Ok(content) => content,
            Err(reported) => return report.finish(Err(reported)),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let world = ReadContext {
            main: path,
            folder: Some(folder),
            env,
            strict,
            named: &OnceCell::new(),
        };
        let found = read(&bytes, &mut report, &world);
        if exposed && found.as_ref().is_ok_and(|(_, inline)| *inline) {
            warn_of_exposure(&mut report);
        }
        report.finish(found.map(|(config, _)| config))
    }

    /// Reads `text`; `origin` names it in errors. Files that it names are not
    /// looked at, and neither is the environment. So there may be no tenant, if it
    /// has `tenant_files`.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in it.
    pub fn parse(text: &str, origin: &str) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let mut report = ConfigReport::new(origin);
        let world = ReadContext {
            main: Path::new(origin),
            folder: None,
            env: &|_| None,
            strict: false,
            named: &OnceCell::new(),
        };
        let config = read(text.as_bytes(), &mut report, &world).map(|(config, _)| config);
        report.finish(config)
    }
}

/// The content of a file; `too_large` says what to do about one that is.
pub(super) fn read_file(
    path: &Path,
    report: &mut ConfigReport,
    too_large: &str,
) -> Result<Content, Reported> {
    small_file::blocking_read(path, Document::MAX_BYTES as u64).map_err(|error| {
        if error.kind() == ErrorKind::FileTooLarge {
            return Document::too_large(report, too_large);
        }
        let advice = small_file::advice(&error);
        let text = expected("a readable file", &error.to_string(), advice);
        report.error(None, "", text)
    })
}

/// A file with a secret that every user of the machine can read.
pub(super) fn warn_of_exposure(report: &mut ConfigReport) {
    let text = "everyone on this machine can read this file, and it holds a secret; run `chmod o-r` on it, or move the secret to a file of its own";
    report.warn(None, "", text);
}

/// The keys of the file.
const SECTIONS: &[&str] = &["tenants", "tenant_files", "defaults", "http", "metrics"];

/// Those that stand in the configuration file alone.
pub(super) const BESIDE_TENANTS: &[&str] = match SECTIONS {
    [_, beside @ ..] => beside,
    [] => &[],
};

/// What is known of the keys around those of the file.
const LAYOUT: Layout = {
    let [of_tenant, of_credential] = tenant::BELOW_A_LIST;
    Layout {
        sections: SECTIONS,
        elsewhere: &[
            of_tenant,
            (
                "it belongs to `http`: indent it",
                &["timeout", "ca_file", "proxy_url"],
            ),
            ("it belongs to `metrics`: indent it", metrics::KEYS),
            of_credential,
        ],
        // For anchors.
        ignored: Some("x-"),
    }
};

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
    let mut section = root.mapping(report, what)?.with_layout(LAYOUT);
    let tenants = read_tenants(&mut section, report, world);
    let http = match section.take("http") {
        Some(value) => read_http(&value, report, world),
        None => Ok(Http::default()),
    };
    let metrics = match section.take("metrics") {
        Some(value) => metrics::read(&value, report),
        None => Ok(Metrics::default()),
    };
    section.finish(report);
    let ((tenants, inline), http) = (tenants?, http?);
    let proxied = http.proxy_url.as_ref();
    let inline = inline || proxied.is_some_and(|url| url.password().is_some());
    let config = Config {
        tenants,
        http,
        metrics: metrics?,
    };
    Ok((config, inline))
}

/// The tenants of this file and of those that it names, and whether a secret stands in this one.
fn read_tenants(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
) -> Result<(Vec<Tenant>, bool), Reported> {
    // Without them a tenant misses what it needs, which would be no help to say too.
    let placed = if section.is_empty("tenants") {
        Ok(())
    } else {
        section.refuse_misplaced(report)
    };
    let listed = section.take("tenants");
    let files = section.take("tenant_files");
    let defaults = section.take("defaults");
    let defaults = defaults.map(|value| Defaults::read(&value, report, world));
    let defaults = defaults.unwrap_or_default();
    let mut tenants = Tenants::default();
    let mut inline = defaults.has_secret();
    match (placed, &listed) {
        (Err(reported), _) => tenants.fail(reported),
        (Ok(()), Some(value)) => inline |= tenants.add(value, report, world, &defaults),
        (Ok(()), None) if files.is_some() => {}
        (Ok(()), None) => {
            tenants.fail(section.missing(report, "tenants", "a list of tenants"));
        }
    }
    if let Some(value) = &files {
        tenant_files::read(value, &mut tenants, report, world, &defaults);
    }
    let tenants = tenants.finish()?;
    let is_complete = files.is_none() || world.folder.is_some();
    match (files, listed) {
        (Some(value), _) if tenants.is_empty() && is_complete => {
            let found = "none in this file or in those that match";
            let text = expected("at least one tenant", found, "add one");
            Err(value.error(report, text))
        }
        (None, Some(value)) if tenants.is_empty() => {
            let text = expected("at least one tenant", "an empty list", "add one");
            Err(value.error(report, text))
        }
        _ => Ok((tenants, inline)),
    }
}

/// Files of templates, and of programs that replace variables, are often copied as they are.
pub(super) fn warn_of_placeholders(root: &YamlValue<'_>, report: &mut ConfigReport) {
    root.each_text(&mut |value, text| {
        if has_placeholder(text) {
            value.warn(
                report,
                "contains a variable, and variables are not expanded in this file; write the value itself, and put a secret into a file of its own",
            );
        }
    });
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
