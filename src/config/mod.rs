//! Configuration: what the rest of the program may rely on.
//!
//! Everything here has been checked; the file's own shape is a matter of the
//! modules below.
//!
//! ```text
//! file.rs ─► config_report (text → values with lines, and a report of all errors)
//!    ├─ defaults.rs (what tenants have in common)
//!    ├─ tenant_files.rs (patterns → more files)
//!    ├─ metrics.rs (with families.txt: all families, and what needs them)
//!    └─ tenants.rs (names and budgets among all files)
//!         └─ tenant.rs ─ addresses.rs, labels.rs, credential.rs, definitions.rs, poll.rs, quota.rs
//!              └─ cloud.rs ─ scalar.rs ─ files.rs ─ secret.rs, certificate.rs
//! fingerprint.rs (all files → a digest, to notice changes)
//! env.rs (Azure's variables → one tenant)
//! in_force.rs (all of it as YAML again, without secrets), schema.json (for editors)
//! ```

mod addresses;
mod certificate;
mod cloud;
mod credential;
mod defaults;
mod definitions;
mod env;
mod file;
mod files;
mod fingerprint;
mod in_force;
mod labels;
mod metrics;
mod poll;
mod quota;
mod scalar;
mod secret;
mod tenant;
mod tenant_files;
mod tenants;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use url::Url;

pub use certificate::{CertificateError, CertificateFiles, ClientCertificate};
pub use config_report::{ConfigErrors, ConfigWarning};
pub use env::variable;
pub use fingerprint::fingerprint;
pub use in_force::InForce;
pub use metrics::{Metrics, unneeded_metrics};
pub use scalar::proxy_url;
pub use secret::{SecretFileError, SecretSource, read_secret_file};

use crate::budget::{BudgetKey, Limits};
use crate::clock::Timestamp;
use crate::model::{DefinitionId, TenantName};

/// A JSON Schema of the configuration file, for editors.
pub const SCHEMA: &str = include_str!("schema.json");

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// At least one; names are unique.
    pub tenants: Vec<Tenant>,
    /// How to reach the API and the sign-in host.
    pub http: Http,
    /// Which metric families are published.
    pub metrics: Metrics,
}

/// Settings of the one HTTP client.
#[derive(Clone, PartialEq)]
pub struct Http {
    /// How long a request may take, from connecting to the last byte.
    pub timeout: Duration,
    /// PEM file of root certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Proxy for all requests; `None`: the environment's.
    pub proxy_url: Option<Url>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            ca_file: None,
            proxy_url: None,
        }
    }
}

/// The proxy's host alone: its address may hold a password.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = self.proxy_url.as_ref().map(|url| url.host_str());
        f.debug_struct("Http")
            .field("timeout", &self.timeout)
            .field("ca_file", &self.ca_file)
            .field("proxy_url", &proxy)
            .finish()
    }
}

/// One tenant to be polled. Equal ones need no restart of the polling.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Value of the label `tenant`.
    pub name: TenantName,
    /// Directory (tenant) id or domain.
    pub tenant_id: String,
    /// Its cloud, as the configuration names it.
    pub cloud: &'static str,
    /// Labels of `defender_tenant_info`, by their names.
    pub labels: BTreeMap<String, String>,
    /// Origin of the API: `https`, or `http` to a loopback address; no path.
    pub api_base_url: Url,
    /// The API's version as its paths have it, such as `v1.0`; `None`: the latest.
    pub api_version: Option<String>,
    /// Origin of the sign-in host: `https`; no path.
    pub authority_host: Url,
    /// Scope of the token.
    pub scope: String,
    /// How to prove the application's identity.
    pub credential: Credential,
    /// When the client secret ends, as the configuration says: nothing else tells.
    pub credential_expires: Option<Timestamp>,
    /// Which definitions are published.
    pub definitions: DefinitionFilter,
    /// How often what is polled.
    pub poll: Poll,
    /// Our share of the API's limits.
    pub limits: Limits,
    /// The API's limits: what is beyond our share is others'.
    pub api_limits: Limits,
    /// Whether nothing else calls the API as this application: then the calls that this
    /// exporter recorded are all that count.
    pub exclusive: bool,
}

impl Tenant {
    /// Whose budget its calls come out of.
    #[must_use]
    pub fn budget_key(&self) -> BudgetKey {
        let api = self.api_base_url.origin().ascii_serialization();
        BudgetKey::of(&self.tenant_id, &self.credential.application(), &api)
    }
}

impl Tenant {
    /// Whether a token for `other` is one for this tenant, got in the same way.
    #[must_use]
    pub fn signs_in_like(&self, other: &Self) -> bool {
        self.tenant_id == other.tenant_id
            && self.authority_host == other.authority_host
            && self.scope == other.scope
            && self.credential == other.credential
    }
}

