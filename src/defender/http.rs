//! The one HTTP client, for the API and for the sign-in host alike.
//!
//! ```text
//! settings, roots, proxies ─► generation ─► requests
//!            ▲                    ▲
//! reload, unknown issuer    a connection that broke or went silent
//! ```
//!
//! Who holds an [`HttpClient`] goes on when what is underneath is replaced. A generation has its
//! connections: once one of them is found broken, a new generation takes over, so that none of
//! them is used again. Requests that are under way end as they would have.
//!
//! Certificates are verified by `rustls` against the system's roots; those of `http.ca_file` are
//! added to them. Redirects are not followed: the token would travel with them. Nothing is sent
//! twice: each repetition is the schedule's decision.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};
use url::Url;

use super::cause::Causes;
use super::error::ApiError;
use super::lookups::Lookups;
use super::pace::Pace;
use super::proxies::proxies;
use super::roots::{Roots, is_unknown_issuer};
use crate::clock::{Clock, Uptime};
use crate::config::Http;

/// What the client calls itself.
const USER_AGENT: &str = concat!("defender-scan-exporter/", env!("CARGO_PKG_VERSION"));

/// The longest time for a connection alone; the rest of the timeout is the answer's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often roots are read again because of an unknown issuer, at most.
const ROOTS_AGAIN: Duration = Duration::from_mins(1);

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The file of `http.ca_file` cannot be read.
    #[error("cannot read http.ca_file {path}: {source}", path = .path.display())]
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
    /// `http.proxy_url` cannot be used.
    #[error("cannot use http.proxy_url: {0}")]
    Proxy(String),
    /// A variable of the environment that names proxies cannot be used.
    #[error("expected {expected} in {name}, but found {problem}; correct or unset the variable")]
    ProxyVariable {
        /// The variable.
        name: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds instead, without repeating it: it may be a password.
        problem: &'static str,
    },
    /// Most likely the system has no root certificates.
    #[error(
        "cannot build the HTTPS client: {0}; is the package ca-certificates installed? If not, install it or set http.ca_file"
    )]
    Build(String),
}

/// The HTTP client of all tenants; its clones are one and the same.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

struct Shared {
    current: ArcSwap<Generation>,
    clock: Clock,
    renewal: Mutex<Renewal>,
    sign_ins: Pace,
}

/// When the roots were read again because of an unknown issuer.
#[derive(Default)]
struct Renewal {
    last: Option<Uptime>,
    under_way: bool,
}

/// What all requests use until something is replaced.
struct Generation {
    parts: Arc<Parts>,
    /// For calls of the API.
    pooled: Client,
    /// For what is asked rarely: a connection of its own for each request.
    unpooled: Client,
}

/// What generations are made of.
struct Parts {
    settings: Http,
    roots: Roots,
    tls: rustls::ClientConfig,
    proxies: Vec<Proxy>,
    lookups: Lookups,
}

impl HttpClient {
    /// Builds the client, with the system's root certificates as they are now. Blocks while it
    /// reads files.
    ///
    /// # Errors
    /// [`HttpError`], if a file cannot be read, the system has no root certificates, or the
    /// environment names a proxy that cannot be used.
    pub fn new(settings: &Http, clock: Clock) -> Result<Self, HttpError> {
        Self::build(settings, clock, Lookups::new())
    }

