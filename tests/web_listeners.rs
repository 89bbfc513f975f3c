//! Listening, and what clients cannot do to it: the real binary, with many
//! addresses, with sockets of systemd, and with clients that idle, dawdle or
//! ask too much.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::common::tools::needs;
use crate::common::web::{Authority, Served, client, healthcheck, ports};
use crate::common::{OPEN_FILES, PATIENCE, Process, binary, eventually, free_port, get};
use rustix::process::{Resource, getrlimit, setrlimit};

const REQUEST: &str = "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// The answer to `request`, up to the end of the connection.
fn talk(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    // Whoever refuses a request may hang up before all of it has been sent.
    stream.write_all(request.as_bytes()).ok();
    let mut answer = Vec::new();
    // Whoever hangs up may do so the hard way, after the answer.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it can be set");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn several_addresses_are_served_and_free_ports_are_logged() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let arguments = [
        "--web.listen-address=[::1]:0",
        "--web.listen-address=127.0.0.1:0",
    ];
    let served = Served::start_with(folder, &arguments).await;
    let found = eventually("all ports are logged", async || {
        let of = |host| ports(&served.process, host);
        let found = (of("127.0.0.1"), of("[::1]"));
        (found.0.len() == 2 && found.1.len() == 1).then_some(found)
    })
    .await;
    let v4 = found
        .0
        .iter()
        .map(|port| format!("http://127.0.0.1:{port}"));
    let v6 = found.1.iter().map(|port| format!("http://[::1]:{port}"));
    for url in v4.chain(v6) {
        let (status, _) = get(&format!("{url}/metrics")).await.expect("it answers");
        assert_eq!(status, 200, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sockets_of_systemd_are_served() {
    needs!("systemd-socket-activate");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("exporter.sock");
    let port = free_port();
    let mut command = Command::new("systemd-socket-activate");
    command
        .args(["-l", &format!("127.0.0.1:{port}"), "-l"])
        .arg(&path);
    command.arg(env!("CARGO_BIN_EXE_defender-scan-exporter"));
    command.args(["demo", "--web.systemd-socket"]);
    let process = Process::start(folder, &mut command);
    eventually("systemd listens", async || path.exists().then_some(())).await;
    let url = format!("http://127.0.0.1:{port}");
    let (status, _) = eventually("it answers", async || get(&format!("{url}/metrics")).await).await;
    assert_eq!(status, 200, "{}", process.output());
    let stream = UnixStream::connect(&path).expect("the path is served too");
    let answer = talk(stream, REQUEST);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(healthcheck(&format!("{url}/-/healthy")), Some(0));
    process.signal("TERM");
    drop(process);
}

#[test]
fn no_socket_of_systemd_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = binary()
        .current_dir(folder.path())
        .args(["demo", "--web.systemd-socket"])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_default();
    assert!(line.contains("expected sockets from systemd"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_beyond_the_limit_get_503() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let arguments = ["--definitions=2000", "--web.max-requests=1"];
    let served = Served::start_with(folder, &arguments).await;
    let metrics = served.url("http", "/metrics");
    eventually("there is something to write", async || {
        let (status, body) = get(&metrics).await?;
        (status == 200 && body.len() > 500_000).then_some(())
    })
    .await;
    eventually("one of many is served, others are not", async || {
        let asked: Vec<_> = (0..8)
            .map(|_| {
                let metrics = metrics.clone();
                tokio::spawn(async move { get(&metrics).await.expect("it answers").0 })
            })
            .collect();
        let mut statuses = Vec::new();
        for answer in asked {
            statuses.push(answer.await.expect("it was asked"));
        }
        assert!(
            statuses.iter().all(|status| [200, 503].contains(status)),
            "{statuses:?}"
        );
        (statuses.contains(&200) && statuses.contains(&503)).then_some(())
    })
    .await;
    let (status, _) = get(&metrics).await.expect("it answers");
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let authority = Authority::new();
    let tls = "tls_server_config: {cert_file: server.pem, key_file: server.key}";
    let served = Served::start(&authority, "{}").await;
    let long = format!("X-Long: {}\r\n", "x".repeat(256 * 1024));
    let many = "X-Many: x\r\n".repeat(200);
    for more in [long.as_str(), many.as_str()] {
        let request = REQUEST.replace("Connection", &format!("{more}Connection"));
        let answer = talk(connect(served.port), &request);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let fits = format!("X-Fits: {}\r\nConnection", "x".repeat(16 * 1024));
    let answer = talk(connect(served.port), &REQUEST.replace("Connection", &fits));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    served.write("web.yml", tls);
    let client = client(&authority).build().expect("a client can be made");
    let url = served.url("https", "/-/healthy");
    let ask = async |length| {
        let request = client.get(&url).header("x-long", "x".repeat(length));
        request
            .send()
            .await
            .ok()
            .map(|answer| answer.status().as_u16())
    };
    eventually("TLS is in force", async || {
        (ask(16).await == Some(200)).then_some(())
    })
    .await;
    assert_eq!(ask(16 * 1024).await, Some(200));
    assert_ne!(ask(256 * 1024).await, Some(200));
    assert_eq!(ask(16).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_slow_clients_do_not_disturb_a_scrape() {
    let _held = OPEN_FILES.lock().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    // The usual limit, which the exporter has to raise for itself.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -S -n 1024 && exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_defender-scan-exporter"));
    command.args(["demo", "--web.listen-address=127.0.0.1:0"]);
    command.arg("--definitions=2000").env_clear();
    let process = Process::start(folder, &mut command);
    let port = eventually("the exporter listens", async || {
        ports(&process, "127.0.0.1").first().copied()
    })
    .await;
    let served = Served { process, port };
    let metrics = served.url("http", "/metrics");
    eventually("there is something to write", async || {
        let (status, body) = get(&metrics).await?;
        (status == 200 && body.len() > 500_000).then_some(())
    })
    .await;
    // That of this test.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit can be raised");
    let mut held = Vec::new();
    for number in 0..2_000 {
        let mut stream = connect(served.port);
        let sent = match number % 4 {
            // Nothing, part of a head, an answer that is never read, an idle connection after one.
            0 => "",
            1 => "GET /metrics HTTP/1.1\r\nHos",
            2 if number < 80 => "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            _ => "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        stream.write_all(sent.as_bytes()).expect("it can be sent");
        held.push(stream);
    }
    // The last has been answered, so that all are accepted.
    let mut start = [0; 12];
    let last = held.last_mut().expect("there are some");
    last.read_exact(&mut start).expect("it answers");
    assert_eq!(&start, b"HTTP/1.1 200");
    for _ in 0..5 {
        let scrape = tokio::time::timeout(Duration::from_secs(30), get(&metrics));
        let (status, body) = scrape.await.expect("in time").expect("it answers");
        assert_eq!(status, 200);
        assert!(body.len() > 500_000);
    }
    drop(held);
}
