//! What is kept between scrapes reads as if it were written anew, and what is
//! compressed piece by piece is one gzip member that real tools read.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use defender_scan_exporter::budget::{Budget, Limits};
use defender_scan_exporter::clock::{Clock, Timestamp};
use defender_scan_exporter::config::InForce;
use defender_scan_exporter::exposition::{self, Exposition, Format, SelfMetrics};
use defender_scan_exporter::model::health::Health;
use defender_scan_exporter::model::histogram::Histogram;
use defender_scan_exporter::model::view::{DefinitionView, SessionCounts, TARGET_SECONDS};
use defender_scan_exporter::model::{
    Definition, DefinitionId, Run, ScanStatus, Targets, TenantName,
};
use defender_scan_exporter::polling::Expected;
use defender_scan_exporter::polling::snapshot::{Snapshot, TenantView};
use defender_scan_exporter::web::{self, WebState};
use exporter_toolkit::listen::Socket;
use exporter_toolkit::metrics::TelemetryPath;
use exporter_toolkit::{Access, Server};
use tokio_util::sync::CancellationToken;

use crate::common::settings;
use crate::common::tools::needs;

const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_123);

/// Enough for several pages.
const DEFINITIONS: usize = 1_500;

fn definition(number: usize) -> Arc<DefinitionView> {
    let last_run = (!number.is_multiple_of(7)).then(|| Run {
        at: NOW - Duration::from_secs(number as u64),
        status: ScanStatus::Success,
    });
    Arc::new(DefinitionView {
        definition: Arc::new(Definition {
            scan_name: format!("Scan of site {number}").into(),
            latest: last_run.clone(),
            ..Definition::unlisted(&DefinitionId::new(&format!("definition-{number:05}")))
        }),
        last_success: last_run.as_ref().map(|run| run.at),
        last_run,
        targets: Targets::default(),
        sessions: SessionCounts::default(),
        created: None,
        recent: Arc::default(),
    })
}

struct Scraped {
    clock: Clock,
    own: SelfMetrics,
    snapshot: Snapshot,
    config: InForce,
    exposition: Exposition,
}

impl Scraped {
    fn new() -> Self {
        let clock = Clock::anchored(NOW);
        let snapshot = Snapshot::default();
        for (name, definitions) in [("a", 3), ("b", DEFINITIONS), ("c", 0), ("d", 400)] {
            snapshot.publish(TenantView {
                name: TenantName::new(name),
                info: Arc::default(),
                definitions: (0..definitions).map(definition).collect(),
                agents: [].into(),
                target_seconds: Histogram::new(TARGET_SECONDS),
                health: Health::default(),
                budget: Budget::new(clock.clone(), Limits::new(80, 1200)),
            });
        }
        let config = InForce::default();
        Self {
            own: SelfMetrics::new(NOW),
            exposition: Exposition::new(config.clone()),
            config,
            clock,
            snapshot,
        }
    }

    fn scrape(&self, format: Format, gzip: bool) -> Vec<u8> {
        let tenants = self.snapshot.read();
        let scrape = self
            .exposition
            .scrape(&tenants, &self.clock, &self.own, format, gzip)
            .expect("it compresses");
        let parts: Result<Vec<_>, _> = scrape.collect();
        parts.expect("it compresses").concat()
    }

    fn written_anew(&self, format: Format) -> String {
        let tenants = self.snapshot.read();
        exposition::render(&tenants, &self.clock, &self.own, format)
    }

    /// Publishes the tenant's view as `change` leaves it.
    fn change(&self, tenant: &str, change: impl FnOnce(&mut TenantView)) {
        let tenants = self.snapshot.read();
        let mut view = TenantView::clone(&tenants[&TenantName::new(tenant)]);
        change(&mut view);
        self.snapshot.publish(view);
    }

    fn check(&self, what: &str) {
        self.check_without(&[], what);
    }

    /// That all families but these are published.
    fn check_without(&self, excluded: &[&str], what: &str) {
        for format in [Format::OpenMetrics, Format::Classic] {
            let anew = settings::without(&self.written_anew(format), excluded);
            let plain = String::from_utf8(self.scrape(format, false)).expect("it is text");
            assert_eq!(scans(&plain), scans(&anew), "{what}");
            let inflated = inflate(&self.scrape(format, true));
            assert_eq!(scans(&inflated), scans(&anew), "{what}, compressed");
        }
    }
}

/// Without the process's figures, which change by themselves.
fn scans(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| !line.starts_with("process_")).collect()
}

/// Reads one gzip member and nothing after it.
fn inflate(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    decoder.read_to_string(&mut text).expect("it is gzip");
    assert!(decoder.into_inner().is_empty(), "one member");
    text
}

