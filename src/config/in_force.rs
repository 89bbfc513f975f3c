//! The configuration in force, as YAML and without its secrets: what `/config` shows.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use humantime::format_duration;
use serde::Serialize;

use super::definitions::without_anchors;
use super::quota::shares;
use super::{Config, Credential, ManagedIdentity, Metrics, Rule, SecretSource, Tenant};
use crate::budget::Scope;
use crate::model::DefinitionId;

/// In place of a secret, as Prometheus writes it.
const SECRET: &str = "<secret>";

/// The configuration in force; clones share it.
#[derive(Clone, Debug, Default)]
pub struct InForce(Arc<ArcSwapOption<Config>>);

impl InForce {
    /// Replaces it.
    pub fn set(&self, config: Config) {
        self.0.store(Some(Arc::new(config)));
    }

    /// Which metric families are published; all of them before the first.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let config = self.0.load();
        config
            .as_ref()
            .map_or_else(Metrics::default, |config| config.metrics.clone())
    }

    /// All of it as YAML, defaults included, with `<secret>` in place of each secret; empty
    /// before the first.
    #[must_use]
    pub fn yaml(&self) -> String {
        self.0.load().as_deref().map(yaml).unwrap_or_default()
    }
}

/// A value that is valid YAML on one line: JSON is.
fn json(value: impl Serialize) -> String {
    // Texts, numbers and lists of them are valid JSON.
    serde_json::to_string(&value).unwrap_or_default()
}

fn yaml(config: &Config) -> String {
    let mut out = String::from("tenants:\n");
    for tenant in &config.tenants {
        for (index, (key, value)) in keys(tenant).iter().enumerate() {
            let start = if index == 0 { "  - " } else { "    " };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{start}{key}: {value}");
        }
    }
    let http = &config.http;
    let _ = writeln!(out, "http:\n  timeout: {}", format_duration(http.timeout));
    if let Some(file) = &http.ca_file {
        let _ = writeln!(out, "  ca_file: {}", json(file));
    }
    if let Some(proxy) = &http.proxy_url {
        let anonymous = proxy.username().is_empty() && proxy.password().is_none();
        let user = if anonymous {
            String::new()
        } else {
            format!("{SECRET}@")
        };
        let port = proxy
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let host = proxy.host_str().unwrap_or_default();
        let url = format!("{}://{user}{host}{port}", proxy.scheme());
        let _ = writeln!(out, "  proxy_url: {}", json(url));
    }
    let excluded: Vec<_> = config.metrics.excluded().collect();
    let _ = writeln!(out, "metrics:\n  exclude: {}", json(excluded));
    let created = config.metrics.created_timestamps;
    let _ = writeln!(out, "  created_timestamps: {created}");
    out
}

fn keys(tenant: &Tenant) -> Vec<(&'static str, String)> {
    let mut keys = vec![
        ("name", json(tenant.name.as_str())),
        ("tenant_id", json(&tenant.tenant_id)),
    ];
    if !tenant.labels.is_empty() {
        keys.push(("labels", json(&tenant.labels)));
    }
    keys.push(("cloud", tenant.cloud.to_owned()));
    keys.push(("api_base_url", json(tenant.api_base_url.as_str())));
    keys.extend(
        tenant
            .api_version
            .iter()
            .map(|version| ("api_version", version.clone())),
    );
    keys.extend([
        ("authority_host", json(tenant.authority_host.as_str())),
        ("scope", json(&tenant.scope)),
        ("credential", credential(tenant)),
        ("definitions", definitions(tenant)),
        ("poll", poll(tenant)),
        ("quota", quota(tenant)),
    ]);
    keys
}

fn credential(tenant: &Tenant) -> String {
    let mut parts = vec![format!("type: {}", tenant.credential.kind())];
    let mut add = |key: &str, value: &str| parts.push(format!("{key}: {value}"));
    if let Some(id) = tenant.credential.client_id() {
        add("client_id", id);
    }
    match &tenant.credential {
        Credential::ClientSecret { secret, .. } => match secret {
            SecretSource::Inline(_) => add("client_secret", SECRET),
            SecretSource::File(path) => add("client_secret_file", &json(path)),
        },
        Credential::ClientCertificate { files, .. } => {
            add("certificate_file", &json(&files.certificate));
            if let Some(key) = &files.key {
                add("key_file", &json(key));
            }
        }
        Credential::WorkloadIdentity { token_file, .. } => add("token_file", &json(token_file)),
        Credential::TokenFile { path } => add("path", &json(path)),
        Credential::ManagedIdentity(ManagedIdentity::ObjectId(id)) => add("object_id", id),
        Credential::ManagedIdentity(ManagedIdentity::ResourceId(id)) => {
            add("resource_id", &json(id));
        }
        Credential::ManagedIdentity(ManagedIdentity::System | ManagedIdentity::ClientId(_))
        | Credential::AzureCli
        | Credential::AzureDeveloperCli => {}
    }
    if let Some(expires) = tenant.credential_expires {
        add("expires", &json(expires.to_string()));
    }
    format!("{{{}}}", parts.join(", "))
}

fn definitions(tenant: &Tenant) -> String {
    let filter = &tenant.definitions;
    let ids: Vec<_> = filter.ids.iter().map(DefinitionId::as_str).collect();
    let rule = |rule: &Rule| {
        let names: Vec<_> = rule.names.iter().map(without_anchors).collect();
        format!(
            "{{scan_types: {}, names: {}}}",
            json(&rule.scan_types),
            json(names)
        )
    };
    let limit = if filter.limit == usize::MAX {
        0
    } else {
        filter.limit
    };
    format!(
        "{{ids: {}, include: {}, exclude: {}, inactive: {}, limit: {limit}}}",
        json(ids),
        rule(&filter.include),
        rule(&filter.exclude),
        filter.inactive
    )
}

fn poll(tenant: &Tenant) -> String {
    let poll = tenant.poll;
    let [definitions, agents, sweep] =
        [poll.definitions, poll.agents, poll.sweep].map(|every: Duration| format_duration(every));
    let sessions = if poll.sessions { "auto" } else { "off" };
    format!(
        "{{definitions: {definitions}, agents: {agents}, sweep: {sweep}, sessions: {sessions}}}"
    )
}

fn quota(tenant: &Tenant) -> String {
    let (ours, api) = (tenant.limits, tenant.api_limits);
    let all = [api.minute.calls, api.hour.calls];
    let is_ours = |percent: &usize| shares(all, *percent, ours.scope) == [ours, api];
    // Of those that mean the same, most likely the roundest was written.
    let same = (1..=100).filter(is_ours);
    let percent = same.min_by_key(|percent| (percent % 10 > 0, percent % 5 > 0));
    let percent = percent.unwrap_or(100);
    let scope = match ours.scope {
        Scope::Application => "application",
        Scope::Endpoint => "endpoint",
    };
    format!(
        "{{per_minute: {}, per_hour: {}, use: {percent}%, scope: {scope}, exclusive: {}}}",
        api.minute.calls, api.hour.calls, tenant.exclusive
    )
}
