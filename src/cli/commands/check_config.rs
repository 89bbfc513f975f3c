//! `check-config`: all mistakes of the named files at once, without touching the network.

use config_report::Location;
use exporter_toolkit::WebConfig;
use serde::Serialize;

use crate::cli::{Flags, Output, printable, variables_name_a_tenant};
use crate::clock::Clock;
use crate::config::{Config, ConfigErrors, ConfigWarning, variable};
use crate::defender::HttpClient;

/// What was found in one file. The names in JSON are documented in `docs/configuration.md`.
#[derive(Debug, Serialize)]
struct CheckedFile {
    file: String,
    ok: bool,
    /// What the file and those that it names configure; `None` if they cannot be used, and for a
    /// file that another one names.
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
}

impl Note {
    fn new(location: &Location, message: &str) -> Self {
        Self {
            line: location.line,
            key: location.key.clone(),
            message: message.to_owned(),
        }
    }

    /// About the whole file.
    fn whole(message: String) -> Self {
        Self {
            line: None,
            key: String::new(),
            message,
        }
    }
}

/// What was found in a file and in those that it names.
struct Checked {
    main: CheckedFile,
    /// Those of the files that it names in which anything was found.
    others: Vec<CheckedFile>,
    /// The mistakes as they are printed, which leaves out some of many.
    mistakes: Vec<String>,
    /// The warnings as they are printed.
    warnings: Vec<String>,
}

pub(super) fn run(flags: &Flags, output: Output) -> anyhow::Result<()> {
    let mut all = Vec::new();
    if let Some(file) = flags.config_file() {
        all.push(main(file.display().to_string(), Config::check(file)));
    } else if variables_name_a_tenant() {
        let read = Config::from_env(&variable);
        all.push(main("environment".to_owned(), read));
    }
    if let Some(file) = &flags.web.config_file {
        let loaded = WebConfig::load(file).result;
        let read = loaded.map(|(config, warnings)| {
            let tls = if config.tls.is_some() { "on" } else { "off" };
            let users = config.users.len();
            (format!("TLS: {tls}, users: {users}"), warnings)
        });
        all.push(Checked::new(file.display().to_string(), read));
    }
    let files = || all.iter().flat_map(Checked::files);
    let ok = files().all(|file| file.ok);
    if output == Output::Json {
        let files: Vec<_> = files().collect();
        let json = serde_json::to_string_pretty(&serde_json::json!({"ok": ok, "files": files}))?;
        let lines: Vec<_> = json.lines().map(printable::json).collect();
        super::print(&format!("{}\n", lines.join("\n")))?;
        anyhow::ensure!(ok, "expected no mistakes, but found some; see the output");
        return Ok(());
    }
    let mut mistakes = Vec::new();
    for checked in &all {
        let warnings = checked.warnings.iter();
        let warnings = warnings.map(|text| format!("warning: {text}"));
        let main = &checked.main;
        let summary = main.summary.as_ref();
        let summary = summary.map(|summary| format!("{}: ok, {summary}", main.file));
        let text: Vec<_> = warnings.chain(summary).map(|line| line + "\n").collect();
        let text = text.concat();
        super::print(&text)?;
        mistakes.extend(checked.mistakes.iter().map(String::as_str));
    }
    anyhow::ensure!(ok, "{}", mistakes.join("\n"));
    Ok(())
}

impl CheckedFile {
    fn new(file: String) -> Self {
        Self {
            file,
            ok: true,
            summary: None,
            mistakes: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Checked {
    fn new(origin: String, read: Result<(String, Vec<ConfigWarning>), ConfigErrors>) -> Self {
        let mut checked = Self {
            main: CheckedFile::new(origin),
            others: Vec::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
        };
        match read {
            Ok((summary, warnings)) => {
                checked.warnings = ConfigWarning::lines(&warnings);
                for warning in warnings {
                    let note = Note::new(&warning.location, &warning.message);
                    checked.file(&warning.location).warnings.push(note);
                }
                checked.main.summary = Some(summary);
            }
            Err(errors) => {
                checked.mistakes = errors.lines();
                for error in errors.as_slice() {
                    let file = checked.file(&error.location);
                    let note = Note::new(&error.location, &error.message);
                    file.mistakes.push(note);
                    file.ok = false;
                }
            }
        }
        checked
    }

    /// All of its files.
    fn files(&self) -> impl Iterator<Item = &CheckedFile> {
        [&self.main].into_iter().chain(&self.others)
    }

    /// The file of that place; what was found comes file by file.
    fn file(&mut self, place: &Location) -> &mut CheckedFile {
        if self.main.file == place.origin {
            return &mut self.main;
        }
        let last = self.others.last();
        if last.is_none_or(|last| last.file != place.origin) {
            self.others.push(CheckedFile::new(place.origin.clone()));
        }
        self.others.last_mut().unwrap_or(&mut self.main)
    }
}

/// Checks the configuration and builds what a start would build of it.
fn main(origin: String, read: Result<(Config, Vec<ConfigWarning>), ConfigErrors>) -> Checked {
    let http = read
        .as_ref()
        .ok()
        .map(|(config, _)| HttpClient::new(&config.http, Clock::system()));
    let read =
        read.map(|(config, warnings)| (format!("tenants: {}", config.tenants.len()), warnings));
    let mut checked = Checked::new(origin, read);
    match http {
        Some(Ok(http)) => {
            for text in http.warnings() {
                checked.warnings.push(text.clone());
                checked.main.warnings.push(Note::whole(text));
            }
        }
        Some(Err(error)) => {
            let error = error.to_string();
            checked
                .mistakes
                .push(format!("{}: {error}", checked.main.file));
            let main = &mut checked.main;
            main.mistakes.push(Note::whole(error));
            (main.ok, main.summary) = (false, None);
        }
        None => {}
    }
    checked
}