    /// Another client, built anew of `settings`, with the bounds on look-ups of this one.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn anew(&self, settings: &Http) -> Result<Self, HttpError> {
        let lookups = self.0.current.load().parts.lookups.clone();
        Self::build(settings, self.0.clock.clone(), lookups)
    }

    fn build(settings: &Http, clock: Clock, lookups: Lookups) -> Result<Self, HttpError> {
        let roots = Roots::read(settings.ca_file.as_deref())?;
        let environment = |name: &str| std::env::var_os(name);
        let parts = Parts {
            settings: settings.clone(),
            tls: roots.tls()?,
            roots,
            proxies: proxies(settings.proxy_url.as_ref(), &environment)?,
            lookups,
        };
        Ok(Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(Generation::new(Arc::new(parts))?),
            sign_ins: Pace::new(clock.clone()),
            clock,
            renewal: Mutex::default(),
        })))
    }

    /// What is likely not meant in what the client was built of.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.0.current.load().parts.roots.warnings.clone()
    }

    /// Takes over what `other` was built of. Requests under way go on.
    pub fn adopt(&self, other: &Self) {
        self.0.current.store(other.0.current.load_full());
    }

    /// A connection for one call; `fresh`: one that nobody used before.
    pub(super) fn line(&self, fresh: bool) -> Line {
        Line {
            http: self.clone(),
            generation: self.0.current.load_full(),
            fresh,
        }
    }

    /// A client whose requests have a connection of their own each.
    pub(super) fn unpooled(&self) -> Client {
        self.0.current.load().unpooled.clone()
    }

    /// Waits until a tenant may sign in, as all share one sign-in host.
    pub(super) async fn sign_in_turn(&self) {
        self.0.sign_ins.turn().await;
    }

    /// Looks for an unknown issuer in an error, and if it finds one, reads the roots again.
    pub(super) fn learn(&self, error: &(dyn std::error::Error + 'static)) {
        if is_unknown_issuer(error) && self.begin_renewal() {
            let http = self.clone();
            // A thread of its own: a file system that hangs holds up nothing else.
            let thread = std::thread::Builder::new().name("roots".to_owned());
            if thread.spawn(move || http.renew_roots()).is_err() {
                self.end_renewal();
            }
        }
    }

    fn begin_renewal(&self) -> bool {
        let now = self.0.clock.uptime();
        let mut renewal = self.renewal();
        let recent = |last| now.since(last) < ROOTS_AGAIN;
        if renewal.under_way || renewal.last.is_some_and(recent) {
            return false;
        }
        *renewal = Renewal {
            last: Some(now),
            under_way: true,
        };
        true
    }

    fn end_renewal(&self) {
        self.renewal().under_way = false;
    }

    fn renewal(&self) -> std::sync::MutexGuard<'_, Renewal> {
        // Plain data, which is whole after a panic elsewhere too.
        self.0
            .renewal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn renew_roots(&self) {
        let used = self.0.current.load_full();
        match self.anew(&used.parts.settings) {
            Ok(new) => {
                let fresh = new.0.current.load_full();
                let roots = |generation: &Generation| generation.parts.roots.store.roots.clone();
                if roots(&fresh) != roots(&used) {
                    self.0.current.compare_and_swap(&used, fresh);
                    tracing::info!("the root certificates have changed and were reloaded");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot reload the root certificates"),
        }
        self.end_renewal();
    }

    /// Sees to it that no connection of `used` is used again.
    fn abandon(&self, used: &Arc<Generation>) {
        if !Arc::ptr_eq(&self.0.current.load(), used) {
            return;
        }
        match used.parts.client(usize::MAX) {
            Ok(pooled) => {
                let next = Generation {
                    parts: Arc::clone(&used.parts),
                    pooled,
                    unpooled: used.unpooled.clone(),
                };
                self.0.current.compare_and_swap(used, Arc::new(next));
            }
            // The same parts served before; better an old connection than none.
            Err(error) => tracing::warn!(%error, "cannot close old connections"),
        }
    }
}

/// Leaves out everything: a proxy may have a password.
impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl Generation {
    fn new(parts: Arc<Parts>) -> Result<Self, HttpError> {
        Ok(Self {
            pooled: parts.client(usize::MAX)?,
            unpooled: parts.client(0)?,
            parts,
        })
    }
}

impl Parts {
    fn client(&self, most_idle: usize) -> Result<Client, HttpError> {
        let connect = self.settings.timeout.min(CONNECT_TIMEOUT);
        // Something is left for the connection, and a silent name server is called so.
        let lookups = self.lookups.within(connect * 9 / 10);
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            // The library's own would send what no permit was taken for.
            .retry(reqwest::retry::never())
            .timeout(self.settings.timeout)
            .connect_timeout(connect)
            .pool_max_idle_per_host(most_idle)
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(Arc::new(lookups))
            .no_proxy();
        for proxy in &self.proxies {
            builder = builder.proxy(proxy.clone());
        }
        builder
            .build()
            .map_err(|error| HttpError::Build(Causes::of(&error).to_string()))
    }
}

/// The connection of one call.
pub(super) struct Line {
    http: HttpClient,
    generation: Arc<Generation>,
    fresh: bool,
}

impl Line {
    pub(super) fn client(&self) -> &Client {
        if self.fresh {
            &self.generation.unpooled
        } else {
            &self.generation.pooled
        }
    }

    /// Classifies what broke before an answer began.
    pub(super) fn unanswered(&self, error: reqwest::Error) -> ApiError {
        self.http.learn(&error);
        // One that was never made says nothing of those that were.
        if !error.is_connect() && !error.is_builder() {
            self.is_dead();
        }
        ApiError::unanswered(error)
    }

    /// Classifies what broke inside an answer.
    pub(super) fn broken(&self, error: reqwest::Error) -> ApiError {
        self.is_dead();
        ApiError::broken(error)
    }

    /// Gives up all connections that were kept; a fresh one is not among them.
    fn is_dead(&self) {
        if !self.fresh {
            self.http.abandon(&self.generation);
        }
    }
}

/// Whether the host of `origin` can be reached: its name, the connection, TLS, and any proxy in
/// between. Sends no token, and takes any answer.
///
/// # Errors
/// [`ApiError::Connect`] or [`ApiError::Timeout`].
pub async fn reach(http: &HttpClient, origin: &Url) -> Result<(), ApiError> {
    let answer = http.unpooled().head(origin.clone()).send().await;
    answer.map(drop).map_err(ApiError::broken)
}

#[cfg(test)]
mod tests;
