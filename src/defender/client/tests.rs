//! The client against a server that says exactly what it is told.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::budget::{Budget, Limits, Reserved};
use crate::clock::Timestamp;
use crate::defender::testing::{Server, answer};
use crate::model::health::{Collector, Reason};

const EMPTY: &[u8] = b"{\"value\":[]}";

struct Bench {
    server: Server,
    client: Client,
    budget: Budget,
}

impl Bench {
    async fn new(answer: Option<Vec<u8>>) -> Self {
        let server = Server::answering(false, answer).await;
        let clock = Clock::anchored(Timestamp::from_unix_millis(0));
        let client = Client::new(server.client(), server.url.clone(), clock.clone());
        let budget = Budget::new(clock, Limits::new(10, 10));
        Self {
            server,
            client,
            budget,
        }
    }

    fn permit(&self) -> Permit {
        self.budget
            .try_acquire(Collector::History, Reserved::default())
            .expect("a free slot")
            .pay_at_once()
            .expect("no disk")
    }

    async fn definitions(&self, next: Option<&str>) -> Answer<Definition> {
        let next = next.map(NextLink::new);
        self.client
            .definitions(self.permit(), &token(), next.as_ref())
            .await
    }

    async fn history(&self, next: Option<&str>) -> Answer<Session> {
        let ids = [DefinitionId::new("a"), DefinitionId::new("quote \"")];
        let next = next.map(NextLink::new);
        self.client
            .history(self.permit(), &token(), &ids, next.as_ref())
            .await
    }

    fn requests(&self) -> Vec<String> {
        self.server.requests.lock().expect("unpoisoned").clone()
    }
}

