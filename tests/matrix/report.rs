//! The matrix as a table, and what went wrong in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::cell::{Cell, When};
use super::rows::{ENDPOINTS, Row};

pub struct Report {
    rows: Arc<Vec<Row>>,
    results: BTreeMap<(usize, usize, When), Result<Duration, String>>,
    most_mib: u64,
    slowest_scrape: Duration,
}

impl Report {
    pub fn new(rows: Arc<Vec<Row>>) -> Self {
        Self {
            rows,
            results: BTreeMap::new(),
            most_mib: 0,
            slowest_scrape: Duration::ZERO,
        }
    }

    pub fn add(&mut self, cell: &Cell, result: Result<Duration, String>) {
        if let Err(why) = &result {
            let when = cell.when.text();
            let (name, endpoint) = (self.rows[cell.row].name, ENDPOINTS[cell.column]);
            println!("{}: {name}, {endpoint:?}, {when}: {why}", cell.name());
        }
        let key = (cell.row, cell.column, cell.when);
        self.results.insert(key, result);
    }

    /// Takes in what one process used, and how long its slowest scrape took.
    pub fn measured(&mut self, process: u32, slowest_scrape: Duration) {
        self.most_mib = self.most_mib.max(peak_mib(process));
        self.slowest_scrape = self.slowest_scrape.max(slowest_scrape);
    }

    pub fn most_mib(&self) -> u64 {
        self.most_mib
    }

    pub fn slowest_scrape(&self) -> Duration {
        self.slowest_scrape
    }

    /// How it went in numbers.
    pub fn figures(&self) -> String {
        let times = self.results.values();
        let slowest = times.filter_map(|result| result.as_ref().ok()).max();
        format!(
            "{} cells; at most {} MiB; slowest scrape {:?}; slowest first call after a fault's end {:?}",
            self.results.len(),
            self.most_mib,
            self.slowest_scrape,
            slowest.copied().unwrap_or_default()
        )
    }

    /// The table that the documentation keeps: the reasons alone.
    pub fn promised(rows: &[Row]) -> String {
        table(rows, |_, _, reason| format!("`{reason}`"))
    }

    /// The table with results: of the start, then of mid-life over HTTP/2 and HTTP/1.1.
    pub fn table(&self) -> String {
        table(&self.rows, |row, column, reason| {
            let results = When::ALL.map(|when| match self.results.get(&(row, column, when)) {
                Some(Ok(_)) => "ok",
                Some(Err(_)) => "FAILED",
                None => "not run",
            });
            format!("{reason}: {}", results.join(", "))
        })
    }

    pub fn assert_good(&self) {
        let mut failures = String::new();
        for ((row, column, when), result) in &self.results {
            let Err(why) = result else { continue };
            let when = when.text();
            let (name, endpoint) = (self.rows[*row].name, ENDPOINTS[*column]);
            writeln!(failures, "{name}, {endpoint:?}, {when}: {why}").expect("a string");
        }
        assert!(failures.is_empty(), "{failures}");
    }
}

fn table(rows: &[Row], cell: impl Fn(usize, usize, &str) -> String) -> String {
    let mut text = String::from("| fault | token | definitions | history | agents |\n");
    text += "| --- | --- | --- | --- | --- |\n";
    for (number, row) in rows.iter().enumerate() {
        write!(text, "| {} |", row.name).expect("a string");
        for (column, reason) in row.reasons.iter().enumerate() {
            let said = reason.map_or("–".to_owned(), |reason| cell(number, column, reason));
            write!(text, " {said} |").expect("a string");
        }
        text.push('\n');
    }
    text
}

/// The most memory a process ever had, in MiB.
fn peak_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("Linux says it")
        .parse::<u64>()
        .expect("a number")
        / 1024
}
