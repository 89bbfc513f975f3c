//! Whoever is signed in with one of Azure's command lines: `az` or `azd`. One
//! process a token, which is kept until shortly before its end.

use std::ffi::OsStr;
use std::io;
use std::process::Output;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, Executor,
};
use tokio::process::Command;

use super::auth_error::AuthError;
use super::issuer::{Issued, Issuer};
use crate::config::Tenant;
use crate::defender::advice;
use crate::defender::children;
use crate::model::health::AuthReason;

/// Which command line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool {
    Az,
    Azd,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Az => "`az`",
            Self::Azd => "`azd`",
        }
    }

    /// How one signs in with it, as its own messages say.
    const fn login(self) -> &'static str {
        match self {
            Self::Az => "az login",
            Self::Azd => "azd auth login",
        }
    }
}

/// Asks a command line.
pub(super) struct CommandLine {
    tool: Tool,
    tenant_id: String,
    scope: String,
}

impl CommandLine {
    pub(super) fn new(tool: Tool, tenant: &Tenant) -> Self {
        Self {
            tool,
            tenant_id: tenant.tenant_id.clone(),
            scope: tenant.scope.clone(),
        }
    }

    fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let (tenant_id, executor) = (
            Some(self.tenant_id.clone()),
            Some(Arc::new(ChildExecutor) as _),
        );
        Ok(match self.tool {
            Tool::Az => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                tenant_id,
                executor,
                ..AzureCliCredentialOptions::default()
            }))?,
            Tool::Azd => {
                AzureDeveloperCliCredential::new(Some(AzureDeveloperCliCredentialOptions {
                    tenant_id,
                    executor,
                }))?
            }
        })
    }

    fn explain(&self, error: &azure_core::Error) -> AuthError {
        let (name, login) = (self.tool.name(), self.tool.login());
        let known = AuthError::from_azure(error, self.whom(), &[]);
        let (missing, signed_out) = match self.tool {
            Tool::Az => (advice::NO_AZ, advice::AZ_LOGIN),
            Tool::Azd => (advice::NO_AZD, advice::AZD_LOGIN),
        };
        let (text, advice) = if known.text.contains("not found on PATH") {
            let text = format!(
                "expected {name} on the PATH of the exporter, but found none; install it, or use another credential"
            );
            (text, missing)
        } else if known.reason == AuthReason::Other && known.text.contains(login) {
            let text = format!(
                "nobody is signed in with {name}; run `{login}` as the user that runs the exporter ({})",
                known.text
            );
            (text, signed_out)
        } else {
            return known;
        };
        AuthError::new(AuthReason::Other, text).advise(advice)
    }
}

#[async_trait]
impl Issuer for CommandLine {
    async fn issue(&self) -> Result<Issued, AuthError> {
        let credential = self.credential().map_err(|error| self.explain(&error))?;
        let token = credential.get_token(&[&self.scope], None).await;
        Issued::from_azure(&token.map_err(|error| self.explain(&error))?)
    }

    fn whom(&self) -> &'static str {
        self.tool.name()
    }
}

/// Runs a command as [`children`] do: bounded, and with an end in any case.
#[derive(Debug)]
struct ChildExecutor;

#[async_trait]
impl Executor for ChildExecutor {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        children::output(Command::new(program).args(args)).await
    }
}
