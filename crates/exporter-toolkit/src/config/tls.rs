//! `tls_server_config` → a checked configuration of the TLS library.

use std::sync::Arc;

use config_report::{ConfigReport, Mapping, Reported, YamlValue, expected};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::client::{ClientAuth, Trusted, verifier};
use super::protocol::Protocol;
use super::source::Source;
use crate::small_file;

/// What a key with PEM text says, in the file that it names or by itself.
struct Pem<'n> {
    value: YamlValue<'n>,
    /// `None`, if files are not looked at.
    content: Option<Vec<u8>>,
}

/// The checked `tls_server_config`.
pub(super) struct Tls {
    pub(super) server: Arc<ServerConfig>,
    /// Whether clients must show a certificate; `None`: the file does not say.
    pub(super) client_certificates: Option<bool>,
}

/// `Ok(None)`: no TLS, or files are not looked at.
pub(super) fn read<'n>(
    value: &YamlValue<'n>,
    report: &mut ConfigReport,
    source: &mut Source<'_>,
    http2: bool,
) -> Result<Option<Tls>, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let certificate = pem(&mut section, report, source, ["cert_file", "cert"]);
    let key = pem(&mut section, report, source, ["key_file", "key"]);
    let authority = pem(
        &mut section,
        report,
        source,
        ["client_ca_file", "client_ca"],
    );
    let client_auth = client_auth(&mut section, report);
    let sans = section.take("client_allowed_sans");
    let sans = sans.map(|value| (texts(&value, report, "a list of names"), value));
    let protocol = Protocol::read(&mut section, report);
    section.finish(report);

    let is_absent = |pem: &Result<Option<Pem<'_>>, Reported>| matches!(pem, Ok(None));
    let none = [&certificate, &key, &authority].into_iter().all(is_absent);
    if none && matches!(client_auth, Ok((_, false))) {
        if let Some((names, value)) = &sans {
            check_names(names, ClientAuth::NoClientCert, value, report);
        }
        let text = "there is no `cert_file`, so TLS is off and this section has no effect";
        value.warn(report, text);
        return protocol.map(|_| None);
    }
    let required = |pem: Result<Option<Pem<'n>>, _>, name, report: &mut ConfigReport| {
        let advice = format!("add `{name}: …`");
        let missing = || expected("a file in PEM", "nothing", &advice);
        pem.and_then(|pem| pem.ok_or_else(|| value.error(report, missing())))
    };
    // Each is judged by itself, so that a mistake in one hides none in another.
    let chain = required(certificate, "cert_file", report).and_then(|pem| chain(&pem, report));
    let private = required(key, "key_file", report).and_then(|pem| private_key(&pem, report));
    if let (Some((names, value)), Ok((auth, _))) = (&sans, &client_auth) {
        check_names(names, *auth, value, report);
    }
    let trusted = match (authority, &client_auth) {
        (Err(reported), _) => Err(reported),
        (Ok(None), Err(reported)) => Err(*reported),
        (Ok(authority), auth) => {
            if let (Some(authority), Ok((ClientAuth::NoClientCert, _))) = (&authority, auth) {
                let text = expected(
                    "a `client_auth_type` that asks for certificates",
                    "none, so this has no effect",
                    "add `client_auth_type: RequireAndVerifyClientCert`",
                );
                authority.value.error(report, text);
            }
            let auth = auth.map_or(ClientAuth::NoClientCert, |(auth, _)| auth);
            trusted(authority.as_ref(), auth, value, report)
        }
    };
    let (client_auth, client_auth_given) = client_auth?;
    let names = sans.and_then(|(names, _)| names.ok()).unwrap_or_default();
    let (Some(chain), Some(private), Some(trusted)) = (chain?, private?, trusted?) else {
        return Ok(None);
    };
    let protocol = protocol?;
    let provider = Arc::new(protocol.provider());
    let certified = certified(chain, private, &provider).map_err(|error| error.to_string());
    let verifier = verifier(client_auth, trusted, names, &provider);
    let verifier = verifier.map_err(|error| error.to_string());
    let built = certified
        .and_then(|certified| Ok((certified, verifier?)))
        .and_then(|(certified, verifier)| {
            ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&protocol.versions)
                .map(|builder| {
                    builder
                        .with_client_cert_verifier(verifier)
                        .with_cert_resolver(certified)
                })
                .map_err(|error| error.to_string())
        });
    let mut config = built.map_err(|error| {
        let found = format!("what the TLS library refuses: {error}");
        let advice = "check that key and certificate belong together, and that the key is RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519";
        value.error(report, expected("a usable certificate", &found, advice))
    })?;
    config.ignore_client_order = protocol.prefer_server;
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Some(Tls {
        server: Arc::new(config),
        client_certificates: client_auth_given.then(|| client_auth.is_required()),
    }))
}

/// The certificate with its key. Which belong together is compared here: the library reads no
/// certificate of X.509 version 1, which servers may have all the same.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, rustls::Error> {
    let key = provider.key_provider.load_private_key(private)?;
    let first = chain.first().ok_or(CertificateError::BadEncoding)?;
    let (_, certificate) =
        X509Certificate::from_der(first).map_err(|_| CertificateError::BadEncoding)?;
    let public = key.public_key();
    if public.is_some_and(|public| *public != *certificate.public_key().raw) {
        return Err(InconsistentKeys::KeyMismatch.into());
    }
    Ok(Arc::new(CertifiedKey::new(chain, key).into()))
}

