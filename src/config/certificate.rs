//! A client certificate and its private key, in PEM files: which pairs work, and
//! what is wrong with the others.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use config_report::expected;
use ring::digest;
use ring::signature::{KeyPair as _, RsaKeyPair};
use rustls::pki_types::pem::{self, SectionKind};
use thiserror::Error;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::files::path_excerpt;
use crate::clock::Timestamp;
use exporter_toolkit::small_file::{self, Content};

/// Where a certificate and its key are. Both are read again at each sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, and the key unless that is apart.
    pub certificate: PathBuf,
    /// PEM: the key; `None`: in the certificate's file.
    pub key: Option<PathBuf>,
}

/// A certificate with the RSA key that belongs to it.
pub struct ClientCertificate {
    key: RsaKeyPair,
    thumbprint: [u8; 32],
    path: PathBuf,
    begin: Timestamp,
    end: Timestamp,
}

/// Why files do not give a certificate and its key. Never holds what is in them.
#[derive(Debug, Error)]
#[error("{text}")]
pub struct CertificateError {
    text: String,
    /// Whether the key is to blame, not the certificate.
    pub(super) of_key: bool,
}

impl CertificateError {
    fn new(what: &str, found: &str, path: &Path, advice: &str) -> Self {
        let found = format!("{found} in {}", path_excerpt(path));
        Self {
            text: expected(what, &found, advice),
            of_key: false,
        }
    }

    fn of_key(self) -> Self {
        Self {
            of_key: true,
            ..self
        }
    }
}

impl ClientCertificate {
    /// Reads both files. Of several certificates it takes the one that fits the key.
    ///
    /// # Errors
    /// [`CertificateError`], if a file cannot be read, is not PEM, or if there is no
    /// RSA key without a password and a certificate of it. Not if it is out of date:
    /// see [`Self::check`].
    pub async fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let read = |path| small_file::read(path, small_file::CERTIFICATES);
        let certificate = read(&files.certificate).await;
        let key = match &files.key {
            Some(path) => Some(read(path).await),
            None => None,
        };
        Self::of(files, certificate, key)
    }

    /// [`Self::read`], for whoever may block the thread.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn blocking_read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let read = |path: &PathBuf| small_file::blocking_read(path, small_file::CERTIFICATES);
        Self::of(
            files,
            read(&files.certificate),
            files.key.as_ref().map(read),
        )
    }

    fn of(
        files: &CertificateFiles,
        certificate: io::Result<Content>,
        key: Option<io::Result<Content>>,
    ) -> Result<Self, CertificateError> {
        let path = &files.certificate;
        let text = pem_text(path, certificate)?;
        let certificates = certificates(&text, path)?;
        let (key_path, key) = match files.key.as_ref().zip(key) {
            Some((path, key)) => (
                path,
                pem_text(path, key).and_then(|text| rsa_key(&text, path)),
            ),
            None => (path, rsa_key(&text, path)),
        };
        let key = key.map_err(CertificateError::of_key)?;
        let fits = |found: &&ParsedCertificate| found.public_key == key.public_key().as_ref();
        let certificate = certificates
            .iter()
            .find(fits)
            .ok_or_else(|| misfit(&certificates, path, key_path))?;
        let mut thumbprint = [0; 32];
        // SHA-256 has 32 bytes.
        thumbprint.copy_from_slice(digest::digest(&digest::SHA256, &certificate.der).as_ref());
        Ok(Self {
            key,
            thumbprint,
            path: path.clone(),
            begin: certificate.begin,
            end: certificate.end,
        })
    }

    /// Checks that it is valid at `now`.
    ///
    /// # Errors
    /// [`CertificateError`], if it has ended or has not begun.
    pub fn check(&self, now: Timestamp) -> Result<(), CertificateError> {
        let what = "a certificate that is valid now";
        let (found, advice) = if self.end < now {
            (
                format!("one that expired at {}", self.end),
                "create a new one and upload it to the application",
            )
        } else if now < self.begin {
            (
                format!("one that is valid only from {}", self.begin),
                "check this machine's clock, or use it later",
            )
        } else {
            return Ok(());
        };
        Err(CertificateError::new(what, &found, &self.path, advice))
    }

    /// When it ends.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// SHA-256 of the whole certificate: `x5t#S256` of RFC 7515.
    #[must_use]
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// The private key, to sign with.
    #[must_use]
    pub fn key(&self) -> &RsaKeyPair {
        &self.key
    }
}

/// Without the key.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("path", &self.path)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// What counts of a certificate in a file.
struct ParsedCertificate {
    der: Vec<u8>,
    public_key: Vec<u8>,
    is_rsa: bool,
    begin: Timestamp,
    end: Timestamp,
}

