//! Who comes in: users and certificates that come, go and are corrected while the
//! exporter runs, files that lose their protection, and clients that are turned away.
//! Certificates are those of `openssl`, the client is `curl`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use crate::common::tools::needs;
use crate::common::web::{Authority, Served, hash};
use crate::common::{PATIENCE, eventually};

const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";

/// What curl says to `arguments` at `path`: status and body.
fn curl(served: &Served, scheme: &str, arguments: &[&str], path: &str) -> (u16, String) {
    let trusts = arguments.contains(&"--cacert");
    let output = Command::new("curl")
        .current_dir(served.process.folder.path())
        .args(["--silent", "--noproxy", "*", "--max-time", "60"])
        .args((!trusts).then_some("--insecure"))
        .args(["--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(served.url(scheme, path))
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').expect("the code is there");
    (code.parse().expect("a number"), body.to_owned())
}

fn users(names: &[&str]) -> String {
    let hash = hash("s3cr3t");
    let users: Vec<_> = names
        .iter()
        .map(|name| format!("{name}: '{hash}'"))
        .collect();
    format!("basic_auth_users: {{{}}}\n", users.join(", "))
}

/// Waits until the metrics say this, asked for with these arguments.
async fn metrics_say(served: &Served, scheme: &str, arguments: &[&str], line: &str) {
    eventually(line, async || {
        let (_, body) = curl(served, scheme, arguments, "/metrics");
        body.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_those_of_the_file_as_it_is_now() {
    needs!("curl");
    let authority = Authority::new();
    // All have the same hash, so that only the name tells them apart.
    let same = users(&["alice", "bob"]);
    let line = |name: &str| same.replace("alice", name).replace("bob", "other");
    let served = Served::start(&authority, &same).await;
    let alice = || {
        let arguments = ["--user", "alice:s3cr3t"];
        curl(&served, "http", &arguments, "/-/healthy").0
    };
    assert_eq!(alice(), 200);
    for (text, code) in [
        (line("removed"), 401),
        (line("alicia"), 401),
        (line("alice"), 200),
        (line("removed"), 401),
        (same.clone(), 200),
    ] {
        served.write("web.yml", &text);
        eventually("the change is in force", async || {
            (alice() == code).then_some(())
        })
        .await;
        assert_eq!(alice(), code, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_loses_its_protection_is_refused_until_a_restart() {
    needs!("curl");
    let authority = Authority::new();
    let good = TLS.to_owned() + &users(&["alice"]);
    let served = Served::start(&authority, &good).await;
    let alice = ["--user", "alice:s3cr3t"];
    let says = async |line: &str| metrics_say(&served, "https", &alice, line).await;
    for bad in [
        "",
        "# nothing is left\n",
        "{}\n",
        "basic_auth_users: {}\n",
        &good[..good.find("key_file").expect("it is there")],
        // TLS is left, and nobody is asked for a password any more.
        TLS,
        "delete",
    ] {
        if bad == "delete" {
            fs::remove_file(served.path("web.yml")).expect("it is there");
        } else {
            served.write("web.yml", bad);
        }
        says("defender_exporter_web_config_last_reload_successful 0").await;
        assert_eq!(curl(&served, "https", &[], "/metrics").0, 401, "{bad:?}");
        assert_ne!(curl(&served, "http", &[], "/metrics").0, 200, "{bad:?}");
        served.write("web.yml", &good);
        says("defender_exporter_web_config_last_reload_successful 1").await;
    }
    let log = served.process.output();
    assert!(log.contains("a file that protects nothing"), "{log}");
    assert!(!log.contains("$2b$"), "{log}");
    // Whoever means it says so.
    let named = TLS.replace('}', ", client_auth_type: NoClientCert}");
    served.write("web.yml", &named);
    eventually("everyone may come in", async || {
        (curl(&served, "https", &[], "/metrics").0 == 200).then_some(())
    })
    .await;
}

/// Signs itself, as an authority.
const SELF: &str = "-x509 -days 2";
/// `own` signs it.
const AUTHORITY: &str = "-x509 -days 2 -CA own.pem -CAkey own.key";
const LEAF: &str = "-x509 -days 2 -CA own.pem -CAkey own.key -addext basicConstraints=CA:FALSE";
/// Signs itself, without any extension.
const VERSION_1: &str = "-out old.csr && openssl x509 -req -days 2 -in old.csr -signkey old.key";

/// A certificate of `openssl`, in `NAME.pem` and `NAME.key`.
fn certificate(served: &Served, name: &str, kind: &str) {
    let script = format!(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
         -subj /CN={name} -keyout {name}.key {kind} -out {name}.pem"
    );
    let output = Command::new("sh")
        .current_dir(served.process.folder.path())
        .args(["-c", &script])
        .output()
        .expect("the shell runs");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_client_certificates_are_taken_as_go_takes_them() {
    needs!("curl", "openssl");
    let authority = Authority::new();
    let served = Served::start(&authority, TLS).await;
    certificate(&served, "own", SELF);
    certificate(&served, "other", SELF);
    certificate(&served, "leaf", LEAF);
    certificate(&served, "sibling", LEAF);
    certificate(&served, "middle", AUTHORITY);
    certificate(&served, "old", VERSION_1);
    let clients = ["own", "other", "leaf", "sibling", "middle", "old"];
    for (trusted, expected) in [
        // What `own` signed, and `own` itself; Go would take `middle` too.
        ("own.pem", [true, false, true, true, false, false]),
        ("leaf.pem", [false, false, true, false, false, false]),
        ("other.pem", [false, true, false, false, false, false]),
        ("middle.pem", [false, false, false, false, true, false]),
        ("old.pem", [false, false, false, false, false, true]),
    ] {
        for auth in ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven"] {
            let text = TLS.replace(
                '}',
                &format!(", client_auth_type: {auth}, client_ca_file: {trusted}}}"),
            );
            served.write("web.yml", &text);
            let asks = |client: &str| {
                let (key, own) = (format!("{client}.key"), format!("{client}.pem"));
                let arguments = ["--cert", &own, "--key", &key];
                curl(&served, "https", &arguments, "/-/healthy").0 == 200
            };
            eventually("the change is in force", async || {
                (clients.map(asks) == expected).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_turned_away_is_told_counted_and_named() {
    needs!("curl", "openssl");
    let authority = Authority::new();
    let required = TLS.replace(
        '}',
        ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: own.pem}",
    );
    let served = Served::start(&authority, TLS).await;
    certificate(&served, "own", SELF);
    certificate(&served, "other", SELF);
    served.write("web.yml", &required);
    let own = ["--cert", "own.pem", "--key", "own.key"];
    let other = ["--cert", "other.pem", "--key", "other.key"];
    eventually("certificates are asked for", async || {
        (curl(&served, "https", &[], "/metrics").0 == 0).then_some(())
    })
    .await;
    for _ in 0..3 {
        assert_eq!(curl(&served, "https", &other, "/metrics").0, 0);
    }
    // The client does not trust the server.
    curl(&served, "https", &["--cacert", "own.pem"], "/metrics");
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        let (code, body) = curl(&served, "http", &["--request", method], "/metrics");
        assert_eq!(code, 400, "{method}");
        let told = body.contains("Client sent an HTTP request to an HTTPS server.");
        assert!(told || method == "HEAD", "{body}");
    }
    talk(&served, b"\x80\x2e\x01\x03\x01 what is this?\0\0");
    for (reason, count) in [
        ("bad_certificate", 3),
        ("plain_http", 4),
        ("alert", 1),
        ("protocol", 1),
    ] {
        let name = "defender_exporter_tls_handshake_failures_total";
        let line = format!("{name}{{reason=\"{reason}\"}} {count}");
        metrics_say(&served, "https", &own, &line).await;
        let named = || {
            let log = served.process.output();
            let lines = log.lines().filter(|line| {
                line.contains(&format!("reason={reason} ")) && line.contains("client=127.0.0.1:")
            });
            lines.count()
        };
        eventually(&format!("{reason} is logged"), async || {
            (named() > 0).then_some(())
        })
        .await;
        assert_eq!(named(), 1, "{reason}: {}", served.process.output());
    }
}

/// The whole answer to these bytes, of a client that says all and then listens.
fn talk(served: &Served, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", served.port)).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it can be set");
    stream.write_all(bytes).expect("it can be sent");
    stream.shutdown(Shutdown::Write).expect("it can be closed");
    let mut answer = Vec::new();
    // It may hang up the hard way, after the answer.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_header_is_required_and_one_is_enough() {
    let served = Served::start(&Authority::new(), "{}").await;
    for (version, hosts, code) in [
        ("1.1", "Host: a\r\n", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: b\r\n", 400),
        ("1.1", "Host: a\r\nhost: a\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        // What follows a request that is refused is not looked at.
        let request = format!("GET /-/healthy HTTP/{version}\r\n{hosts}\r\n");
        let answer = talk(&served, (request.clone() + &request).as_bytes());
        let status = format!("HTTP/{version} {code} ");
        assert!(answer.starts_with(&status), "{request:?}: {answer}");
        if code == 400 {
            assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_said_all_gets_the_whole_answer() {
    let served = Served::start(&Authority::new(), "{}").await;
    for number in 0..50 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = talk(&served, request);
        let whole = answer.contains("process_threads") && answer.ends_with("0\r\n\r\n");
        assert!(whole, "{number}: {} bytes", answer.len());
    }
}
