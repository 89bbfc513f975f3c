//! The identity that Azure gives to a machine or App Service, from the metadata
//! service there: plain http to this machine or its host, and so never by a proxy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, Transport};
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use reqwest::redirect::Policy;

use super::auth_error::AuthError;
use super::bounded::{Bounded, LastRefusal, Refusal};
use super::issuer::{Issued, Issuer};
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

    fn explain(&self, error: &azure_core::Error, refusal: Option<&Refusal>) -> AuthError {
        let header = std::env::var(HEADER_VARIABLE).unwrap_or_default();
        let secrets = [header.as_str()];
        if let Some(refusal) = refusal {
            let status = refusal.detail.status;
            let said = AuthError::no_token(refusal, self.whom(), &secrets);
            let (hint, advice) = match (status, &self.identity) {
                (400, ManagedIdentity::System) => (
                    "; assign a system-assigned identity to this machine, or name a user-assigned one",
                    advice::SYSTEM_IDENTITY,
                ),
                (400, _) => (
                    "; assign the identity to this machine, or correct its id",
                    advice::USER_IDENTITY,
                ),
                (404, _) => ("", advice::METADATA_MISSING),
                (410, _) => ("", advice::SERVER),
                _ => ("", said.advice),
            };
            return AuthError {
                text: said.text + hint,
                advice,
                ..said
            };
        }
        let error = AuthError::from_azure(error, None, self.whom(), &secrets);
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
                let text = format!("cannot build the client for the metadata service: {error}");
                AuthError::new(AuthReason::Other, text)
            })?;
        let refusal = LastRefusal::new(self.clock.clone());
        let bounded = Bounded::new(client, refusal.clone());
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
        let credential = credential.map_err(|error| self.explain(&error, None))?;
        let token = credential.get_token(&[&self.scope], None).await;
        let token = token.map_err(|error| self.explain(&error, refusal.take().as_ref()))?;
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
        Err(azure_core::Error::with_message(
            ErrorKind::Other,
            "a refusal",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defender::bounded::Refusal;
    use crate::defender::error::Detail;

    /// Microsoft's list of the metadata service's errors has all of these.
    #[test]
    fn what_a_refusal_means_depends_on_its_status() {
        let identity = ManagedIdentity::System;
        let service = MetadataService::new(&identity, "scope", Clock::system());
        let error = azure_core::Error::with_message(ErrorKind::Other, "a refusal");
        for (status, reason, advice) in [
            (400, AuthReason::Other, advice::SYSTEM_IDENTITY),
            (
                401,
                AuthReason::Other,
                advice::of_sign_in(AuthReason::Other),
            ),
            (404, AuthReason::Other, advice::METADATA_MISSING),
            (410, AuthReason::Other, advice::SERVER),
            (
                429,
                AuthReason::Throttled,
                advice::of_sign_in(AuthReason::Throttled),
            ),
            (500, AuthReason::Server, advice::SERVER),
        ] {
            let detail = Detail {
                status,
                code: String::new(),
                message: "its words".to_owned(),
                correlation_id: String::new(),
            };
            let retry_after = None;
            let found = service.explain(
                &error,
                Some(&Refusal {
                    detail,
                    retry_after,
                }),
            );
            assert_eq!((found.reason, found.advice), (reason, advice), "{found}");
            let text = format!("the metadata service returned no token (HTTP {status}: its words)");
            assert!(found.text.starts_with(&text), "{found}");
        }
    }
}
