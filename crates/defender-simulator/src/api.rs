//! The endpoints: who asks, whether they may, and for what.
//!
//! Each request to the API passes, in this order: token, quota, fault, answer.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{Method, Response, StatusCode};
use serde_json::Value;
use url::form_urlencoded;

use super::faults::{self, Fault};
use super::listen::Peer;
use super::record::{CallRecord, Quota};
use super::wire::{
    Refusal, accepts_gzip, bearer, host, json_response, origin, read_ids, unauthorized,
};
use super::world::World;
use super::{Endpoint, Shared, lock, metadata, pages, render, token};

const DEFINITIONS: &str = "/api/DeviceAuthenticatedScanDefinitions";
const HISTORY: &str = "/api/DeviceAuthenticatedScanDefinitions/GetScanHistoryByScanDefinitionId";
/// How the paths of the one version that can be asked for begin.
const VERSIONED: &str = "/api/v1.0/";
const SESSIONS: &str = "/api/DeviceAuthenticatedScanDefinitions/GetScanHistoryBySessionId";
const AGENTS: &str = "/api/DeviceAuthenticatedScanAgents";
/// More is not asked for by anybody with good intentions.
const LONGEST_REQUEST: usize = 4 << 20;

/// A request to the API that was understood.
pub(super) struct Call {
    pub(super) tenant: usize,
    pub(super) endpoint: Endpoint,
    pub(super) ids: Vec<String>,
    /// Why the body could not be read, if so.
    mistake: Option<Refusal>,
    pub(super) query: HashMap<String, String>,
    /// Scheme, host and port as the client sees them.
    pub(super) origin: String,
    pub(super) path: String,
}

/// Answers any request.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_REQUEST).await else {
        return json_response(StatusCode::PAYLOAD_TOO_LARGE, &Value::Null);
    };
    if let Some(response) = metadata::answer(&shared, &peer, &parts).await {
        return response;
    }
    let path = parts.uri.path().to_owned();
    let sign_in = path
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix("/oauth2/v2.0/token"));
    let version = path
        .strip_prefix(VERSIONED)
        .map(|rest| format!("/api/{rest}"));
    let unversioned = version.as_ref().unwrap_or(&path);
    let (endpoint, method) = match unversioned.as_str() {
        DEFINITIONS => (Endpoint::Definitions, Method::GET),
        HISTORY => (Endpoint::History, Method::POST),
        SESSIONS => (Endpoint::Sessions, Method::POST),
        AGENTS => (Endpoint::Agents, Method::GET),
        _ if unversioned
            .strip_prefix(AGENTS)
            .is_some_and(|id| id.starts_with('/')) =>
        {
            (Endpoint::Agents, Method::GET)
        }
        // Nobody should send a secret over plain http.
        _ if sign_in.is_some() && peer.secure => (Endpoint::Token, Method::POST),
        _ => return Refusal(StatusCode::NOT_FOUND, "NotFound", path).answer(&shared),
    };
    // OData says GET for the next link of an action, others repeat the POST.
    let query = parts.uri.query().unwrap_or_default();
    let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let next_page = query.contains_key("$skiptoken");
    if parts.method != method && !(next_page && parts.method == Method::GET) {
        let refusal = Refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", path);
        return refusal.answer(&shared);
    }

    let arrived = shared.options.clock.uptime();
    let tenant = match sign_in {
        Some(id) => token::position(&shared.world(), id).map(|(index, _)| index),
        None => bearer(&parts).and_then(|token| lock(&shared.tokens).tenant(token, arrived)),
    };
    let (ids, mistake) = match read_ids(endpoint, &parts, &body) {
        _ if next_page => (Vec::new(), None),
        Ok(ids) => (ids, None),
        Err(mistake) => (Vec::new(), Some(mistake)),
    };
    shared.look_for_credentials(endpoint, tenant, &parts, &body);
    let scope = sign_in.and_then(|_| form(&body).remove("scope"));
    let number = {
        let mut calls = lock(&shared.calls);
        calls.push(CallRecord {
            tenant,
            endpoint,
            // Read under the lock, so that the log is in order.
            arrived: shared.options.clock.uptime(),
            connection: peer.connection,
            host: host(&parts),
            versioned: version.is_some(),
            scope,
            ids: ids.clone(),
            next_page,
            status: 0,
        });
        calls.len() - 1
    };
    let response = match (sign_in, tenant) {
        (Some(tenant_id), _) => sign_in_answer(&shared, &peer, tenant_id, tenant, &body).await,
        (None, None) => unauthorized(&shared),
        (None, Some(_))
            if !bearer(&parts).is_some_and(|token| lock(&shared.tokens).may_read(token)) =>
        {
            let text = "Missing application roles. API required roles: Machine.Read.All".to_owned();
            Refusal(StatusCode::FORBIDDEN, "Forbidden", text).answer(&shared)
        }
        (None, Some(tenant)) => {
            let call = Call {
                tenant,
                endpoint,
                ids,
                mistake,
                query,
                origin: origin(&parts, &peer),
                path,
            };
            let gzip = accepts_gzip(&parts);
            api_answer(&shared, &peer, call, gzip).await
        }
    };
    if !peer.severed() && !faults::is_reset(&response) {
        lock(&shared.calls)[number].status = response.status().as_u16();
    }
    response
}

