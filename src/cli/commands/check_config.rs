//! `check-config`: all mistakes of the named files at once, without touching the network.

use std::path::Path;

use config_report::Location;
use exporter_toolkit::WebConfig;
use serde::Serialize;

use crate::cli::{Flags, Output, printable};
use crate::clock::Clock;
use crate::config::{Config, ConfigErrors, ConfigWarning};
use crate::defender::HttpClient;

/// What was found in one file. The names in JSON are documented in `docs/configuration.md`.
#[derive(Debug, Serialize)]
struct CheckedFile {
    file: String,
    ok: bool,
    /// What the file configures; `None` if it cannot be used.
    summary: Option<String>,
    mistakes: Vec<Note>,
    warnings: Vec<Note>,
}

/// A mistake or a warning.
#[derive(Debug, Serialize)]
struct Note {
    /// Counted from 1; `None` if it concerns the whole file.
    line: Option<usize>,
    /// Path of the key; empty for the whole file.
    key: String,
    message: String,
    /// As it is printed.
    #[serde(skip)]
    text: String,
}

impl Note {
    fn new(location: &Location, message: &str) -> Self {
        Self {
            line: location.line,
            key: location.key.clone(),
            message: message.to_owned(),
            text: format!("{location}: {message}"),
        }
    }

    /// About the whole file.
    fn whole(text: String, message: String) -> Self {
        Self {
            line: None,
            key: String::new(),
            message,
            text,
        }
    }
}

pub(super) fn run(flags: &Flags, output: Output) -> anyhow::Result<()> {
    let mut files = Vec::new();
    if let Some(file) = &flags.config_file {
        files.push(main_file(file));
    }
    if let Some(file) = &flags.web.config_file {
        let loaded = WebConfig::load(file).result;
        let read = loaded.map(|(config, warnings)| {
            let tls = if config.tls.is_some() { "on" } else { "off" };
            let users = config.users.len();
            (format!("TLS: {tls}, users: {users}"), warnings)
        });
        files.push(CheckedFile::new(file, read));
    }
    let ok = files.iter().all(|file| file.ok);
    if output == Output::Json {
        let json = serde_json::to_string_pretty(&serde_json::json!({"ok": ok, "files": files}))?;
        let lines: Vec<_> = json.lines().map(printable::json).collect();
        super::print(&format!("{}\n", lines.join("\n")))?;
        anyhow::ensure!(ok, "expected no mistakes, but found some; see the output");
        return Ok(());
    }
    let mut mistakes = Vec::new();
    for file in &files {
        let warnings = file.warnings.iter();
        let warnings = warnings.map(|note| format!("warning: {}", note.text));
        let summary = file.summary.as_ref();
        let summary = summary.map(|summary| format!("{}: ok, {summary}", file.file));
        let text: Vec<_> = warnings.chain(summary).map(|line| line + "\n").collect();
        let text = text.concat();
        super::print(&text)?;
        mistakes.extend(file.mistakes.iter().map(|note| note.text.as_str()));
    }
    anyhow::ensure!(ok, "{}", mistakes.join("\n"));
    Ok(())
}

impl CheckedFile {
    fn new(file: &Path, read: Result<(String, Vec<ConfigWarning>), ConfigErrors>) -> Self {
        let (summary, mistakes, warnings) = match read {
            Ok((summary, warnings)) => {
                let warnings = warnings.iter();
                let warnings = warnings.map(|found| Note::new(&found.location, &found.message));
                (Some(summary), Vec::new(), warnings.collect())
            }
            Err(errors) => {
                let errors = errors.as_slice().iter();
                let errors = errors.map(|found| Note::new(&found.location, &found.message));
                (None, errors.collect(), Vec::new())
            }
        };
        Self {
            file: file.display().to_string(),
            ok: summary.is_some(),
            summary,
            mistakes,
            warnings,
        }
    }
}

/// Checks the configuration and builds what a start would build of it.
fn main_file(file: &Path) -> CheckedFile {
    let read = Config::check(file);
    let http = read
        .as_ref()
        .ok()
        .map(|(config, _)| HttpClient::new(&config.http, Clock::system()));
    let read =
        read.map(|(config, warnings)| (format!("tenants: {}", config.tenants.len()), warnings));
    let mut checked = CheckedFile::new(file, read);
    match http {
        Some(Ok(http)) => {
            let warnings = http.warnings().into_iter();
            let warnings = warnings.map(|text| Note::whole(text.clone(), text));
            checked.warnings.extend(warnings);
        }
        Some(Err(error)) => {
            let error = error.to_string();
            let text = format!("{}: {error}", file.display());
            checked.mistakes.push(Note::whole(text, error));
            (checked.ok, checked.summary) = (false, None);
        }
        None => {}
    }
    checked
}
