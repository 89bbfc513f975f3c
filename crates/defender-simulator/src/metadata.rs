//! The metadata service of a machine in Azure, which gives tokens to its managed
//! identities: at the path of virtual machines and at that of App Service.
//! Sources: "How to use managed identities on a VM to acquire an access token",
//! "How to use managed identities for App Service".

use std::collections::HashMap;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::faults;
use super::listen::Peer;
use super::record::CallRecord;
use super::token::SCOPES;
use super::wire::{host, json_response};
use super::{Endpoint, Shared, lock};

const VIRTUAL_MACHINE: &str = "/metadata/identity/oauth2/token";
const APP_SERVICE: &str = "/msi/token";

/// The names of the parameters that name an identity.
const IDS: [&str; 3] = ["client_id", "object_id", "msi_res_id"];

/// The tenant of the simulated machine.
const TENANT: usize = 0;

/// An identity that the simulated machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineIdentity {
    /// Its application (client) id.
    pub client_id: String,
    /// Its object (principal) id.
    pub object_id: String,
    /// Its resource id; `None`: the system-assigned one.
    pub resource_id: Option<String>,
}

impl MachineIdentity {
    fn is(&self, name: &str, id: &str) -> bool {
        match name {
            "client_id" => self.client_id == id,
            "object_id" => self.object_id == id,
            _ => self.resource_id.as_deref() == Some(id),
        }
    }
}

/// Answers, if the request is for this service.
pub(super) async fn answer(shared: &Shared, peer: &Peer, parts: &Parts) -> Option<Response<Body>> {
    let path = parts.uri.path();
    // It has no certificate: nobody can ask it by https.
    if peer.secure || ![VIRTUAL_MACHINE, APP_SERVICE].contains(&path) {
        return None;
    }
    let query = parts.uri.query().unwrap_or_default();
    let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    shared.look_for_credentials(Endpoint::Metadata, Some(TENANT), parts, &[]);
    let fault = lock(&shared.faults).take(Endpoint::Metadata, Some(TENANT));
    let response = match &fault {
        Some(fault) => faults::answer(fault, peer, &shared.stop).await,
        None => None,
    };
    let response = response.unwrap_or_else(|| match check(shared, parts, &query) {
        Ok(()) => token(shared, &query),
        Err((status, error, text)) => {
            let body = json!({ "error": error, "error_description": text });
            json_response(status, &body)
        }
    });
    lock(&shared.calls).push(CallRecord {
        tenant: Some(TENANT),
        endpoint: Endpoint::Metadata,
        arrived: shared.options.clock.uptime(),
        connection: peer.connection,
        host: host(parts),
        versioned: false,
        scope: query.get("resource").cloned(),
        ids: Vec::new(),
        next_page: false,
        status: response.status().as_u16(),
    });
    Some(response)
}

type Refusal = (StatusCode, &'static str, &'static str);

fn check(shared: &Shared, parts: &Parts, query: &HashMap<String, String>) -> Result<(), Refusal> {
    let bad = |text| Err((StatusCode::BAD_REQUEST, "invalid_request", text));
    let header = |name: &str| {
        let value = parts.headers.get(name)?;
        value.to_str().ok()
    };
    if parts.method != Method::GET {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err((status, "invalid_request", "Method not allowed"));
    }
    if header("metadata") != Some("true") {
        return bad("Required metadata header not specified");
    }
    if ["x-forwarded-for", "via"]
        .into_iter()
        .any(|name| header(name).is_some())
    {
        return bad("The request came through a proxy");
    }
    let world = shared.world();
    if parts.uri.path() == APP_SERVICE
        && header("x-identity-header") != Some(&*world.identity_header)
    {
        let status = StatusCode::UNAUTHORIZED;
        return Err((status, "unauthorized", "The identity header is wrong"));
    }
    if query.get("api-version").map(String::as_str) != Some("2019-08-01") {
        return bad("The api-version is not supported");
    }
    let known = |resource: &String| SCOPES.contains(&format!("{resource}/.default").as_str());
    if !query.get("resource").is_some_and(known) {
        let text = "The resource principal was not found in the tenant";
        return Err((StatusCode::BAD_REQUEST, "invalid_resource", text));
    }
    let mut named = IDS
        .into_iter()
        .filter_map(|name| Some((name, query.get(name)?)));
    let wanted = named.next();
    if named.next().is_some() {
        return bad("Multiple user assigned identities are named");
    }
    let has = match wanted {
        Some((name, id)) => world.identities.iter().any(|known| known.is(name, id)),
        None => world
            .identities
            .iter()
            .any(|known| known.resource_id.is_none()),
    };
    if has {
        Ok(())
    } else {
        bad("Identity not found")
    }
}

fn token(shared: &Shared, query: &HashMap<String, String>) -> Response<Body> {
    let now = shared.options.clock.uptime();
    let world = shared.world();
    let token = lock(&shared.tokens).issue(&world, TENANT, now);
    let seconds = i64::try_from(shared.options.token_seconds).unwrap_or(i64::MAX);
    let end = (world.now().unix_millis() / 1000).saturating_add(seconds);
    let body = json!({
        "access_token": token,
        // Numbers come as text here.
        "expires_on": end.to_string(),
        "resource": query.get("resource"),
        "token_type": "Bearer",
    });
    json_response(StatusCode::OK, &body)
}
