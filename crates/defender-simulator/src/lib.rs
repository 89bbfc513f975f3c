#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! A request comes in by a face (`listen`: http and https on the loopback address, with
//! `certificates`; or before that by a `front`) and goes to `api`, which counts it (`record`),
//! lets it go wrong if it is to (`faults`, `damage`, `chaos`), asks the living `world` of each
//! `definition`, and writes the answer (`render`, `words`, `wire`), in `pages`. `token` gives out
//! the bearer tokens, for a secret, an `assertion` or a `federation`'s token, and `metadata` those of managed
//! identities.

mod api;
mod assertion;
mod certificates;
mod chaos;
mod damage;
mod definition;
mod faults;
mod federation;
mod front;
mod listen;
mod metadata;
mod misplaced;
mod pages;
mod record;
mod render;
mod token;
mod wire;
mod words;
mod world;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use exporter_clock::Clock;

pub use damage::Damage;
pub use definition::{Definition, Draft, Outcome, Profile, Run};
pub use faults::Fault;
pub use federation::Federation;
pub use front::{Front, LineFault};
pub use metadata::MachineIdentity;
pub use pages::{Endless, Skip};
pub use record::CallRecord;
pub use words::PRIVATE_WORDS;
pub use world::{Agent, World};

/// How the API spells property names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// camelCase, with the properties of `$metadata`.
    Camel,
    /// `PascalCase`, with the properties of the reference pages: history has
    /// times, but no counts, and by definition no session ids.
    Pascal,
}

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides everything that looks random.
    pub seed: u64,
    /// Wall time moves the world, uptime the quotas and tokens.
    pub clock: Clock,
    /// How many tenants.
    pub tenants: usize,
    /// How many definitions each tenant starts with; eight show all there is.
    pub definitions: usize,
    /// How many agents each tenant starts with.
    pub agents: usize,
    /// Records on a page.
    pub page_size: usize,
    /// Ids that one call may name.
    pub max_batch: usize,
    /// Calls a minute that a tenant has.
    pub per_minute: usize,
    /// Calls an hour that a tenant has.
    pub per_hour: usize,
    /// Whether each endpoint has as many, instead of all together.
    pub quota_by_endpoint: bool,
    /// How property names are spelt.
    pub spelling: Spelling,
    /// Whether camelCase history has `lastScanned`, which `$metadata` lacks.
    pub last_scanned: bool,
    /// The tenants whose camelCase history by definition has neither counts nor targets, so that
    /// one must ask by session.
    pub bare_history: Range<usize>,
    /// How long a token is good for, in seconds.
    pub token_seconds: u64,
    /// Names that the certificate of the https face has besides `localhost`.
    pub host_names: Vec<String>,
    /// Whether something goes wrong with each fourth call, in an order that this seed decides.
    pub chaos: Option<u64>,
}

impl Options {
    /// One tenant with sixteen definitions, four agents and the real quotas.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            seed: 1,
            clock,
            tenants: 1,
            definitions: 16,
            agents: 4,
            page_size: 100,
            max_batch: 50,
            per_minute: 100,
            per_hour: 1500,
            quota_by_endpoint: false,
            spelling: Spelling::Camel,
            last_scanned: false,
            bare_history: 0..0,
            token_seconds: 3599,
            host_names: Vec::new(),
            chaos: None,
        }
    }
}

/// What a request may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The token endpoint.
    Token,
    /// The metadata service of a machine, which has tokens too.
    Metadata,
    /// The list of definitions.
    Definitions,
    /// History by definition.
    History,
    /// History by session.
    Sessions,
    /// The list of agents, or one of them.
    Agents,
}

/// What a client needs to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantIdentity {
    /// The tenant's id.
    pub tenant_id: String,
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: String,
    /// A federated assertion that is accepted instead of the secret; besides it,
    /// one signed with a certificate given to [`World::trust_certificate`].
    pub assertion: String,
}

/// What all requests share. No two of these locks are held at once, except
/// that `tokens` may be taken while `world` is held.
#[derive(Debug)]
struct Shared {
    options: Options,
    stop: CancellationToken,
    world: Mutex<World>,
    tokens: Mutex<token::Tokens>,
    faults: Mutex<faults::Faults>,
    /// By tenant, and by endpoint where each has its own.
    quotas: Mutex<HashMap<(usize, Option<Endpoint>), record::Quota>>,
    calls: Mutex<Vec<CallRecord>>,
    violations: Mutex<usize>,
    misplaced: Mutex<usize>,
    pages: Mutex<pages::Pages>,
    /// For correlation ids.
    rng: Mutex<Rng>,
    chaos: Option<Mutex<Rng>>,
}

impl Shared {
    fn new(options: Options) -> Self {
        let lifetime = Duration::from_secs(options.token_seconds);
        Self {
            stop: CancellationToken::new(),
            world: Mutex::new(World::new(&options)),
            tokens: Mutex::new(token::Tokens::new(options.seed, lifetime)),
            faults: Mutex::default(),
            quotas: Mutex::default(),
            calls: Mutex::default(),
            violations: Mutex::default(),
            misplaced: Mutex::default(),
            pages: Mutex::default(),
            rng: Mutex::new(Rng::with_seed(options.seed)),
            chaos: options.chaos.map(|seed| Mutex::new(Rng::with_seed(seed))),
            options,
        }
    }

