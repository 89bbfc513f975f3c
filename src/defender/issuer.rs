//! Where tokens come from. An [`Issuer`] gets one, and knows nothing of caching:
//! `azure_identity`'s credentials are built anew each time, with secrets read
//! anew, so that its own cache never answers and a rotated secret is found.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::auth::Bearer;
use super::auth_error::AuthError;
use crate::clock::{Clock, Timestamp};
use crate::config::{Credential, SecretSource, Tenant};
use crate::health::AuthReason;

/// How long a token without a readable end is used before its file is read again.
const OPAQUE_LIFETIME: Duration = Duration::from_mins(2);

/// A token and how long it is good for, from now on.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) bearer: Bearer,
    pub(super) lifetime: Duration,
}

/// Gets a new token.
#[async_trait]
pub(super) trait Issuer: Send + Sync {
    /// Gets a new token, without any cache.
    async fn issue(&self) -> Result<Issued, AuthError>;
}

/// The issuer that the tenant's configuration names.
pub(super) fn issuer(tenant: &Tenant, http: reqwest::Client, clock: Clock) -> Box<dyn Issuer> {
    match &tenant.credential {
        Credential::TokenFile { path } => Box::new(TokenFile {
            path: path.as_path().into(),
            clock,
        }),
        Credential::ClientSecret { .. } | Credential::WorkloadIdentity { .. } => Box::new(SignIn {
            tenant: tenant.clone(),
            http,
        }),
    }
}

/// A sign-in at the authority, by `azure_identity`.
struct SignIn {
    tenant: Tenant,
    http: reqwest::Client,
}

impl SignIn {
    /// The credential, and the secret that must not appear in any text.
    async fn credential(&self) -> Result<(Arc<dyn TokenCredential>, SecretString), AuthError> {
        let tenant_id = self.tenant.tenant_id.as_str();
        let (credential, secret): (azure_core::Result<Arc<dyn TokenCredential>>, _) =
            match &self.tenant.credential {
                Credential::ClientSecret { client_id, secret } => {
                    let secret = match secret {
                        SecretSource::Inline(secret) => secret.clone(),
                        SecretSource::File(path) => read(path, "client secret").await?,
                    };
                    let options = ClientSecretCredentialOptions {
                        client_options: self.options(),
                    };
                    let credential = ClientSecretCredential::new(
                        tenant_id,
                        client_id.clone(),
                        Secret::new(secret.expose_secret().to_owned()),
                        Some(options),
                    );
                    (credential.map(|credential| credential as _), secret)
                }
                Credential::WorkloadIdentity {
                    client_id,
                    token_file,
                } => {
                    let assertion = read(token_file, "federated token").await?;
                    let options = ClientAssertionCredentialOptions {
                        client_options: self.options(),
                    };
                    let credential = ClientAssertionCredential::new(
                        tenant_id.to_owned(),
                        client_id.clone(),
                        Assertion(assertion.clone()),
                        Some(options),
                    );
                    (credential.map(|credential| credential as _), assertion)
                }
                Credential::TokenFile { path } => {
                    return Err(AuthError::new(
                        AuthReason::Other,
                        format!(
                            "{} holds a token: there is nothing to sign in with",
                            path.display()
                        ),
                    ));
                }
            };
        let credential =
            credential.map_err(|error| AuthError::from_azure(&error, &[secret.expose_secret()]))?;
        Ok((credential, secret))
    }

    fn options(&self) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        self.tenant
            .authority_host
            .as_str()
            .clone_into(&mut cloud.authority_host);
        ClientOptions {
            transport: Some(Transport::new(Arc::new(self.http.clone()))),
            cloud: Some(Arc::new(cloud.into())),
            // Its own would go on for 82 s and obey any `Retry-After`.
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        }
    }
}

#[async_trait]
impl Issuer for SignIn {
    async fn issue(&self) -> Result<Issued, AuthError> {
        let (credential, secret) = self.credential().await?;
        let token = credential
            .get_token(&[&self.tenant.scope], None)
            .await
            .map_err(|error| AuthError::from_azure(&error, &[secret.expose_secret()]))?;
        // azure_identity adds the lifetime to the system's time; take it off again.
        let end = Timestamp::from_unix_millis(token.expires_on.unix_timestamp() * 1_000);
        Ok(Issued {
            bearer: Bearer::new(token.token.secret())?,
            lifetime: end.since(Clock::system().wall()),
        })
    }
}

/// A federated token as the platform wrote it.
#[derive(Debug)]
struct Assertion(SecretString);

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose_secret().to_owned())
    }
}

/// A token that something else keeps fresh in a file.
struct TokenFile {
    path: Box<Path>,
    clock: Clock,
}

#[async_trait]
impl Issuer for TokenFile {
    async fn issue(&self) -> Result<Issued, AuthError> {
        let token = read(&self.path, "token").await?;
        let bearer = Bearer::new(token.expose_secret())?;
        let Some(end) = end_of(token.expose_secret()) else {
            return Ok(Issued {
                bearer,
                lifetime: OPAQUE_LIFETIME,
            });
        };
        let lifetime = end.since(self.clock.wall());
        if lifetime.is_zero() {
            return Err(AuthError::new(
                AuthReason::Other,
                format!(
                    "the token in {} ended at {end}; is what keeps it fresh still running?",
                    self.path.display()
                ),
            ));
        }
        Ok(Issued { bearer, lifetime })
    }
}

/// The claim `exp` of a JSON Web Token (RFC 7519); `None` if it is not one.
fn end_of(token: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: u32,
    }
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(Timestamp::from_unix_millis(i64::from(claims.exp) * 1_000))
}

async fn read(path: &Path, what: &str) -> Result<SecretString, AuthError> {
    let failed = |why: String| {
        let path = path.display();
        AuthError::new(
            AuthReason::Other,
            format!("can not read the {what} in {path}: {why}"),
        )
    };
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("the file is empty".to_owned())),
        text => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests;
