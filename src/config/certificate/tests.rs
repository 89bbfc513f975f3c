//! Pairs that work. Those that do not are in `tests/config/bad`.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use time::OffsetDateTime;

use super::*;

const KEY: &str = include_str!("../../../tests/config/certificates/key.pem");

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config/certificates")
        .join(name)
}

fn read(certificate: &str, key: Option<&str>) -> Result<ClientCertificate, CertificateError> {
    ClientCertificate::blocking_read(&CertificateFiles {
        certificate: pem(certificate),
        key: key.map(pem),
    })
}

#[test]
fn a_key_may_be_in_the_file_or_apart_and_of_either_form() {
    let together = read("good.pem", None).unwrap();
    for key in ["key.pem", "key_pkcs1.pem"] {
        let apart = read("certificate.pem", Some(key)).unwrap();
        assert_eq!(apart.thumbprint(), together.thumbprint());
        assert_eq!(apart.end(), together.end());
    }
}

#[test]
fn of_a_chain_the_one_of_the_key_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let chain = folder.path().join("chain.pem");
    let text = ["other_certificate.pem", "certificate.pem", "key.pem"]
        .map(|name| fs::read_to_string(pem(name)).unwrap());
    fs::write(&chain, format!("Bag Attributes\n{}", text.concat())).unwrap();
    let files = CertificateFiles {
        certificate: chain,
        key: None,
    };
    let found = ClientCertificate::blocking_read(&files).unwrap();
    let wanted = read("good.pem", None).unwrap();
    assert_eq!(found.thumbprint(), wanted.thumbprint());
}

#[test]
fn the_time_is_checked_to_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pem");
    let mut made = CertificateParams::default();
    let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    (made.not_before, made.not_after) = (time(1_700_000_000), time(1_800_000_000));
    let made = made.self_signed(&KeyPair::from_pem(KEY).unwrap()).unwrap();
    fs::write(&file, made.pem() + KEY).unwrap();
    let files = CertificateFiles {
        certificate: file.clone(),
        key: None,
    };
    let found = ClientCertificate::blocking_read(&files).unwrap();
    let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1_000);
    assert_eq!(found.end(), at(1_800_000_000));
    for now in [1_700_000_000, 1_800_000_000] {
        found.check(at(now)).unwrap();
    }
    let path = file.display();
    for (now, expected) in [
        (
            1_699_999_999,
            format!(
                "expected a certificate that is valid now, but found one that is valid only from 2023-11-14T22:13:20Z in `{path}`; check this machine's clock, or use it later"
            ),
        ),
        (
            1_800_000_001,
            format!(
                "expected a certificate that is valid now, but found one that expired at 2027-01-15T08:00:00Z in `{path}`; create a new one and upload it to the application"
            ),
        ),
    ] {
        assert_eq!(found.check(at(now)).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_key_is_not_shown() {
    let shown = format!("{:?}", read("good.pem", None).unwrap());
    assert!(!shown.contains("key:"), "{shown}");
}

#[test]
fn a_certificate_with_something_behind_it_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pem");
    let text = fs::read_to_string(pem("certificate.pem")).unwrap();
    let (_, mut der) = sections(text.as_bytes()).next().unwrap();
    assert!(ParsedCertificate::read(der.clone()).is_some());
    der.push(0);
    assert!(ParsedCertificate::read(der.clone()).is_none());
    let armour = |base64: &str| {
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n{KEY}")
    };
    fs::write(&file, armour(&STANDARD.encode(&der))).unwrap();
    let files = CertificateFiles {
        certificate: file,
        key: None,
    };
    let error = ClientCertificate::blocking_read(&files)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("but found one that cannot be read in"),
        "{error}"
    );
}
