//! Files that a configuration names: where they are, and whether they can be read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::certificate::{CertificateFiles, ClientCertificate};
use super::mistake::{Report, expected};
use super::node::Value;
use super::secret::read_secret_file;
use crate::clock::Clock;

/// Longer than any bundle of certificates.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What the reader may know of the world beside the text.
pub(super) struct World<'w> {
    /// The folder to which paths are relative; `None`: paths stay as they are,
    /// and files are not looked at.
    pub(super) folder: Option<&'w Path>,
    /// Environment variables.
    pub(super) env: &'w dyn Fn(&str) -> Option<String>,
    /// Whether what is wrong only for the time being is a mistake, not a warning.
    pub(super) strict: bool,
}

impl World<'_> {
    /// The variable `name`, unless it is unset or empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    /// The path of a file that holds one secret.
    pub(super) fn secret_file(&self, value: &Value<'_>, report: &mut Report) -> Option<PathBuf> {
        let path = self.path(value, report)?;
        if self.folder.is_some()
            && let Err(error) = read_secret_file(&path)
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
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) => {
                let found = format!("`{}`: {error}", path.display());
                let advice = "check that it exists and who may read it";
                value.mistake(report, expected(what, &found, advice));
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
        match ClientCertificate::read(&files) {
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

pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_BYTES)
        .read_to_end(&mut content)?;
    Ok(content)
}
