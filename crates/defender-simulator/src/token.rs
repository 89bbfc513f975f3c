//! Entra's token endpoint: the client credentials flow, with a secret or an
//! assertion, and the errors as Microsoft documents them.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fastrand::Rng;
use serde_json::{Value, json};

use super::assertion;
use super::definition::guid;
use super::wire::json_response;
use super::world::{Tenant, World};
use exporter_clock::{Timestamp, Uptime};

/// Those of the public cloud, and of the two for US Government.
pub(super) const SCOPES: [&str; 3] = [
    "https://api.securitycenter.microsoft.com/.default",
    "https://api-gcc.securitycenter.microsoft.us/.default",
    "https://api-gov.securitycenter.microsoft.us/.default",
];
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The tokens that were issued.
#[derive(Debug)]
pub(super) struct Tokens {
    issued: HashMap<String, Issued>,
    lifetime: Duration,
    rng: Rng,
}

#[derive(Debug)]
struct Issued {
    tenant: usize,
    expires: Uptime,
    revoked: bool,
    may_read: bool,
}

/// Why there is no token.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    text: String,
}

impl Tokens {
    pub(super) fn new(seed: u64, lifetime: Duration) -> Self {
        Self {
            issued: HashMap::new(),
            lifetime,
            rng: Rng::with_seed(seed),
        }
    }

    /// The tenant that a token is good for.
    pub(super) fn tenant(&self, token: &str, now: Uptime) -> Option<usize> {
        let issued = self.issued.get(token)?;
        (!issued.revoked && now < issued.expires).then_some(issued.tenant)
    }

    /// Whether a token has the permission that all endpoints ask for.
    pub(super) fn may_read(&self, token: &str) -> bool {
        self.issued.get(token).is_some_and(|issued| issued.may_read)
    }

    pub(super) fn revoke(&mut self, tenant: usize) {
        let issued = self.issued.values_mut();
        for token in issued.filter(|token| token.tenant == tenant) {
            token.revoked = true;
        }
    }

    pub(super) fn issued(&self) -> impl Iterator<Item = &String> {
        self.issued.keys()
    }

    /// Answers a request for a token.
    pub(super) fn answer(
        &mut self,
        world: &World,
        tenant_id: &str,
        form: &HashMap<String, String>,
        now: Uptime,
    ) -> Response<Body> {
        match check(world, tenant_id, form) {
            Ok(tenant) => {
                let token = self.issue(world, tenant, now);
                let seconds = self.lifetime.as_secs();
                json_response(
                    StatusCode::OK,
                    &json!({
                        "token_type": "Bearer",
                        "expires_in": seconds,
                        "ext_expires_in": seconds,
                        "access_token": token,
                    }),
                )
            }
            Err(refusal) => self.refuse(&refusal, world.now()),
        }
    }

    /// A new token of a tenant.
    pub(super) fn issue(&mut self, world: &World, tenant: usize, now: Uptime) -> String {
        let issued_at = world.now().unix_millis() / 1000;
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let Tenant {
            identity, roles, ..
        } = &world.tenants[tenant];
        let claims = json!({
            "aud": "https://api.securitycenter.microsoft.com",
            "tid": identity.tenant_id,
            "appid": identity.client_id,
            "roles": roles,
            "iat": issued_at,
            "exp": issued_at.saturating_add(lifetime),
        });
        let token = jwt(&claims, &mut self.rng);
        let issued = Issued {
            tenant,
            expires: now + self.lifetime,
            revoked: false,
            may_read: roles.iter().any(|role| role == "Machine.Read.All"),
        };
        self.issued.insert(token.clone(), issued);
        token
    }

    fn refuse(&mut self, refusal: &Refusal, now: Timestamp) -> Response<Body> {
        let (trace, correlation) = (guid(&mut self.rng), guid(&mut self.rng));
        let whole = Timestamp::from_unix_millis(now.unix_millis().div_euclid(1000) * 1000);
        let moment = whole.to_string().replace('T', " ");
        let Refusal { code, text, .. } = refusal;
        // Microsoft's own description has these line ends in it.
        let description = format!(
            "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {moment}"
        );
        let body = json!({
            "error": refusal.error,
            "error_description": description,
            "error_codes": [code],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        json_response(refusal.status, &body)
    }
}

fn check(world: &World, tenant_id: &str, form: &HashMap<String, String>) -> Result<usize, Refusal> {
    let refusal = |status, error, code, text: &str| Refusal {
        status,
        error,
        code,
        text: text.to_owned(),
    };
    let bad = StatusCode::BAD_REQUEST;
    let unauthorized = StatusCode::UNAUTHORIZED;
    let field = |name: &str| form.get(name).map_or("", String::as_str);

    let found = position(world, tenant_id);
    let Some((index, tenant)) = found else {
        let text = format!(
            "Tenant '{tenant_id}' not found. Check to make sure you have the correct tenant ID."
        );
        return Err(refusal(bad, "invalid_request", 90_002, &text));
    };
    if field("grant_type") != "client_credentials" {
        let text = "The app requested an unsupported grant type.";
        return Err(refusal(bad, "unsupported_grant_type", 70_003, text));
    }
    if field("client_id") != tenant.identity.client_id {
        let text = format!(
            "Application with identifier '{}' was not found in the directory 'Simulated'.",
            field("client_id")
        );
        return Err(refusal(bad, "unauthorized_client", 700_016, &text));
    }
    let scope = field("scope");
    if !scope.ends_with("/.default") {
        let text = "The provided value for the input parameter 'scope' is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.";
        return Err(refusal(bad, "invalid_scope", 1_002_012, text));
    }
    if !SCOPES.contains(&scope) {
        let text = "The resource principal was not found in the tenant.";
        return Err(refusal(bad, "invalid_resource", 500_011, text));
    }
    if let Some(assertion) = form.get("client_assertion") {
        if field("client_assertion_type") != JWT_BEARER {
            let text = "The client assertion type is not supported.";
            return Err(refusal(bad, "invalid_request", 50_027, text));
        }
        if *assertion != tenant.identity.assertion {
            let (identity, now) = (&tenant.identity, world.now());
            let federated = tenant.federation.as_ref();
            let checked = match federated {
                Some(federation) => federation.check(assertion, now),
                None => assertion::check(assertion, identity, &tenant.certificates, now),
            };
            checked.map_err(|(code, text)| refusal(unauthorized, "invalid_client", code, text))?;
        }
    } else if field("client_secret") != tenant.identity.client_secret {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
            tenant.identity.client_id
        );
        return Err(refusal(unauthorized, "invalid_client", 7_000_215, &text));
    } else if tenant.secret_expired {
        let text = format!(
            "The provided client secret keys for app '{}' are expired.",
            tenant.identity.client_id
        );
        return Err(refusal(unauthorized, "invalid_client", 7_000_222, &text));
    }
    Ok(index)
}

/// The tenant of this id, and its number.
pub(super) fn position<'a>(world: &'a World, tenant_id: &str) -> Option<(usize, &'a Tenant)> {
    let mut tenants = world.tenants.iter().enumerate();
    tenants.find(|(_, tenant)| tenant.identity.tenant_id == tenant_id)
}

/// Something that looks like a signed token.
pub(super) fn jwt(claims: &Value, rng: &mut Rng) -> String {
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "simulated" });
    let signature: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(64).collect();
    let parts = [
        header.to_string().into_bytes(),
        claims.to_string().into_bytes(),
        signature,
    ];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}
