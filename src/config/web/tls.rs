//! `tls_server_config` → a checked configuration of the TLS library.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};

use super::super::mistake::{Report, expected};
use super::super::node::{Section, Value};
use super::boolean;
use super::client::{ClientAuth, verifier};
use super::protocol::{groups, provider, suites, versions};
use super::source::Source;

/// What a key with PEM text says, in the file that it names or by itself.
struct Pem<'n> {
    value: Value<'n>,
    /// `None`, if files are not looked at.
    content: Option<Vec<u8>>,
}

/// `Some(None)`: no TLS.
pub(super) fn read(
    value: &Value<'_>,
    report: &mut Report,
    source: &mut Source<'_>,
    http2: bool,
) -> Option<Option<Arc<ServerConfig>>> {
    let mut section = value.section(report, "a mapping")?;
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
    let versions = versions(&mut section, report);
    let suites = section
        .take("cipher_suites")
        .map_or(Some(Vec::new()), |value| suites(&value, report));
    let groups = section
        .take("curve_preferences")
        .map_or(Some(Vec::new()), |value| groups(&value, report));
    let prefer = section
        .take("prefer_server_cipher_suites")
        .map_or(Some(true), |value| boolean(&value, report));
    section.finish(report);

    let (certificate, key, authority) = (certificate?, key?, authority?);
    let (client_auth, client_auth_given) = client_auth?;
    if let Some((names, value)) = &sans {
        check_names(names, client_auth, value, report);
    }
    if certificate.is_none() && key.is_none() && authority.is_none() && !client_auth_given {
        let text = "there is no `cert_file`, so TLS is off and this section has no effect";
        value.warn(report, text.to_owned());
        return Some(None);
    }
    for (part, name) in [(&certificate, "cert_file"), (&key, "key_file")] {
        if part.is_none() {
            let what = "a file in PEM";
            let text = expected(what, "nothing", &format!("add `{name}: …`"));
            value.mistake(report, text);
        }
    }
    if let Some(authority) = &authority
        && client_auth == ClientAuth::NoClientCert
    {
        let text = expected(
            "a `client_auth_type` that asks for certificates",
            "none, so that this has no use",
            "add `client_auth_type: RequireAndVerifyClientCert`",
        );
        authority.value.mistake(report, text);
    }
    let roots = roots(authority.as_ref(), client_auth, value, report);
    let chain = certificate.map(|pem| chain(&pem, report));
    let private = key.map(|pem| private_key(&pem, report));
    let sans = sans.and_then(|(names, _)| names).unwrap_or_default();
    let (chain, private, roots) = (chain??, private??, roots?);
    let (versions, suites, groups, ignore_client_order) = (versions?, suites?, groups?, prefer?);
    let (Some(chain), Some(private), Some(roots)) = (chain, private, roots) else {
        return Some(None);
    };

    let provider = Arc::new(provider(&suites, groups));
    let mistake = |report: &mut Report, error: &dyn std::fmt::Display| {
        let found = format!("that the TLS library refuses it: {error}");
        let advice = "check that key and certificate belong together, and that the key is RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519";
        value.mistake(report, expected("a usable certificate", &found, advice));
    };
    let verifier = match verifier(client_auth, roots, sans, &provider) {
        Ok(verifier) => verifier,
        Err(error) => {
            mistake(report, &error);
            return None;
        }
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .and_then(|builder| {
            builder
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain, private)
        });
    match config {
        Ok(mut config) => {
            config.ignore_client_order = ignore_client_order;
            if http2 {
                config.alpn_protocols.push(b"h2".to_vec());
            }
            config.alpn_protocols.push(b"http/1.1".to_vec());
            Some(Some(Arc::new(config)))
        }
        Err(error) => {
            mistake(report, &error);
            None
        }
    }
}

/// Of two keys for the same, the file wins, as in exporter-toolkit.
fn pem<'n>(
    section: &mut Section<'n>,
    report: &mut Report,
    source: &mut Source<'_>,
    [file_key, inline_key]: [&'static str; 2],
) -> Option<Option<Pem<'n>>> {
    let filled = |value: Option<Value<'n>>, report: &mut Report, what| match value {
        None => Some(None),
        Some(value) => {
            let text = value.text(report, what)?;
            Some((!text.is_empty()).then_some((value, text)))
        }
    };
    let file = filled(section.take(file_key), report, "a file's path");
    let inline = filled(section.take(inline_key), report, "text in PEM");
    let (file, inline) = (file?, inline?);
    let Some((value, name)) = file else {
        return Some(inline.map(|(value, text)| Pem {
            value,
            content: Some(text.as_bytes().to_vec()),
        }));
    };
    if let Some((inline, _)) = inline {
        let text = format!("has no effect beside `{file_key}`; remove one of them");
        inline.warn(report, text);
    }
    let content = match source.named(name) {
        None => None,
        Some((_, Ok(content))) => Some(content),
        Some((path, Err(error))) => {
            let found = format!("`{}`: {error}", path.display());
            let advice = "check that it exists and who may read it";
            value.mistake(report, expected("a readable file", &found, advice));
            return None;
        }
    };
    Some(Some(Pem { value, content }))
}

