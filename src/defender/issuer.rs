//! Where tokens come from. An [`Issuer`] gets one, and knows nothing of caching:
//! `azure_identity`'s credentials are built anew each time, with secrets read
//! anew, so that its own cache never answers and a rotated secret is found.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::AccessToken;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::auth::Bearer;
use super::auth_error::AuthError;
use super::azure_cli::{CommandLine, Tool};
use super::http::HttpClient;
use super::lifetime;
use super::managed_identity::MetadataService;
use super::sign_in::{Proof, SignIn};
use crate::clock::{Clock, Timestamp};
use crate::config::{Credential, SecretFileError, Tenant, read_secret_file};
use crate::defender::advice;
use crate::model::health::AuthReason;

/// How long a token without a readable end is used before its file is read again.
const OPAQUE_LIFETIME: Duration = Duration::from_mins(2);

/// A token and how long it is good for, from now on.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) bearer: Bearer,
    pub(super) lifetime: Duration,
}

impl Issued {
    /// What `azure_identity` gives.
    pub(super) fn from_azure(token: &AccessToken) -> Result<Self, AuthError> {
        // It adds the lifetime to the system's time; take that off again.
        let end = Timestamp::from_unix_millis(token.expires_on.unix_timestamp() * 1_000);
        Ok(Self {
            bearer: Bearer::new(token.token.secret())?,
            lifetime: lifetime::bounded(end.since(Clock::system().wall())),
        })
    }
}

/// Who answers most sign-ins.
pub(super) const SIGN_IN_HOST: &str = "the sign-in host";

/// Gets a new token.
#[async_trait]
pub(super) trait Issuer: Send + Sync {
    /// Waits until it may ask, where many tenants ask the same host.
    async fn turn(&self) {}

    /// Gets a new token, without any cache.
    async fn issue(&self) -> Result<Issued, AuthError>;

    /// Who is asked, for errors.
    fn whom(&self) -> &'static str;

    /// The files that a sign-in reads.
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// When the client certificate ends that was last read, if there is one.
    fn certificate_end(&self) -> Option<Timestamp> {
        None
    }
}

/// The issuer that the tenant's configuration names.
pub(super) fn issuer(tenant: &Tenant, http: HttpClient, clock: Clock) -> Box<dyn Issuer> {
    let (client_id, proof) = match &tenant.credential {
        Credential::TokenFile { path } => {
            let path = path.as_path().into();
            return Box::new(TokenFile { path, clock });
        }
        Credential::ManagedIdentity(identity) => {
            return Box::new(MetadataService::new(identity, &tenant.scope, clock));
        }
        Credential::AzureCli => return Box::new(CommandLine::new(Tool::Az, tenant)),
        Credential::AzureDeveloperCli => return Box::new(CommandLine::new(Tool::Azd, tenant)),
        Credential::ClientSecret { client_id, secret } => {
            (client_id, Proof::Secret(secret.clone()))
        }
        Credential::WorkloadIdentity {
            client_id,
            token_file,
        } => (client_id, Proof::FederatedToken(token_file.clone())),
        Credential::ClientCertificate { client_id, files } => {
            (client_id, Proof::Certificate(files.clone()))
        }
    };
    Box::new(SignIn::new(tenant, client_id, proof, http, clock))
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
                    "the token in {} expired at {end}; is the program that renews it still running?",
                    self.path.display()
                ),
            )
            .advise(advice::TOKEN_FILE));
        }
        Ok(Issued { bearer, lifetime })
    }

    fn whom(&self) -> &'static str {
        "the token file"
    }

    fn files(&self) -> Vec<&Path> {
        vec![&self.path]
    }
}

/// The claim `exp` of a JSON Web Token (RFC 7519); `None` if it is not one.
pub(super) fn end_of(token: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: u32,
    }
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(Timestamp::from_unix_millis(i64::from(claims.exp) * 1_000))
}

/// The secret in a file; `what` says what it is.
pub(super) async fn read(path: &Path, what: &str) -> Result<SecretString, AuthError> {
    read_secret_file(path).await.map_err(|error| {
        let (path, why) = (path.display(), error.why());
        let text = format!("cannot read the {what} in {path}: {why}");
        let advice = match error {
            SecretFileError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
                advice::FILE
            }
            _ => advice::BROKEN_FILE,
        };
        AuthError::new(AuthReason::Other, text).advise(advice)
    })
}

#[cfg(test)]
mod tests;
