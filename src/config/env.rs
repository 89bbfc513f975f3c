//! One tenant from Azure's usual environment variables, for whoever names no file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use config_report::{ConfigErrors, ConfigReport, ConfigWarning, Reported, excerpt, expected};
use secrecy::SecretString;

use super::certificate::{CertificateFiles, ClientCertificate};
use super::cloud::{CLOUDS, Cloud};
use super::quota::Quota;
use super::scalar::{Scheme, is_directory, is_guid, origin};
use super::secret::{SecretKind, check_secret_file};
use super::{Config, Credential, DefinitionFilter, Http, Metrics, Poll, SecretSource, Tenant};
use crate::model::TenantName;

const TENANT_ID: &str = "AZURE_TENANT_ID";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The sign-in host, as Azure's libraries read it.
pub(super) const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
/// The cloud: GCC signs in where the public cloud does, so no variable of Azure's tells them apart.
pub(super) const CLOUD: &str = "DEFENDER_EXPORTER_CLOUD";

/// A variable of the process. What is not UTF-8 has U+FFFD in its place, and so is refused, not
/// taken as unset.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

impl Config {
    /// The tenant `default`, made from the variables that `env` knows. An empty
    /// variable counts as unset. The sign-in host of US Government's cloud
    /// implies its API, unless a cloud is named.
    ///
    /// # Errors
    /// All [`ConfigErrors`] in the variables; what to set, if there are none.
    pub fn from_env(
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let mut report = ConfigReport::new("environment");
        let variables = Variables { env };
        let config = variables.read(&mut report);
        report.finish(config)
    }
}

struct Variables<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    fn read(&self, report: &mut ConfigReport) -> Result<Config, Reported> {
        let named = [TENANT_ID, CLIENT_ID, SECRET, CERTIFICATE, TOKEN_FILE];
        if named.iter().all(|name| self.get(name).is_none()) {
            let text = expected(
                "a configuration",
                "none",
                "name a file with `--config.file`, or set `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH` or `AZURE_FEDERATED_TOKEN_FILE`, or run `demo` to try the exporter without a tenant",
            );
            return Err(report.error(None, "", text));
        }
        let advice = "copy it from the overview page";
        let mut required = |name, what, is_valid: fn(&str) -> bool| match self.get(name) {
            None => Err(report.error(None, name, expected(what, "nothing", "set it"))),
            Some(text) if is_valid(&text) => Ok(text),
            Some(_) => Err(report.error(None, name, expected(what, "something else", advice))),
        };
        let what = "a directory (tenant) id, which is a GUID, or a domain";
        let tenant_id = required(TENANT_ID, what, is_directory);
        let client_id = required(
            CLIENT_ID,
            "an application (client) id, which is a GUID",
            is_guid,
        );
        let proof = self.proof(report);
        let named = self.get(CLOUD);
        let named = named.and_then(|text| read_cloud(&text, report));
        let implied = named.unwrap_or(Cloud::Public).authority_host();
        let authority = self.get(AUTHORITY);
        let authority = authority.as_deref().unwrap_or(implied);
        let authority_host = origin(authority, Scheme::Https)
            .map_err(|wrong| report.error(None, AUTHORITY, wrong))?;
        let cloud = named.unwrap_or_else(|| Cloud::of_authority(authority_host.host_str()));
        let api_base_url = origin(&cloud.api_base_url(None), Scheme::Https)
            .map_err(|wrong| report.error(None, CLOUD, wrong))?;
        let (client_id, proof) = (client_id?, proof?);
        let credential = match proof {
            EnvProof::Secret(secret) => Credential::ClientSecret {
                client_id,
                secret: SecretSource::Inline(secret),
            },
            EnvProof::Certificate(files) => Credential::ClientCertificate { client_id, files },
            EnvProof::TokenFile(token_file) => Credential::WorkloadIdentity {
                client_id,
                token_file,
            },
        };
        let [limits, api_limits] = Quota::default().limits();
        let tenant = Tenant {
            name: TenantName::new("default"),
            tenant_id: tenant_id?,
            cloud: cloud.name(),
            labels: BTreeMap::new(),
            api_base_url,
            api_version: None,
            authority_host,
            scope: cloud.scope(),
            credential,
            credential_expires: None,
            definitions: DefinitionFilter::default(),
            poll: Poll::default(),
            limits,
            api_limits,
            exclusive: false,
        };
        Ok(Config {
            tenants: vec![tenant],
            http: Http::default(),
            metrics: Metrics::default(),
        })
    }

    /// In the order of Azure's libraries: secret, certificate, federated token.
    fn proof(&self, report: &mut ConfigReport) -> Result<EnvProof, Reported> {
        if let Some(secret) = self.get(SECRET) {
            let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
            if secret.trim().is_empty() || secret.contains(is_odd) {
                let what = "a secret of one line of UTF-8 text";
                let text = expected(what, "something else", "set it to the secret's value");
                return Err(report.error(None, SECRET, text));
            }
            if let Some(text) = SecretKind::ClientSecret.suspicion(&secret) {
                report.warn(None, SECRET, text);
            }
            return Ok(EnvProof::Secret(SecretString::from(secret)));
        }
        if let Some(path) = self.get(CERTIFICATE).map(PathBuf::from) {
            let files = CertificateFiles {
                certificate: path,
                key: None,
            };
            return match ClientCertificate::blocking_read(&files) {
                Ok(_) => Ok(EnvProof::Certificate(files)),
                Err(error) => Err(report.error(None, CERTIFICATE, error.to_string())),
            };
        }
        if let Some(path) = self.get(TOKEN_FILE).map(PathBuf::from) {
            return match check_secret_file(&path, SecretKind::Federated) {
                Ok(_) => Ok(EnvProof::TokenFile(path)),
                Err(error) => Err(report.error(None, TOKEN_FILE, error.to_string())),
            };
        }
        let what = "`AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH` or `AZURE_FEDERATED_TOKEN_FILE`";
        Err(report.error(None, "", expected(what, "none", "set one of them")))
    }
}

