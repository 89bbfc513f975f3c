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

    /// What it says where nobody is signed in. It advises to sign in for other reasons too.
    const fn signed_out(self) -> &'static str {
        match self {
            Self::Az => "az login' to setup account",
            Self::Azd => "not logged in",
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
        let known = AuthError::from_azure(error, None, self.whom(), &[]);
        let (missing, signed_out, output) = match self.tool {
            Tool::Az => (advice::NO_AZ, advice::AZ_LOGIN, advice::AZ_OUTPUT),
            Tool::Azd => (advice::NO_AZD, advice::AZD_LOGIN, advice::AZD_OUTPUT),
        };
        let Some(said) = known.text.strip_prefix("cannot sign in: ") else {
            return match known.advice {
                advice::DECODE => known.advise(output),
                _ => known,
            };
        };
        let (text, advice) = if said.contains("not found on PATH") {
            let text = format!(
                "expected {name} on the PATH of the exporter, but found none; install it, or use another credential"
            );
            (text, missing)
        } else if said.contains(self.tool.signed_out()) {
            let text = format!(
                "nobody is signed in with {name}; run `{login}` as the user that runs the exporter ({said})"
            );
            (text, signed_out)
        } else {
            (format!("{name} returned no token ({said})"), known.advice)
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

#[cfg(test)]
mod tests {
    use azure_core::error::ErrorKind;

    use super::*;

    /// Its words come first, and nothing is said of their cause that they do not say.
    #[test]
    fn what_a_command_line_says_is_not_taken_for_something_else() {
        let ask = |tool, said: &str| {
            let issuer = CommandLine {
                tool,
                tenant_id: "contoso".to_owned(),
                scope: "scope".to_owned(),
            };
            let text = format!("AzureCliCredential authentication failed. {said}");
            issuer.explain(&azure_core::Error::with_message(
                ErrorKind::Credential,
                text,
            ))
        };
        let offline = "fetching token: dial tcp: lookup login.microsoftonline.com: no such host; run `azd auth login`";
        for (tool, said, text, advice) in [
            (
                Tool::Azd,
                offline,
                "`azd` returned no token (fetching token: dial tcp: ",
                advice::of_sign_in(AuthReason::Other),
            ),
            (
                Tool::Azd,
                "ERROR: not logged in, run `azd auth login` to login",
                "nobody is signed in with `azd`; ",
                advice::AZD_LOGIN,
            ),
            (
                Tool::Az,
                "ERROR: Please run 'az login' to setup account.",
                "nobody is signed in with `az`; ",
                advice::AZ_LOGIN,
            ),
            (
                Tool::Az,
                "expected value at line 1 column 1",
                "the response from `az` cannot be read: expected value",
                advice::AZ_OUTPUT,
            ),
            (
                Tool::Az,
                "Azure CLI not found on PATH",
                "expected `az` on the PATH",
                advice::NO_AZ,
            ),
        ] {
            let found = ask(tool, said);
            assert!(found.text.starts_with(text), "{found}");
            assert_eq!(found.advice, advice, "{found}");
        }
    }
}
