//! Client assertions signed with a registered certificate, checked in full:
//! PS256, the certificate's SHA-256 thumbprint, the claims, and the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::crypto::{ring, verify_tls12_signature};
use rustls::internal::msgs::codec::{Codec as _, Reader};
use rustls::pki_types::CertificateDer;
use rustls::{DigitallySignedStruct, SupportedCipherSuite};
use serde_json::Value;

use super::TenantIdentity;
use exporter_clock::Timestamp;

/// The code point of `rsa_pss_rsae_sha256` in TLS: what JWT calls PS256.
const PS256: [u8; 2] = [0x08, 0x04];

/// Whether an assertion signs the application in, at `now`.
///
/// # Errors
///
/// The `AADSTS` code, and what Entra says.
pub(super) fn check(
    assertion: &str,
    identity: &TenantIdentity,
    certificates: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), (u32, &'static str)> {
    const MALFORMED: (u32, &str) = (50_027, "JWT token is invalid or malformed.");
    const UNKNOWN: (u32, &str) = (
        700_027,
        "The certificate with identifier used to sign the client assertion is not registered on application.",
    );
    let (message, signature) = assertion.rsplit_once('.').ok_or(MALFORMED)?;
    let (header, claims) = message.split_once('.').ok_or(MALFORMED)?;
    let header = part(header).ok_or(MALFORMED)?;
    let claims = part(claims).ok_or(MALFORMED)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| MALFORMED)?;
    let thumbprint = header["x5t#S256"].as_str().ok_or(MALFORMED)?;
    let known = certificates.iter();
    let certificate = known
        .clone()
        .find(|der| sha256(der).is_some_and(|hash| URL_SAFE_NO_PAD.encode(hash) == thumbprint))
        .ok_or(UNKNOWN)?;
    if header["alg"] != "PS256" || !signed(message, &signature, certificate) {
        return Err((
            700_027,
            "Client assertion failed signature validation. [Reason - The key was found, but use of the key to verify the signature failed.]",
        ));
    }
    if claims["iss"] != *identity.client_id || claims["sub"] != *identity.client_id {
        return Err((
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        ));
    }
    let path = format!("/{}/oauth2/v2.0/token", identity.tenant_id);
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !audience.starts_with("https://") || !audience.ends_with(&path) {
        return Err((
            700_023,
            "Client assertion audience claim does not match Realm issuer.",
        ));
    }
    let now = now.unix_millis() / 1000;
    // Entra allows five minutes of clock skew.
    let begun = claims["nbf"]
        .as_i64()
        .is_none_or(|begin| begin <= now + 300);
    let ended = claims["exp"].as_i64().is_none_or(|end| end + 300 < now);
    if !begun || ended {
        return Err((
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    if !claims["jti"].is_string() {
        return Err(MALFORMED);
    }
    Ok(())
}

fn part(text: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn sha256(bytes: &[u8]) -> Option<Vec<u8>> {
    match ring::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => {
            Some(suite.common.hash_provider.hash(bytes).as_ref().to_vec())
        }
        SupportedCipherSuite::Tls12(_) => None,
    }
}

/// Verifies as TLS does, whose signatures are made the same way.
fn signed(message: &str, signature: &[u8], certificate: &[u8]) -> bool {
    let Ok(length) = u16::try_from(signature.len()) else {
        return false;
    };
    let wire = [&PS256, &length.to_be_bytes()[..], signature].concat();
    let Ok(signature) = DigitallySignedStruct::read(&mut Reader::init(&wire)) else {
        return false;
    };
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let certificate = CertificateDer::from(certificate);
    verify_tls12_signature(message.as_bytes(), &certificate, &signature, &algorithms).is_ok()
}

#[cfg(test)]
mod tests {
    use rustls::SignatureScheme;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

    fn certificate() -> Vec<u8> {
        let pem = include_bytes!("testdata/certificate.pem");
        CertificateDer::from_pem_slice(pem).unwrap().to_vec()
    }

    fn identity() -> TenantIdentity {
        TenantIdentity {
            tenant_id: "tenant".to_owned(),
            client_id: "client".to_owned(),
            client_secret: String::new(),
            assertion: String::new(),
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "client", "sub": "client", "jti": "1",
            "aud": "https://localhost:1/tenant/oauth2/v2.0/token",
            "nbf": 1_700_000_000, "exp": 1_700_000_600,
        })
    }

    fn sign(claims: &Value) -> String {
        let thumbprint = URL_SAFE_NO_PAD.encode(sha256(&certificate()).unwrap());
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
        let parts = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("testdata/key.pem")).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]);
        let signature = signer.unwrap().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn code(assertion: &str) -> Option<u32> {
        let known = [certificate()];
        check(assertion, &identity(), &known, NOW)
            .err()
            .map(|(code, _)| code)
    }

    #[test]
    fn a_signed_assertion_is_checked_in_full() {
        let good = sign(&claims());
        assert_eq!(code(&good), None);
        assert_eq!(code("no"), Some(50_027));
        let unknown = check(&good, &identity(), &[], NOW).unwrap_err();
        assert_eq!(unknown.0, 700_027);
        let (message, _) = good.rsplit_once('.').unwrap();
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode([7; 256]));
        assert_eq!(code(&forged), Some(700_027));
        for (name, value, expected) in [
            ("sub", json!("other"), 700_021),
            (
                "aud",
                json!("https://localhost:1/other/oauth2/v2.0/token"),
                700_023,
            ),
            ("exp", json!(1_699_990_000), 700_024),
            ("nbf", json!(1_700_009_000), 700_024),
            ("jti", Value::Null, 50_027),
        ] {
            let mut claims = claims();
            claims[name] = value;
            assert_eq!(code(&sign(&claims)), Some(expected), "{name}");
        }
    }
}
