//! One request per call, each of which costs a [`Permit`].
//!
//! ```text
//! permit + token ─► request ─► headers (permit answered) ─► body ─► page or error
//! ```
//!
//! Nothing is repeated here: every further request is the planner's decision.

use std::fmt;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER};
use ::http::{HeaderMap, Method};
use bytes::BytesMut;
use url::Url;

use super::auth::Bearer;
use super::error::{ApiError, Refusal};
use super::http::{HttpClient, Line};
use super::wire::{FromWire, NextLink, Page, page};
use crate::clock::Clock;
use crate::model::{Agent, Definition, DefinitionId, Session, SessionId};
use crate::quota::Permit;

/// The largest answer that is read, in bytes after decompression.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// How much of an error's body is read, in bytes.
const ERROR_BODY_LIMIT: usize = 64 * 1024;

const DEFINITIONS: &str = "/api/DeviceAuthenticatedScanDefinitions";
const HISTORY: &str = "/api/DeviceAuthenticatedScanDefinitions/GetScanHistoryByScanDefinitionId";
const SESSIONS: &str = "/api/DeviceAuthenticatedScanDefinitions/GetScanHistoryBySessionId";
const AGENTS: &str = "/api/DeviceAuthenticatedScanAgents";

/// One call and what came of it.
#[derive(Debug)]
#[must_use]
pub struct Answer<T> {
    /// The HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// From sending the request to the last byte of the answer.
    pub elapsed: Duration,
    /// The page, or why there is none.
    pub result: Result<Page<T>, ApiError>,
}

/// A client of one tenant's API.
#[derive(Clone)]
pub struct Client {
    http: HttpClient,
    /// Whether each request has a connection of its own.
    fresh: bool,
    base_url: Url,
    clock: Clock,
    body_limit: usize,
}

impl Client {
    /// A client of the API at `base_url`, of which only the origin counts.
    #[must_use]
    pub fn new(http: HttpClient, base_url: Url, clock: Clock) -> Self {
        Self {
            http,
            fresh: false,
            base_url,
            clock,
            body_limit: BODY_LIMIT,
        }
    }

    /// The same client, each of whose requests opens a connection: for one that was sent on a
    /// connection that had broken.
    #[must_use]
    pub fn on_fresh_connections(&self) -> Self {
        Self {
            fresh: true,
            ..self.clone()
        }
    }

    /// A page of the list of definitions: the first, or the one at `next`.
    pub async fn definitions(
        &self,
        permit: Permit,
        token: &Bearer,
        next: Option<&NextLink>,
    ) -> Answer<Definition> {
        self.call(permit, token, DEFINITIONS, None, next).await
    }

    /// A page of the history of the definitions `ids`: the first, or the one at
    /// `next`, which is asked for with the same ids.
    pub async fn history(
        &self,
        permit: Permit,
        token: &Bearer,
        ids: &[DefinitionId],
        next: Option<&NextLink>,
    ) -> Answer<Session> {
        let ids: Vec<_> = ids.iter().map(DefinitionId::as_str).collect();
        // The name is case-sensitive.
        let body = serde_json::json!({ "ScanDefinitionIds": ids }).to_string();
        self.call(permit, token, HISTORY, Some(body), next).await
    }

    /// A page of the history of the sessions `ids`, likewise.
    pub async fn sessions(
        &self,
        permit: Permit,
        token: &Bearer,
        ids: &[SessionId],
        next: Option<&NextLink>,
    ) -> Answer<Session> {
        let ids: Vec<_> = ids.iter().map(SessionId::as_str).collect();
        let body = serde_json::json!({ "SessionIds": ids }).to_string();
        self.call(permit, token, SESSIONS, Some(body), next).await
    }

    /// A page of the list of agents: the first, or the one at `next`.
    pub async fn agents(
        &self,
        permit: Permit,
        token: &Bearer,
        next: Option<&NextLink>,
    ) -> Answer<Agent> {
        self.call(permit, token, AGENTS, None, next).await
    }

    /// Checks, without a call, that a next page is where the token may go.
    ///
    /// # Errors
    /// [`ApiError::ForeignNextLink`], if it is not.
    pub fn follows(&self, next: &NextLink) -> Result<(), ApiError> {
        self.address("", Some(next)).map(drop)
    }

    async fn call<T: FromWire>(
        &self,
        permit: Permit,
        token: &Bearer,
        path: &str,
        body: Option<String>,
        next: Option<&NextLink>,
    ) -> Answer<T> {
        let started = self.clock.uptime();
        let mut status = None;
        let result = match self.address(path, next) {
            Ok(url) => self.send(permit, token, url, body, &mut status).await,
            Err(error) => {
                // Nothing was sent, so nothing is on its way.
                permit.answered();
                Err(error)
            }
        };
        Answer {
            status,
            elapsed: self.clock.uptime().since(started),
            result,
        }
    }

    /// The address of the first page, or of the next one if it is of our origin.
    fn address(&self, path: &str, next: Option<&NextLink>) -> Result<Url, ApiError> {
        let mut url = self.base_url.clone();
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
        let Some(next) = next else {
            return Ok(url);
        };
        let foreign = |origin: String| Err(ApiError::ForeignNextLink { origin });
        let Ok(next) = url.join(next.as_str()) else {
            return foreign("an address that cannot be read".to_owned());
        };
        // A user name in the link would take the place of the token.
        let named = !next.username().is_empty() || next.password().is_some();
        if next.origin() != self.base_url.origin() || named {
            return foreign(next.origin().ascii_serialization());
        }
        Ok(next)
    }

    async fn send<T: FromWire>(
        &self,
        permit: Permit,
        token: &Bearer,
        url: Url,
        body: Option<String>,
        status: &mut Option<u16>,
    ) -> Result<Page<T>, ApiError> {
        let batch = body.is_some();
        let mut line = self.http.line(self.fresh);
        let request = match body {
            Some(body) => line
                .client()
                .request(Method::POST, url)
                .header(CONTENT_TYPE, "application/json")
                .body(body),
            None => line.client().request(Method::GET, url),
        };
        let request = request.header(AUTHORIZATION, token.header());
        // If this fails, the permit is dropped: the service may have seen the request.
        let response = request.send().await;
        let mut response = response.map_err(|error| line.unanswered(error))?;
        permit.answered();
        let code = response.status();
        *status = Some(code.as_u16());
        if code.is_success() {
            let body = read(&mut response, self.body_limit, &mut line).await?;
            return Ok(page(&body)?);
        }
        // An error without a readable body is still that error.
        let body = read(&mut response, ERROR_BODY_LIMIT, &mut line).await;
        Err(ApiError::refused(&Refusal {
            status: code.as_u16(),
            retry_after: text(response.headers(), RETRY_AFTER),
            date: text(response.headers(), DATE),
            body: &body.unwrap_or_default(),
            wall: self.clock.wall(),
            batch,
            token: token.secret(),
        }))
    }
}

/// Leaves out the HTTP client, whose proxy may have a password.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.base_url.as_str())
            .finish_non_exhaustive()
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Reads the body as it is decompressed, so that a small one that grows large
/// is given up in time.
async fn read(
    response: &mut reqwest::Response,
    limit: usize,
    line: &mut Line,
) -> Result<BytesMut, ApiError> {
    let mut body = BytesMut::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| line.broken(error))? else {
            line.is_sound();
            return Ok(body);
        };
        if body.len() + chunk.len() > limit {
            line.is_sound();
            return Err(ApiError::BodyTooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
}

#[cfg(test)]
mod tests;
