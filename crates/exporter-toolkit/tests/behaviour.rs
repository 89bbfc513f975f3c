//! What is answered over time, beside a Go exporter on Prometheus' exporter-toolkit: start,
//! use, change, break, empty, restore. Statuses are the same but for the listed differences.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::common::tools::are_there;
use crate::common::{Exporter, example, hash, peer};

const FORMER: &str = "what cannot be used leaves the former in force";
const EMPTY: &str = "a file that protects nothing any more is not put in force";
const METRICS: &str = "metrics are only read";
const HYPER: &str = "refused, or let be, by hyper in its own way; no harm is in either";

/// What differs: Go's status, ours (0 is no answer), and why.
const DIFFERENCES: &[(&str, u16, u16, &str)] = &[
    ("requests: POST", 200, 405, METRICS),
    ("requests: DELETE", 200, 405, METRICS),
    (
        "requests: escaped",
        200,
        404,
        "a path is compared as it is written: proxies disagree about escapes",
    ),
    ("requests: no path", 400, 404, HYPER),
    ("requests: HTTP/2.0", 505, 400, HYPER),
    ("requests: expectation", 417, 200, HYPER),
    ("requests: coding", 501, 400, HYPER),
    ("passwords: broken: nobody", 500, 401, FORMER),
    ("passwords: broken: alice", 500, 401, FORMER),
    ("passwords: broken: alice's other", 500, 200, FORMER),
    ("passwords: broken: alice, wrong", 500, 401, FORMER),
    ("passwords: broken: bob", 500, 401, FORMER),
    ("passwords: broken: mallory", 500, 401, FORMER),
    ("passwords: broken: no password", 500, 401, FORMER),
    ("passwords: empty: nobody", 200, 401, EMPTY),
    ("passwords: empty: alice's other", 200, 401, EMPTY),
    ("passwords: empty: alice, wrong", 200, 401, EMPTY),
    ("passwords: empty: bob", 200, 401, EMPTY),
    ("passwords: empty: mallory", 200, 401, EMPTY),
    ("passwords: empty: no password", 200, 401, EMPTY),
    ("passwords: gone: nobody", 500, 401, FORMER),
    ("passwords: gone: alice", 500, 200, FORMER),
    ("passwords: gone: alice's other", 500, 401, FORMER),
    ("passwords: gone: alice, wrong", 500, 401, FORMER),
    ("passwords: gone: bob", 500, 401, FORMER),
    ("passwords: gone: mallory", 500, 401, FORMER),
    ("passwords: gone: no password", 500, 401, FORMER),
    ("certificates: without its key yet: https", 0, 200, FORMER),
    ("certificates: a key that is none: https", 0, 200, FORMER),
    ("certificates: no key: https", 0, 200, FORMER),
    ("certificates: empty: https", 0, 200, EMPTY),
];

/// Both exporters, in the same state.
struct Pair {
    theirs: Exporter,
    ours: Exporter,
    differences: Vec<(String, u16, u16)>,
}

impl Pair {
    fn start(web: Option<&str>) -> Option<Self> {
        if !are_there(&["curl", "openssl"]) {
            return None;
        }
        let theirs = Exporter::start(&peer("room-exporter")?, web).expect("it starts");
        let folder = tempfile::tempdir().expect("a folder can be made");
        for file in fs::read_dir(theirs.folder.path()).expect("it is there") {
            let file = file.expect("it can be read");
            let copy = folder.path().join(file.file_name());
            fs::copy(file.path(), copy).expect("it can be copied");
        }
        Some(Self {
            theirs,
            ours: Exporter::start_in(folder, &example(), web).expect("it starts"),
            differences: Vec::new(),
        })
    }

    /// Runs the same in both folders.
    fn change(&self, change: impl Fn(&Exporter)) {
        change(&self.theirs);
        change(&self.ours);
    }

    fn write(&self, name: &str, text: &str) {
        self.change(|exporter| exporter.write(name, text));
    }

    fn copy(&self, from: &str, to: &str) {
        self.change(|exporter| {
            let at = |name| exporter.folder.path().join(name);
            fs::copy(at(from), at(to)).expect("it can be copied");
        });
    }