fn form(body: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

async fn sign_in_answer(
    shared: &Shared,
    peer: &Peer,
    tenant_id: &str,
    tenant: Option<usize>,
    body: &[u8],
) -> Response<Body> {
    let fault = lock(&shared.faults).take(Endpoint::Token, tenant);
    if let Some(Fault::Unauthorized(_)) = fault {
        return unauthorized(shared);
    }
    if let Some(fault) = &fault
        && let Some(response) = faults::answer(fault, peer, &shared.stop).await
    {
        return response;
    }
    let form = form(body);
    let now = shared.options.clock.uptime();
    let response = {
        let world = shared.world();
        lock(&shared.tokens).answer(&world, tenant_id, &form, now)
    };
    deliver(response, fault.as_ref(), false).await
}

async fn api_answer(shared: &Shared, peer: &Peer, call: Call, gzip: bool) -> Response<Body> {
    let counted = {
        let mut quotas = lock(&shared.quotas);
        let options = &shared.options;
        let quota = quotas
            .entry((
                call.tenant,
                options.quota_by_endpoint.then_some(call.endpoint),
            ))
            .or_insert_with(|| Quota::new(options.per_minute, options.per_hour));
        // Read again under the lock, so that the log is in order.
        quota.count(options.clock.uptime())
    };
    if let Err(wait) = counted {
        *lock(&shared.violations) += 1;
        let text = "You have exceeded the number of calls allowed".to_owned();
        let refusal = Refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", text);
        let mut response = refusal.answer(shared);
        faults::put(
            &mut response,
            RETRY_AFTER,
            &wait.as_secs().max(1).to_string(),
        );
        return response;
    }
    let fault = shared.fault(call.endpoint, call.tenant);
    if let Some(Fault::Unauthorized(_)) = fault {
        return unauthorized(shared);
    }
    if let Some(fault) = &fault
        && let Some(response) = faults::answer(fault, peer, &shared.stop).await
    {
        return response;
    }
    let response = match value(shared, call, fault.as_ref()) {
        Ok(value) => json_response(StatusCode::OK, &value),
        Err(refusal) => refusal.answer(shared),
    };
    deliver(response, fault.as_ref(), gzip).await
}

/// Zips what is to be zipped and spoils what is to be spoilt.
async fn deliver(response: Response<Body>, fault: Option<&Fault>, gzip: bool) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already; reading it cannot fail.
    let mut body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove(CONTENT_LENGTH);
    let mut response = Response::from_parts(parts, Body::empty());
    if let Some(Fault::Damaged(damage)) = fault {
        body = damage.applied(&body).into();
    }
    if gzip && !matches!(fault, Some(Fault::Encoded(_))) {
        body = faults::gzip(&body).into();
        faults::put(&mut response, CONTENT_ENCODING, "gzip");
    }
    match fault {
        Some(fault) => faults::spoil(fault, response, body),
        None => response.map(|_| Body::from(body)),
    }
}

fn value(shared: &Shared, call: Call, fault: Option<&Fault>) -> Result<Value, Refusal> {
    if let Some(mistake) = call.mistake {
        return Err(mistake);
    }
    if let Some(refusal) = Refusal::of_ids(fault, &call.ids) {
        return Err(refusal);
    }
    pages::page(shared, &call, fault)
}

/// All records that a call asks for.
pub(super) fn items(shared: &Shared, world: &World, call: &Call) -> Result<Vec<Value>, Refusal> {
    let Call { endpoint, ids, .. } = call;
    let spelling = shared.options.spelling;
    let now = world.now();
    let tenant = world
        .tenants
        .get(call.tenant)
        .ok_or_else(Refusal::not_found)?;
    let definitions = tenant.definitions.iter();
    match endpoint {
        Endpoint::Definitions => Ok(definitions
            .map(|known| render::definition(tenant, known, now, spelling))
            .collect()),
        Endpoint::Agents => {
            let agents = tenant.agents.iter().enumerate();
            let found: Vec<_> = agents
                .filter(|(_, agent)| ids.is_empty() || ids.contains(&agent.id))
                .map(|(ordinal, agent)| render::agent(agent, ordinal, now, spelling))
                .collect();
            if found.len() < ids.len() {
                return Err(Refusal::not_found());
            }
            Ok(found)
        }
        Endpoint::History | Endpoint::Sessions | Endpoint::Token | Endpoint::Metadata => {
            let by_session = *endpoint == Endpoint::Sessions;
            let mut found = Vec::new();
            for id in ids {
                let before = found.len();
                let mut known = false;
                for definition in definitions.clone() {
                    known |= !by_session && definition.id.eq_ignore_ascii_case(id);
                    let runs = definition.runs.iter().map(|run| (definition, run));
                    found.extend(runs.filter(|(definition, run)| {
                        id.eq_ignore_ascii_case(if by_session {
                            &run.session_id
                        } else {
                            &definition.id
                        })
                    }));
                }
                if !known && found.len() == before {
                    return Err(Refusal::not_found());
                }
            }
            // Session ids are random, so this is an order without meaning.
            found.sort_by_key(|(_, run)| run.session_id.clone());
            let options = &shared.options;
            let is_bare = !by_session && options.bare_history.contains(&call.tenant);
            let records = found.into_iter().map(|(definition, run)| {
                let mut record = render::session(tenant, definition, run, options, by_session);
                if is_bare {
                    render::strip(&mut record);
                }
                record
            });
            Ok(records.collect())
        }
    }
}
