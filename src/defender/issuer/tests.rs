//! `azure_identity` against a sign-in host of our own, over TLS; and token files.

use std::collections::BTreeMap;
use std::io::Write;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regex::Regex;

use super::*;
use crate::budget::Limits;
use crate::config::{DefinitionFilter, Poll, Rule, SecretSource};
use crate::defender::testing::{Server, answer};
use crate::model::TenantName;

const DAY: Duration = Duration::from_hours(24);

fn tenant(authority: &url::Url, credential: Credential) -> Tenant {
    let nothing = || Rule {
        scan_types: Vec::new(),
        names: Vec::<Regex>::new().into(),
    };
    Tenant {
        name: TenantName::new("contoso"),
        tenant_id: "contoso.onmicrosoft.com".into(),
        api_base_url: authority.clone(),
        api_version: None,
        authority_host: authority.clone(),
        scope: "https://api.securitycenter.microsoft.com/.default".into(),
        credential,
        definitions: DefinitionFilter {
            ids: Vec::new(),
            include: nothing(),
            exclude: nothing(),
            inactive: false,
            limit: usize::MAX,
        },
        poll: Poll {
            definitions: DAY,
            agents: DAY,
            sweep: DAY,
            sessions: false,
        },
        limits: Limits::new(1, 1),
        api_limits: Limits::new(1, 1),
        cloud: "public",
        labels: BTreeMap::new(),
        credential_expires: None,
        exclusive: false,
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn secret(source: SecretSource) -> Credential {
    Credential::ClientSecret {
        client_id: "app".into(),
        secret: source,
    }
}

fn inline() -> Credential {
    secret(SecretSource::Inline("hunter \"2\"".into()))
}

async fn sign_in(server: &Server, credential: Credential) -> Result<Issued, AuthError> {
    let clock = Clock::system();
    issuer(&tenant(&server.url, credential), server.client(), clock)
        .issue()
        .await
}

fn token_answer() -> Option<Vec<u8>> {
    let body = br#"{"token_type":"Bearer","expires_in":3599,"access_token":"the-token"}"#;
    answer("200 OK", "Content-Type: application/json\r\n", body)
}

#[tokio::test]
async fn signs_in_with_a_secret_read_anew_each_time() {
    let server = Server::answering(true, token_answer()).await;
    let path = file("first\n");
    let credential = secret(SecretSource::File(path.path().to_owned()));
    let issued = sign_in(&server, credential.clone()).await.expect("a token");
    assert_eq!(issued.bearer.secret(), "the-token");
    assert!((3_590..=3_600).contains(&issued.lifetime.as_secs()));
    std::fs::write(path.path(), "second\n").expect("written");
    sign_in(&server, credential).await.expect("a token");
    let requests = server.requests.lock().expect("unpoisoned");
    assert!(requests[0].starts_with("POST /contoso.onmicrosoft.com/oauth2/v2.0/token HTTP/1.1"));
    assert!(
        requests[0].contains("client_secret=first&"),
        "{}",
        requests[0]
    );
    assert!(requests[1].contains("client_secret=second&"));
    assert!(requests[1].contains("securitycenter.microsoft.com%2F.default"));
}

#[tokio::test]
async fn signs_in_with_a_federated_token() {
    let server = Server::answering(true, token_answer()).await;
    let path = file("the-assertion\n");
    let credential = Credential::WorkloadIdentity {
        client_id: "app".into(),
        token_file: path.path().to_owned(),
    };
    sign_in(&server, credential).await.expect("a token");
    let requests = server.requests.lock().expect("unpoisoned");
    assert!(requests[0].contains("client_assertion=the-assertion&"));
}

/// A sum that is no date made the library panic; a number in quotes was an error.
#[tokio::test]
async fn any_lifetime_gives_a_token_with_a_bounded_one() {
    for (expires_in, seconds) in [
        (r#","expires_in":3599"#, 3_599),
        (r#","expires_in":"3599""#, 3_599),
        (r#","expires_in":1000000000000"#, 86_400),
        (r#","expires_in":9223372036854775807"#, 86_400),
        (r#","expires_in":1e300"#, 86_400),
        (r#","expires_in":-9223372036854775808"#, 60),
        (r#","expires_in":0,"ext_expires_in":"x""#, 60),
        (r#","expires_in":null"#, 60),
        ("", 60),
    ] {
        let body = format!(r#"{{"token_type":"Bearer","access_token":"the-token"{expires_in}}}"#);
        let server = Server::answering(true, answer("200 OK", "", body.as_bytes())).await;
        let issued = sign_in(&server, inline()).await.expect("a token");
        assert_eq!(issued.bearer.secret(), "the-token");
        // Time passes while it is on the way.
        let least = (seconds - 10).max(60);
        let found = issued.lifetime.as_secs();
        assert!((least..=seconds).contains(&found), "{expires_in}: {found}");
    }
}

/// Traps 6 and 7.
#[tokio::test]
async fn finds_the_code_behind_an_escape_and_hides_an_echoed_secret() {
    let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret 'hunter \"2\"' provided.\r\nTrace ID: 1","error_codes":[7000215]}"#;
    let server = Server::answering(true, answer("401 Unauthorized", "", body)).await;
    let error = sign_in(&server, inline()).await.expect_err("refused");
    assert_eq!(error.reason, AuthReason::WrongSecret, "{error}");
    assert!(
        error
            .text
            .starts_with("AADSTS7000215: the client secret is wrong;"),
        "{error}"
    );
    assert!(!error.text.contains("hunter"), "{error}");
}

#[tokio::test]
async fn finds_the_code_without_an_escape() {
    let body = br#"{"error_description":"blocked","error_codes":[53003]}"#;
    let server = Server::answering(true, answer("400 Bad Request", "", body)).await;
    let error = sign_in(&server, inline()).await.expect_err("refused");
    assert_eq!(error.reason, AuthReason::ConditionalAccess, "{error}");
}

/// Trap 5: one attempt, whatever `Retry-After` says.
#[tokio::test]
async fn does_not_retry_by_itself() {
    let server = Server::answering(
        true,
        answer("503 Unavailable", "Retry-After: 3600\r\n", b"<html>"),
    )
    .await;
    let error = sign_in(&server, inline()).await.expect_err("refused");
    assert_eq!(error.reason, AuthReason::Server, "{error}");
    assert_eq!(server.requests.lock().expect("unpoisoned").len(), 1);
}

/// `azure_identity` calls all of these unreadable. No cause is named that is not known.
#[tokio::test]
async fn a_refusal_is_told_in_its_own_words() {
    let proxy =
        "<html><head><title>Blocked by policy</title></head><body>hunter \"2\"</body></html>";
    for (status, body, reason, text) in [
        ("429 x", "{}", AuthReason::Throttled, "(HTTP 429)"),
        (
            "429 x",
            r#"{"error":"busy"}"#,
            AuthReason::Throttled,
            "(HTTP 429 busy)",
        ),
        (
            "503 x",
            "Service Unavailable",
            AuthReason::Server,
            "(HTTP 503: Service Unavailable)",
        ),
        ("504 x", "", AuthReason::Server, "(HTTP 504)"),
        (
            "403 x",
            proxy,
            AuthReason::Other,
            "(HTTP 403: Blocked by policy [redacted])",
        ),
        ("404 x", "", AuthReason::Other, "(HTTP 404)"),
        (
            "400 x",
            r#"{"error":"invalid_grant","error_description":"no"}"#,
            AuthReason::Other,
            "(HTTP 400 invalid_grant: no)",
        ),
        (
            "503 x",
            r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error","error_codes":[90033]}"#,
            AuthReason::Server,
            "AADSTS90033",
        ),
    ] {
        let server = Server::answering(true, answer(status, "", body.as_bytes())).await;
        let error = sign_in(&server, inline()).await.expect_err("refused");
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.text.contains(text), "{text}: {error}");
        assert_eq!(error.advice, advice::of_sign_in(reason), "{error}");
    }
    for body in ["<html>", "", "[7"] {
        let server = Server::answering(true, answer("200 OK", "", body.as_bytes())).await;
        let error = sign_in(&server, inline()).await.expect_err("no token");
        let text = "the response from the sign-in host cannot be read: ";
        assert!(error.text.starts_with(text), "{error}");
    }
}

/// `azure_identity` hides headers.
#[tokio::test]
async fn the_sign_in_host_may_ask_for_a_pause() {
    for (status, obeyed) in [
        ("429 x", true),
        ("500 x", true),
        ("503 x", true),
        ("400 x", false),
    ] {
        let date =
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:59:37 GMT\r\n";
        for headers in ["Retry-After: 600\r\n", date] {
            let server = Server::answering(true, answer(status, headers, b"{}")).await;
            let error = sign_in(&server, inline()).await.expect_err("refused");
            let pause = obeyed.then_some(Duration::from_mins(10));
            assert_eq!(error.retry_after, pause, "{status} {headers}");
        }
    }
}

#[tokio::test]
async fn tells_no_connection_from_no_answer() {
    let server = Server::answering(true, None).await;
    let error = sign_in(&server, inline()).await.expect_err("silent");
    assert_eq!(error.reason, AuthReason::Timeout, "{error}");
    // The client of one that answers waits long enough.
    let server = Server::answering(true, token_answer()).await;
    let mut closed = tenant(&server.url, inline());
    closed.authority_host = url::Url::parse("https://localhost:1").expect("a URL");
    let error = issuer(&closed, server.client(), Clock::system())
        .issue()
        .await
        .expect_err("closed");
    assert_eq!(error.reason, AuthReason::Connect);
    assert!(
        error
            .text
            .starts_with("cannot connect to the sign-in host: ")
            && error.text.contains("refused"),
        "{error}"
    );
    let untrusted = Server::answering(true, token_answer()).await;
    let error = issuer(
        &tenant(&untrusted.url, inline()),
        server.client(),
        Clock::system(),
    )
    .issue()
    .await
    .expect_err("not trusted");
    assert_eq!(error.reason, AuthReason::Connect);
    assert!(error.text.contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_missing_secret_file_is_a_clear_error() {
    let server = Server::answering(true, None).await;
    let credential = secret(SecretSource::File("/nowhere/secret".into()));
    let error = sign_in(&server, credential).await.expect_err("no file");
    assert!(
        error
            .text
            .starts_with("cannot read the client secret in /nowhere/secret: No such file"),
        "{error}"
    );
    let empty = file(" \n");
    let credential = secret(SecretSource::File(empty.path().to_owned()));
    let error = sign_in(&server, credential).await.expect_err("empty");
    assert!(error.text.ends_with(": the file is empty"), "{error}");
}

async fn from_file(token: &str) -> Result<Issued, AuthError> {
    let path = file(token);
    let source = TokenFile {
        path: path.path().into(),
        clock: Clock::anchored(Timestamp::from_unix_millis(1_000_000)),
    };
    source.issue().await
}

fn web_token(claims: &str) -> String {
    format!("eyJh.{}.sig\n", URL_SAFE_NO_PAD.encode(claims))
}

#[tokio::test]
async fn reads_a_token_and_its_end_from_a_file() {
    let issued = from_file(&web_token("{\"exp\":4600}"))
        .await
        .expect("a token");
    // The clock runs while the file is read.
    assert!((3_590..=3_600).contains(&issued.lifetime.as_secs()));
    for opaque in [
        "opaque",
        "a.b.c",
        &web_token("{}"),
        &web_token("{\"exp\":\"x\"}"),
    ] {
        let issued = from_file(opaque).await.expect("a token");
        assert_eq!(issued.lifetime, OPAQUE_LIFETIME, "{opaque}");
        assert_eq!(issued.bearer.secret(), opaque.trim());
    }
    let error = from_file(&web_token("{\"exp\":900}"))
        .await
        .expect_err("old");
    assert!(
        error.text.contains("expired at 1970-01-01T00:15:00Z"),
        "{error}"
    );
    assert!(!error.text.contains("eyJ"));
}
