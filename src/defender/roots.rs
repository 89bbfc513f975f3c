//! The certificates that are trusted: the system's, as they are now, and those of `http.ca_file`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::http::HttpError;
use exporter_toolkit::small_file;

/// Root certificates, and what was left out of them.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: Arc<RootCertStore>,
    /// What is likely not meant, a sentence each.
    pub(super) warnings: Vec<String>,
}

impl Roots {
    /// Reads all. A certificate that cannot be read is left out if there are others in its file.
    pub(super) fn read(ca_file: Option<&Path>) -> Result<Self, HttpError> {
        let mut store = RootCertStore::empty();
        let mut warnings = Vec::new();
        if let Some(path) = ca_file {
            warnings.extend(add_file(&mut store, path)?);
        }
        let system = rustls_native_certs::load_native_certs();
        let (_, ignored) = store.add_parsable_certificates(system.certs);
        if ignored > 0 {
            warnings.push(format!(
                "skipped {ignored} of the system's root certificates, which cannot be read"
            ));
        }
        let errors = system.errors.iter();
        warnings.extend(errors.map(|error| format!("the system's root certificates: {error}")));
        if store.is_empty() {
            let why = "the system has no root certificates";
            return Err(HttpError::Build(why.to_owned()));
        }
        Ok(Self {
            store: Arc::new(store),
            warnings,
        })
    }

    /// TLS that trusts these.
    pub(super) fn tls(&self) -> Result<ClientConfig, HttpError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpError::Build(error.to_string()))?
            .with_root_certificates(Arc::clone(&self.store))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(tls)
    }
}

/// Adds the certificates of `path`; returns what was left out, if anything.
fn add_file(store: &mut RootCertStore, path: &Path) -> Result<Option<String>, HttpError> {
    let pem = small_file::blocking_read(path, small_file::CERTIFICATES);
    let pem = pem.map_err(|source| HttpError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    let (mut good, mut bad) = (0_usize, Vec::new());
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem.bytes).enumerate() {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|der| store.add(der).map_err(|error| error.to_string()));
        match added {
            Ok(()) => good += 1,
            Err(why) => bad.push(format!("number {} ({why})", index + 1)),
        }
    }
    if good == 0 {
        return Err(HttpError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok((!bad.is_empty()).then(|| {
        format!(
            "skipped certificates in http.ca_file {} that cannot be read: {}; remove or replace them",
            path.display(),
            bad.join(", ")
        )
    }))
}

/// Whether a connection failed since none of the roots is that of the host's certificate.
pub(super) fn is_unknown_issuer(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An `io::Error` hides what it holds: its source is that of its content.
        let held = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let tls = match held {
            Some(held) => held.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(rustls::Error::InvalidCertificate(found)) = tls {
            return *found == rustls::CertificateError::UnknownIssuer;
        }
        cause = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    false
}
