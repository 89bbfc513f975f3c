//! The exposition of a rich snapshot: pinned by golden files, read back by an
//! independent parser (`PyPI`'s `prometheus_client`) and by promtool.
//!
//! `UPDATE_GOLDEN=1 cargo test --test suite exposition::` writes the golden files anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use defender_scan_exporter::budget::{Budget, Limits, Reserved};
use defender_scan_exporter::clock::{Clock, Timestamp, Uptime};
use defender_scan_exporter::config::InForce;
use defender_scan_exporter::exposition::{self, Exposition, Format, SelfMetrics, catalog};
use defender_scan_exporter::model::health::{
    AuthReason, Collector, CollectorFailure, Health, Reason,
};
use defender_scan_exporter::model::histogram::Histogram;
use defender_scan_exporter::model::view::{DefinitionView, SessionCounts, TARGET_SECONDS};
use defender_scan_exporter::model::{
    Agent, AgentId, Definition, DefinitionId, Run, ScanStatus, ScanType, TargetType, Targets,
    TenantName,
};
use defender_scan_exporter::polling::snapshot::{Snapshot, TenantInfo, TenantView};

use flate2::read::GzDecoder;

use crate::common::settings;
use crate::common::tools::needs;

const NOW: i64 = 1_790_000_000_123;

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp::from_unix_millis(NOW - seconds_ago * 1000)
}

fn view(id: &str, name: &str, last: Option<(i64, ScanStatus)>) -> DefinitionView {
    let last_run = last.map(|(ago, status)| Run {
        at: at(ago),
        status,
    });
    DefinitionView {
        definition: Arc::new(Definition {
            id: DefinitionId::new(id),
            scan_name: name.into(),
            scan_type: Some(ScanType::Network),
            target_type: Some(TargetType::Ip),
            is_active: true,
            interval: Some(Duration::from_hours(4)),
            agent_id: Some(AgentId::new("agent-1")),
            troubleshoot_mode: Some(false),
            failure_reason: None,
            latest: last_run.clone(),
        }),
        last_success: last_run.as_ref().map(|run| run.at),
        targets: Targets::new(
            last_run.as_ref().map(|_| 254),
            last_run.as_ref().map(|_| 250),
        ),
        last_run,
        sessions: SessionCounts {
            success: 7,
            ..SessionCounts::default()
        },
        created: Some(at(60)),
        recent: Arc::default(),
    }
}

fn definitions() -> Arc<[Arc<DefinitionView>]> {
    let mut bare = view("05-bare", "", None);
    Arc::make_mut(&mut bare.definition).scan_type = None;
    Arc::make_mut(&mut bare.definition).target_type = None;
    Arc::make_mut(&mut bare.definition).agent_id = None;
    Arc::make_mut(&mut bare.definition).interval = None;
    Arc::make_mut(&mut bare.definition).is_active = false;
    Arc::make_mut(&mut bare.definition).troubleshoot_mode = None;
    let mut unknown = view(
        "03-unknown",
        "odd",
        Some((7, ScanStatus::Unknown("Odd".into()))),
    );
    Arc::make_mut(&mut unknown.definition).scan_type =
        Some(ScanType::Other("Quantum \"scan\"".into()));
    Arc::make_mut(&mut unknown.definition).troubleshoot_mode = Some(true);
    unknown.last_success = None;
    unknown.sessions.add(&ScanStatus::Unknown("Odd".into()));
    let hostile =
        "quote \" backslash \\ newline \n both \\n cr \r tab \t nul \0 🦀 \u{202e} {a=\"b\"} # EOF";
    [
        view(
            "01-plain",
            "Office switches",
            Some((90, ScanStatus::Success)),
        ),
        view(
            "02-future",
            "runs tomorrow",
            Some((-86_400, ScanStatus::PartialSuccess)),
        ),
        unknown,
        view("04-failed", "fails", Some((100_000, ScanStatus::Failure))),
        bare,
        view(
            "06-hostile\"\\\n}",
            hostile,
            Some((60, ScanStatus::Success)),
        ),
        view(
            "07-long",
            &"länge ".repeat(1_462),
            Some((60, ScanStatus::Success)),
        ),
        // The same id again: no second series.
        view("07-long", "again", Some((1, ScanStatus::Failure))),
    ]
    .map(Arc::new)
    .into()
}

