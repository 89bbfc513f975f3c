//! What the tests of the web side share: the real binary with a web
//! configuration, and certificates to go with it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, ClientBuilder, Identity};
use tempfile::TempDir;

use super::{PATIENCE, Process, binary, eventually};

/// One who signs certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
    /// The certificate alone, as it travels.
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::new([]).expect("no names are good names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = parameters.self_signed(&key).expect("it can be signed");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(parameters, key),
        }
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let parameters = CertificateParams::new(names).expect("the names are good");
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .expect("it can be signed");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

impl Issued {
    pub fn identity(&self) -> Identity {
        let pem = format!("{}{}", self.certificate, self.key);
        Identity::from_pem(pem.as_bytes()).expect("certificate and key are good")
    }
}

/// A client that trusts `authority` and opens a connection for each request.
pub fn client(authority: &Authority) -> ClientBuilder {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let root = Certificate::from_pem(authority.pem.as_bytes()).expect("the root is good");
    reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .pool_max_idle_per_host(0)
        .tls_certs_only([root])
}

/// A bcrypt hash of the least cost.
pub fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).expect("there is randomness")
}

/// The exporter with a simulated API, and a web configuration that tests may change.
pub struct Served {
    pub process: Process,
    pub port: u16,
}

impl Served {
    /// With a certificate of `authority` for 127.0.0.1 in `server.pem` and
    /// `server.key`, the root in `ca.pem`, and `text` as web configuration.
    pub async fn start(authority: &Authority, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let server = authority.issue(&["127.0.0.1", "localhost"]);
        let files = [
            ("server.pem", &server.certificate),
            ("server.key", &server.key),
            ("ca.pem", &authority.pem),
            ("web.yml", &text.to_owned()),
        ];
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("the folder can be written");
        }
        Self::start_with(folder, &["--web.config.file=web.yml"]).await
    }

    /// With these arguments, in `folder`.
    pub async fn start_with(folder: impl Into<Arc<TempDir>>, arguments: &[&str]) -> Self {
        let mut command = binary();
        command.args(["demo", "--web.listen-address=127.0.0.1:0"]);
        command.args(arguments);
        let process = Process::start(folder, &mut command);
        let port = eventually("the exporter listens", async || {
            ports(&process, "127.0.0.1").first().copied()
        })
        .await;
        Self { process, port }
    }

    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.process.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("the folder can be written");
    }

    /// The exit code of `healthcheck` against it.
    pub fn healthcheck(&self, scheme: &str) -> Option<i32> {
        healthcheck(&self.url(scheme, "/-/healthy"))
    }
}

/// The exit code of `healthcheck --url`.
pub fn healthcheck(url: &str) -> Option<i32> {
    let mut command: Command = binary();
    let output = command.args(["healthcheck", "--url", url]).output();
    output.expect("the program starts").status.code()
}

/// The ports at `host` that the log says are listened on.
pub fn ports(process: &Process, host: &str) -> Vec<u16> {
    let output = process.output();
    let whole = output.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let lines = whole.lines().filter(|line| line.contains("listening"));
    let port = |line: &str| {
        let after = line.split(&format!("{host}:")).nth(1)?;
        let end = after.find(|c: char| !c.is_ascii_digit());
        after[..end.unwrap_or(after.len())].parse().ok()
    };
    lines.filter_map(port).collect()
}
