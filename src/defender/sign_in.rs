//! Sign-in at the authority as an application, by `azure_identity`: one request,
//! with a secret or an assertion that is read or made anew each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions,
};
use secrecy::{ExposeSecret, SecretString};

use super::assertion::assertion;
use super::auth_error::AuthError;
use super::bounded::{Bounded, LastRefusal, Refusal};
use super::http::HttpClient;
use super::issuer::{Issued, Issuer, SIGN_IN_HOST, read};
use crate::clock::{Clock, Timestamp};
use crate::config::{CertificateFiles, ClientCertificate, SecretSource, Tenant};
use crate::defender::advice;
use crate::model::health::AuthReason;

/// A sign-in at the authority.
pub(super) struct SignIn {
    tenant: Tenant,
    client_id: String,
    proof: Proof,
    http: HttpClient,
    clock: Clock,
    /// When the certificate ended that was last read.
    certificate_end: ArcSwapOption<Timestamp>,
}

/// What the application shows with its id.
pub(super) enum Proof {
    Secret(SecretSource),
    FederatedToken(PathBuf),
    Certificate(CertificateFiles),
}

impl SignIn {
    pub(super) fn new(
        tenant: &Tenant,
        client_id: &str,
        proof: Proof,
        http: HttpClient,
        clock: Clock,
    ) -> Self {
        Self {
            tenant: tenant.clone(),
            client_id: client_id.to_owned(),
            proof,
            http,
            clock,
            certificate_end: ArcSwapOption::empty(),
        }
    }

    /// The credential, and the secret that must not appear in any text.
    async fn credential(
        &self,
        refusal: &LastRefusal,
    ) -> Result<(Arc<dyn TokenCredential>, SecretString), AuthError> {
        let secret = match &self.proof {
            Proof::Secret(SecretSource::Inline(secret)) => secret.clone(),
            Proof::Secret(SecretSource::File(path)) => read(path, "client secret").await?,
            Proof::FederatedToken(path) => read(path, "federated token").await?,
            Proof::Certificate(files) => self.sign(files).await?,
        };
        let credential = match &self.proof {
            Proof::Secret(_) => self.with_secret(&secret, refusal),
            Proof::FederatedToken(_) | Proof::Certificate(_) => {
                self.with_assertion(&secret, refusal)
            }
        };
        match credential {
            Ok(credential) => Ok((credential, secret)),
            Err(error) => Err(self.explain(&error, None, &secret)),
        }
    }

    fn with_secret(
        &self,
        secret: &SecretString,
        refusal: &LastRefusal,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let options = ClientSecretCredentialOptions {
            client_options: self.options(refusal),
        };
        let credential = ClientSecretCredential::new(
            &self.tenant.tenant_id,
            self.client_id.clone(),
            Secret::new(secret.expose_secret().to_owned()),
            Some(options),
        )?;
        Ok(credential)
    }

    fn with_assertion(
        &self,
        assertion: &SecretString,
        refusal: &LastRefusal,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let options = ClientAssertionCredentialOptions {
            client_options: self.options(refusal),
        };
        let credential = ClientAssertionCredential::new(
            self.tenant.tenant_id.clone(),
            self.client_id.clone(),
            Assertion(assertion.clone()),
            Some(options),
        )?;
        Ok(credential)
    }

    /// An assertion signed with the certificate as it is now.
    async fn sign(&self, files: &CertificateFiles) -> Result<SecretString, AuthError> {
        let failed = |why: String| {
            AuthError::new(
                AuthReason::BadAssertion,
                format!("cannot use the client certificate: {why}"),
            )
            .advise(advice::CERTIFICATE)
        };
        let certificate = ClientCertificate::read(files).await;
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        self.certificate_end
            .store(Some(Arc::new(certificate.end())));
        let now = self.clock.wall();
        certificate
            .check(now)
            .map_err(|error| failed(error.to_string()))?;
        assertion(&self.tenant, &self.client_id, &certificate, now)
    }

    fn options(&self, refusal: &LastRefusal) -> ClientOptions {
        let transport = Bounded::new(self.http.unpooled(), refusal.clone());
        let mut cloud = CustomConfiguration::default();
        self.tenant
            .authority_host
            .as_str()
            .clone_into(&mut cloud.authority_host);
        ClientOptions {
            transport: Some(Transport::new(Arc::new(transport))),
            cloud: Some(Arc::new(cloud.into())),
            // Its own would go on for 82 s and obey any `Retry-After`.
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        }
    }

    fn explain(
        &self,
        error: &azure_core::Error,
        refusal: Option<&Refusal>,
        secret: &SecretString,
    ) -> AuthError {
        AuthError::from_azure(error, refusal, self.whom(), &[secret.expose_secret()])
    }
}

#[async_trait]
impl Issuer for SignIn {
    async fn turn(&self) {
        self.http.sign_in_turn().await;
    }

    async fn issue(&self) -> Result<Issued, AuthError> {
        let refusal = LastRefusal::new(self.clock.clone());
        let (credential, secret) = self.credential(&refusal).await?;
        let token = credential.get_token(&[&self.tenant.scope], None).await;
        let token = token.map_err(|error| {
            self.http.learn(&error);
            self.explain(&error, refusal.take().as_ref(), &secret)
        })?;
        Issued::from_azure(&token)
    }

    fn whom(&self) -> &'static str {
        SIGN_IN_HOST
    }

    fn files(&self) -> Vec<&Path> {
        match &self.proof {
            Proof::Secret(SecretSource::Inline(_)) => Vec::new(),
            Proof::Secret(SecretSource::File(path)) | Proof::FederatedToken(path) => vec![path],
            Proof::Certificate(files) => {
                let key = files.key.as_deref();
                std::iter::once(files.certificate.as_path())
                    .chain(key)
                    .collect()
            }
        }
    }

    fn certificate_end(&self) -> Option<Timestamp> {
        self.certificate_end.load().as_deref().copied()
    }
}

/// A federated token as the platform wrote it, or one that was just signed.
#[derive(Debug)]
struct Assertion(SecretString);

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose_secret().to_owned())
    }
}
