use super::*;

const NOW: Timestamp = Timestamp::from_unix_millis(784_111_777_000);

fn refused(status: u16, body: &str, batch: bool) -> ApiError {
    ApiError::refused(&Refusal {
        status,
        retry_after: Some("7"),
        date: None,
        body: body.as_bytes(),
        wall: NOW,
        batch,
        token: "hunter2",
    })
}

fn body(code: &str, message: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"{message}","target":"4fb9dcb5"}}}}"#)
}

#[test]
fn each_status_has_its_class() {
    for (status, code, batch, reason) in [
        (400, "MaximumBatchSizeExceeded", false, Reason::Client),
        (401, "", true, Reason::Auth),
        (403, "DisabledFeature", true, Reason::Forbidden),
        (403, "Forbidden", true, Reason::Forbidden),
        (429, "TooManyRequests", true, Reason::Throttled),
        (408, "", true, Reason::Server),
        (500, "InternalServerError", true, Reason::Server),
        (503, "", false, Reason::Server),
        (302, "", true, Reason::Client),
        (404, "", true, Reason::Client),
        (410, "", true, Reason::Client),
        (404, "ResourceNotFound", false, Reason::Client),
    ] {
        let error = refused(status, &body(code, ""), batch);
        assert_eq!(error.reason(), reason, "{status} {code}");
        assert!(!matches!(
            error,
            ApiError::BadRequestOrId(_) | ApiError::BatchTooLarge { .. }
        ));
    }
    for (status, code) in [
        (400, "InvalidInput"),
        (400, "invalidrequestbody"),
        (400, "BadRequest"),
        (404, "ResourceNotFound"),
        (404, "NotFound"),
    ] {
        let error = refused(status, &body(code, ""), true);
        assert!(matches!(error, ApiError::BadRequestOrId(_)), "{code}");
    }
}

#[test]
fn learns_the_batch_size_if_it_can_be_read() {
    for (message, expected) in [
        (
            "Maximum batch size exceeded. Received: 30, allowed: 25",
            Some(25),
        ),
        ("Received: 30, Allowed: 25.", Some(25)),
        ("Received: 30, allowed: many", None),
        ("Received: 30, allowed: 0", None),
        ("Received: 30, allowed: 99999999999999999999999", None),
        ("too many", None),
    ] {
        match refused(400, &body("MaximumBatchSizeExceeded", message), true) {
            ApiError::BatchTooLarge { allowed, .. } => assert_eq!(allowed, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn names_code_and_correlation_id_and_no_secret() {
    let text = refused(403, &body("Forbidden", "hunter2\\r\\nis bad"), true).to_string();
    assert!(
        text.ends_with("HTTP 403 Forbidden: [redacted] is bad (correlation id 4fb9dcb5)"),
        "{text}"
    );
    let text = refused(502, "<html>hunter2 &amp; more</html>", true).to_string();
    assert_eq!(text, "the service failed: HTTP 502: [redacted] & more");
    let long = format!("<html>{}</html>", "x ".repeat(10_000));
    let text = refused(502, &long, true).to_string();
    assert!(text.len() < 400 && text.ends_with('…'), "{text}");
}

/// A new token changes nothing about a licence, so none is asked for.
#[test]
fn a_refusal_for_want_of_a_licence_is_none_of_the_token() {
    for (status, code, message, unlicensed) in [
        (
            401,
            "Unauthorized",
            "Authorization failed, reason of failure: No Tvm license",
            true,
        ),
        (401, "Unauthorized", "Account mode is inactive", true),
        (401, "", "the tenant has no valid licence", true),
        (401, "Unauthorized", "The token has expired", false),
        (401, "", "", false),
        (
            403,
            "DisabledFeature",
            "Tenant feature is not enabled",
            true,
        ),
        (403, "Forbidden", "No TVM LICENSE", true),
        (403, "Forbidden", "Missing application roles", false),
        (400, "BadRequest", "license", false),
        (500, "InternalServerError", "license", false),
    ] {
        let error = refused(status, &body(code, message), true);
        let found = matches!(error, ApiError::Unlicensed(_));
        assert_eq!(found, unlicensed, "{status} {code} {message}");
        if unlicensed {
            let text = error.to_string();
            assert!(
                text.contains("licence") && !text.contains("permission"),
                "{text}"
            );
            assert_eq!(error.reason(), Reason::Forbidden);
        }
    }
}