impl ParsedCertificate {
    /// `None`, if it is no certificate, or more than one.
    fn read(der: Vec<u8>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (key, validity) = (certificate.public_key(), certificate.validity());
        Some(Self {
            public_key: key.subject_public_key.data.to_vec(),
            is_rsa: key.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION,
            begin: timestamp(validity.not_before),
            end: timestamp(validity.not_after),
            der,
        })
    }
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix_millis(time.timestamp().saturating_mul(1_000))
}

/// The text of a file that has PEM in it.
fn pem_text(path: &Path, content: io::Result<Content>) -> Result<Vec<u8>, CertificateError> {
    let content = content.map_err(|error| CertificateError {
        text: expected(
            "a readable file",
            &format!("{}: {error}", path_excerpt(path)),
            small_file::advice(&error),
        ),
        of_key: false,
    })?;
    let text = content.bytes;
    if contains(&text, "-----BEGIN ") {
        return Ok(text);
    }
    let (found, advice) = if is_pfx(&text) {
        (
            "a PFX (PKCS #12) file",
            "convert it with `openssl pkcs12 -nodes -in a.pfx -out a.pem`",
        )
    } else {
        (
            "something else",
            "convert a DER file with `openssl x509 -inform der`, or name the right file",
        )
    };
    Err(CertificateError::new("PEM text", found, path, advice))
}

/// A PFX is a sequence that begins with the version, 3 (RFC 7292, section 4).
fn is_pfx(bytes: &[u8]) -> bool {
    let header = match bytes {
        [0x30, length, ..] if *length < 0x80 => 2,
        [0x30, length, ..] => 2 + usize::from(length & 0x7f),
        _ => return false,
    };
    bytes
        .get(header..)
        .is_some_and(|rest| rest.starts_with(&[2, 1, 3]))
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// The sections of a PEM text, as far as they can be read.
fn sections(text: &[u8]) -> impl Iterator<Item = (SectionKind, Vec<u8>)> {
    let mut rest = text;
    std::iter::from_fn(move || pem::from_buf(&mut rest).ok().flatten())
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<ParsedCertificate>, CertificateError> {
    let mut found = Vec::new();
    for (kind, der) in sections(text) {
        if kind == SectionKind::Certificate {
            let certificate = ParsedCertificate::read(der).ok_or_else(|| {
                let advice = "export it again";
                CertificateError::new("a certificate", "one that cannot be read", path, advice)
            })?;
            found.push(certificate);
        }
    }
    if found.is_empty() {
        let advice = "add the certificate to it, above the key";
        return Err(CertificateError::new("a certificate", "none", path, advice));
    }
    Ok(found)
}

fn rsa_key(text: &[u8], path: &Path) -> Result<RsaKeyPair, CertificateError> {
    let wrong = |what, found, advice| Err(CertificateError::new(what, found, path, advice));
    let rsa = "an RSA key of 2048 to 4096 bits";
    let renew = "create a new key and certificate, and upload the certificate to the application";
    if contains(text, "ENCRYPTED") {
        let advice = "remove the password with `openssl pkey -in a.pem -out key.pem`, and make the file readable by the exporter only";
        return wrong("a key without a password", "an encrypted one", advice);
    }
    let key = sections(text).find_map(|(kind, der)| match kind {
        SectionKind::PrivateKey => Some(RsaKeyPair::from_pkcs8(&der)),
        SectionKind::RsaPrivateKey => Some(RsaKeyPair::from_der(&der)),
        _ => None,
    });
    match key {
        Some(Ok(key)) => Ok(key),
        Some(Err(error)) => match error.to_string().as_str() {
            "WrongAlgorithm" => wrong(rsa, "a key of another type", renew),
            "TooSmall" => wrong(rsa, "a shorter one", renew),
            "TooLarge" => wrong(rsa, "a longer one", renew),
            _ => wrong(rsa, "one that cannot be read", "export it again"),
        },
        None if contains(text, "EC PRIVATE KEY") => wrong(rsa, "a key of another type", renew),
        None => {
            let advice = "append the key to it, or name the key's file in `key_file`";
            wrong("a private key", "none", advice)
        }
    }
}

/// None of the certificates is the key's.
fn misfit(certificates: &[ParsedCertificate], path: &Path, key_path: &Path) -> CertificateError {
    if !certificates.iter().any(|found| found.is_rsa) {
        let advice =
            "create a new key and certificate, and upload the certificate to the application";
        return CertificateError::new("an RSA certificate", "one of another type", path, advice);
    }
    let what = format!("the certificate for the key in {}", path_excerpt(key_path));
    let advice = "name a certificate and a key that belong together";
    CertificateError::new(&what, "one for another key", path, advice)
}

#[cfg(test)]
mod tests;