/// How an application proves its identity.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// An application's client secret.
    ClientSecret {
        /// Application (client) id.
        client_id: String,
        /// The secret.
        secret: SecretSource,
    },
    /// A certificate that was uploaded to the application, and its private key.
    ClientCertificate {
        /// Application (client) id.
        client_id: String,
        /// Where both are.
        files: CertificateFiles,
    },
    /// A federated token that the platform writes to a file.
    WorkloadIdentity {
        /// Application (client) id.
        client_id: String,
        /// The federated token's file.
        token_file: PathBuf,
    },
    /// A bearer token for the API that something else keeps fresh.
    TokenFile {
        /// The token's file.
        path: PathBuf,
    },
    /// The identity that Azure gives to the machine or App Service.
    ManagedIdentity(ManagedIdentity),
    /// Whoever is signed in with `az`.
    AzureCli,
    /// Whoever is signed in with `azd`.
    AzureDeveloperCli,
}

impl Credential {
    /// Its type, as the configuration names it; nothing of what it holds.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClientSecret { .. } => "client_secret",
            Self::ClientCertificate { .. } => "client_certificate",
            Self::WorkloadIdentity { .. } => "workload_identity",
            Self::TokenFile { .. } => "token_file",
            Self::ManagedIdentity(_) => "managed_identity",
            Self::AzureCli => "azure_cli",
            Self::AzureDeveloperCli => "azure_developer_cli",
        }
    }

    /// The application (client) id, if the configuration names one.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::ClientSecret { client_id, .. }
            | Self::ClientCertificate { client_id, .. }
            | Self::WorkloadIdentity { client_id, .. }
            | Self::ManagedIdentity(ManagedIdentity::ClientId(client_id)) => Some(client_id),
            Self::ManagedIdentity(_)
            | Self::TokenFile { .. }
            | Self::AzureCli
            | Self::AzureDeveloperCli => None,
        }
    }

    /// The application, as far as the configuration tells: its id, or where its identity is
    /// from.
    fn application(&self) -> Cow<'_, str> {
        let of = |kind: &str, text: &str| Cow::Owned(format!("{kind}:{text}"));
        match self {
            Self::ClientSecret { client_id, .. }
            | Self::ClientCertificate { client_id, .. }
            | Self::WorkloadIdentity { client_id, .. }
            | Self::ManagedIdentity(ManagedIdentity::ClientId(client_id)) => client_id.into(),
            Self::ManagedIdentity(ManagedIdentity::System) => "managed identity".into(),
            Self::ManagedIdentity(ManagedIdentity::ObjectId(id)) => of("object", id),
            Self::ManagedIdentity(ManagedIdentity::ResourceId(id)) => of("resource", id),
            Self::TokenFile { path } => of("token file", &path.to_string_lossy()),
            Self::AzureCli => "azure cli".into(),
            Self::AzureDeveloperCli => "azure developer cli".into(),
        }
    }
}

/// Which managed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagedIdentity {
    /// The system-assigned one.
    System,
    /// The user-assigned one of this client id.
    ClientId(String),
    /// The user-assigned one of this object (principal) id.
    ObjectId(String),
    /// The user-assigned one of this resource id, `/subscriptions/…`.
    ResourceId(String),
}

/// Which definitions are published.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionFilter {
    /// If not empty: exactly these, whatever the other rules say.
    pub ids: Vec<DefinitionId>,
    /// Must match; an empty rule matches all.
    pub include: Rule,
    /// Must not match; an empty rule matches none.
    pub exclude: Rule,
    /// Whether inactive definitions are published.
    pub inactive: bool,
    /// The most that are published, and kept; `usize::MAX`: no limit.
    pub limit: usize,
}

/// What no real tenant has: a list beyond it is a mistake, or an attack on memory.
const DEFINITIONS_LIMIT: usize = 100_000;

/// Everything is published.
impl Default for DefinitionFilter {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            include: Rule::default(),
            exclude: Rule::default(),
            inactive: true,
            limit: DEFINITIONS_LIMIT,
        }
    }
}

/// Scan types and names; a rule with both wants both for `include`, either for `exclude`.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Compared ignoring case.
    pub scan_types: Vec<String>,
    /// Anchored at both ends. Shared: each copy of a pattern has memory of its own to match with,
    /// and thousands of tenants may have those of `defaults`.
    pub names: Arc<[Regex]>,
}

/// Patterns are equal if they are written alike.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let [ours, theirs] = [self, other].map(|rule| rule.names.iter().map(Regex::as_str));
        self.scan_types == other.scan_types && ours.eq(theirs)
    }
}

/// How often what is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Between two lists of definitions.
    pub definitions: Duration,
    /// Between two lists of agents; zero: never.
    pub agents: Duration,
    /// Within which every definition's history is fetched at least once.
    pub sweep: Duration,
    /// Whether new sessions of which history by definition tells too little are asked for by
    /// their ids.
    pub sessions: bool,
}

/// Every minute, ten minutes, day.
impl Default for Poll {
    fn default() -> Self {
        Self {
            definitions: Duration::from_mins(1),
            agents: Duration::from_mins(10),
            sweep: Duration::from_hours(24),
            sessions: true,
        }
    }
}