/// The policy, and whether one was given.
fn client_auth(section: &mut Section<'_>, report: &mut Report) -> Option<(ClientAuth, bool)> {
    let Some(value) = section.take("client_auth_type") else {
        return Some((ClientAuth::NoClientCert, false));
    };
    let what = "`NoClientCert`, `RequestClientCert`, `RequireAnyClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`";
    let auth = value.parse(report, what, "write one of them", ClientAuth::read)?;
    let given = value
        .text(report, what)
        .is_some_and(|text| !text.is_empty());
    Some((auth, given))
}

/// Names of clients are of no use unless every client has to show some.
fn check_names(
    names: &Option<Vec<String>>,
    auth: ClientAuth,
    value: &Value<'_>,
    report: &mut Report,
) {
    if names.as_ref().is_some_and(Vec::is_empty) && value.is_list() {
        let text = expected(
            "at least one name",
            "an empty list",
            "add one, or remove it",
        );
        value.mistake(report, text);
    }
    if !auth.is_required() {
        let text = expected(
            "`client_auth_type` to be `RequireAndVerifyClientCert` or `RequireAnyClientCert`",
            "one with which a client need not have a certificate",
            "set it, or remove this",
        );
        value.mistake(report, text);
    } else if !auth.verifies() {
        let text = "certificates are not verified, so a client can give itself any of these names; set `client_auth_type: RequireAndVerifyClientCert`";
        value.warn(report, text.to_owned());
    }
}

fn texts(value: &Value<'_>, report: &mut Report, what: &str) -> Option<Vec<String>> {
    let items = value.list(report, what);
    let texts = items.iter().map(|item| item.text(report, "a single value"));
    texts.map(|text| text.map(str::to_owned)).collect()
}

/// The roots for client certificates; without any of our own, the system's.
/// `Some(None)`, if files are not looked at.
#[expect(
    clippy::option_option,
    reason = "a mistake is not the same as a file that is not read"
)]
fn roots(
    authority: Option<&Pem<'_>>,
    auth: ClientAuth,
    section: &Value<'_>,
    report: &mut Report,
) -> Option<Option<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = authority else {
        if auth.verifies() {
            let text = "there is no `client_ca_file`: every certificate under one of the system's roots is let in";
            section.warn(report, text.to_owned());
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                let advice = "add a `client_ca_file`";
                section.mistake(report, expected("root certificates", "none", advice));
                return None;
            }
        }
        return Some(Some(roots));
    };
    let Some(content) = &pem.content else {
        return Some(None);
    };
    let certificates = CertificateDer::pem_slice_iter(content).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        let what = "certificates in PEM, of those who sign the clients'";
        let advice = "convert them with `openssl x509 -inform der`";
        pem.value.mistake(report, expected(what, "none", advice));
        return None;
    }
    Some(Some(roots))
}

/// `Some(None)`, if files are not looked at.
#[expect(
    clippy::option_option,
    reason = "a mistake is not the same as a file that is not read"
)]
fn chain(pem: &Pem<'_>, report: &mut Report) -> Option<Option<Vec<CertificateDer<'static>>>> {
    let Some(content) = &pem.content else {
        return Some(None);
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(Some(certificates)),
        _ => {
            let what = "certificates in PEM, the server's first";
            let advice = "convert them with `openssl x509 -inform der`";
            pem.value.mistake(report, expected(what, "none", advice));
            None
        }
    }
}

#[expect(
    clippy::option_option,
    reason = "a mistake is not the same as a file that is not read"
)]
fn private_key(pem: &Pem<'_>, report: &mut Report) -> Option<Option<PrivateKeyDer<'static>>> {
    let Some(content) = &pem.content else {
        return Some(None);
    };
    let key = PrivateKeyDer::from_pem_slice(content);
    if key.is_err() {
        let what = "a private key in PEM, without a passphrase";
        let advice = "convert it with `openssl pkey`";
        pem.value.mistake(report, expected(what, "none", advice));
    }
    key.ok().map(Some)
}