/// The cloud that [`CLOUD`] names.
pub(super) fn read_cloud(text: &str, report: &mut ConfigReport) -> Option<Cloud> {
    let cloud = Cloud::from_name(text);
    if cloud.is_none() {
        let advice = "choose one of these, or unset it";
        report.error(None, CLOUD, expected(CLOUDS, &excerpt(text), advice));
    }
    cloud
}

/// What the application shows with its id.
enum EnvProof {
    Secret(SecretString),
    Certificate(CertificateFiles),
    TokenFile(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Tenant, String> {
        let env = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        Config::from_env(&env)
            .map(|(mut config, _)| config.tenants.remove(0))
            .map_err(|errors| errors.to_string())
    }

    const APP: &str = "9b6f0000-0000-4000-8000-000000000001";
    const IDS: [(&str, &str); 2] = [(TENANT_ID, "contoso.example"), (CLIENT_ID, APP)];

    #[test]
    fn a_secret_makes_the_tenant_default() {
        let tenant = read(&[IDS[0], IDS[1], (SECRET, "s3cr3t")]).unwrap();
        assert_eq!(tenant.name.as_str(), "default");
        assert_eq!(
            tenant.api_base_url.as_str(),
            "https://api.security.microsoft.com/"
        );
        assert!(matches!(tenant.credential, Credential::ClientSecret { .. }));
        assert!(!format!("{tenant:?}").contains("s3cr3t"));
    }

    #[test]
    fn a_token_file_must_be_readable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let error = read(&[IDS[0], IDS[1], (TOKEN_FILE, path)]).unwrap_err();
        assert!(error.starts_with("environment: AZURE_FEDERATED_TOKEN_FILE: expected a secret"));
        std::fs::write(path, "a.b.c").unwrap();
        let tenant = read(&[IDS[0], IDS[1], (TOKEN_FILE, path)]).unwrap();
        assert!(matches!(
            tenant.credential,
            Credential::WorkloadIdentity { .. }
        ));
    }

    #[test]
    fn the_government_sign_in_host_implies_its_api() {
        let host = (AUTHORITY, "https://login.microsoftonline.us/");
        let tenant = read(&[IDS[0], IDS[1], (SECRET, "s3cr3t"), host]).unwrap();
        assert_eq!(
            tenant.scope,
            "https://api-gov.securitycenter.microsoft.us/.default"
        );
    }

    #[test]
    fn a_named_cloud_implies_what_no_sign_in_host_tells() {
        let gcc = "https://api-gcc.securitycenter.microsoft.us";
        let government = "https://api-gov.securitycenter.microsoft.us";
        let commercial = "https://login.microsoftonline.com/";
        let us = "https://login.microsoftonline.us/";
        for (cloud, host, api, authority) in [
            ("gcc", "", gcc, commercial),
            ("gcc", commercial, gcc, commercial),
            ("gcc-high", "", government, us),
            ("dod", "", government, us),
            ("dod", commercial, government, commercial),
            ("", us, government, us),
            ("public", us, "https://api.security.microsoft.com", us),
        ] {
            let tenant = read(&[
                IDS[0],
                IDS[1],
                (SECRET, "s3cr3t"),
                (CLOUD, cloud),
                (AUTHORITY, host),
            ])
            .unwrap();
            assert_eq!(tenant.api_base_url.as_str(), format!("{api}/"), "{cloud}");
            assert_eq!(tenant.authority_host.as_str(), authority, "{cloud}");
            if cloud != "public" {
                assert_eq!(tenant.scope, format!("{api}/.default"), "{cloud}");
            }
        }
        let error = read(&[IDS[0], IDS[1], (SECRET, "s3cr3t"), (CLOUD, "mars")]).unwrap_err();
        assert_eq!(
            error,
            "environment: DEFENDER_EXPORTER_CLOUD: expected `public`, `gcc`, `gcc-high` or `dod`, but found `mars`; choose one of these, or unset it"
        );
    }

    #[test]
    fn nothing_set_names_both_ways_and_the_demo() {
        let error = read(&[(TENANT_ID, "")]).unwrap_err();
        for word in ["--config.file", "AZURE_TENANT_ID", "`demo`"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = read(&[IDS[1]]).unwrap_err();
        let expected = "environment: AZURE_TENANT_ID: expected a directory (tenant) id, which is a GUID, or a domain, but found nothing; set it\nenvironment: expected `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH` or `AZURE_FEDERATED_TOKEN_FILE`, but found none; set one of them";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_certificate_must_be_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let error = read(&[IDS[0], IDS[1], (CERTIFICATE, path)]).unwrap_err();
        let start = "environment: AZURE_CLIENT_CERTIFICATE_PATH: expected PEM text, but found";
        assert!(error.starts_with(start), "{error}");
        let mut pem =
            include_bytes!("../../crates/defender-simulator/src/testdata/certificate.pem").to_vec();
        pem.extend(include_bytes!(
            "../../crates/defender-simulator/src/testdata/key.pem"
        ));
        std::fs::write(path, pem).unwrap();
        let tenant = read(&[IDS[0], IDS[1], (CERTIFICATE, path)]).unwrap();
        let Credential::ClientCertificate { client_id, files } = tenant.credential else {
            panic!("{tenant:?}");
        };
        assert_eq!((client_id.as_str(), files.key), (APP, None));
        assert_eq!(files.certificate, file.path());
    }
}
