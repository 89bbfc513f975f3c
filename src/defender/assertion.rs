//! The assertion that a client certificate signs (RFC 7523): what Entra takes in
//! place of a secret. Source: "Microsoft identity platform application
//! authentication certificate credentials".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::RSA_PSS_SHA256;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::auth_error::AuthError;
use crate::clock::Timestamp;
use crate::config::{ClientCertificate, Tenant};
use crate::model::health::AuthReason;

/// How long an assertion may be used: for one request, and some skew of clocks.
const LIFETIME: Duration = Duration::from_mins(5);

/// An assertion that `client_id` is who it says, good from `now` on.
///
/// # Errors
/// [`AuthError`], if the system has no random numbers, or the key cannot sign.
pub(super) fn assertion(
    tenant: &Tenant,
    client_id: &str,
    certificate: &ClientCertificate,
    now: Timestamp,
) -> Result<SecretString, AuthError> {
    let failed = || AuthError::new(AuthReason::Other, "cannot sign with the certificate's key");
    let random = SystemRandom::new();
    let mut id = [0; 16];
    random.fill(&mut id).map_err(|_| failed())?;
    let header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": URL_SAFE_NO_PAD.encode(certificate.thumbprint()),
    });
    let seconds = |time: Timestamp| time.unix_millis().div_euclid(1_000);
    let claims = json!({
        "aud": audience(&tenant.authority_host, &tenant.tenant_id),
        "iss": client_id,
        "sub": client_id,
        "jti": URL_SAFE_NO_PAD.encode(id),
        "nbf": seconds(now),
        "iat": seconds(now),
        "exp": seconds(now + LIFETIME),
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = certificate.key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature)
        .map_err(|_| failed())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
}

/// The token endpoint, to which `azure_identity` sends it.
fn audience(authority: &Url, tenant_id: &str) -> String {
    let mut url = authority.clone();
    url.set_path(&format!("/{tenant_id}/oauth2/v2.0/token"));
    url.into()
}