    fn remove(&self, name: &str) {
        self.change(|exporter| {
            fs::remove_file(exporter.folder.path().join(name)).expect("it is there");
        });
    }

    /// Compares the statuses of one request. A machine with other work to do may notice a
    /// change late: a status that is not the expected one is asked for again.
    fn compare(&mut self, what: &str, ask: impl Fn(&Exporter) -> u16) {
        let theirs = ask(&self.theirs);
        let listed = DIFFERENCES.iter().find(|(listed, ..)| *listed == what);
        let expected = listed.map_or(theirs, |(_, _, ours, _)| *ours);
        let mut ours = ask(&self.ours);
        for _ in 0..20 {
            if ours == expected {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            ours = ask(&self.ours);
        }
        if ours != theirs {
            self.differences.push((what.to_owned(), theirs, ours));
        }
    }

    fn get(&mut self, what: &str, scheme: &str, arguments: &[&str]) {
        self.compare(what, |exporter| {
            exporter.curl(scheme, "/metrics", arguments).0
        });
    }

    fn send(&mut self, what: &str, request: &str) {
        self.compare(what, |exporter| exporter.status(request.as_bytes()));
    }

    /// Checks that what differs is what is listed below this name.
    fn finish(self, prefix: &str) {
        let listed = DIFFERENCES.iter();
        let listed = listed.filter(|(what, ..)| what.starts_with(prefix));
        let listed: Vec<_> = listed
            .map(|(what, theirs, ours, why)| {
                assert!(!why.is_empty());
                ((*what).to_owned(), *theirs, *ours)
            })
            .collect();
        assert_eq!(self.differences, listed, "what, Go's status, ours");
    }
}

fn users(users: &[(&str, &str)]) -> String {
    let users: Vec<_> = users
        .iter()
        .map(|(name, hash)| format!("{name}: '{hash}'"))
        .collect();
    format!("basic_auth_users: {{{}}}\n", users.join(", "))
}

/// TLS, with more keys.
fn tls(more: &str) -> String {
    format!("tls_server_config: {{cert_file: server.pem, key_file: server.key{more}}}\n")
}

#[test]
fn requests() {
    let Some(mut pair) = Pair::start(None) else {
        return;
    };
    let end = "Host: a\r\nConnection: close\r\n\r\n";
    for (what, request) in [
        ("GET", "GET /metrics HTTP/1.1\r\n"),
        ("HEAD", "HEAD /metrics HTTP/1.1\r\n"),
        ("POST", "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n"),
        ("DELETE", "DELETE /metrics HTTP/1.1\r\n"),
        ("landing page", "GET / HTTP/1.1\r\n"),
        ("unknown path", "GET /nowhere HTTP/1.1\r\n"),
        ("below the path", "GET /metrics/ HTTP/1.1\r\n"),
        ("query", "GET /metrics?a=b HTTP/1.1\r\n"),
        ("name[]", "GET /metrics?name[]=up HTTP/1.1\r\n"),
        ("two slashes", "GET //metrics HTTP/1.1\r\n"),
        ("dots", "GET /a/../metrics HTTP/1.1\r\n"),
        ("escaped", "GET /%6detrics HTTP/1.1\r\n"),
        ("whole URL", "GET http://a/metrics HTTP/1.1\r\n"),
        ("no path", "GET metrics HTTP/1.1\r\n"),
        ("HTTP/1.0", "GET /metrics HTTP/1.0\r\n"),
        ("HTTP/2.0", "GET /metrics HTTP/2.0\r\n"),
        ("two hosts", "GET /metrics HTTP/1.1\r\nHost: b\r\n"),
        (
            "two lengths",
            "GET /metrics HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 1\r\n",
        ),
        (
            "space before colon",
            "GET /metrics HTTP/1.1\r\nAccept : a\r\n",
        ),
        ("expectation", "GET /metrics HTTP/1.1\r\nExpect: more\r\n"),
        (
            "coding",
            "GET /metrics HTTP/1.1\r\nTransfer-Encoding: gzip\r\n",
        ),
        ("odd Accept", "GET /metrics HTTP/1.1\r\nAccept: ;;q=x,\r\n"),
        ("image", "GET /metrics HTTP/1.1\r\nAccept: image/png\r\n"),
    ] {
        pair.send(&format!("requests: {what}"), &format!("{request}{end}"));
    }
    for (what, request) in [
        (
            "no host",
            "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n",
        ),
        ("no host, HTTP/1.0", "GET /metrics HTTP/1.0\r\n\r\n"),
        (
            "empty host",
            "GET /metrics HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        ),
        (
            "odd host",
            "GET /metrics HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        ),
        ("nonsense", "nonsense\r\n\r\n"),
        ("TLS", "\x16\x03\x01\x00\x01\x01\r\n\r\n"),
    ] {
        pair.send(&format!("requests: {what}"), request);
    }
    pair.finish("requests: ");
}

#[test]
fn passwords() {
    let (secret, other) = (hash("s3cr3t"), hash("other"));
    let Some(mut pair) = Pair::start(Some(&users(&[("alice", &secret)]))) else {
        return;
    };
    let all = |pair: &mut Pair, when: &str| {
        for (who, user) in [
            ("nobody", None),
            ("alice", Some("alice:s3cr3t")),
            ("alice's other", Some("alice:other")),
            ("alice, wrong", Some("alice:wrong")),
            ("bob", Some("bob:s3cr3t")),
            ("mallory", Some("mallory:s3cr3t")),
            ("no password", Some("alice:")),
        ] {
            let arguments = user.map(|user| ["--user", user]);
            let arguments = arguments.as_ref().map_or(&[][..], |known| known);
            pair.get(&format!("passwords: {when}: {who}"), "http", arguments);
        }
    };
    all(&mut pair, "start");
    pair.write("web.yml", &users(&[("alicia", &secret)]));
    all(&mut pair, "misspelt");
    pair.write("web.yml", &users(&[("alice", &secret)]));
    all(&mut pair, "corrected");
    pair.write("web.yml", &users(&[("alice", &secret), ("bob", &secret)]));
    all(&mut pair, "another with the same hash");
    pair.write("web.yml", &users(&[("bob", &secret)]));
    all(&mut pair, "removed");
    pair.write("web.yml", &users(&[("alice", &other)]));
    all(&mut pair, "another password");
    pair.write("web.yml", "basic_auth_users: {alice\n");
    all(&mut pair, "broken");
    pair.write("web.yml", &users(&[("alice", &secret)]));
    all(&mut pair, "restored");
    pair.write("web.yml", "");
    all(&mut pair, "empty");
    pair.remove("web.yml");
    all(&mut pair, "gone");
    pair.write("web.yml", &users(&[("alice", &secret)]));
    all(&mut pair, "back");
    pair.finish("passwords: ");
}

#[test]
fn certificates() {
    let Some(mut pair) = Pair::start(Some(&tls(""))) else {
        return;
    };
    let both = |pair: &mut Pair, when: &str| {
        pair.get(&format!("certificates: {when}: https"), "https", &[]);
        pair.get(&format!("certificates: {when}: http"), "http", &[]);
    };
    both(&mut pair, "start");
    pair.get(
        "certificates: start: TLS 1.2",
        "https",
        &["--tls-max", "1.2"],
    );
    pair.get("certificates: start: HTTP/1.1", "https", &["--http1.1"]);
    pair.copy("server.pem", "former.pem");
    pair.copy("server.key", "former.key");
    pair.copy("client.pem", "server.pem");
    both(&mut pair, "without its key yet");
    pair.copy("client.key", "server.key");
    both(&mut pair, "replaced");
    pair.write("server.key", "junk");
    both(&mut pair, "a key that is none");
    pair.remove("server.key");
    both(&mut pair, "no key");
    pair.copy("former.pem", "server.pem");
    pair.copy("former.key", "server.key");
    both(&mut pair, "restored");
    pair.write("web.yml", &tls(", min_version: TLS13"));
    pair.get(
        "certificates: TLS 1.3 alone: TLS 1.2",
        "https",
        &["--tls-max", "1.2"],
    );
    both(&mut pair, "TLS 1.3 alone");
    pair.write("web.yml", "");
    both(&mut pair, "empty");
    pair.write("web.yml", &tls(""));
    both(&mut pair, "back");
    pair.finish("certificates: ");
}

#[test]
fn clients() {
    let policies = [
        "NoClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ];
    let with = |auth: &str, ca: &str| {
        // Without use for this one, it is a mistake.
        let ca = if auth == "NoClientCert" {
            String::new()
        } else {
            format!(", client_ca_file: {ca}")
        };
        tls(&format!(", client_auth_type: {auth}{ca}"))
    };
    let Some(mut pair) = Pair::start(Some(&with("NoClientCert", "ca.pem"))) else {
        return;
    };
    // Made by OpenSSL: one that signed itself, as an authority and not, and one of version 1.
    let kinds = [
        ("authority", "-x509"),
        ("leaf", "-x509 -addext basicConstraints=critical,CA:FALSE"),
        ("one", "-x509v1"),
    ];
    for (name, how) in kinds {
        let how: Vec<_> = how.split(' ').collect();
        let folder = pair.theirs.folder.path();
        let make = |arguments: &[&str]| {
            let made = Command::new("openssl")
                .args(arguments)
                .current_dir(folder)
                .output();
            let made = made.expect("openssl is installed");
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            assert!(made.status.success(), "{said}");
        };
        let (key, pem, request) = (
            format!("{name}.key"),
            format!("{name}.pem"),
            format!("{name}.csr"),
        );
        let new = [
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-subj",
            "/CN=client",
        ];
        if how == ["-x509v1"] {
            make(&[&new[..], &["-new", "-out", &request]].concat());
            make(&[
                "x509", "-req", "-in", &request, "-signkey", &key, "-out", &pem,
            ]);
        } else {
            make(&[&new[..], &how, &["-out", &pem]].concat());
        }
        for file in [&key, &pem] {
            let from = folder.join(file);
            fs::copy(from, pair.ours.folder.path().join(file)).expect("it can be copied");
        }
    }
    for auth in policies {
        for ca in ["ca", "authority", "leaf", "one"] {
            pair.write("web.yml", &with(auth, &format!("{ca}.pem")));
            for client in ["none", "client", "server", "authority", "leaf", "one"] {
                let (key, pem) = (format!("{client}.key"), format!("{client}.pem"));
                let arguments = ["--key", &key, "--cert", &pem];
                let arguments = if client == "none" {
                    &[][..]
                } else {
                    &arguments
                };
                let what = format!("clients: {auth}, {ca} is trusted: {client}");
                pair.get(&what, "https", arguments);
            }
        }
    }
    for (san, when) in [
        ("client.example.com", "allowed"),
        ("other.example.com", "not allowed"),
    ] {
        let more = format!(
            ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [{san}]"
        );
        pair.write("web.yml", &tls(&more));
        let client = ["--key", "client.key", "--cert", "client.pem"];
        pair.get(&format!("clients: name {when}"), "https", &client);
        pair.get(&format!("clients: name {when}: none"), "https", &[]);
    }
    pair.finish("clients: ");
}

#[test]
fn rate_limits() {
    let limit = "rate_limit: {interval: 1h, burst: 3}\n";
    let Some(pair) = Pair::start(Some(limit)) else {
        return;
    };
    let answers = |exporter: &Exporter| -> Vec<u16> {
        let statuses = (0..5).map(|_| exporter.curl("http", "/metrics", &[]).0);
        statuses.collect()
    };
    assert_eq!(answers(&pair.theirs), answers(&pair.ours));
}

#[test]
fn headers() {
    let text =
        "http_server_config: {headers: {X-Frame-Options: sameorigin, X-XSS-Protection: '1'}}\n";
    let Some(pair) = Pair::start(Some(text)) else {
        return;
    };
    for exporter in [&pair.theirs, &pair.ours] {
        let (_, head) = exporter.curl("http", "/metrics", &[]);
        let head = head.to_ascii_lowercase();
        assert!(head.contains("x-frame-options: sameorigin\r\n"), "{head}");
        assert!(head.contains("x-xss-protection: 1\r\n"), "{head}");
    }
}
