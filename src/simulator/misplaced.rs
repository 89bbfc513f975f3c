//! Credentials where they do not belong: whoever gets one could use it.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::{Endpoint, Shared, lock};

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
    let mut head = parts.uri.to_string();
    let mut authorization = String::new();
    for (name, value) in &parts.headers {
        let found = if api && name == AUTHORIZATION {
            &mut authorization
        } else {
            &mut head
        };
        found.push('\n');
        found.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    let body = String::from_utf8_lossy(body);
    let within = |text: &str, secret: &str| !secret.is_empty() && text.contains(secret);

    let world = shared.world();
    let secrets = world
        .tenants
        .iter()
        .enumerate()
        .flat_map(|(number, known)| {
            let identity = &known.identity;
            let own = endpoint == Endpoint::Token && tenant == Some(number);
            [&identity.client_secret, &identity.assertion].map(|secret| (own, secret))
        });
    for (own, secret) in secrets {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [secret.clone(), encoded, STANDARD.encode(secret)] {
            if within(&head, &form) || within(&authorization, &form) {
                return true;
            }
            if !own && within(&body, &form) {
                return true;
            }
        }
    }
    let tokens = lock(&shared.tokens);
    tokens
        .issued()
        .any(|token| within(&head, token) || within(&body, token))
}