    /// What goes wrong with this call, if anything does.
    fn fault(&self, endpoint: Endpoint, tenant: usize) -> Option<Fault> {
        let set = lock(&self.faults).take(endpoint, Some(tenant));
        set.or_else(|| chaos::now_and_then(&mut lock(self.chaos.as_ref()?)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.world);
        world.settle();
        world
    }
}

/// A running simulator. It stops when dropped; [`Simulator::stop`] also waits.
pub struct Simulator {
    shared: Arc<Shared>,
    /// Of the http face, the https face, and the https face that speaks HTTP/1.1 alone.
    ports: [u16; 3],
    certificates: certificates::Certificates,
    servers: Vec<JoinHandle<()>>,
}

impl Simulator {
    /// Starts to listen on two free ports of the loopback address.
    ///
    /// # Errors
    ///
    /// If no port can be bound, or no certificate made.
    pub async fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options));
        let certificates = certificates::Certificates::new(&shared.options.host_names)?;
        let router = axum::Router::new()
            .fallback(api::handle)
            .with_state(Arc::clone(&shared));
        let numbers = Arc::default();
        let (mut ports, mut servers) = ([0; 3], Vec::new());
        let https = [&certificates.good, &certificates.http1].map(|tls| Some(tls.clone()));
        for (port, tls) in ports.iter_mut().zip([None].into_iter().chain(https)) {
            let (numbers, stop) = (Arc::clone(&numbers), shared.stop.clone());
            let (open, server) = listen::open(tls, router.clone(), numbers, stop).await?;
            *port = open;
            servers.push(server);
        }
        Ok(Self {
            shared,
            ports,
            certificates,
            servers,
        })
    }

    /// The http face: the API alone, without path and final slash.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// The https face: the API and the token endpoint.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.ports[1])
    }

    /// Where App Service's metadata service is, for `IDENTITY_ENDPOINT`, and what it
    /// wants to see, for `IDENTITY_HEADER`. That of virtual machines is on the http
    /// face, at its own path. The machine is one of the first tenant.
    #[must_use]
    pub fn metadata_service(&self) -> (String, String) {
        let url = format!("{}/msi/token", self.http_url());
        (url, self.world().identity_header.clone())
    }

    /// The certificate authority of the https face.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.certificates.ca_pem
    }

    /// Another way to the https face, which can fail on its own.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn front(&self) -> io::Result<Front> {
        Front::open(self.ports[1], self.certificates.clone()).await
    }

    /// The same, where HTTP/1.1 alone is spoken.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn http1_front(&self) -> io::Result<Front> {
        Front::open(self.ports[2], self.certificates.clone()).await
    }

    /// How to sign in at a tenant; `None` if there is no such tenant.
    #[must_use]
    pub fn tenant(&self, tenant: usize) -> Option<TenantIdentity> {
        let world = self.world();
        world
            .tenants
            .get(tenant)
            .map(|known| known.identity.clone())
    }

    /// The world as it is now. Nothing is answered while this is held, so do
    /// not hold it across an `await`.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Lets an endpoint go wrong for every tenant, or go right again.
    pub fn set_fault(&self, endpoint: Endpoint, fault: Option<Fault>) {
        lock(&self.shared.faults).set(endpoint, None, fault);
    }

    /// Lets an endpoint go wrong for one tenant; this goes before
    /// [`Simulator::set_fault`].
    pub fn set_tenant_fault(&self, tenant: usize, endpoint: Endpoint, fault: Option<Fault>) {
        lock(&self.shared.faults).set(endpoint, Some(tenant), fault);
    }

    /// Makes every token of a tenant invalid at once.
    pub fn revoke_tokens(&self, tenant: usize) {
        lock(&self.shared.tokens).revoke(tenant);
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        lock(&self.shared.calls).clone()
    }

    /// How many calls were beyond a quota.
    #[must_use]
    pub fn violations(&self) -> usize {
        *lock(&self.shared.violations)
    }

    /// How many requests carried a client's secret or a token that was not for their
    /// endpoint.
    #[must_use]
    pub fn misplaced(&self) -> usize {
        *lock(&self.shared.misplaced)
    }

    /// Everything secret: client secrets, assertions, the definitions'
    /// passwords, communities and keys, and every token issued.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.world().secrets.clone();
        secrets.extend(lock(&self.shared.tokens).issued().cloned());
        secrets
    }

    /// Stops and waits until both ports are closed.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        for mut server in std::mem::take(&mut self.servers) {
            // A client that holds on to a connection does not hold us up.
            if tokio::time::timeout(Duration::from_secs(1), &mut server)
                .await
                .is_err()
            {
                server.abort();
            }
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Locks, also after a panic elsewhere: the data is plain and stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
