//! The one HTTP client, for the API and for the sign-in host alike.
//!
//! Certificates are verified by `rustls` against the system's roots; those of
//! `http.ca_file` are added to them. Redirects are not followed: the token
//! would travel with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, NoProxy, Proxy};
use url::Url;

use super::error::{ApiError, chain};
use crate::config::Http;
use crate::small_file;

/// What the client calls itself.
const USER_AGENT: &str = concat!("defender-scan-exporter/", env!("CARGO_PKG_VERSION"));

/// The longest time for a connection alone; the rest of the timeout is the answer's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The file of `http.ca_file` can not be read.
    #[error("can not read http.ca_file {path}: {source}", path = .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of `http.ca_file` holds no certificate.
    #[error(
        "expected PEM certificates in http.ca_file {path}, but found none that can be read", path = .path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// `http.proxy_url` can not be used.
    #[error("can not use http.proxy_url: {0}")]
    Proxy(String),
    /// Most likely the system has no root certificates.
    #[error(
        "can not build the HTTPS client: {0}; is the package ca-certificates installed? If not, install it or set http.ca_file"
    )]
    Build(String),
}

/// Builds the client. Installs `ring` as the process's provider of cryptography
/// unless one is installed already; without one the TLS library would panic.
///
/// # Errors
/// [`HttpError`], if a file can not be read or the system has no root certificates.
pub fn http_client(settings: &Http) -> Result<Client, HttpError> {
    // An error means that there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .timeout(settings.timeout)
        .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT))
        .gzip(true);
    if let Some(path) = &settings.ca_file {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    if let Some(url) = &settings.proxy_url {
        let proxy = Proxy::all(url.clone()).map_err(|error| HttpError::Proxy(chain(&error)))?;
        // The configuration names the proxy; what goes without one is the machine's.
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_env()));
    }
    builder
        .build()
        .map_err(|error| HttpError::Build(chain(&error)))
}

/// Whether the host of `origin` can be reached: its name, the connection, TLS, and any proxy in
/// between. Sends no token, and takes any answer.
///
/// # Errors
/// [`ApiError::Connect`] or [`ApiError::Timeout`].
pub async fn reach(http: &Client, origin: &Url) -> Result<(), ApiError> {
    let answer = http.head(origin.clone()).send().await;
    answer.map(drop).map_err(ApiError::broken)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, HttpError> {
    let pem = small_file::blocking_read(path, small_file::CERTIFICATES);
    let pem = pem.map_err(|source| HttpError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    Certificate::from_pem_bundle(&pem.bytes)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| HttpError::NoCertificate {
            path: path.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::defender::testing::{Server, answer};

    fn settings(pem: &str) -> (tempfile::NamedTempFile, Http) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(pem.as_bytes()).expect("written");
        let settings = Http {
            timeout: Duration::from_secs(1),
            ca_file: Some(file.path().to_owned()),
            proxy_url: None,
        };
        (file, settings)
    }

    #[test]
    fn certificates_are_added_from_a_file() {
        let key = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        let (_file, settings) = settings(&key.cert.pem());
        assert!(http_client(&settings).is_ok());
    }

    #[test]
    fn a_file_without_certificates_is_a_clear_error() {
        for pem in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let (_file, settings) = settings(pem);
            let error = http_client(&settings).expect_err("no certificate");
            assert!(matches!(error, HttpError::NoCertificate { .. }), "{error}");
        }
        let missing = Http {
            ca_file: Some("/nowhere/ca.pem".into()),
            ..settings("").1
        };
        let error = http_client(&missing).expect_err("no file");
        assert!(
            error
                .to_string()
                .starts_with("can not read http.ca_file /nowhere/ca.pem: No such file"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn requests_go_through_the_proxy() {
        let proxy = Server::answering(false, answer("200 OK", "", b"")).await;
        let settings = Http {
            timeout: Duration::from_secs(1),
            ca_file: None,
            proxy_url: Some(proxy.url.clone()),
        };
        let client = http_client(&settings).expect("a client");
        let response = client.get("http://api.example/x").send().await;
        assert!(response.is_ok());
        let requests = proxy.requests.lock().expect("unpoisoned");
        assert!(requests[0].starts_with("GET http://api.example/x HTTP/1.1"));
    }
}