fn health() -> Health {
    let mut health = Health {
        up: Some(false),
        throttled_until: Some(at(-60)),
        batch_size: 100,
        quarantined: 1,
        links_refused: 2,
        token_expiry: Some(at(-3600)),
        certificate_expiry: Some(at(-86_400)),
        credential_expiry: Some(at(-86_400)),
        created: Some(at(360)),
        auth_errors: BTreeMap::from([(AuthReason::ExpiredSecret, 2)]),
        ..Health::default()
    };
    let history = health.collector_mut(Collector::History);
    history.last_success = Some(at(61));
    history.last_duration = Some(0.25);
    history.errors.insert(Reason::Throttled, 3);
    history.failure = Some(CollectorFailure {
        reason: Reason::Throttled,
        text: "never in the exposition".to_owned(),
        advice: "",
        since: at(0),
        since_uptime: Uptime::default(),
    });
    history.next_attempt = Some(at(-300));
    history.lifecycle.sunset = Some(at(-1_000_000));
    history.requests = BTreeMap::from([(Some(200), 41), (Some(429), 3), (None, 1)]);
    for seconds in [0.02, 0.3, 45.0] {
        history.request_seconds.observe(seconds);
    }
    health
}

fn snapshot(clock: &Clock) -> Snapshot {
    let budget = Budget::new(clock.clone(), Limits::new(80, 1200));
    for _ in 0..3 {
        let slot = budget.try_acquire(Collector::History, Reserved::default());
        let permit = slot.expect("the budget is fresh").pay_at_once();
        permit.expect("nothing is written").answered();
    }
    let mut target_seconds = Histogram::new(TARGET_SECONDS);
    for seconds in [0.5, 12.0, 59.0, 9_999.0] {
        target_seconds.observe(seconds);
    }
    let agent = |id: &str, dns: &str, seen| Agent {
        id: AgentId::new(id),
        machine_id: "9f1c".into(),
        computer_dns_name: dns.into(),
        last_seen: seen,
        last_command: seen,
        scanner_version: "7.0.2".into(),
        client_version: "10.8700".into(),
    };
    let snapshot = Snapshot::default();
    snapshot.publish(TenantView {
        name: TenantName::new("contoso"),
        info: Arc::new(TenantInfo {
            tenant_id: "contoso.onmicrosoft.com".to_owned(),
            cloud: "public",
            labels: [("customer", "Con\"toso"), ("environment", "production")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            credential_expires: None,
        }),
        definitions: definitions(),
        agents: [
            agent("agent-1", "scanner.contoso.example", Some(at(30))),
            agent("agent-2", "\"\\\n", None),
        ]
        .into(),
        target_seconds,
        health: health(),
        budget,
    });
    // A tenant that has not been polled yet.
    snapshot.publish(TenantView {
        name: TenantName::new("a.new-tenant_1"),
        info: Arc::default(),
        definitions: [Arc::new(view("01-plain", "same id, other tenant", None))].into(),
        agents: [].into(),
        target_seconds: Histogram::new(TARGET_SECONDS),
        health: Health::default(),
        budget: Budget::new(clock.clone(), Limits::new(1, 1)),
    });
    snapshot
}

fn rendered(format: Format) -> String {
    let clock = Clock::anchored(Timestamp::from_unix_millis(NOW));
    let own = SelfMetrics::new(at(600));
    own.http_request(catalog::Handler::Metrics, 200);
    let tenants = snapshot(&clock).read();
    let text = exposition::render(&tenants, &clock, &own, format);
    let again = exposition::render(&tenants, &clock, &own, format);
    assert_eq!(stable(&text), stable(&again), "the order is stable");
    text
}

/// Without what differs from build to build and from process to process.
fn stable(text: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with("process_"))
        .map(|line| {
            if line.starts_with("defender_exporter_build_info{") {
                "defender_exporter_build_info{…} 1\n"
            } else {
                line
            }
        })
        .collect()
}

