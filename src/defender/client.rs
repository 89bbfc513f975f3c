//! One request per call, each of which costs a [`Permit`].
//!
//! ```text
//! permit + token ─► request ─► headers (permit answered) ─► body ─► page or error
//! ```
//!
//! Nothing is repeated here: every further request is the schedule's decision.

use std::fmt;
use std::time::Duration;

use ::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER,
};
use ::http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::auth::Bearer;
use super::body::{Body, ENCODING};
use super::error::{ApiError, Refusal};
use super::http::{HttpClient, Line};
use super::lifecycle;
use super::pause::http_date;
use super::scrub::scrub;
use super::wire::{DecodeError, ErrorBody, FromWire, NextLink, Page};
use crate::budget::Permit;
use crate::clock::Clock;
use crate::model::health::Lifecycle;
use crate::model::{Agent, Definition, DefinitionId, Session, SessionDetails, SessionId};

/// The largest answer that is read, in bytes after decompression.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// How much of an error's body is read, in bytes.
const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// The longest link to a next page, in bytes: HTTP libraries and servers know no longer ones.
const LONGEST_LINK: usize = 16 * 1024;

/// What the path of every request begins with.
const ROOT: &str = "/api";

const DEFINITIONS: &str = "/DeviceAuthenticatedScanDefinitions";
const HISTORY: &str = "/DeviceAuthenticatedScanDefinitions/GetScanHistoryByScanDefinitionId";
const SESSIONS: &str = "/DeviceAuthenticatedScanDefinitions/GetScanHistoryBySessionId";
const AGENTS: &str = "/DeviceAuthenticatedScanAgents";

/// One call and what came of it.
#[derive(Debug)]
#[must_use]
pub struct Answer<T> {
    /// The HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// From sending the request to the last byte of the answer.
    pub elapsed: Duration,
    /// What the answer says of the end of the endpoint; `None` if that is nothing to go by.
    pub lifecycle: Option<Lifecycle>,
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
    /// What all paths begin with: `/api`, or `/api/v1.0`.
    root: Box<str>,
    clock: Clock,
    body_limit: usize,
}

/// A request, and what is known of its answer beside its body.
struct Exchange<'a> {
    url: Url,
    /// The ids of a batch, as JSON.
    body: Option<String>,
    is_first: bool,
    token: &'a Bearer,
    status: Option<u16>,
    lifecycle: Option<Lifecycle>,
}

impl Client {
    /// A client of the API at `base_url`, of which only the origin counts.
    #[must_use]
    pub fn new(http: HttpClient, base_url: Url, clock: Clock) -> Self {
        Self {
            http,
            fresh: false,
            base_url,
            root: ROOT.into(),
            clock,
            body_limit: BODY_LIMIT,
        }
    }

