//! The one HTTP client, for the API and for the sign-in host alike.
//!
//! Certificates are verified by `rustls` against the system's roots; those of
//! `http.ca_file` are added to them. Redirects are not followed: the token
//! would travel with them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy};
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

/// The HTTP client that all tenants share, which can be replaced underneath them.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

struct Shared {
    settings: Http,
    pooled: ArcSwap<Client>,
    /// Opens a connection for each request, and keeps none.
    fresh: Client,
}

impl HttpClient {
    /// A client with these settings. Installs `ring` as the process's provider of cryptography
    /// unless one is installed already; without one the TLS library would panic.
    ///
    /// # Errors
    /// [`HttpError`], if a file cannot be read or the system has no root certificates.
    pub fn new(settings: &Http) -> Result<Self, HttpError> {
        Ok(Self(Arc::new(Shared {
            settings: settings.clone(),
            pooled: ArcSwap::from_pointee(build(builder(settings)?)?),
            fresh: build(builder(settings)?.pool_max_idle_per_host(0))?,
        })))
    }

    /// The client in use, with its pool of connections.
    #[must_use]
    pub fn get(&self) -> Arc<Client> {
        self.0.pooled.load_full()
    }

    /// A client each of whose requests goes out on a new connection.
    #[must_use]
    pub fn fresh(&self) -> &Client {
        &self.0.fresh
    }

    /// Replaces the client in use by one without connections. Calls under way go on undisturbed.
    ///
    /// # Errors
    /// As of [`Self::new`]; then nothing has changed.
    pub fn rebuild(&self) -> Result<(), HttpError> {
        let client = build(builder(&self.0.settings)?)?;
        self.0.pooled.store(Arc::new(client));
        Ok(())
    }

    /// Takes the connections of `used` out of use: one of them is open and yet may be dead.
    /// HTTP/2 would go on to use it, as long as something on the way acknowledges its bytes.
    ///
    /// Does nothing if another call did so already, and so happens once in a timeout at most.
    pub(super) fn retire(&self, used: &Arc<Client>) {
        if !Arc::ptr_eq(&self.0.pooled.load(), used) {
            return;
        }
        if let Err(error) = self.rebuild() {
            tracing::warn!(%error, "the HTTP client cannot be built anew; until it can, each request opens a connection");
            self.0.pooled.store(Arc::new(self.0.fresh.clone()));
        }
    }
}

/// Leaves out the settings and the client: a proxy may have a password.
impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

fn builder(settings: &Http) -> Result<ClientBuilder, HttpError> {
    // An error means that there is a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        // By default it repeats what HTTP/2 refuses, without a permit.
        .retry(reqwest::retry::never())
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
    Ok(builder)
}

fn build(builder: ClientBuilder) -> Result<Client, HttpError> {
    let client = builder.build();
    client.map_err(|error| HttpError::Build(chain(&error)))
}

/// Whether the host of `origin` can be reached: its name, the connection, TLS, and any proxy in
/// between. Sends no token, and takes any answer.
///
/// # Errors
/// [`ApiError::Connect`] or [`ApiError::Timeout`].
pub async fn reach(http: &HttpClient, origin: &Url) -> Result<(), ApiError> {
    let answer = http.fresh().head(origin.clone()).send().await;
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
        assert!(HttpClient::new(&settings).is_ok());
    }

    #[test]
    fn a_file_without_certificates_is_a_clear_error() {
        for pem in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let (_file, settings) = settings(pem);
            let error = HttpClient::new(&settings).expect_err("no certificate");
            assert!(matches!(error, HttpError::NoCertificate { .. }), "{error}");
        }
        let missing = Http {
            ca_file: Some("/nowhere/ca.pem".into()),
            ..settings("").1
        };
        let error = HttpClient::new(&missing).expect_err("no file");
        assert!(
            error
                .to_string()
                .starts_with("can not read http.ca_file /nowhere/ca.pem: No such file"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn connections_are_taken_out_of_use_by_the_first_call_that_hangs() {
        let (_file, settings) = settings("");
        let http = HttpClient::new(&Http {
            ca_file: None,
            ..settings
        });
        let http = http.expect("a client");
        let used = http.get();
        http.retire(&used);
        let next = http.get();
        assert!(!Arc::ptr_eq(&used, &next));
        http.retire(&used);
        assert!(Arc::ptr_eq(&next, &http.get()), "the next was not to blame");
    }

    #[tokio::test]
    async fn without_roots_no_connection_is_kept() {
        let key = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        let (file, settings) = settings(&key.cert.pem());
        let http = HttpClient::new(&settings).expect("a client");
        let used = http.get();
        drop(file);
        assert!(http.rebuild().is_err());
        assert!(Arc::ptr_eq(&used, &http.get()), "nothing has changed");
        http.retire(&used);
        assert!(!Arc::ptr_eq(&used, &http.get()));
    }

    #[tokio::test]
    async fn requests_go_through_the_proxy() {
        let proxy = Server::answering(false, answer("200 OK", "", b"")).await;
        let settings = Http {
            timeout: Duration::from_secs(1),
            ca_file: None,
            proxy_url: Some(proxy.url.clone()),
        };
        let client = HttpClient::new(&settings).expect("a client");
        let response = client.get().get("http://api.example/x").send().await;
        assert!(response.is_ok());
        let requests = proxy.requests.lock().expect("unpoisoned");
        assert!(requests[0].starts_with("GET http://api.example/x HTTP/1.1"));
    }
}
