//! Reading requests to the API, and writing its answers and errors.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderName, Response, StatusCode};
use serde_json::{Value, json};

use super::definition::guid;
use super::faults::{Fault, put};
use super::listen::Peer;
use super::{Endpoint, Shared, lock};

/// An error in the API's own form: status, code and message.
pub(super) struct Refusal(
    pub(super) StatusCode,
    pub(super) &'static str,
    pub(super) String,
);

impl Refusal {
    pub(super) fn bad_request(text: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, "BadRequest", text.to_owned())
    }

    pub(super) fn not_found() -> Self {
        let text = "Resource not found".to_owned();
        Self(StatusCode::NOT_FOUND, "ResourceNotFound", text)
    }

    /// The refusal of a batch that holds a bad id.
    pub(super) fn of_ids(fault: Option<&Fault>, ids: &[String]) -> Option<Self> {
        let (bad, code) = match fault? {
            Fault::BadIds(bad) => (bad, "ResourceNotFound"),
            Fault::UnknownIds(bad) => (bad, "NotFound"),
            _ => return None,
        };
        let text = "Resource not found".to_owned();
        let is_bad = ids.iter().any(|id| bad.contains(id));
        is_bad.then_some(Self(StatusCode::NOT_FOUND, code, text))
    }

    pub(super) fn too_many(received: usize, allowed: usize) -> Self {
        let text = format!("Maximum batch size exceeded. Received: {received}, allowed: {allowed}");
        Self(StatusCode::BAD_REQUEST, "MaximumBatchSizeExceeded", text)
    }

    /// `$skip` is not known here.
    pub(super) fn no_skip(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let text = "The query specified in the URI is not valid: $skip".to_owned();
        Self(status, "BadRequest", text)
    }

    /// As an answer, with a correlation id.
    pub(super) fn answer(self, shared: &Shared) -> Response<Body> {
        let Self(status, code, message) = self;
        let target = guid(&mut lock(&shared.rng));
        let error = json!({ "code": code, "message": message, "target": target });
        json_response(status, &json!({ "error": error }))
    }
}

/// The answer to a token that is not valid.
pub(super) fn unauthorized(shared: &Shared) -> Response<Body> {
    let text = "The access token is missing, invalid or expired".to_owned();
    let mut response = Refusal(StatusCode::UNAUTHORIZED, "Unauthorized", text).answer(shared);
    put(
        &mut response,
        WWW_AUTHENTICATE,
        "Bearer error=\"invalid_token\"",
    );
    response
}

pub(super) fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    put(
        &mut response,
        CONTENT_TYPE,
        "application/json; charset=utf-8",
    );
    response
}

/// The bearer token of a request.
pub(super) fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = header(parts, AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Scheme, host and port as the client sees them.
pub(super) fn origin(parts: &Parts, peer: &Peer) -> String {
    let scheme = if peer.secure { "https" } else { "http" };
    format!("{scheme}://{}", host(parts))
}

/// Host and port as the client sees them.
pub(super) fn host(parts: &Parts) -> String {
    // HTTP/2 has an authority, HTTP/1 a host.
    let authority = parts.uri.authority().map(ToString::to_string);
    let host = authority.or_else(|| header(parts, HOST).map(ToOwned::to_owned));
    host.unwrap_or_default()
}

pub(super) fn accepts_gzip(parts: &Parts) -> bool {
    header(parts, ACCEPT_ENCODING).is_some_and(|accepted| accepted.contains("gzip"))
}

/// A whole number of the query, such as `$top`.
pub(super) fn number(
    query: &HashMap<String, String>,
    name: &str,
) -> Result<Option<usize>, Refusal> {
    let text = query.get(name);
    text.map(|text| text.parse())
        .transpose()
        .map_err(|_| Refusal::bad_request(&format!("{name} is not a whole number")))
}

/// The ids that a request names, in its body or its path.
pub(super) fn read_ids(
    endpoint: Endpoint,
    parts: &Parts,
    body: &[u8],
) -> Result<Vec<String>, Refusal> {
    let key = match endpoint {
        Endpoint::History => "ScanDefinitionIds",
        Endpoint::Sessions => "SessionIds",
        Endpoint::Agents => {
            let path = parts.uri.path();
            let id = path
                .split_once("/DeviceAuthenticatedScanAgents/")
                .map(|(_, id)| id);
            return Ok(id.map(ToOwned::to_owned).into_iter().collect());
        }
        Endpoint::Token | Endpoint::Metadata | Endpoint::Definitions => return Ok(Vec::new()),
    };
    let invalid = |code, text: &str| Refusal(StatusCode::BAD_REQUEST, code, text.to_owned());
    if !header(parts, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(invalid(
            "InvalidRequestBody",
            "Content-Type must be application/json",
        ));
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Err(invalid("InvalidRequestBody", "Request body is incorrect"));
    };
    // The name is case-sensitive.
    let ids = body.get(key).and_then(Value::as_array);
    let ids = ids.filter(|ids| !ids.is_empty());
    let Some(ids) = ids else {
        return Err(invalid("InvalidInput", &format!("{key} is required")));
    };
    let ids: Option<Vec<_>> = ids
        .iter()
        .map(|id| id.as_str().map(ToOwned::to_owned))
        .collect();
    ids.ok_or_else(|| invalid("InvalidInput", &format!("{key} must be strings")))
}

fn header(parts: &Parts, name: HeaderName) -> Option<&str> {
    parts.headers.get(name)?.to_str().ok()
}
