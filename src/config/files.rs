//! Files that a configuration names: where they are, and whether they can be read.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use url::Url;

use super::certificate::{CertificateFiles, ClientCertificate};
use super::cloud::Cloud;
use super::env::{AUTHORITY, CLOUD, read_cloud};
use super::mistake::{Report, expected};
use super::node::Value;
use super::scalar::{Scheme, origin};
use super::secret::check_secret_file;
use crate::clock::Clock;
use crate::small_file;

/// What the reader may know of the world beside the text.
pub(super) struct World<'w> {
    /// The folder to which paths are relative; `None`: paths stay as they are,
    /// and files are not looked at.
    pub(super) folder: Option<&'w Path>,
    /// Environment variables.
    pub(super) env: &'w dyn Fn(&str) -> Option<String>,
    /// Whether what is wrong only for the time being is a mistake, not a warning.
    pub(super) strict: bool,
    /// What the environment names, once a tenant has asked for it.
    pub(super) named: OnceCell<Named>,
}

/// What the environment names for tenants of which the file does not say it.
pub(super) struct Named {
    /// The cloud, by its name or by that of its sign-in host.
    pub(super) cloud: Cloud,
    /// The sign-in host, if it is not the cloud's.
    pub(super) authority: Option<Url>,
}

impl World<'_> {
    /// The variable `name`, unless it is unset or empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    /// What the environment names.
    pub(super) fn named(&self, report: &mut Report) -> &Named {
        self.named.get_or_init(|| {
            let cloud = self.variable(CLOUD);
            let cloud = cloud.and_then(|text| read_cloud(&text, report));
            let authority = self.authority(report);
            let host = authority.as_ref().and_then(Url::host_str);
            let cloud = cloud.unwrap_or_else(|| Cloud::of_authority(host));
            Named { cloud, authority }
        })
    }

    fn authority(&self, report: &mut Report) -> Option<Url> {
        let text = self.variable(AUTHORITY)?;
        let named = origin(&text, Scheme::Https);
        let named = named.map_err(|mistake| report.mistake(None, AUTHORITY, mistake));
        let named = named.ok()?;
        let default = origin(Cloud::Public.authority_host(), Scheme::Https);
        if default.is_ok_and(|default| default != named) {
            let text = format!(
                "names {named} as the sign-in host of each tenant without `cloud`, `region` and `authority_host`; set one of these where that is not meant"
            );
            report.warn(None, AUTHORITY, text);
        }
        Some(named)
    }

    /// The path of a file that holds one secret.
    pub(super) fn secret_file(&self, value: &Value<'_>, report: &mut Report) -> Option<PathBuf> {
        let path = self.path(value, report)?;
        if self.folder.is_some()
            && let Err(error) = check_secret_file(&path)
        {
            value.mistake(report, error.to_string());
            return None;
        }
        Some(path)
    }

    /// The path of a PEM file of certificates.
    pub(super) fn certificates(&self, value: &Value<'_>, report: &mut Report) -> Option<PathBuf> {
        let path = self.path(value, report)?;
        if self.folder.is_none() {
            return Some(path);
        }
        let what = "a PEM file of certificates";
        let text = match small_file::blocking_read(&path, small_file::CERTIFICATES) {
            Ok(content) => content.bytes,
            Err(error) => {
                let found = format!("`{}`: {error}", path.display());
                value.mistake(report, expected(what, &found, small_file::advice(&error)));
                return None;
            }
        };
        let begin = b"-----BEGIN CERTIFICATE-----";
        if !text.windows(begin.len()).any(|window| window == begin) {
            let found = format!("none in `{}`", path.display());
            let advice = "convert it with `openssl x509 -inform der`";
            value.mistake(report, expected(what, &found, advice));
            return None;
        }
        Some(path)
    }

    /// The files of a client certificate and its key. One that is out of date is
    /// a warning, unless the check is strict: other tenants must go on.
    pub(super) fn client_certificate(
        &self,
        certificate: &Value<'_>,
        key: Option<&Value<'_>>,
        report: &mut Report,
    ) -> Option<CertificateFiles> {
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
            return Some(files);
        }
        match ClientCertificate::blocking_read(&files) {
            Ok(found) => {
                if let Err(error) = found.check(Clock::system().wall()) {
                    if self.strict {
                        certificate.mistake(report, error.to_string());
                        return None;
                    }
                    certificate.warn(report, error.to_string());
                }
                Some(files)
            }
            Err(error) => {
                let place = key.filter(|_| error.of_key).unwrap_or(certificate);
                place.mistake(report, error.to_string());
                None
            }
        }
    }

    fn path(&self, value: &Value<'_>, report: &mut Report) -> Option<PathBuf> {
        let text = value.text(report, "a file's path")?;
        if text.is_empty() || text.contains('\0') {
            let found = "none that can exist";
            value.mistake(report, expected("a file's path", found, "write one"));
            return None;
        }
        let path = Path::new(text);
        Some(
            self.folder
                .map_or_else(|| path.to_owned(), |folder| folder.join(path)),
        )
    }
}
