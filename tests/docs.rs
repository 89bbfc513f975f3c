//! The documentation says what is true: its links, examples, flags and tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use defender_scan_exporter::budget::{Budget, Limits};
use defender_scan_exporter::cli::Cli;
use defender_scan_exporter::clock::{Clock, Uptime};
use defender_scan_exporter::config::{Config, Poll};
use defender_scan_exporter::schedule::{Decision, ListingDiff, Request, Schedule};
use regex::Regex;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `README.md`, `CHANGELOG.md` and everything in `docs`.
fn documents() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).expect("the folder is there");
    let mut paths: Vec<PathBuf> = docs
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.extend(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    let text = |path: PathBuf| (path.clone(), read(&path));
    paths.into_iter().map(text).collect()
}

/// The text outside of fences, and the fenced blocks with their language.
fn split(text: &str) -> (String, Vec<(&str, &str)>) {
    let parts: Vec<&str> = text.split("\n```").collect();
    assert!(parts.len() % 2 == 1, "a fence is not closed");
    let prose: Vec<&str> = parts.iter().step_by(2).copied().collect();
    let blocks = parts.iter().skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.split_once('\n'));
    (prose.concat(), blocks.collect())
}

/// Command lines of the shell blocks; of a console, those after the prompt.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (language, body) in split(text).1 {
        let prompt = match language {
            "sh" => "",
            "console" => "$ ",
            _ => continue,
        };
        let lines = body.lines();
        found.extend(lines.filter_map(|line| Some(line.strip_prefix(prompt)?.to_owned())));
    }
    found
}

/// The cells of the table rows in `text`.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn example_configurations_are_read() {
    let mut parsed = 0;
    for (path, text) in documents() {
        for (_, body) in split(&text).1.iter().filter(|(kind, _)| *kind == "yaml") {
            // What is in a file below `tenants/` needs the `defaults` of another: see `tests/config.rs`.
            if body.lines().any(|line| line.starts_with("tenants:"))
                && !body.starts_with("# tenants/")
            {
                let origin = path.display().to_string();
                Config::parse(body, &origin).unwrap_or_else(|error| panic!("{error}\n{body}"));
                parsed += 1;
            }
        }
    }
    assert!(parsed >= 2, "{parsed}");
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let below = paths.flat_map(|path| {
        if path.is_dir() {
            sources(&path)
        } else {
            vec![path]
        }
    });
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    below.filter(is_source).collect()
}

/// The site that mdBook makes has every page.
#[test]
fn the_summary_has_every_page() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    for (path, _) in documents() {
        let name = path.file_name().expect("it is a file").to_string_lossy();
        let is_in_docs = path.parent().is_some_and(|folder| folder.ends_with("docs"));
        if is_in_docs && name != "SUMMARY.md" {
            assert!(summary.contains(&format!("]({name})")), "{name}");
        }
    }
}

/// The names of the fields in what stands before the message of an event.
fn fields(body: &str) -> BTreeSet<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for character in body.chars() {
        depth += i32::from("([{".contains(character)) - i32::from(")]}".contains(character));
        if character == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("there is one").push(character);
        }
    }
    let parts = parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty());
    let names = parts.map(|part| part.split_once(" = ").map_or(part, |(name, _)| name));
    names
        .map(|name| name.trim_start_matches(['%', '?']).to_owned())
        .collect()
}

