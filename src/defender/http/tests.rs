use std::io::Write;

use super::*;
use crate::budget::{Budget, Limits, Reserved};
use crate::clock::Timestamp;
use crate::defender::auth::Bearer;
use crate::defender::client::Client;
use crate::defender::testing::{Server, answer};
use crate::model::health::Collector;

fn settings(pem: &str) -> (tempfile::NamedTempFile, Http) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(pem.as_bytes()).expect("written");
    let settings = Http {
        timeout: Duration::from_secs(1),
        ca_file: Some(file.path().to_owned()),
        proxy_url: None,
    };
    (file, settings)
}

fn client(settings: &Http) -> Result<HttpClient, HttpError> {
    let clock = Clock::anchored(Timestamp::from_unix_millis(0));
    HttpClient::new(settings, clock)
}

fn pem() -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]);
    made.expect("a certificate").cert.pem()
}

const DAMAGED: [&str; 2] = [
    "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
    "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
];

#[test]
fn a_damaged_certificate_beside_good_ones_is_left_out_and_said_so() {
    let (_file, good) = settings(&pem());
    assert_eq!(client(&good).expect("a client").warnings(), [""; 0]);
    for damaged in DAMAGED {
        let (file, mixed) = settings(&format!("{}{damaged}{}", pem(), pem()));
        let client = client(&mixed).expect("a client");
        let [warning] = &client.warnings()[..] else {
            panic!("{:?}", client.warnings());
        };
        let name = file.path().display().to_string();
        assert!(
            warning.contains(&name) && warning.contains("number 2 ("),
            "{warning}"
        );
        let generation = client.0.current.load();
        let of_good = super::Roots::read(good.ca_file.as_deref()).expect("roots");
        let count = generation.parts.roots.store.len();
        assert_eq!(count, of_good.store.len() + 1, "both good ones are in");
    }
}

#[test]
fn what_is_adopted_is_used_by_all_clones() {
    let (_file, settings) = settings(&pem());
    let (old, new) = (client(&settings).unwrap(), client(&settings).unwrap());
    let clone = old.clone();
    old.adopt(&new);
    assert!(Arc::ptr_eq(
        &clone.line(false).generation,
        &new.line(false).generation
    ));
}

#[test]
fn a_file_without_certificates_is_a_clear_error() {
    for pem in ["", "hello", DAMAGED[0], DAMAGED[1]] {
        let (_file, settings) = settings(pem);
        let error = client(&settings).expect_err("no certificate");
        assert!(matches!(error, HttpError::NoCertificate { .. }), "{error}");
    }
    let missing = Http {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..settings("").1
    };
    let error = client(&missing).expect_err("no file");
    assert!(
        error
            .to_string()
            .starts_with("cannot read http.ca_file /nowhere/ca.pem: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn requests_go_through_the_proxy() {
    let proxy = Server::answering(false, answer("200 OK", "", b"")).await;
    let settings = Http {
        timeout: Duration::from_secs(1),
        ca_file: None,
        proxy_url: Some(proxy.url.clone()),
    };
    let client = client(&settings).expect("a client");
    for client in [client.line(false).client(), &client.unpooled()] {
        let response = client.get("http://api.example/x").send().await;
        assert!(response.is_ok());
    }
    let requests = proxy.requests.lock().expect("unpoisoned");
    assert!(requests[0].starts_with("GET http://api.example/x HTTP/1.1"));
}

/// What all tenants share is given up for a connection that broke or went silent while it was in
/// use, and for nothing else.
#[tokio::test]
async fn only_a_connection_that_was_found_dead_gives_up_the_others() {
    let cut_off = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec();
    let malformed = answer("200 OK", "Content-Encoding: gzip\r\n", b"{}");
    let long = Duration::from_mins(1);
    let short = Duration::from_millis(100);
    for (what, bytes, patience, is_dead) in [
        ("an answer", answer("200 OK", "", b"{}"), long, false),
        ("an error", answer("500 Oh", "", b"{}"), long, false),
        ("malformed data", malformed, long, false),
        ("half an answer", Some(cut_off), long, true),
        ("no answer", Some(Vec::new()), long, true),
        ("silence", None, long, true),
        ("the end of the call", None, short, false),
    ] {
        for fresh in [false, true] {
            let server = Server::answering(false, bytes.clone()).await;
            let http = server.client();
            let before = http.line(fresh);
            tokio::time::timeout(patience, get(&http, &server.url, fresh))
                .await
                .ok();
            assert_eq!(
                Arc::ptr_eq(&before.generation, &http.line(fresh).generation),
                fresh || !is_dead,
                "{what}, fresh: {fresh}"
            );
        }
    }
    let server = Server::answering(false, None).await;
    let (http, refused) = (server.client(), Url::parse("http://localhost:1").unwrap());
    let before = http.line(false);
    get(&http, &refused, false).await;
    assert!(Arc::ptr_eq(
        &before.generation,
        &http.line(false).generation
    ));
}

/// A call, with a budget of its own.
async fn get(http: &HttpClient, origin: &Url, fresh: bool) {
    let clock = Clock::system();
    let mut client = Client::new(http.clone(), origin.clone(), clock.clone());
    if fresh {
        client = client.on_fresh_connections();
    }
    let slot = Budget::new(clock, Limits::new(1, 1));
    let slot = slot.try_acquire(Collector::Agents, Reserved::default());
    let permit = slot.expect("a free slot").pay_at_once().expect("no disk");
    let token = Bearer::new("the-token").expect("sendable");
    let _ = client.agents(permit, &token, None).await;
}
