//! Whoever can reach the port: odd requests, too many and too slow clients, names
//! that are meant for a terminal or a browser, and lists without an end.

use std::fs;

use crate::common::{self, Exporter, PATIENCE, options};
use defender_simulator::{Draft, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn small() -> (Simulator, Exporter) {
    let mut options = options();
    (options.definitions, options.agents) = (3, 1);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    (simulator, exporter)
}

async fn connect(exporter: &Exporter) -> TcpStream {
    let address = exporter.url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("it listens")
}

/// What comes back for these bytes, until the server closes.
async fn answer(exporter: &Exporter, request: &[u8]) -> String {
    let mut stream = connect(exporter).await;
    // It may close before all has been sent.
    stream.write_all(request).await.ok();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers in a text.
fn statuses(text: &str) -> Vec<&str> {
    let heads = text.split("HTTP/1.1 ").skip(1);
    heads.filter_map(|head| head.get(..3)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let (_simulator, exporter) = small().await;
    // Were any of them understood, the hidden request would be answered too.
    let hidden = "GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: +0\r\n",
        "Content-Length: 0x0\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        " Folded: header\r\n",
        "Bad\0Name: 1\r\n",
        "Name: a\rb\r\n",
    ] {
        let request = format!("POST /-/reload HTTP/1.1\r\nHost: a\r\n{head}\r\n{hidden}");
        let answer = answer(&exporter, request.as_bytes()).await;
        assert_eq!(statuses(&answer), ["400"], "{head:?}: {answer}");
    }
    // With both, the length does not count (RFC 9112, 6.3), and the connection ends.
    let both = format!(
        "POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    let answer = answer(&exporter, both.as_bytes()).await;
    assert!(!answer.contains("healthy"), "{answer}");
    assert_eq!(exporter.get("/-/healthy").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_anywhere_else() {
    let (_simulator, exporter) = small().await;
    for path in [
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/metrics/",
        "/metrics%00",
        "/.git/config",
        "/exporter.yml",
        "/state/state.redb",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = answer(&exporter, request.as_bytes()).await;
        assert_eq!(statuses(&answer), ["404"], "{path}: {answer}");
        assert!(!answer.contains("tenant"), "{answer}");
    }
    // What has a shorter name is led there, and nowhere else.
    for (path, target) in [
        ("/../etc/passwd", "/etc/passwd"),
        ("//metrics", "/metrics"),
        ("/metrics/../exporter.yml", "/exporter.yml"),
        ("//evil.example/..//", "/"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = answer(&exporter, request.as_bytes()).await;
        assert_eq!(statuses(&answer), ["307"], "{path}: {answer}");
        assert!(
            answer.contains(&format!("location: {target}\r\n")),
            "{answer}"
        );
    }
    let reload = "POST /-/reload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = answer(&exporter, reload.as_bytes()).await;
    assert_eq!(statuses(&answer), ["403"], "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let (_simulator, exporter) = small().await;
    let long = "a".repeat(256 * 1024);
    for request in [
        format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(1_000)
        ),
    ] {
        let answer = answer(&exporter, request.as_bytes()).await;
        let found = statuses(&answer);
        assert!(found == ["431"] || found == ["414"], "{answer}");
    }
}

/// Five thousand connections that send the first half of a request and stop there.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_slow_clients_do_not_keep_others_out() {
    let _held = common::OPEN_FILES.lock().await;
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: Some(12_000),
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        },
    )
    .expect("expected 12 000 open files to be allowed; raise `ulimit -Hn`");
    let (_simulator, exporter) = small().await;
    let mut slow = Vec::new();
    for _ in 0..5_000 {
        let mut stream = connect(&exporter).await;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost:")
            .await
            .expect("it is accepted");
        slow.push(stream);
    }
    let (status, page) = exporter.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(page.contains("defender_up{"), "{page}");
    let id = exporter.process.id();
    let memory = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let kib = memory.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = kib.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.expect("Linux says it").parse().expect("a number");
    println!("5000 slow clients: {} MiB", kib / 1024);
    assert!(kib < 400 * 1024, "{kib} KiB");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_command_neither_terminals_nor_browsers_nor_parsers() {
    let (simulator, exporter) = small().await;
    let name = "x\u{1b}[2J\n\ndefender_up{tenant=\"forged\"} 1\r\nlevel=error\u{7}<script>alert(1)</script>\"\\";
    let id = simulator
        .world()
        .add_definition(0, Draft::manual(name))
        .expect("there is a tenant");
    let label = format!("definition_id=\"{id}\"");
    exporter
        .shows("defender_scan_active", &[&label], |_| true)
        .await;
    let metrics = exporter.metrics().await.0;
    assert!(
        !metrics
            .lines()
            .any(|line| line.starts_with("defender_up{tenant=\"forged\""))
    );
    let (_, page) = exporter.get("/").await;
    assert!(!page.contains("<script>alert"), "{page}");
    for said in [exporter.process.output(), page] {
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{7}'),
            "{said}"
        );
        assert!(!said.lines().any(|line| line.starts_with("level=error")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_beyond_the_limit_is_cut_counted_and_logged_once() {
    let mut options = options();
    options.definitions = 12;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = common::configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
    let text = fs::read_to_string(&file).expect("it was written");
    let limited = text.replace("definitions: {ids: []}", "definitions: {limit: 5}");
    assert_ne!(text, limited);
    fs::write(file, limited).expect("it can be written");
    let exporter = Exporter::start_with_flags(folder.into(), &[]).await;
    let exactly = |expected: f64| move |value: f64| value.to_bits() == expected.to_bits();
    exporter
        .shows("defender_definitions_dropped", &[], exactly(7.0))
        .await;
    let published = || async {
        let page = exporter.metrics().await.0;
        let lines = page
            .lines()
            .filter(|line| line.starts_with("defender_scan_active{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = published().await;
    assert_eq!(before.len(), 5);
    for _ in 0..5 {
        simulator.world().add_definition(0, Draft::manual("more"));
    }
    exporter
        .shows("defender_definitions_dropped", &[], exactly(12.0))
        .await;
    assert_eq!(published().await, before, "nothing is displaced");
    exporter.says("definitions.limit").await;
    let said = exporter.process.output();
    assert_eq!(said.matches("definitions.limit").count(), 1, "{said}");
}
