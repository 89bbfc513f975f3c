//! Credentials where they do not belong: whoever gets one could use it.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::wire::bearer;
use super::world::SECRET_START;
use super::{Endpoint, Shared, TenantIdentity, lock};

/// How tokens and assertions begin, as every JWT does: `{"`.
const JWT_START: &str = "eyJ";

impl Shared {
    /// Counts a request that carries a credential where it does not belong.
    pub(super) fn look_for_credentials(
        &self,
        endpoint: Endpoint,
        tenant: Option<usize>,
        parts: &Parts,
        body: &[u8],
    ) {
        if misplaced(self, endpoint, tenant, parts, body) {
            *lock(&self.misplaced) += 1;
        }
    }
}

impl TenantIdentity {
    fn credentials(&self) -> [&str; 2] {
        [&self.client_secret, &self.assertion]
    }
}

/// Whether a request carries a credential that is not for its endpoint.
///
/// For the API is a token, in `Authorization` alone; for the sign-in host the secret or
/// assertion of the tenant that the path names, in the body alone; for the metadata
/// service neither. What is searched for is every client's secret, also in base64 and
/// URL-encoded, and every token that was issued.
fn misplaced(
    shared: &Shared,
    endpoint: Endpoint,
    tenant: Option<usize>,
    parts: &Parts,
    body: &[u8],
) -> bool {
    let api = !matches!(endpoint, Endpoint::Token | Endpoint::Metadata);
    let mut rest = parts.uri.to_string();
    let mut authorization = String::new();
    for (name, value) in &parts.headers {
        let found = if api && name == AUTHORIZATION {
            &mut authorization
        } else {
            &mut rest
        };
        found.push('\n');
        found.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    let mut body = String::from_utf8_lossy(body).into_owned();

    // What belongs where it is does not count.
    let world = shared.world();
    if let (true, Some(_), Some(token)) = (api, tenant, bearer(parts)) {
        authorization = authorization.replacen(token, "", 1);
    }
    if let (Endpoint::Token, Some(own)) = (endpoint, tenant) {
        for credential in world.tenants[own].identity.credentials() {
            for form in forms(credential) {
                body = body.replace(&form, "");
            }
        }
    }
    rest.push('\n');
    rest.push_str(&body);

    // A look at each of a thousand tenants takes long, and hardly any request needs it.
    let suspect = |text: &str| {
        let mut beginnings = [SECRET_START, JWT_START].into_iter().flat_map(forms);
        beginnings.any(|beginning| text.contains(&beginning))
    };
    if !suspect(&rest) && !suspect(&authorization) {
        return false;
    }
    let mut secrets = world
        .tenants
        .iter()
        .flat_map(|known| known.identity.credentials());
    let secret = secrets.any(|secret| {
        forms(secret)
            .iter()
            .any(|form| rest.contains(form) || authorization.contains(form))
    });
    let tokens = lock(&shared.tokens);
    secret || tokens.issued().any(|token| rest.contains(token))
}

/// A text as it may appear: as it is, URL-encoded, and in base64.
fn forms(text: &str) -> [String; 3] {
    let encoded = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    [text.to_owned(), encoded, STANDARD.encode(text)]
}
