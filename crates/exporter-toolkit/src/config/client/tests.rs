use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::*;

#[test]
fn a_pinned_certificate_must_be_current_and_a_clients() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new([]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let (before, within, after) = (at(1_700_000_000), at(1_790_000_000), at(1_900_000_000));
    for (usages, taken) in [
        (vec![], true),
        (vec![ClientAuth], true),
        (vec![ServerAuth, ClientAuth], true),
        (vec![ServerAuth], false),
    ] {
        parameters.extended_key_usages = usages;
        let certificate = parameters.self_signed(&key).unwrap();
        assert_eq!(usable(certificate.der(), within).is_ok(), taken);
        assert!(usable(certificate.der(), before).is_err());
        assert!(usable(certificate.der(), after).is_err());
    }
}

/// A pinned certificate is public: its key is what lets a client in.
#[test]
fn who_shows_a_pinned_certificate_must_hold_its_key() {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = ["localhost", "client", "other"].map(|name| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = made.signing_key.serialize_der();
        (made.cert.der().clone(), PrivatePkcs8KeyDer::from(key))
    });
    let [(ours, our_key), (pinned, own_key), (_, other_key)] = made;
    let mut roots = RootCertStore::empty();
    roots.add(ours.clone()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (key, is_let_in) in [(&own_key, true), (&other_key, false)] {
            let mut trusted = RootCertStore::empty();
            trusted.add(pinned.clone()).unwrap();
            let trusted = Trusted {
                roots: trusted,
                pinned: vec![pinned.clone()],
            };
            let auth = ClientAuth::RequireAndVerifyClientCert;
            let verifier = verifier(auth, trusted, Vec::new(), &provider).unwrap();
            let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_client_cert_verifier(verifier)
                .with_single_cert(vec![ours.clone()], our_key.clone_key().into())
                .unwrap();
            let key = provider
                .key_provider
                .load_private_key(key.clone_key().into());
            let shown = CertifiedKey::new(vec![pinned.clone()], key.unwrap());
            let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
            let name = "localhost".try_into().unwrap();
            let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
            let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
            let mut shakes_hands = || {
                while server.is_handshaking() {
                    let mut bytes = Vec::new();
                    client.write_tls(&mut bytes).ok()?;
                    server.read_tls(&mut &*bytes).ok()?;
                    server.process_new_packets().ok()?;
                    bytes.clear();
                    server.write_tls(&mut bytes).ok()?;
                    client.read_tls(&mut &*bytes).ok()?;
                    client.process_new_packets().ok()?;
                }
                Some(())
            };
            assert_eq!(shakes_hands().is_some(), is_let_in, "{version:?}");
        }
    }
}

#[test]
fn all_kinds_of_alternative_names_are_read() {
    let names = ["a.example", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    let email = "scrape@a.example".try_into().unwrap();
    let uri = "spiffe://a.example/prometheus".try_into().unwrap();
    parameters
        .subject_alt_names
        .extend([rcgen::SanType::Rfc822Name(email), rcgen::SanType::URI(uri)]);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    assert_eq!(
        alternative_names(certificate.der()).unwrap(),
        [
            "a.example",
            "192.0.2.1",
            "2001:db8::1",
            "scrape@a.example",
            "spiffe://a.example/prometheus"
        ]
    );
    assert!(alternative_names(&CertificateDer::from(vec![1, 2, 3])).is_none());
}
