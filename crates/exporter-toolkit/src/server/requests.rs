//! Requests that no route needs to see: those that a proxy could read in another way, and
//! those for a path that has a shorter name.

use axum::extract::Request;
use axum::http::header::{CONNECTION, HOST, LOCATION, TRANSFER_ENCODING};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Refuses what RFC 9112 refuses: no host, several, or one that is none (3.2), and a coding of
/// the body that is not `chunked` alone (6.1).
pub(super) async fn check_head(request: Request, next: Next) -> Response {
    let found = request.headers().get_all(HOST);
    let required = request.version() == Version::HTTP_11;
    let reason = match found.iter().count() {
        0 if required => "missing required Host header\n",
        0 | 1 if !found.iter().all(is_host) => "malformed Host header\n",
        0 | 1 if !is_plain(&request) => "unsupported Transfer-Encoding\n",
        0 | 1 => return next.run(request).await,
        _ => "too many Host headers\n",
    };
    let mut response = (StatusCode::BAD_REQUEST, reason).into_response();
    if required {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Whether all letters are those that RFC 3986, 3.2.2, allows in a host, or separate its port.
fn is_host(value: &HeaderValue) -> bool {
    let may_be = |byte: &u8| byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(byte);
    value.as_bytes().iter().all(may_be)
}

/// Whether the body comes as it is, or in chunks.
fn is_plain(request: &Request) -> bool {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(chunked) && codings.next().is_none()
}

/// Leads from paths with `//`, `.` or `..` to what they mean, as Go's servers do: `//metrics`.
pub(super) async fn clean_path(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let clean = cleaned(path);
    if clean == path || !path.starts_with('/') {
        return next.run(request).await;
    }
    let target = match request.uri().query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean,
    };
    match HeaderValue::try_from(target) {
        Ok(target) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, target)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The path with one slash at its beginning, which no browser takes for a host.
pub(crate) fn cleaned(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = path.ends_with('/') && !parts.is_empty();
    format!("/{}{}", parts.join("/"), if end { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, expected) in [
            ("/", "/"),
            ("/metrics", "/metrics"),
            ("/metrics/", "/metrics/"),
            ("//metrics", "/metrics"),
            ("//evil.example/..//", "/"),
            ("//evil.example", "/evil.example"),
            ("/a/./b/../c", "/a/c"),
            ("/../../etc", "/etc"),
            ("/%2e%2e/a", "/%2e%2e/a"),
        ] {
            assert_eq!(cleaned(path), expected, "{path}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for (host, expected) in [
            ("", true),
            ("a.example:9100", true),
            ("[::1]:9100", true),
            ("a b", false),
            ("a/b", false),
            ("a@b", false),
            ("a\u{e9}", false),
        ] {
            let value = HeaderValue::from_bytes(host.as_bytes()).unwrap();
            assert_eq!(is_host(&value), expected, "{host}");
        }
    }
}
