//! The faults, and under which reason each endpoint's collector must count it.

use std::time::Duration;

use defender_simulator::{Endpoint, Fault, LineFault};

/// The columns.
pub const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::Token,
    Endpoint::Definitions,
    Endpoint::History,
    Endpoint::Agents,
];

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Cause {
    /// At one endpoint, with the request seen.
    Answer(Fault),
    /// At the host, before any request is seen.
    Line(LineFault),
    /// The host's name is not known.
    Name,
}

/// One fault.
pub struct Row {
    pub name: &'static str,
    pub cause: Cause,
    /// The reason by endpoint, in the order of [`ENDPOINTS`]: for the token that of
    /// `defender_auth_errors_total`, for the others that of
    /// `defender_collector_errors_total`. `None`: there is no such thing there.
    pub reasons: [Option<&'static str>; 4],
    /// Tried again after minutes, so that no test waits for its end.
    pub slow: bool,
    /// Large in memory: one at a time.
    pub heavy: bool,
}

/// The same reason in all collectors.
fn row(name: &'static str, fault: Fault, token: Option<&'static str>, others: &'static str) -> Row {
    Row {
        name,
        cause: Cause::Answer(fault),
        reasons: [token, Some(others), Some(others), Some(others)],
        slow: false,
        heavy: false,
    }
}

fn line(name: &'static str, cause: Cause, reason: &'static str) -> Row {
    Row {
        name,
        cause,
        // One host serves the API: without a list no history is asked for.
        reasons: [Some(reason), Some(reason), None, Some(reason)],
        slow: false,
        heavy: false,
    }
}

fn body(content_type: &str, bytes: &[u8]) -> Fault {
    Fault::Body {
        content_type: content_type.to_owned(),
        bytes: bytes.to_vec(),
    }
}

/// An answer of 200 that is none.
fn unreadable(name: &'static str, fault: Fault) -> Row {
    row(name, fault, Some("other"), "decode")
}

/// An error whose message repeats what it should not.
fn status(code: u16, error: &str, echo: &str) -> Fault {
    Fault::error(code, error, echo)
}

fn throttle(retry_after: Option<String>) -> Fault {
    Fault::Throttle { retry_after }
}

/// All faults; error messages repeat `echo`, and `now` is the time of dates.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub fn rows(echo: &str, now: std::time::SystemTime) -> Vec<Row> {
    let elsewhere = "https://elsewhere.invalid";
    let soon = httpdate::fmt_http_date(now + Duration::from_secs(20));
    let mut rows = vec![
        line(
            "connection refused",
            Cause::Line(LineFault::Refused),
            "connect",
        ),
        line(
            "connection accepted, then silence",
            Cause::Line(LineFault::Silent),
            "timeout",
        ),
        line(
            "connection reset at once",
            Cause::Line(LineFault::Reset),
            "connect",
        ),
        line(
            "TLS: another name",
            Cause::Line(LineFault::WrongName),
            "connect",
        ),
        line("TLS: expired", Cause::Line(LineFault::Expired), "connect"),
        line(
            "TLS: unknown issuer",
            Cause::Line(LineFault::UnknownIssuer),
            "connect",
        ),
        line("DNS: no such name", Cause::Name, "connect"),
        row("no answer", Fault::Hang, Some("timeout"), "timeout"),
        row(
            "silence inside the body",
            Fault::HangInBody,
            Some("timeout"),
            "timeout",
        ),
        row(
            "a byte each 100 ms",
            Fault::SlowDrip,
            Some("timeout"),
            "timeout",
        ),
        row(
            "reset instead of an answer",
            Fault::Reset,
            Some("connect"),
            "connect",
        ),
        row(
            "refused stream (HTTP/1.1: closed)",
            Fault::Refuse,
            Some("connect"),
            "connect",
        ),
        row(
            "cancelled stream (HTTP/1.1: closed)",
            Fault::Cancel,
            Some("connect"),
            "connect",
        ),
        row(
            "GOAWAY (HTTP/1.1: closed)",
            Fault::GoAway,
            Some("connect"),
            "connect",
        ),
        row("body cut off", Fault::CutOff, Some("connect"), "connect"),
        row(
            "wrong Content-Length",
            Fault::WrongLength,
            Some("connect"),
            "connect",
        ),
        row("broken gzip", Fault::BrokenGzip, Some("other"), "decode"),
        Row {
            reasons: [
                Some("other"),
                Some("decode"),
                Some("client"),
                Some("decode"),
            ],
            heavy: true,
            ..unreadable("gzip bomb, 1 GiB", Fault::GzipBomb)
        },
        Row {
            reasons: [
                Some("other"),
                Some("decode"),
                Some("client"),
                Some("decode"),
            ],
            heavy: true,
            ..unreadable("100 MB of valid JSON", Fault::HugeJson)
        },
        unreadable(
            "invalid UTF-8",
            body("application/json", b"{\"value\": [\"\xff\xfe\"]}"),
        ),
        unreadable(
            "HTML with 200",
            body("text/html", b"<html>sign in to the hotel</html>"),
        ),
        unreadable("empty 200", body("application/json", b"")),
        unreadable(
            "`value` is missing",
            body("application/json", b"{\"@odata.context\": \"x\"}"),
        ),
        row(
            "redirect to another host",
            Fault::Redirect(format!("{elsewhere}/api")),
            Some("other"),
            "client",
        ),
    ];
    for (name, code) in [
        ("400 InvalidInput", "InvalidInput"),
        ("400 InvalidRequestBody", "InvalidRequestBody"),
        ("400 BadRequest", "BadRequest"),
        ("400 MaximumBatchSizeExceeded", "MaximumBatchSizeExceeded"),
        ("400 of an unknown code", "SomethingElse"),
        ("400 without a code", ""),
    ] {
        rows.push(row(name, status(400, code, echo), Some("other"), "client"));
    }
    rows.push(row(
        "401 for ever",
        Fault::Unauthorized(usize::MAX),
        Some("other"),
        "auth",
    ));
    rows.push(Row {
        slow: true,
        ..row(
            "403",
            status(403, "Forbidden", echo),
            Some("other"),
            "forbidden",
        )
    });
    for (name, code, error) in [
        ("401 that names a licence", 401, "Unauthorized"),
        ("403 DisabledFeature", 403, "DisabledFeature"),
    ] {
        rows.push(Row {
            slow: true,
            ..row(
                name,
                status(code, error, &format!("No Tvm license {echo}")),
                Some("other"),
                "forbidden",
            )
        });
    }
    rows.push(row(
        "404 of a gateway",
        Fault::Status {
            code: 404,
            body: serde_json::json!({ "statusCode": 404, "message": echo }).to_string(),
            headers: Vec::new(),
        },
        Some("other"),
        "client",
    ));
    rows.push(row(
        "410",
        status(410, "Gone", echo),
        Some("other"),
        "client",
    ));
    rows.push(row(
        "429 with seconds",
        throttle(Some("3".to_owned())),
        Some("throttled"),
        "throttled",
    ));
    rows.push(row(
        "429 with a date",
        throttle(Some(soon)),
        Some("throttled"),
        "throttled",
    ));
    rows.push(row(
        "429 with nonsense",
        throttle(Some("soon".to_owned())),
        Some("throttled"),
        "throttled",
    ));
    rows.push(row(
        "429 without a word",
        throttle(None),
        Some("throttled"),
        "throttled",
    ));
    for (name, code) in [
        ("500", 500),
        ("501", 501),
        ("502", 502),
        ("503", 503),
        ("504", 504),
    ] {
        rows.push(row(
            name,
            status(code, "InternalServerError", echo),
            Some("server"),
            "server",
        ));
    }
    rows
}