    /// The same client, of that version of the API; `None`: of its latest.
    #[must_use]
    pub fn of_version(self, version: Option<&str>) -> Self {
        let root =
            version.map_or_else(|| ROOT.into(), |version| format!("{ROOT}/{version}").into());
        Self { root, ..self }
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
    ) -> Answer<SessionDetails> {
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

    async fn call<T: FromWire>(
        &self,
        permit: Permit,
        token: &Bearer,
        path: &str,
        body: Option<String>,
        next: Option<&NextLink>,
    ) -> Answer<T> {
        let started = self.clock.uptime();
        let first = self.first(path);
        let (result, status, lifecycle) = match next.map(|next| self.follow(&first, next)) {
            Some(Err(why)) => {
                // Nothing was sent, so nothing is on its way.
                permit.answered();
                (Err(ApiError::RefusedLink(why)), None, None)
            }
            url => {
                let mut call = Exchange {
                    is_first: url.is_none(),
                    url: url.and_then(Result::ok).unwrap_or_else(|| first.clone()),
                    body,
                    token,
                    status: None,
                    lifecycle: None,
                };
                let result = self.send(permit, &mut call).await.map(|mut page: Page<T>| {
                    let followed = page.next.as_ref().map(|next| self.follow(&first, next));
                    if let Some(Err(why)) = followed {
                        page.next = None;
                        page.refused_link = Some(scrub(&why, &[token.secret()]));
                    }
                    page
                });
                (result, call.status, call.lifecycle)
            }
        };
        Answer {
            status,
            elapsed: self.clock.uptime().since(started),
            lifecycle,
            result,
        }
    }

    /// The version of the API that the configuration names, if any.
    fn version(&self) -> Option<&str> {
        self.root.strip_prefix(ROOT)?.strip_prefix('/')
    }

    /// The address of the first page.
    fn first(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}{path}", self.root));
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    /// The address of a next page: the link's path and query, always at our own origin, so that
    /// the token goes nowhere else. An error says what is wrong with the link, or where it leads
    /// if not below `/api/`.
    fn follow(&self, first: &Url, next: &NextLink) -> Result<Url, String> {
        if next.as_str().len() > LONGEST_LINK {
            return Err(format!("is longer than {LONGEST_LINK} bytes"));
        }
        let Ok(next) = first.join(next.as_str()) else {
            return Err("cannot be read".to_owned());
        };
        let mut url = self.base_url.clone();
        url.set_path(next.path());
        url.set_query(next.query());
        url.set_fragment(None);
        let is_below = |url: &Url| {
            let rest = url.path().strip_prefix(ROOT);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        if !next.has_host() || !is_below(&next) || !is_below(&url) {
            let origin = next.origin().ascii_serialization();
            return Err(format!("leads to {origin}, outside {ROOT}/"));
        }
        Ok(url)
    }

    async fn send<T: FromWire>(
        &self,
        permit: Permit,
        call: &mut Exchange<'_>,
    ) -> Result<Page<T>, ApiError> {
        let body = call.body.take();
        let batch = body.is_some();
        let url = call.url.clone();
        let line = self.http.line(self.fresh);
        let request = match body {
            Some(body) => line
                .client()
                .request(Method::POST, url)
                .header(CONTENT_TYPE, "application/json")
                .body(body),
            None => line.client().request(Method::GET, url),
        };
        let request = request
            .header(AUTHORIZATION, call.token.header())
            .header(ACCEPT_ENCODING, ENCODING);
        // If this fails, the permit is dropped: the service may have seen the request.
        let response = request.send().await;
        let mut response = response.map_err(|error| line.unanswered(error))?;
        permit.answered();
        let code = response.status();
        call.status = Some(code.as_u16());
        call.lifecycle = lifecycle::read(code.as_u16(), response.headers(), call.is_first);
        // A machine's clock may be behind, above all as it starts.
        let date = text(response.headers(), DATE).and_then(http_date);
        let wall = self.clock.wall();
        let as_of = date.map_or(wall, |date| date.max(wall));
        if matches!(
            code,
            StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION
        ) {
            let body = read(&mut response, self.body_limit, &line).await?;
            return Ok(Page::read(&body, as_of)?);
        }
        if code.is_success() {
            return Err(DecodeError::Status(code.as_u16()).into());
        }
        // An error without a readable body is still that error.
        let body = read(&mut response, ERROR_BODY_LIMIT, &line).await;
        let body = body.unwrap_or_default();
        let no_list = code == StatusCode::NOT_FOUND && call.is_first && !batch;
        let version = self.version();
        if no_list && version.is_none() && ErrorBody::read(&body).finds_nothing() {
            return Ok(Page::empty(as_of));
        }
        let error = ApiError::refused(&Refusal {
            status: code.as_u16(),
            retry_after: text(response.headers(), RETRY_AFTER),
            date: text(response.headers(), DATE),
            body: &body,
            wall: self.clock.wall(),
            batch,
            token: call.token.secret(),
        });
        Err(match (error, version) {
            (ApiError::Client(detail), Some(version)) if no_list => ApiError::NoVersion {
                version: version.to_owned(),
                detail,
            },
            (error, _) => error,
        })
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

/// The value of a header, if it is text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Reads a body of at most `limit` bytes.
async fn read(
    response: &mut reqwest::Response,
    limit: usize,
    line: &Line,
) -> Result<Vec<u8>, ApiError> {
    let encoding = text(response.headers(), CONTENT_ENCODING).unwrap_or_default();
    let mut body = Body::new(encoding, limit)?;
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| line.broken(error))? else {
            return body.end();
        };
        body.push(&chunk)?;
    }
}

#[cfg(test)]
mod tests;
