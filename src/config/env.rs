//! One tenant from Azure's usual environment variables, for whoever names no file.

use std::path::PathBuf;

use secrecy::SecretString;

use super::cloud::Cloud;
use super::mistake::{Mistakes, Report, expected};
use super::scalar::{Scheme, is_client_id, is_directory, origin};
use super::secret::read_secret_file;
use super::tenant::default_limits;
use super::{Config, Credential, DefinitionFilter, Http, Poll, SecretSource, Tenant};
use crate::model::TenantName;

const TENANT_ID: &str = "AZURE_TENANT_ID";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";

impl Config {
    /// The tenant `default`, made from the variables that `env` knows. An empty
    /// variable counts as unset. The sign-in host of US Government's cloud
    /// implies its API.
    ///
    /// # Errors
    /// All [`Mistakes`] in the variables; what to set, if there are none.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let mut report = Report::new("environment");
        let variables = Variables { env };
        let config = variables.read(&mut report);
        report.finish(config).map(|(config, _)| config)
    }
}

struct Variables<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    fn read(&self, report: &mut Report) -> Option<Config> {
        let named = [TENANT_ID, CLIENT_ID, SECRET, CERTIFICATE, TOKEN_FILE];
        if named.iter().all(|name| self.get(name).is_none()) {
            let text = expected(
                "a configuration",
                "none",
                "name a file with `--config.file`, or set `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` or `AZURE_FEDERATED_TOKEN_FILE`, or run `demo` to try the exporter without a tenant",
            );
            report.mistake(None, "", text);
            return None;
        }
        let advice = "copy it from the overview page";
        let tenant_id = self.required(report, TENANT_ID, "a directory (tenant) id or domain");
        let tenant_id = tenant_id.filter(|text| {
            let what = "a directory (tenant) id or domain";
            let valid = is_directory(text);
            if !valid {
                report.mistake(None, TENANT_ID, expected(what, "something else", advice));
            }
            valid
        });
        let client_id = self.required(report, CLIENT_ID, "an application (client) id");
        let client_id = client_id.filter(|text| {
            let what = "an application (client) id";
            let valid = is_client_id(text);
            if !valid {
                report.mistake(None, CLIENT_ID, expected(what, "something else", advice));
            }
            valid
        });
        let proof = self.proof(report);
        let authority = match self.get(AUTHORITY) {
            Some(text) => origin(&text, Scheme::Https)
                .map_err(|mistake| report.mistake(None, AUTHORITY, mistake))
                .ok(),
            None => origin(Cloud::Public.authority_host(), Scheme::Https).ok(),
        };
        let authority_host = authority?;
        let government = authority_host.host_str() == Some("login.microsoftonline.us");
        let cloud = if government {
            Cloud::GccHigh
        } else {
            Cloud::Public
        };
        let (client_id, proof) = (client_id?, proof?);
        let credential = match proof {
            Proof::Secret(secret) => Credential::ClientSecret {
                client_id,
                secret: SecretSource::Inline(secret),
            },
            Proof::TokenFile(token_file) => Credential::WorkloadIdentity {
                client_id,
                token_file,
            },
        };
        let tenant = Tenant {
            name: TenantName::new("default"),
            tenant_id: tenant_id?,
            api_base_url: origin(&cloud.api_base_url(None), Scheme::Https).ok()?,
            authority_host,
            scope: cloud.scope(),
            credential,
            definitions: DefinitionFilter::default(),
            poll: Poll::default(),
            limits: default_limits(),
        };
        Some(Config {
            tenants: vec![tenant],
            http: Http::default(),
        })
    }

    fn required(&self, report: &mut Report, name: &str, what: &str) -> Option<String> {
        let value = self.get(name);
        if value.is_none() {
            report.mistake(None, name, expected(what, "nothing", "set it"));
        }
        value
    }

    /// In the order of Azure's libraries: secret, certificate, federated token.
    fn proof(&self, report: &mut Report) -> Option<Proof> {
        if let Some(secret) = self.get(SECRET) {
            if secret.trim().is_empty() || secret.contains(char::is_control) {
                let what = "a secret of one line";
                let text = expected(what, "something else", "set it to the secret's value");
                report.mistake(None, SECRET, text);
                return None;
            }
            return Some(Proof::Secret(SecretString::from(secret)));
        }
        if self.get(CERTIFICATE).is_some() {
            let what = "`AZURE_CLIENT_SECRET` or `AZURE_FEDERATED_TOKEN_FILE`";
            let found = "a certificate, which is not supported by this version yet";
            report.mistake(None, CERTIFICATE, expected(what, found, "use one of these"));
            return None;
        }
        if let Some(path) = self.get(TOKEN_FILE).map(PathBuf::from) {
            return match read_secret_file(&path) {
                Ok(_) => Some(Proof::TokenFile(path)),
                Err(error) => {
                    report.mistake(None, TOKEN_FILE, error.to_string());
                    None
                }
            };
        }
        let what = "`AZURE_CLIENT_SECRET` or `AZURE_FEDERATED_TOKEN_FILE`";
        report.mistake(None, "", expected(what, "neither", "set one of them"));
        None
    }
}

/// What the application shows with its id.
enum Proof {
    Secret(SecretString),
    TokenFile(PathBuf),
}
