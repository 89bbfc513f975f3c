//! The certificate authority of the https face: good certificates, and such as no
//! client should accept.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

/// The protocols that are offered.
const BOTH: [&str; 2] = ["h2", "http/1.1"];

/// What the servers of a simulator show.
#[derive(Clone)]
pub(super) struct Certificates {
    /// The authority, as PEM.
    pub(super) ca_pem: String,
    /// For `localhost`, 127.0.0.1 and the names of the options.
    pub(super) good: TlsAcceptor,
    /// The same, for HTTP/1.1 alone.
    pub(super) http1: TlsAcceptor,
    /// For another name.
    pub(super) wrong_name: TlsAcceptor,
    /// Ended in 2021.
    pub(super) expired: TlsAcceptor,
    /// Of an authority that nobody trusts.
    pub(super) unknown_issuer: TlsAcceptor,
}

impl Certificates {
    /// A new authority, with certificates for these names besides the local ones.
    pub(super) fn new(more: &[String]) -> io::Result<Self> {
        let ours = authority("Simulated Root")?;
        let stranger = authority("Untrusted Root")?;
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        names.extend_from_slice(more);
        let good = CertificateParams::new(names).map_err(io::Error::other)?;
        let other = vec!["elsewhere.example".to_owned()];
        let other = CertificateParams::new(other).map_err(io::Error::other)?;
        let mut expired = good.clone();
        (expired.not_before, expired.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        Ok(Self {
            ca_pem: ours.pem(),
            unknown_issuer: acceptor(&good, &stranger, &BOTH)?,
            good: acceptor(&good, &ours, &BOTH)?,
            http1: acceptor(&good, &ours, &BOTH[1..])?,
            wrong_name: acceptor(&other, &ours, &BOTH)?,
            expired: acceptor(&expired, &ours, &BOTH)?,
        })
    }
}

fn authority(name: &str) -> io::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    CertifiedIssuer::self_signed(authority, key).map_err(io::Error::other)
}

fn acceptor(
    leaf: &CertificateParams,
    authority: &CertifiedIssuer<'static, KeyPair>,
    protocols: &[&str],
) -> io::Result<TlsAcceptor> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = leaf.signed_by(&key, authority).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .map_err(io::Error::other)?;
    config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
