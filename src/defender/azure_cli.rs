//! Whoever is signed in with one of Azure's command lines: `az` or `azd`. One
//! process a token, which is kept until shortly before its end.

use std::ffi::OsStr;
use std::io;
use std::process::{Output, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, Executor,
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use super::auth_error::AuthError;
use super::issuer::{Issued, Issuer};
use crate::advice;
use crate::config::Tenant;
use crate::health::AuthReason;

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
        let (tenant_id, executor) = (Some(self.tenant_id.clone()), Some(Arc::new(Group) as _));
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

/// Runs a command in a group of its own, all of which ends when nobody waits for
/// it any longer: the command line is the child of a shell.
#[derive(Debug)]
struct Group;

#[async_trait]
impl Executor for Group {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut guard = Guard(group);
        let output = child.wait_with_output().await;
        guard.0 = None;
        output
    }
}

/// Kills a process group when dropped.
struct Guard(Option<Pid>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already, which is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
