//! Files that a configuration names: where they are, and whether they can be read.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use config_report::{ConfigReport, Reported, YamlValue, expected, looks_secret};
use url::Url;

use super::certificate::{CertificateFiles, ClientCertificate};
use super::cloud::Cloud;
use super::env::{AUTHORITY, CLOUD, read_cloud};
use super::scalar::{Scheme, origin};
use super::secret::{EXPOSED, SecretKind, check_secret_file};
use crate::clock::Clock;
use exporter_toolkit::small_file;

/// What the reader may know of the world beside the text.
#[derive(Clone, Copy)]
pub(super) struct ReadContext<'w> {
    /// The configuration file itself.
    pub(super) main: &'w Path,
    /// The folder to which paths are relative; `None`: paths stay as they are,
    /// and files are not looked at.
    pub(super) folder: Option<&'w Path>,
    /// Environment variables.
    pub(super) env: &'w dyn Fn(&str) -> Option<String>,
    /// Whether what is wrong only for the time being is an error, not a warning.
    pub(super) strict: bool,
    /// What the environment names, once a tenant has asked for it.
    pub(super) named: &'w OnceCell<Named>,
}

/// What the environment names for tenants of which the file does not say it.
pub(super) struct Named {
    /// The cloud, by its name or by that of its sign-in host.
    pub(super) cloud: Cloud,
    /// The sign-in host, if it is not the cloud's.
    pub(super) authority: Option<Url>,
}

/// A path as errors repeat it: someone may have written a secret in its place.
pub(super) fn path_excerpt(path: &Path) -> String {
    if may_be_secret(path) {
        return "a path that may be a secret and is not shown".to_owned();
    }
    format!("`{}`", path.display())
}

/// Whether `path` may be a secret: it looks like one, or its last part is nothing that files are
/// usually called. Looks at no file.
fn may_be_secret(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else {
        return false;
    };
    let has = |wanted: fn(char) -> bool| name.contains(wanted);
    let is_usual = name
        .chars()
        .all(|c| c.is_alphanumeric() || "._-".contains(c))
        && (name.len() <= 16 || !(has(char::is_uppercase) && has(char::is_numeric)))
        && (name.len() <= 24 || has(|c| "._-".contains(c)));
    !is_usual || looks_secret(&path.to_string_lossy())
}

impl ReadContext<'_> {
    /// The variable `name`, unless it is unset or empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    /// What the environment names.
    pub(super) fn named(&self, report: &mut ConfigReport) -> &Named {
        let read = |report: &mut ConfigReport| {
            let cloud = self.variable(CLOUD);
            let cloud = cloud.and_then(|text| read_cloud(&text, report));
            let authority = self.authority(report);
            let host = authority.as_ref().and_then(Url::host_str);
            let cloud = cloud.unwrap_or_else(|| Cloud::of_authority(host));
            Named { cloud, authority }
        };
        // It concerns the whole, whichever file asks first.
        let main = self.main.display().to_string();
        self.named.get_or_init(|| report.within(&main, read))
    }

    fn authority(&self, report: &mut ConfigReport) -> Option<Url> {
        let text = self.variable(AUTHORITY)?;
        let named = origin(&text, Scheme::Https);
        let named = named.map_err(|wrong| report.error(None, AUTHORITY, wrong));
        let named = named.ok()?;
        let default = origin(Cloud::Public.authority_host(), Scheme::Https);
        if default.is_ok_and(|default| default != named) {
            let text = format!(
                "makes {named} the sign-in host of each tenant without `cloud`, `region` and `authority_host`; set one of these where that is not intended"
            );
            report.warn(None, AUTHORITY, text);
        }
        Some(named)
    }

    /// The path of a file that holds one secret.
    pub(super) fn secret_file(
        &self,
        value: &YamlValue<'_>,
        report: &mut ConfigReport,
        kind: SecretKind,
    ) -> Result<PathBuf, Reported> {
        let path = self.path(value, report)?;
        if may_be_secret(&path) && !path.exists() {
            let found = "what looks like the secret itself";
            let advice = "write it into a file, and name that file here";
            let text = expected("the path of a file with the secret", found, advice);
            return Err(value.error(report, text));
        }
        if self.folder.is_some() {
            let suspicions = check_secret_file(&path, kind)
                .map_err(|error| value.error(report, error.to_string()))?;
            for suspicion in suspicions {
                value.warn(report, suspicion);
            }
        }
        Ok(path)
    }

    /// The path of a PEM file of certificates.
    pub(super) fn certificates(
        &self,
        value: &YamlValue<'_>,
        report: &mut ConfigReport,
    ) -> Result<PathBuf, Reported> {
        let path = self.path(value, report)?;
        if self.folder.is_none() {
            return Ok(path);
        }
        let what = "a PEM file of certificates";
        let text = match small_file::blocking_read(&path, small_file::CERTIFICATES) {
            Ok(content) => content.bytes,
            Err(error) => {
                let found = format!("{}: {error}", path_excerpt(&path));
                let text = expected(what, &found, small_file::advice(&error));
                return Err(value.error(report, text));
            }
        };
        let begin = b"-----BEGIN CERTIFICATE-----";
        if !text.windows(begin.len()).any(|window| window == begin) {
            let found = format!("none in {}", path_excerpt(&path));
            let advice = "convert it with `openssl x509 -inform der`";
            return Err(value.error(report, expected(what, &found, advice)));
        }
        Ok(path)
    }

    /// The files of a client certificate and its key. One that is out of date is
    /// a warning, unless the check is strict: other tenants must go on.
    pub(super) fn client_certificate(
        &self,
        certificate: &YamlValue<'_>,
        key: Option<&YamlValue<'_>>,
        report: &mut ConfigReport,
    ) -> Result<CertificateFiles, Reported> {
        let path = self.path(certificate, report);
        let key_path = match key {
            Some(value) => Some(self.path(value, report)?),
            None => None,
        };
        let files = CertificateFiles {
            certificate: path?,
            key: key_path,
        };
        if self.folder.is_none() {
            return Ok(files);
        }
        match ClientCertificate::blocking_read(&files) {
            Ok(found) => {
                if let Err(error) = found.check(Clock::system().wall()) {
                    if self.strict {
                        return Err(certificate.error(report, error.to_string()));
                    }
                    certificate.warn(report, error.to_string());
                }
                let key_file = files.key.as_ref().unwrap_or(&files.certificate);
                let content = small_file::blocking_read(key_file, small_file::CERTIFICATES);
                if content.is_ok_and(|content| content.exposed) {
                    key.unwrap_or(certificate).warn(report, EXPOSED);
                }
                Ok(files)
            }
            Err(error) => {
                let value = key.filter(|_| error.of_key).unwrap_or(certificate);
                Err(value.error(report, error.to_string()))
            }
        }
    }

    fn path(&self, value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<PathBuf, Reported> {
        value.file_path(report, self.folder.unwrap_or(Path::new("")))
    }
}