fn edit(view: &mut TenantView, number: usize, edit: impl FnOnce(&mut DefinitionView)) {
    let mut definitions = view.definitions.to_vec();
    let mut changed = DefinitionView::clone(&definitions[number]);
    edit(&mut changed);
    definitions[number] = Arc::new(changed);
    view.definitions = definitions.into();
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_reads_as_if_written_anew() {
    let scraped = Scraped::new();
    scraped.check("at first");
    for (millis, when) in [
        (1, "at once"),
        (999, "a second later"),
        (61_001, "a minute later"),
    ] {
        tokio::time::advance(Duration::from_millis(millis)).await;
        scraped.check(when);
    }
    for number in [0, 1, 700, DEFINITIONS - 1] {
        scraped.change("b", |view| {
            edit(view, number, |definition| definition.sessions.failure += 1);
        });
        scraped.check("after a session");
    }
    scraped.change("b", |view| {
        let mut definitions = view.definitions.to_vec();
        definitions.remove(3);
        definitions.drain(100..900);
        definitions.insert(0, definition(0));
        view.definitions = definitions.into();
    });
    scraped.check("after definitions vanished, and one came twice");
    scraped.change("c", |view| view.definitions = [definition(5)].into());
    scraped.change("a", |view| view.health.up = Some(true));
    scraped.check("after the first definition of a tenant");
    scraped.change("b", |view| view.definitions = [].into());
    scraped.check("after all of a tenant's vanished");
    scraped.snapshot.remove(&TenantName::new("a"));
    scraped.check("after a tenant went");
    for name in ["b", "c", "d"] {
        scraped.snapshot.remove(&TenantName::new(name));
    }
    scraped.check("without tenants");
}

#[tokio::test(start_paused = true)]
async fn another_list_of_excluded_metrics_counts_from_the_next_scrape() {
    let scraped = Scraped::new();
    let again = |gzip| {
        let tenants = scraped.snapshot.read();
        let Scraped { clock, own, .. } = &scraped;
        let kept = scraped
            .exposition
            .scrape_again(&tenants, clock, own, Format::Classic, gzip);
        kept.is_some()
    };
    let [age, info, sessions, used, threads] = [
        "defender_scan_last_age_seconds",
        "defender_scan_definition_info",
        "defender_scan_sessions_total",
        "defender_api_quota_used",
        "process_threads",
    ];
    scraped.check("at first");
    for excluded in [
        &[age, used][..],
        &[info, sessions, threads],
        &[],
        &[age],
        &[age, info, sessions],
    ] {
        assert!(again(false) && again(true), "nothing has changed");
        scraped.config.set(settings::excluding(excluded));
        assert!(!again(false) && !again(true), "all is written anew");
        scraped.check_without(excluded, "after a reload");
        // The same list again is no other one.
        scraped.config.set(settings::excluding(excluded));
        assert!(again(false) && again(true), "nothing has changed");
        scraped.change("b", |view| {
            edit(view, 7, |definition| definition.sessions.failure += 1);
        });
        scraped.check_without(excluded, "after a session");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scrape_goes_out_in_pieces() {
    let scraped = Scraped::new();
    let tenants = scraped.snapshot.read();
    let format = Format::Classic;
    let scrape = scraped
        .exposition
        .scrape(&tenants, &scraped.clock, &scraped.own, format, false)
        .expect("nothing is compressed");
    let sizes: Vec<_> = scrape.map(|part| part.expect("it is text").len()).collect();
    let total: usize = sizes.iter().sum();
    assert!(total > 1_000_000, "{total}");
    assert!(sizes.iter().all(|size| *size < total / 4), "{sizes:?}");
    assert!(sizes.len() < 200, "small ones go together: {sizes:?}");
}

/// What the tool makes of `input`.
fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}; install it"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // A tool that has seen enough stops reading.
    let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().expect("the child can be awaited");
    feeder.join().expect("the feeder does not panic");
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn real_tools_read_the_compressed_text() {
    const PYTHON: &str =
        "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    needs!("gzip", "python3");
    let scraped = Scraped::new();
    let zipped = scraped.scrape(Format::OpenMetrics, true);
    let again = scraped.scrape(Format::OpenMetrics, true);
    let anew = scraped.written_anew(Format::OpenMetrics);
    assert!(zipped.len() * 4 < anew.len(), "it is smaller");
    for zipped in [&zipped, &again] {
        tool("gzip", &["-t"], zipped).expect("gzip finds no fault");
        for (program, arguments) in [("gzip", &["-dc"][..]), ("python3", &["-c", PYTHON])] {
            let text = tool(program, arguments, zipped).expect("it is gzip");
            let text = String::from_utf8(text).expect("it is text");
            assert_eq!(scans(&text), scans(&anew), "{program}");
        }
    }
    let mut broken = zipped.clone();
    let checksum = broken.len() - 8;
    broken[checksum] ^= 1;
    let complaint = tool("gzip", &["-t"], &broken).expect_err("the checksum counts");
    assert!(complaint.contains("crc"), "{complaint}");
}

#[tokio::test]
async fn curl_reads_it_plain_and_compressed() {
    needs!("curl");
    let scraped = Scraped::new();
    let anew = scraped.written_anew(Format::Classic);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!(
        "http://{}/metrics",
        listener.local_addr().expect("an address")
    );
    let state = WebState {
        snapshot: scraped.snapshot,
        clock: scraped.clock,
        own: scraped.own,
        telemetry_path: TelemetryPath::default(),
        max_requests: 1,
        expected: Expected::default(),
        config: InForce::default(),
        reload: None,
    };
    let shutdown = CancellationToken::new();
    let router = web::router(state);
    let server = Server::new(vec![Socket::Tcp(listener)], Access::open());
    let server = tokio::spawn(server.serve(router, shutdown.clone().cancelled_owned()));
    let definitions = |text: &str| -> Vec<String> {
        let lines = text.lines();
        let lines = lines.filter(|line| !line.contains("_age_seconds{"));
        let lines = lines.filter(|line| line.starts_with("defender_scan"));
        lines.map(str::to_owned).collect()
    };
    // One scrape at a time is allowed: each ends when it was sent.
    for flag in ["--compressed", "--http1.0"] {
        let arguments = [
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--max-time",
            "60",
        ];
        let arguments = [&arguments[..], &[flag, &url]].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            tool("curl", &arguments, b"")
        };
        let read = tokio::task::spawn_blocking(run).await.expect("no panic");
        let text = String::from_utf8(read.expect("curl reads it")).expect("it is text");
        assert_eq!(definitions(&text), definitions(&anew), "{flag}");
    }
    shutdown.cancel();
    server.await.expect("no panic");
}