fn token() -> Bearer {
    Bearer::new("the-token").expect("sendable")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

#[tokio::test]
async fn sends_history_strictly() {
    let bench = Bench::new(answer("200 OK", "", EMPTY)).await;
    let reply = bench.history(None).await;
    assert_eq!(reply.status, Some(200));
    assert!(reply.result.is_ok());
    let request = &bench.requests()[0];
    assert!(request.starts_with(
        "POST /api/DeviceAuthenticatedScanDefinitions/GetScanHistoryByScanDefinitionId HTTP/1.1\r\n"
    ));
    assert!(request.contains("\r\nauthorization: Bearer the-token\r\n"));
    assert!(request.contains("\r\ncontent-type: application/json\r\n"));
    assert!(request.contains("\r\nuser-agent: defender-scan-exporter/"));
    assert!(request.contains("\r\naccept-encoding: gzip\r\n"));
    assert!(request.ends_with("\r\n\r\n{\"ScanDefinitionIds\":[\"a\",\"quote \\\"\"]}"));
}

#[tokio::test]
async fn a_next_page_is_asked_for_in_the_same_way() {
    let bench = Bench::new(answer("200 OK", "", EMPTY)).await;
    let absolute = format!("{}api/Next?$skiptoken=x", bench.server.url);
    for link in [
        absolute.as_str(),
        "/api/Next?$skiptoken=x",
        "Next?$skiptoken=x",
    ] {
        assert!(bench.history(Some(link)).await.result.is_ok(), "{link}");
        assert!(bench.definitions(Some(link)).await.result.is_ok(), "{link}");
    }
    for pair in bench.requests().chunks(2).take(2) {
        assert!(pair[0].starts_with("POST /api/Next?$skiptoken=x HTTP/1.1\r\n"));
        assert!(pair[0].contains("ScanDefinitionIds"));
        assert!(pair[1].starts_with("GET /api/Next?$skiptoken=x HTTP/1.1\r\n"));
    }
}

/// Where links lead that are followed: always to our own origin, whatever they name.
#[tokio::test]
async fn the_token_never_leaves_the_origin() {
    let bench = Bench::new(answer("200 OK", "", EMPTY)).await;
    let port = bench.server.url.port().expect("a port");
    let (client, first) = (&bench.client, bench.client.first(DEFINITIONS));
    let links = [
        ("https://evil.example/api/x?y", Some("/api/x?y")),
        ("https://localhost:1059/api/x", Some("/api/x")),
        ("http://127.0.0.1:PORT/api/x", Some("/api/x")),
        ("http://localhost:1/api/x#z", Some("/api/x")),
        ("HTTPS://EVIL.EXAMPLE/api/x", Some("/api/x")),
        ("//evil.example:PORT/api/x", Some("/api/x")),
        ("\\\\evil.example\\api\\x", Some("/api/x")),
        ("/\\evil.example/api/x", Some("/api/x")),
        ("http:\\\\evil.example/api/x", Some("/api/x")),
        ("https:evil.example/api/x", Some("/api/x")),
        ("https:///evil.example/api/x", Some("/api/x")),
        ("http://localhost:PORT@evil.example/api/x", Some("/api/x")),
        ("http://evil.example#@localhost:PORT/api/x", None),
        ("http://evil.example?@localhost:PORT/api/x", None),
        ("http://user:password@localhost:PORT/api/x", Some("/api/x")),
        ("http://localhost:PORT.evil.example/api/x", None),
        ("http://localhost.evil.example/api/x", Some("/api/x")),
        ("http://[::1]:PORT/api/x", Some("/api/x")),
        ("http://0x7f.1/api/x", Some("/api/x")),
        ("ftp://evil.example/api/x", Some("/api/x")),
        ("foo://evil.example/api/x", Some("/api/x")),
        ("foo://evil.example/api/\\..\\..\\x", None),
        ("\thttps://evil.exa\nmple/api/x ", Some("/api/x")),
        ("https://evil.example", None),
        ("https://evil.example/", None),
        ("https://evil.example/x", None),
        ("https://evil.example/apix", None),
        ("https://evil.example/API/x", None),
        ("https://evil.example//api/x", None),
        ("https://evil.example/api/../x", None),
        ("https://evil.example/api/%2e%2E/x", None),
        ("https://evil.example/x/../api/y", Some("/api/y")),
        ("http://localhost:PORT/", None),
        ("http://[", None),
        ("http://evil.example:99999/api/x", None),
        ("data:text/plain,/api/x", None),
        ("javascript:/api/x", None),
        ("file:///api/x", None),
        ("../../../../x", None),
        (
            "?$skiptoken=x",
            Some("/api/DeviceAuthenticatedScanDefinitions?$skiptoken=x"),
        ),
    ];
    for (link, expected) in links {
        let link = link.replace("PORT", &port.to_string());
        let url = client.follow(&first, &NextLink::new(&link)).ok();
        let expected = expected.map(|path| format!("http://localhost:{port}{path}"));
        assert_eq!(url.map(String::from), expected, "{link}");
    }
    assert_eq!(bench.requests(), [""; 0]);
}

#[tokio::test]
async fn a_clock_that_is_behind_loses_no_time_that_the_service_says_has_passed() {
    let body = br#"{"value":[{"id":"a","latestScan":{"status":"Success","executionDateTime":"2026-05-01T10:00:00Z"}}]}"#;
    for (date, known) in [
        ("", false),
        ("Thu, 30 Apr 2026 10:00:00 GMT", true),
        ("Wed, 29 Apr 2026 10:00:00 GMT", false),
        ("soon", false),
    ] {
        let head = format!("200 OK\r\nDate: {date}");
        let bench = Bench::new(answer(&head, "", body)).await;
        let page = bench.definitions(None).await.result.expect("a page");
        assert_eq!(page.items[0].latest.is_some(), known, "{date}");
    }
}

#[tokio::test]
async fn a_link_that_is_refused_ends_the_round_there() {
    let body = br#"{"value":[{"id":"a"}],"@odata.nextLink":"https://the-token.example/x"}"#;
    let bench = Bench::new(answer("200 OK", "", body)).await;
    let reply = bench.definitions(None).await;
    let page = reply.result.expect("a page");
    assert_eq!((page.items.len(), &page.next), (1, &None));
    let to = page.refused_link.expect("it is said");
    assert_eq!(to, "leads to https://[redacted].example, outside /api/");
    let reply = bench.definitions(Some("https://evil.example/x")).await;
    let error = reply.result.expect_err("it is not asked for");
    assert!(matches!(error, ApiError::RefusedLink(_)));
    assert_eq!(bench.requests().len(), 1);
}

#[tokio::test]
async fn a_version_is_in_every_path() {
    let mut bench = Bench::new(answer("200 OK", "", EMPTY)).await;
    bench.client = bench.client.of_version(Some("v1.0"));
    assert!(bench.definitions(None).await.result.is_ok());
    assert!(bench.history(None).await.result.is_ok());
    for request in bench.requests() {
        let path = "/api/v1.0/DeviceAuthenticatedScanDefinitions";
        assert!(request.contains(path), "{request}");
    }
}

/// An empty list may be answered so; only by the service, and only on its first page.
#[tokio::test]
async fn a_list_of_nothing_may_be_answered_with_404() {
    let own = r#"{"error":{"code":"NotFound","message":"no such thing","target":"id"}}"#;
    let resource = own.replace("NotFound", "ResourceNotFound");
    let next = Some("/api/next");
    for (body, next, empty) in [
        (own, None, true),
        (resource.as_str(), None, true),
        (own, next, false),
        (r#"{"error":{"code":"DisabledFeature"}}"#, None, false),
        (r#"{"error":{"code":"","message":"NotFound"}}"#, None, false),
        (
            r#"{"statusCode":404,"message":"Resource not found"}"#,
            None,
            false,
        ),
        (r#"{"code":"NotFound"}"#, None, false),
        ("<html><title>404 Not Found</title></html>", None, false),
        ("", None, false),
    ] {
        let bench = Bench::new(answer("404 Not Found", "", body.as_bytes())).await;
        let reply = bench.definitions(next).await;
        assert_eq!(reply.status, Some(404));
        let items = reply.result.map(|page| page.items.len());
        match items {
            Ok(items) => assert!(empty && items == 0, "{body}"),
            Err(error) => assert!(
                !empty && error.reason() == Reason::Client,
                "{body}: {error}"
            ),
        }
        let refused = bench.history(None).await.result.expect_err("a batch");
        assert_eq!(refused.reason(), Reason::Client);
    }
}

#[tokio::test]
async fn of_a_version_that_is_named_404_is_no_empty_list() {
    let own = r#"{"error":{"code":"NotFound","message":"no such thing","target":"id"}}"#;
    let gateway = r#"{"statusCode":404,"message":"Resource not found"}"#;
    for body in [own, gateway] {
        let mut bench = Bench::new(answer("404 Not Found", "", body.as_bytes())).await;
        bench.client = bench.client.of_version(Some("v9"));
        let error = bench.definitions(None).await.result.expect_err("a version");
        let text = error.to_string();
        assert!(
            text.contains("expected a list in version v9 of the API"),
            "{text}"
        );
        assert_eq!(error.reason(), Reason::Client);
        let page = bench.definitions(Some("/api/next")).await.result;
        assert!(
            matches!(page, Err(ApiError::Client(_))),
            "a page is no list"
        );
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let location = "Location: /elsewhere\r\n";
    let bench = Bench::new(answer("302 Found", location, b"")).await;
    let reply = bench.definitions(None).await;
    assert_eq!(reply.status, Some(302));
    assert!(matches!(reply.result, Err(ApiError::Client(_))));
    assert_eq!(bench.requests().len(), 1);
}

#[tokio::test]
async fn an_error_keeps_its_class_code_and_pause() {
    let body = br#"{"error":{"code":"TooManyRequests","message":"the-token","target":"id"}}"#;
    let bench = Bench::new(answer("429 Slow Down", "Retry-After: 7\r\n", body)).await;
    let error = bench.history(None).await.result.expect_err("throttled");
    assert_eq!(
        error.to_string(),
        "the service is throttling requests: HTTP 429 TooManyRequests: [redacted] (correlation id id)"
    );
    let ApiError::Throttled { retry_after, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
}

/// A gateway's or a server's wish is obeyed like that of 429; a date by the answer's own clock.
#[tokio::test]
async fn a_server_that_fails_may_ask_for_a_pause() {
    let date =
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:44 GMT\r\n";
    for headers in ["Retry-After: 7\r\n", date] {
        for (status, obeyed) in [
            ("408 x", true),
            ("429 x", true),
            ("500 x", true),
            ("501 x", false),
            ("502 x", true),
            ("503 x", true),
            ("504 x", true),
        ] {
            let bench = Bench::new(answer(status, headers, b"")).await;
            let error = bench.history(None).await.result.expect_err("an error");
            let (ApiError::Server { retry_after, .. } | ApiError::Throttled { retry_after, .. }) =
                error
            else {
                panic!("{error}");
            };
            let pause = obeyed.then_some(Duration::from_secs(7));
            assert_eq!(retry_after, pause, "{status} {headers}");
        }
    }
}

#[tokio::test]
async fn reads_gzip_up_to_the_limit_after_decompression() {
    let header = "Content-Encoding: gzip\r\n";
    let mut large = EMPTY.to_vec();
    large.resize(1024 * 1024, b' ');
    let mut bench = Bench::new(answer("200 OK", header, &gzip(&large))).await;
    assert!(bench.definitions(None).await.result.is_ok());
    bench.client.body_limit = large.len() - 1;
    let error = bench.definitions(None).await.result.expect_err("too large");
    assert_eq!(
        error,
        ApiError::BodyTooLarge {
            limit: large.len() - 1
        }
    );
    let bench = Bench::new(answer("200 OK", header, b"no gzip at all")).await;
    let error = bench.definitions(None).await.result.expect_err("no gzip");
    assert_eq!(error.reason(), Reason::Decode, "{error}");
}

#[tokio::test]
async fn of_an_error_no_more_is_read_than_a_small_body() {
    let mut body = br#"{"error":{"code":"Oops"}}"#.to_vec();
    for (size, code) in [(ERROR_BODY_LIMIT, "Oops"), (ERROR_BODY_LIMIT + 1, "")] {
        body.resize(size, b' ');
        let bench = Bench::new(answer("500 Oops", "", &body)).await;
        let error = bench.definitions(None).await.result.expect_err("an error");
        let ApiError::Server { detail, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((detail.status, detail.code.as_str()), (500, code), "{size}");
    }
}

#[tokio::test]
async fn what_breaks_on_the_way_has_its_class() {
    let mut cut = answer("200 OK", "", EMPTY).expect("an answer");
    cut.truncate(cut.len() - 3);
    for (sent, status, reason) in [
        (None, None, Reason::Timeout),
        (Some(Vec::new()), None, Reason::Connect),
        (Some(cut), Some(200), Reason::Connect),
        (answer("200 OK", "", b"<html>"), Some(200), Reason::Decode),
        (answer("204 No Content", "", b""), Some(204), Reason::Decode),
        (answer("202 Accepted", "", EMPTY), Some(202), Reason::Decode),
        (
            answer("206 Partial Content", "", EMPTY),
            Some(206),
            Reason::Decode,
        ),
    ] {
        let bench = Bench::new(sent).await;
        let reply = bench.definitions(None).await;
        let error = reply.result.expect_err("broken");
        assert_eq!((reply.status, error.reason()), (status, reason), "{error}");
        assert!(!error.to_string().contains("http://"), "{error}");
    }
}

#[tokio::test]
async fn a_permit_is_answered_once_the_answer_comes() {
    for (sent, used) in [(answer("500 Oops", "", b""), 0), (Some(Vec::new()), 1)] {
        let bench = Bench::new(sent).await;
        assert!(bench.definitions(None).await.result.is_err());
        // Answered: free a minute later. Unanswered: only two minutes after that.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(bench.budget.usage()[0].used, used);
        tokio::time::resume();
    }
}
