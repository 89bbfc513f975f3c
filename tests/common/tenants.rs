//! One tenant of the simulator, signed in to as a test likes, and tokens for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use defender_simulator::{Draft, Outcome, Simulator};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use time::OffsetDateTime;

use super::{Exporter, Metrics, options};

/// Where the certificates of the tests are.
pub const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/certificates");

/// A simulator of one small tenant.
pub async fn simulator() -> Simulator {
    let mut options = options();
    (options.definitions, options.agents) = (3, 1);
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

/// A new definition of the first tenant that ran once, with success; returns its id.
pub fn run_by_hand(simulator: &Simulator) -> String {
    let mut world = simulator.world();
    let id = world.add_definition(0, Draft::manual("by hand"));
    let id = id.expect("there is a tenant");
    world.run_now(0, &id, Outcome::Success);
    id
}

/// A folder with `exporter.yml` for the first tenant of `simulator`, with that
/// credential and those further settings of `http`, both in YAML's flow style.
pub fn folder(simulator: &Simulator, credential: &str, http: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    configure(simulator, folder.path(), credential, http);
    folder
}

/// Writes `exporter.yml` into a folder.
pub fn configure(simulator: &Simulator, folder: &Path, credential: &str, http: &str) {
    let identity = simulator.tenant(0).expect("there is a tenant");
    let (id, url) = (identity.tenant_id, simulator.https_url());
    let ca = folder.join("ca.pem");
    fs::write(&ca, simulator.ca_pem()).expect("the folder can be written");
    let ca = ca.display();
    let text = format!(
        "tenants:\n  - name: contoso\n    tenant_id: {id}\n    api_base_url: {url}\n    authority_host: {url}\n    \
         credential: {{{credential}}}\n    poll: {{definitions: 1s, agents: 10s}}\n    \
         quota: {{per_minute: 200, per_hour: 3000, use: 50%}}\nhttp: {{ca_file: {ca}, timeout: 5s{http}}}\n"
    );
    fs::write(folder.join("exporter.yml"), text).expect("the folder can be written");
}

/// The tenant's client secret as a credential.
pub fn secret(simulator: &Simulator) -> String {
    let identity = simulator.tenant(0).expect("there is a tenant");
    let (id, secret) = (identity.client_id, identity.client_secret);
    format!("type: client_secret, client_id: {id}, client_secret: '{secret}'")
}

/// An exporter with that credential.
pub async fn exporter(simulator: &Simulator, credential: &str) -> Exporter {
    adjusted(simulator, credential, |_| ()).await
}

/// The same, with another environment.
pub async fn adjusted(
    simulator: &Simulator,
    credential: &str,
    adjust: impl FnOnce(&mut Command),
) -> Exporter {
    Exporter::start_adjusted(folder(simulator, credential, ""), adjust).await
}

/// Waits until it is signed in and has polled.
pub async fn is_up(exporter: &Exporter) {
    let tenant = ["tenant=\"contoso\""];
    exporter.shows("defender_up", &tenant, |up| up > 0.0).await;
    let Metrics(all) = exporter.metrics().await;
    assert!(all.contains("defender_scan_status_code{"), "{all}");
}

/// A token that the simulator gives for the tenant's secret, and its end in Unix time.
pub async fn token(simulator: &Simulator) -> (String, i64) {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let identity = simulator.tenant(0).expect("there is a tenant");
    let root = reqwest::Certificate::from_pem(simulator.ca_pem().as_bytes()).expect("it is PEM");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_merge([root])
        .build()
        .expect("a client can be made");
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        simulator.https_url(),
        identity.tenant_id
    );
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &identity.client_id)
        .append_pair("client_secret", &identity.client_secret)
        .append_pair("scope", "https://api.securitycenter.microsoft.com/.default")
        .finish();
    let answer = client
        .post(url)
        .body(form)
        .send()
        .await
        .expect("it answers");
    let body: serde_json::Value = answer.json().await.expect("it is JSON");
    let lifetime = body["expires_in"].as_i64().expect("it has a lifetime");
    let end = simulator.world().now().unix_millis() / 1_000 + lifetime;
    (
        body["access_token"]
            .as_str()
            .expect("there is one")
            .to_owned(),
        end,
    )
}

/// Registers the certificate in a PEM text with the tenant's application.
pub fn trust(simulator: &Simulator, pem: &str) {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is PEM");
    simulator.world().trust_certificate(0, &der);
}

/// The text of one of the tests' certificates or keys.
pub fn pem(name: &str) -> String {
    fs::read_to_string(Path::new(CERTIFICATES).join(name)).expect("it is there")
}

/// A certificate of the tests' key, and that key; it is valid between those Unix times.
pub fn certificate(begin: u32, end: u32) -> String {
    let key = pem("key.pem");
    let time = |seconds| OffsetDateTime::from_unix_timestamp(i64::from(seconds)).expect("a time");
    let mut made = CertificateParams::default();
    made.distinguished_name
        .push(DnType::CommonName, "For tests only");
    (made.not_before, made.not_after) = (time(begin), time(end));
    let pair = KeyPair::from_pem(&key).expect("it is a key");
    made.self_signed(&pair).expect("it is made").pem() + &key
}