fn check_golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let stable = stable(text);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &stable).expect("tests/golden is writable");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file exists");
    for (number, (line, expected)) in stable.lines().zip(golden.lines()).enumerate() {
        assert_eq!(line, expected, "{name}, line {}", number + 1);
    }
    assert_eq!(stable.len(), golden.len(), "{name} is longer or shorter");
}

fn run(program: &str, arguments: &[&str], input: &str, hint: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}; {hint}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the child can be awaited");
    feeder
        .join()
        .expect("the feeder does not panic")
        .expect("the child reads its input");
    output
}

fn digest(kind: &str, text: &str) -> Vec<String> {
    let script = "tests/python/parse_exposition.py";
    let output = run("python3", &[script, kind], text, "install Python 3");
    assert!(
        output.status.success(),
        "the {kind} exposition could not be parsed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let digest = String::from_utf8(output.stdout).expect("the digest is UTF-8");
    digest.lines().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn open_metrics_is_valid_and_as_pinned() {
    let text = rendered(Format::OpenMetrics);
    check_golden("openmetrics.txt", &text);
    needs!("prometheus_client");
    let digest = digest("openmetrics", &text);
    for line in [
        "gauge defender_scan_last_timestamp_seconds seconds 6",
        "gauge defender_scan_last_age_seconds seconds 6",
        "counter defender_scan_sessions - 32",
        "info defender_scan_definition - 8",
        "histogram defender_scan_target_duration_seconds seconds 22",
        "counter process_cpu_seconds seconds 1",
    ] {
        assert!(
            digest.contains(&line.to_owned()),
            "{line} is not in {digest:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn classic_is_valid_and_as_pinned() {
    let text = rendered(Format::Classic);
    check_golden("classic.txt", &text);
    needs!("prometheus_client");
    let digest = digest("classic", &text);
    for line in [
        "gauge defender_scan_last_timestamp_seconds - 6",
        "counter defender_scan_sessions - 32",
        "gauge defender_scan_definition_info - 8",
    ] {
        assert!(
            digest.contains(&line.to_owned()),
            "{line} is not in {digest:#?}"
        );
    }
    needs!("promtool");
    let hint = "install Debian's package prometheus";
    let output = run("promtool", &["check", "metrics"], &text, hint);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "promtool: {complaint}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_exported_and_names_no_secret() {
    let text = rendered(Format::Classic);
    for metric in catalog::all() {
        // Without a limit of the address space there is nothing to say.
        let optional =
            metric.name == "process_virtual_memory_max_bytes" || metric.name == "process_max_fds";
        let header = format!("# TYPE {} ", metric.name);
        assert!(
            optional || text.contains(&header),
            "{} is missing",
            metric.name
        );
    }
    assert!(!text.contains("never in the exposition"));
}

/// Writes the snapshot as the configuration in force wants it, and unpacks what it compressed.
fn writer(in_force: &InForce) -> impl Fn(Format, bool) -> String + use<> {
    let clock = Clock::anchored(Timestamp::from_unix_millis(NOW));
    let own = SelfMetrics::new(at(600));
    let tenants = snapshot(&clock).read();
    let exposition = Exposition::new(in_force.clone());
    move |format, gzip| {
        let scrape = exposition.scrape(&tenants, &clock, &own, format, gzip);
        let parts: Result<Vec<_>, _> = scrape.expect("it compresses").collect();
        let bytes = parts.expect("it compresses").concat();
        let mut text = String::new();
        if gzip {
            let read = GzDecoder::new(&bytes[..]).read_to_string(&mut text);
            read.expect("it is gzip");
        } else {
            text = String::from_utf8(bytes).expect("it is text");
        }
        text
    }
}

/// Each metric alone, and all of them at once.
#[tokio::test(start_paused = true)]
async fn an_excluded_metric_leaves_nothing_behind() {
    let in_force = InForce::default();
    let written = writer(&in_force);
    let names: Vec<_> = catalog::all().map(|metric| metric.name).collect();
    for format in [Format::OpenMetrics, Format::Classic] {
        in_force.set(settings::excluding(&[]));
        let all = stable(&written(format, false));
        for excluded in names.chunks(1).chain([&names[..]]) {
            in_force.set(settings::excluding(excluded));
            for gzip in [false, true] {
                let text = stable(&written(format, gzip));
                assert_eq!(text, settings::without(&all, excluded), "{excluded:?}");
            }
        }
        assert_eq!(written(format, false), format.end());
    }
}

/// In `OpenMetrics` alone: with each sample of a counter, and with each histogram.
#[tokio::test(start_paused = true)]
async fn counters_say_when_they_began_where_that_is_wanted() {
    let in_force = InForce::default();
    let written = writer(&in_force);
    let written = |format| written(format, false);
    let before = [Format::Classic, Format::OpenMetrics].map(&written);
    in_force.set(settings::with("metrics: {created_timestamps: true}"));
    let text = written(Format::OpenMetrics);
    assert_eq!(stable(&written(Format::Classic)), stable(&before[0]));
    let is_created = |line: &&str| {
        let name = line.split(['{', ' ']).next();
        name.is_some_and(|name| name.ends_with("_created"))
    };
    let others = text.split_inclusive('\n').filter(|line| !is_created(line));
    assert_eq!(stable(&others.collect::<String>()), stable(&before[1]));
    for line in [
        "defender_scan_sessions_created{tenant=\"contoso\",definition_id=\"01-plain\",status=\"success\"} 1789999940.123",
        "defender_scan_target_duration_seconds_created{tenant=\"contoso\"} 1789999640.123",
        "defender_api_requests_created{tenant=\"contoso\",endpoint=\"history\",code=\"200\"} 1789999640.123",
        "defender_exporter_store_commit_duration_seconds_created 1789999400.123",
        "defender_exporter_http_requests_created{handler=\"metrics\",code=\"200\"} 1789999400.123",
    ] {
        assert!(
            text.lines().any(|written| written == line),
            "{line} is not in\n{text}"
        );
    }
    // Of this tenant an older version did not note it.
    let of_old = text.lines().filter(is_created);
    assert_eq!(
        of_old
            .filter(|line| line.contains("a.new-tenant_1"))
            .count(),
        4
    );
    let of_one = "tenant=\"contoso\",definition_id=\"01-plain\"";
    let series = text.lines().filter(|line| line.contains(of_one)).count();
    assert_eq!(series, catalog::series_per_definition(&in_force.metrics()));
    needs!("prometheus_client");
    digest("openmetrics", &text);
}

#[tokio::test(start_paused = true)]
async fn a_definition_has_no_more_series_than_documented_and_no_negative_age() {
    let clock = Clock::anchored(Timestamp::from_unix_millis(NOW));
    let tenants = snapshot(&clock).read();
    let own = SelfMetrics::new(at(0));
    let age = |text: &str, id: &str| -> f64 {
        let start =
            format!("defender_scan_last_age_seconds{{tenant=\"contoso\",definition_id=\"{id}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.expect("the age is exported")
            .parse()
            .expect("a number")
    };
    let text = exposition::render(&tenants, &clock, &own, Format::Classic);
    let series = text
        .lines()
        .filter(|line| line.contains("tenant=\"contoso\",definition_id=\"01-plain\""));
    assert_eq!(series.count(), catalog::SERIES_PER_DEFINITION);
    let documented = format!("{} series", catalog::SERIES_PER_DEFINITION);
    for page in ["README.md", "docs/configuration.md", "docs/scaling.md"] {
        let page = fs::read_to_string(page).expect("it can be read");
        assert!(page.contains(&documented));
    }
    // As of the whole second, 123 ms ago.
    assert!((age(&text, "01-plain") - 89.877).abs() < 1e-9);
    assert!(age(&text, "02-future").abs() < 1e-9);

    tokio::time::advance(Duration::from_secs(10)).await;
    let text = exposition::render(&tenants, &clock, &own, Format::Classic);
    assert!(
        (age(&text, "01-plain") - 99.877).abs() < 1e-9,
        "the age is of this scrape"
    );

    clock.jump(-1_000_000_000);
    let text = exposition::render(&tenants, &clock, &own, Format::Classic);
    assert!(age(&text, "01-plain").abs() < 1e-9, "never below 0");
}