#[test]
fn the_page_on_logs_has_every_message_with_its_fields() {
    let page = read(&root().join("docs/logs.md"));
    let event = Regex::new(r#"(?s)tracing::(error|warn|info)!\((.*?)"\s*\);"#).expect("a pattern");
    let varying = Regex::new(r"\{[^}]*\}").expect("a pattern");
    let (mut seen, mut code) = (0, BTreeMap::<String, BTreeSet<String>>::new());
    for folder in ["src", "crates/exporter-toolkit/src"] {
        for file in sources(&root().join(folder)) {
            let text = read(&file);
            let (text, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            for found in event.captures_iter(text) {
                let (level, body) = (&found[1], &found[2]);
                let (before, message) = body.rsplit_once('"').expect("it has a message");
                let message = varying.replace_all(message, "…");
                // What is logged in one of several wordings stands there in words.
                if message != "…" {
                    let row = format!("| {level} | `{message}` |");
                    let code = code.entry(row).or_default();
                    code.extend(fields(before));
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 40, "{seen}");
    for (row, fields) in code {
        let said = page.lines().find_map(|line| line.strip_prefix(&row));
        let said = said.unwrap_or_else(|| panic!("the page lacks {row}"));
        let said = said.split(['`', '|', ' ', ',', '–']);
        let said: BTreeSet<_> = said
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        assert_eq!(said, fields, "{row}");
    }
    for row in rows(&page).filter(|row| row.len() == 3 && !["level", "---"].contains(&row[0])) {
        let message = row[1].trim_matches('`');
        let parts = message.split('…').map(|part| part.trim().to_owned());
        let known = sources(&root().join("src"))
            .into_iter()
            .chain(sources(&root().join("crates/exporter-toolkit/src")));
        let mut texts = known.map(|file| read(&file));
        let parts: Vec<_> = parts.collect();
        assert!(
            texts.any(|text| parts.iter().all(|part| text.contains(part.as_str()))),
            "no code says: {message}"
        );
    }
}

#[test]
fn example_commands_are_understood() {
    let mut understood = 0;
    for (path, text) in documents() {
        for line in commands(&text) {
            let rest = ["defender-scan-exporter", "cargo run --release --"]
                .into_iter()
                .find_map(|program| line.strip_prefix(program));
            let Some(rest) = rest else { continue };
            let words = ["defender-scan-exporter"].into_iter();
            let result = Cli::read(words.chain(rest.split_whitespace()));
            if let Err(error) = result
                && error.kind() != ErrorKind::DisplayHelp
            {
                panic!("{}: {line}\n{error}", path.display());
            }
            understood += 1;
        }
    }
    assert!(understood >= 3, "{understood}");
}

#[test]
fn the_readme_names_the_two_main_commands() {
    let commands = commands(&read(&root().join("README.md")));
    for main in ["cargo run --release -- demo", "tests/run.sh"] {
        assert!(commands.iter().any(|line| line == main), "{main}");
    }
}

#[test]
fn flags_in_the_text_exist() {
    let mut command = Cli::command();
    command.build();
    let known: BTreeSet<String> = std::iter::once(&command)
        .chain(command.get_subcommands())
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        .collect();
    for (path, text) in documents() {
        for code in split(&text).0.split('`').skip(1).step_by(2) {
            let flag = code.split([' ', '=']).next().unwrap_or_default();
            let fine = !flag.starts_with("--") || known.contains(flag);
            assert!(fine, "{}: {flag} is no flag", path.display());
        }
    }
}

#[test]
fn the_architecture_page_has_the_table_of_the_crate() {
    let map = read(&root().join("src/lib.rs")).replace("//! ", "");
    let page = read(&root().join("docs/architecture.md"));
    let (_, page) = page.split_once("\n## Rooms").expect("it has the table");
    let levels = |text: &str| -> Vec<String> {
        rows(text)
            .filter(|cells| cells.len() == 3 && cells[0].contains('`'))
            .map(|cells| cells[0].replace(['[', ']'], "") + " " + cells[1])
            .collect()
    };
    assert!(levels(&map).len() > 10, "the table was not read");
    assert_eq!(levels(&map), levels(page));
}

/// Of the table of long lists: pages, and the interval that the plan makes of them.
#[test]
fn the_polling_page_has_the_intervals_of_the_plan() {
    let page = read(&root().join("docs/polling.md"));
    let (_, table) = page.split_once("## Long lists").expect("it is there");
    let (table, _) = table.split_once("\n## ").expect("it ends");
    let mut checked = 0;
    for cells in rows(table) {
        let Ok(pages) = cells[0].parse() else {
            continue;
        };
        let agents = Duration::ZERO;
        let poll = Poll {
            agents,
            ..Poll::default()
        };
        let budget = Budget::new(Clock::system(), Limits::new(80, 1_200));
        let now = Uptime::default();
        let mut plan = Schedule::new(poll, now, 1);
        let Decision::Call(Request::Definitions, _) = plan.next(now, &budget) else {
            panic!("the list comes first");
        };
        let listed = ListingDiff {
            names_runs: true,
            ..ListingDiff::default()
        };
        plan.listed(now, pages, &listed, &budget);
        let Decision::Sleep(Some(wake)) = plan.next(now, &budget) else {
            panic!("nothing is due yet");
        };
        assert_eq!(format!("{} s", wake.since(now).as_secs()), cells[1]);
        checked += 1;
    }
    assert_eq!(checked, 4);
}
