//! A log whose reader stalls or goes away, and text in it that means harm.

use std::fs;
use std::io::{PipeReader, Read as _, pipe};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{
    Exporter, Metrics, Process, binary, configuration, eventually, free_port, get, options, request,
};
use defender_simulator::{Endpoint, Simulator};

const DROPPED: &str = "defender_exporter_log_lines_dropped_total";

/// An exporter whose standard error is a pipe that nobody reads, and the pipe's other end.
struct Muted {
    process: Process,
    url: String,
    reader: PipeReader,
}

impl Muted {
    async fn start(simulator: &Simulator) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = configuration(simulator, folder.path(), (1_000, 50_000), &[]);
        let (reader, writer) = pipe().expect("a pipe can be made");
        let port = free_port();
        let mut command = binary();
        command.arg("--config.file").arg(file);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(["--web.enable-lifecycle", "--log.level=debug"]);
        let process = Process::start_with_stderr(folder, &mut command, writer);
        let url = format!("http://127.0.0.1:{port}");
        eventually("it serves", async || get(&url).await).await;
        Self {
            process,
            url,
            reader,
        }
    }

    async fn dropped(&self) -> f64 {
        let (_, text) = get(&format!("{}/metrics", self.url))
            .await
            .expect("it answers");
        Metrics(text).value(DROPPED, &[]).expect("it is counted")
    }

    /// Has it log many lines, by reloads of a file with mistakes.
    async fn flood(&self) {
        let file = self.process.folder.path().join("exporter.yml");
        let mistakes = "  - {name: a b}\n".repeat(20);
        fs::write(file, format!("tenants:\n{mistakes}")).expect("it can be written");
        let reload = format!("{}/-/reload", self.url);
        for _ in 0..200 {
            let answer = request(reqwest::Method::POST, &reload).await;
            assert_eq!(answer.expect("it answers").0, 500);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a bound of five real seconds is what is promised"
    )]
    async fn stops(&mut self) {
        let started = Instant::now();
        self.process.signal("TERM");
        assert_eq!(self.process.exit().await.code(), Some(0));
        println!("stopped after {:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

fn lists(simulator: &Simulator) -> usize {
    let calls = simulator.calls();
    let lists = calls
        .iter()
        .filter(|call| call.endpoint == Endpoint::Definitions);
    lists.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_costs_lines_and_nothing_else() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let mut exporter = Muted::start(&simulator).await;
    eventually("lines are dropped", async || {
        exporter.flood().await;
        (exporter.dropped().await > 0.0).then_some(())
    })
    .await;
    let asked = lists(&simulator);
    eventually("it polls on", async || {
        (lists(&simulator) > asked + 2).then_some(())
    })
    .await;
    for path in ["/-/healthy", "/-/ready", "/"] {
        let (status, _) = get(&format!("{}{path}", exporter.url))
            .await
            .expect("it answers");
        assert_eq!(status, 200, "{path}");
    }
    // It reads on, and is told.
    let mut reader = exporter.reader.try_clone().expect("it can be cloned");
    let read = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&said).contains("log lines were dropped") {
            let count = reader.read(&mut piece).expect("it can be read");
            assert!(count > 0, "it ended");
            said.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(said).expect("it is text")
    });
    let said = read.await.expect("it reads");
    let whole = |line: &str| line.starts_with("ts=") && line.contains(" level=");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[..lines.len() - 1].iter().all(|line| whole(line)));
    // It stalls again, and the last lines cannot be written.
    exporter.flood().await;
    exporter.stops().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_costs_lines_and_nothing_else() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let mut exporter = Muted::start(&simulator).await;
    let (reader, _) = pipe().expect("a pipe can be made");
    exporter.reader = reader;
    exporter.flood().await;
    eventually("lines are counted", async || {
        (exporter.dropped().await > 3_000.0).then_some(())
    })
    .await;
    let asked = lists(&simulator);
    eventually("it polls on", async || {
        (lists(&simulator) > asked + 2).then_some(())
    })
    .await;
    exporter.stops().await;
}

/// What ends a line for some reader, commands a terminal, reverses text, or is invisible.
const HARMFUL: &str = "a\u{2028}b\u{202e}c\u{9b}2Jd\u{1b}[2Je\u{200b}f\u{2066}g\u{85}h";

fn harmless(text: &str) -> bool {
    let harmful = |c: char| HARMFUL.contains(c) && !c.is_ascii_graphic() || c.is_control();
    !text.chars().any(|c| c != '\n' && harmful(c))
}

async fn reloaded(simulator: &Simulator, folder: &Path, format: &str) -> String {
    let file = configuration(simulator, folder, (1_000, 50_000), &[]);
    let odd = tempfile::Builder::new().prefix(HARMFUL).tempdir();
    let odd = odd.expect("a folder can be made");
    fs::copy(file, odd.path().join("exporter.yml")).expect("it can be copied");
    let exporter = Exporter::start_adjusted(odd, |command| {
        command.args(["--log.format", format]);
    })
    .await;
    exporter.process.signal("HUP");
    eventually("it reloads", async || {
        exporter.process.output().contains("reloaded").then_some(())
    })
    .await;
    exporter.process.output()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_elsewhere_commands_no_reader() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let logfmt = reloaded(&simulator, folder.path(), "logfmt").await;
    assert!(harmless(&logfmt), "{logfmt:?}");
    assert!(logfmt.contains(r"b\u202ec"), "{logfmt}");
    let json = reloaded(&simulator, folder.path(), "json").await;
    assert!(harmless(&json), "{json:?}");
    let reloaded = json.lines().find(|line| line.contains("\"reloaded\""));
    let event: serde_json::Value =
        serde_json::from_str(reloaded.expect("it said so")).expect("it is JSON");
    let from = event["from"].as_str().expect("it is text");
    assert!(from.contains(HARMFUL), "{from:?}");
    let line = logfmt.lines().find(|line| line.contains("=reloaded "));
    let line = line.expect("it said so");
    for key in event.as_object().expect("it is an object").keys() {
        assert!(
            format!(" {line}").contains(&format!(" {key}=")),
            "{key}: {line}"
        );
    }
    assert_eq!(event["level"], "info");

    for arguments in [
        ["--config.file", HARMFUL],
        ["--web.max-requests", HARMFUL],
        ["--storage.path", "/dev/null/\u{202e}\u{9b}"],
        [HARMFUL, HARMFUL],
    ] {
        let output = binary()
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("the program starts");
        let text = String::from_utf8(output.stderr).expect("it prints text");
        assert!(!output.status.success() && harmless(&text), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_add_nothing_to_what_is_said_of_an_unknown_issuer() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
    let text = fs::read_to_string(&file).expect("it can be read");
    let without = text.lines().filter(|line| !line.starts_with("http:"));
    fs::write(&file, without.collect::<Vec<_>>().join("\n")).expect("it can be written");
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    eventually("it has tried twice", async || {
        let errors = exporter.metrics().await;
        let errors = errors.value("defender_auth_errors_total", &["reason=\"connect\""]);
        (errors >= Some(2.0)).then_some(())
    })
    .await;
    let output = exporter.process.output();
    let lines = output.lines().filter(|line| line.starts_with("ts="));
    let foreign: Vec<_> = lines
        .filter(|line| !line.contains(" target=defender_scan_exporter"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for trace in ["/registry/src/", "log.file", ".rs:"] {
        assert!(!output.contains(trace), "{trace}: {output}");
    }
}
