//! The identity that Azure gives to a machine or App Service, from the metadata
//! service there: plain http to this machine or its host, and so never by a proxy.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, Transport};
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use reqwest::redirect::Policy;

use super::auth_error::{AuthError, chain};
use super::bounded::{Bounded, Hint};
use super::issuer::{Issued, Issuer};
use super::scrub::scrub;
use crate::clock::Clock;
use crate::config::ManagedIdentity;
use crate::defender::advice;
use crate::model::health::AuthReason;

/// App Service's password for its metadata service.
const HEADER_VARIABLE: &str = "IDENTITY_HEADER";

/// It is near, or not there at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time for an answer; less than for any sign-in, so that it says more.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Asks the metadata service.
pub(super) struct MetadataService {
    identity: ManagedIdentity,
    scope: String,
    clock: Clock,
}

impl MetadataService {
    pub(super) fn new(identity: &ManagedIdentity, scope: &str, clock: Clock) -> Self {
        Self {
            identity: identity.clone(),
            scope: scope.to_owned(),
            clock,
        }
    }

    fn explain(&self, error: &azure_core::Error) -> AuthError {
        let header = std::env::var(HEADER_VARIABLE).unwrap_or_default();
        let secrets = [header.as_str()];
        let refused = chain(error).find_map(|cause| cause.downcast_ref::<Refused>());
        if let Some(refused) = refused {
            let text = scrub(&refused.to_string(), &secrets);
            let (hint, advice) = match (refused.status, &self.identity) {
                (400, ManagedIdentity::System) => (
                    "assign a system-assigned identity to this machine, or name a user-assigned one",
                    advice::SYSTEM_IDENTITY,
                ),
                (400, _) => (
                    "assign the identity to this machine, or correct its id",
                    advice::USER_IDENTITY,
                ),
                _ => ("does this machine run in Azure?", advice::METADATA),
            };
            let text = format!("the metadata service gives no token ({text}); {hint}");
            return AuthError::new(AuthReason::Other, text).advise(advice);
        }
        let error = AuthError::from_azure(error, self.whom(), &secrets);
        if matches!(error.reason, AuthReason::Connect | AuthReason::Timeout) {
            let text = format!(
                "{}; managed identities are for machines and App Services in Azure: use another credential elsewhere",
                error.text
            );
            return AuthError::new(error.reason, text).advise(advice::METADATA);
        }
        if error.text.contains("for App Service") {
            return error.advise(advice::RESOURCE_ID);
        }
        error
    }
}

#[async_trait]
impl Issuer for MetadataService {
    async fn issue(&self) -> Result<Issued, AuthError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            // It is asked once; see `OneTry`.
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Its addresses are http; without roots, the system need not have any.
            .tls_certs_only([])
            .build()
            .map_err(|error| {
                let text = format!("cannot build the client of the metadata service: {error}");
                AuthError::new(AuthReason::Other, text)
            })?;
        let hint = Hint::new(self.clock.clone());
        let bounded = Bounded::new(client, hint.clone());
        let id = match &self.identity {
            ManagedIdentity::System => None,
            ManagedIdentity::ClientId(id) => Some(UserAssignedId::ClientId(id.clone())),
            ManagedIdentity::ObjectId(id) => Some(UserAssignedId::ObjectId(id.clone())),
            ManagedIdentity::ResourceId(id) => Some(UserAssignedId::ResourceId(id.clone())),
        };
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: id,
            client_options: ClientOptions {
                transport: Some(Transport::new(Arc::new(OneTry(bounded)))),
                ..ClientOptions::default()
            },
        };
        let credential = ManagedIdentityCredential::new(Some(options));
        let credential = credential.map_err(|error| self.explain(&error))?;
        let token = credential.get_token(&[&self.scope], None).await;
        let token = token.map_err(|error| self.explain(&error).after(hint.last()))?;
        Issued::from_azure(&token)
    }

    fn whom(&self) -> &'static str {
        "the metadata service"
    }
}

/// A client whose failures `azure_identity` does not retry: it would for 72 s, and
/// whoever is not in Azure would never learn why.
#[derive(Debug)]
struct OneTry(Bounded);

#[async_trait]
impl HttpClient for OneTry {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.0.execute_request(request).await;
        let answer = answer
            .map_err(|error| azure_core::Error::with_error(ErrorKind::Other, error, "no answer"))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().into();
        let body = answer.into_body().collect_string().await;
        let refused = Refused {
            status,
            body: body.unwrap_or_default(),
        };
        Err(azure_core::Error::new(ErrorKind::Other, refused))
    }
}

/// The metadata service answered with an error.
#[derive(Debug)]
struct Refused {
    status: u16,
    body: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
        let said = body
            .as_ref()
            .and_then(|body| body["error_description"].as_str());
        write!(f, "HTTP {}: {}", self.status, said.unwrap_or(&self.body))
    }
}

impl std::error::Error for Refused {}
