//! Configurations that change while the exporter runs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use defender_scan_exporter::config::Config;
use defender_scan_exporter::exposition::catalog;
use defender_simulator::Simulator;

/// One tenant of a configuration.
#[derive(Clone)]
pub struct Entry {
    /// Its number in the simulator.
    pub number: usize,
    pub name: String,
    /// The section `poll`, in flow style.
    pub poll: String,
    /// Calls a minute.
    pub per_minute: usize,
    /// Instead of the right one.
    pub secret: Option<String>,
}

/// Tenant `number` of the simulator, polled every second.
pub fn entry(number: usize) -> Entry {
    Entry {
        number,
        name: format!("tenant-{number}"),
        poll: "{definitions: 1s, agents: 10s}".to_owned(),
        per_minute: 1_000,
        secret: None,
    }
}

/// Writes the configuration of `entries` to `exporter.yml` in `folder`, at once as editors do.
pub fn write(simulator: &Simulator, folder: &Path, entries: &[Entry], timeout: &str) {
    let ca = folder.join("ca.pem");
    fs::write(&ca, simulator.ca_pem()).expect("the folder can be written");
    let url = simulator.https_url();
    let mut text = format!(
        "http: {{ca_file: {}, timeout: {timeout}}}\ntenants:\n",
        ca.display()
    );
    for entry in entries {
        let identity = simulator
            .tenant(entry.number)
            .expect("there is such a tenant");
        let secret = entry.secret.as_ref().unwrap_or(&identity.client_secret);
        let secret = serde_json::to_string(secret).expect("it is text");
        write!(
            text,
            "  - name: {}\n    tenant_id: {}\n    api_base_url: {url}\n    authority_host: {url}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret: {secret}}}\n    \
             poll: {}\n    quota: {}\n",
            entry.name,
            identity.tenant_id,
            identity.client_id,
            entry.poll,
            budget(entry.per_minute, 50_000)
        )
        .expect("a string can be written");
    }
    write_text(folder, &text);
}

/// The section `quota` for so many calls of our own. Twice as many are the API's, so that the
/// reserve, on which an exporter runs that has just met its tenants, is as large as our share.
pub fn budget(per_minute: usize, per_hour: usize) -> String {
    let (minute, hour) = (2 * per_minute, 2 * per_hour);
    format!("{{per_minute: {minute}, per_hour: {hour}, use: 50%}}")
}

/// A configuration that excludes these metrics.
pub fn excluding(names: &[&str]) -> Config {
    with(&format!("metrics: {{exclude: [{}]}}", names.join(", ")))
}

/// A configuration with this section.
pub fn with(section: &str) -> Config {
    let tenants = "tenants: [{name: a, tenant_id: a.example, credential: {type: azure_cli}}]";
    let text = format!("{tenants}\n{section}\n");
    let (config, _) = Config::parse(&text, "exporter.yml").expect("it is valid");
    config
}

/// A text of metrics without the families of these names, in either format.
pub fn without(text: &str, names: &[&str]) -> String {
    let is_one = |family: &str| {
        let mut excluded = catalog::all().filter(|metric| names.contains(&metric.name));
        excluded.any(|metric| metric.name == family || metric.family() == family)
    };
    let mut skipped = false;
    let kept = text.split_inclusive('\n').filter(|line| {
        if let Some(header) = line.strip_prefix("# HELP ") {
            skipped = header.split(' ').next().is_some_and(is_one);
        }
        !skipped || *line == "# EOF\n"
    });
    kept.collect()
}

/// Replaces `exporter.yml` in `folder`.
pub fn write_text(folder: &Path, text: &str) {
    let draft = folder.join("draft.yml");
    fs::write(&draft, text).expect("the folder can be written");
    fs::rename(draft, folder.join("exporter.yml")).expect("the folder can be written");
}