/// Of two keys for the same, the file wins, as in exporter-toolkit.
fn pem<'n>(
    section: &mut Mapping<'n>,
    report: &mut ConfigReport,
    source: &mut Source<'_>,
    [file_key, inline_key]: [&'static str; 2],
) -> Result<Option<Pem<'n>>, Reported> {
    let filled = |value: Option<YamlValue<'n>>, report: &mut ConfigReport, what| match value {
        None => Ok(None),
        Some(value) => {
            let text = value.text(report, what)?;
            Ok((!text.is_empty()).then_some((value, text)))
        }
    };
    let file = filled(section.take(file_key), report, "a file's path");
    let inline = filled(section.take(inline_key), report, "text in PEM");
    let (file, inline) = (file?, inline?);
    let Some((value, name)) = file else {
        return Ok(inline.map(|(value, text)| Pem {
            value,
            content: Some(text.as_bytes().to_vec()),
        }));
    };
    if let Some((inline, _)) = inline {
        let text = format!("has no effect beside `{file_key}`; remove one of them");
        inline.warn(report, text);
    }
    // The text itself in the place of a path is not repeated: it may be a key.
    if name.contains(char::is_control) || name.contains("-----BEGIN") {
        let advice = format!("write the text under `{inline_key}`");
        let text = expected("a file's path", "other text", &advice);
        return Err(value.error(report, text));
    }
    let content = match source.named(name) {
        None => None,
        Some((_, Ok(content))) => Some(content),
        Some((path, Err(error))) => {
            let found = format!("`{}`: {error}", path.display());
            let advice = small_file::advice(&error);
            let text = expected("a readable file", &found, advice);
            return Err(value.error(report, text));
        }
    };
    Ok(Some(Pem { value, content }))
}

/// The policy, and whether one was given.
fn client_auth(
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
) -> Result<(ClientAuth, bool), Reported> {
    let Some(value) = section.take("client_auth_type") else {
        return Ok((ClientAuth::NoClientCert, false));
    };
    let what = "`NoClientCert`, `RequestClientCert`, `RequireAnyClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`";
    let auth = value.parse(report, what, "write one of them", ClientAuth::read)?;
    let given = value.text(report, what).is_ok_and(|text| !text.is_empty());
    Ok((auth, given))
}

/// Names of clients are of no use unless every client has to show some.
fn check_names(
    names: &Result<Vec<String>, Reported>,
    auth: ClientAuth,
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) {
    if names.as_ref().is_ok_and(Vec::is_empty) {
        let text = expected(
            "at least one name",
            "an empty list",
            "add one, or remove it",
        );
        value.error(report, text);
    }
    if !auth.is_required() {
        let text = expected(
            "`client_auth_type` to be `RequireAndVerifyClientCert` or `RequireAnyClientCert`",
            "one that does not require a client certificate",
            "set it, or remove this",
        );
        value.error(report, text);
    } else if !auth.verifies() {
        let text = "certificates are not verified, so a client can give itself any of these names; set `client_auth_type: RequireAndVerifyClientCert`";
        value.warn(report, text);
    }
}

fn texts(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    what: &str,
) -> Result<Vec<String>, Reported> {
    let items = value.list(report, what)?;
    let texts = items.iter().map(|item| item.text(report, "a single value"));
    texts.map(|text| text.map(str::to_owned)).collect()
}

/// Whom to believe about clients; without certificates of our own, the system's roots.
/// `Ok(None)`, if files are not looked at.
fn trusted(
    authority: Option<&Pem<'_>>,
    auth: ClientAuth,
    section: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<Option<Trusted>, Reported> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = authority else {
        if auth.verifies() {
            let text = "there is no `client_ca_file`: any certificate issued under one of the system's roots is accepted";
            section.warn(report, text);
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                let advice = "add a `client_ca_file`";
                let text = expected("root certificates", "none", advice);
                return Err(section.error(report, text));
            }
        }
        let pinned = Vec::new();
        return Ok(Some(Trusted { roots, pinned }));
    };
    let Some(content) = &pem.content else {
        return Ok(None);
    };
    let certificates = CertificateDer::pem_slice_iter(content).filter_map(Result::ok);
    let pinned: Vec<_> = certificates.collect();
    let (added, _) = roots.add_parsable_certificates(pinned.iter().cloned());
    if added == 0 {
        let what = "certificates in PEM of the authorities that sign client certificates";
        let advice = "convert them with `openssl x509 -inform der`";
        return Err(pem.value.error(report, expected(what, "none", advice)));
    }
    Ok(Some(Trusted { roots, pinned }))
}

/// `Ok(None)`, if files are not looked at.
fn chain(
    pem: &Pem<'_>,
    report: &mut ConfigReport,
) -> Result<Option<Vec<CertificateDer<'static>>>, Reported> {
    let Some(content) = &pem.content else {
        return Ok(None);
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates)),
        _ => {
            let what = "certificates in PEM, the server's first";
            let advice = "convert them with `openssl x509 -inform der`";
            Err(pem.value.error(report, expected(what, "none", advice)))
        }
    }
}

fn private_key(
    pem: &Pem<'_>,
    report: &mut ConfigReport,
) -> Result<Option<PrivateKeyDer<'static>>, Reported> {
    let Some(content) = &pem.content else {
        return Ok(None);
    };
    PrivateKeyDer::from_pem_slice(content)
        .map(Some)
        .map_err(|_| {
            let what = "a private key in PEM, without a passphrase";
            let advice = "convert it with `openssl pkey`";
            pem.value.error(report, expected(what, "none", advice))
        })
}
