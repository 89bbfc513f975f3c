//! The web configuration file: what we accept and refuse is what
//! `promtool check web-config` and exporter-toolkit do, but for a list of differences with
//! reasons; each mistake has its exact message.
//!
//! `UPDATE_GOLDEN=1 cargo test -p exporter-toolkit --test suite web_config::` writes the expected messages anew: read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use exporter_toolkit::WebConfig;
use proptest::prelude::*;

use crate::common::tools::{needs, not_checked};
use crate::common::{peer, target};

const FOLDER: &str = "tests/web_config/files";

/// Names without the ending, and paths.
fn corpus() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(FOLDER).expect("the folder is there");
    let files: BTreeMap<_, _> = entries
        .map(|entry| {
            let path = entry.expect("it can be read").path();
            let name = path.file_stem().expect("it has a name").to_string_lossy();
            (name.into_owned(), path)
        })
        .collect();
    assert!(files.len() >= 80, "only {} files", files.len());
    files
}

/// Whether ours accepts a file, of those that differ from this version of Prometheus.
fn differences(version: &str) -> BTreeMap<String, bool> {
    let text = fs::read_to_string("tests/web_config/differences.txt").expect("the list is there");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once(": ").expect("a name and a colon");
            let (who, reason) = rest.split_once("; ").expect("who, and a reason");
            assert!(!reason.is_empty(), "{line}");
            let ours = match who {
                "ours" => true,
                "promtool" => false,
                _ => panic!("{line}"),
            };
            match name.split_once(" (") {
                Some((_, only)) if only.trim_end_matches(')') != version => None,
                Some((name, _)) => Some((name.to_owned(), ours)),
                None => Some((name.to_owned(), ours)),
            }
        })
        .collect()
}

/// Compares what `judge` says of all files with what we do.
fn compare(judge: &mut Command, version: &str) {
    let files = corpus();
    let output = judge.args(files.values()).output();
    let output = output.unwrap_or_else(|error| panic!("{judge:?}: {error}"));
    let report = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let accepted: BTreeSet<&str> = report
        .lines()
        .filter_map(|line| line.strip_suffix(" SUCCESS"))
        .collect();
    let mut found = BTreeMap::new();
    for (name, path) in &files {
        let path = path.to_str().expect("the path is text");
        assert!(
            report.lines().any(|line| line.starts_with(path)),
            "nothing is said about {path}: {report}"
        );
        let ours = WebConfig::load(path.as_ref()).result.is_ok();
        if ours != accepted.contains(path) {
            found.insert(name.clone(), ours);
        }
    }
    assert_eq!(found, differences(version), "whether ours accepts");
    assert!(accepted.len() > 40 && accepted.len() < files.len() - 40);
}

/// Debian's package `prometheus` has it.
#[test]
fn promtool_agrees_but_for_the_listed_differences() {
    needs!("promtool");
    compare(
        Command::new("promtool").args(["check", "web-config"]),
        "2.42",
    );
}

/// `tests/run.sh` gets it.
#[test]
fn a_newer_promtool_agrees_but_for_the_listed_differences() {
    let promtool = target().join("newer/usr/bin/promtool");
    if promtool.exists() {
        compare(Command::new(promtool).args(["check", "web-config"]), "3.5");
    } else {
        not_checked("promtool 3.5; tests/run.sh gets it from Debian's testing");
    }
}

#[test]
fn exporter_toolkit_agrees_but_for_the_listed_differences() {
    if let Some(check) = peer("check") {
        compare(&mut Command::new(check), "3.5");
    }
}

#[test]
fn every_bad_file_gives_its_messages() {
    let mut found = String::new();
    for path in corpus().values() {
        if let Err(mistakes) = WebConfig::load(path).result {
            found.push_str(&mistakes.to_string().replace(&format!("{FOLDER}/"), ""));
            found.push('\n');
        }
    }
    for secret in ["$2", "X0h1gDsPszWURQaxFh", "secret\n", "BEGIN"] {
        let shown = found.replace("`$2y$10$…`", "");
        assert!(!shown.contains(secret), "{secret} is shown: {found}");
    }
    let file = "tests/web_config/messages.txt";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, &found).expect("it can be written");
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn debug_output_holds_no_hash() {
    let (config, _) = WebConfig::load(format!("{FOLDER}/everything.yml").as_ref())
        .result
        .expect("it is good");
    let text = format!("{config:?} {:?}", config.users);
    assert!(text.contains("alice") && !text.contains("$2"), "{text}");
}

proptest! {
    #[test]
    fn arbitrary_yaml_never_panics(text in "([a-z]{1,3}|tls_server_config|rate_limit|interval|headers|[-:&*!?|>%@#'\"{}\\[\\], \n\t0-9]|\n  ){0,60}") {
        let _ = WebConfig::parse(&text, "x");
    }
}

#[test]
fn a_mutilated_good_file_never_panics() {
    let text = fs::read_to_string(format!("{FOLDER}/everything.yml")).expect("it is there");
    for (at, _) in text.char_indices() {
        let _ = WebConfig::parse(&text[..at], "x");
        let _ = WebConfig::parse(&text[at..], "x");
    }
}
