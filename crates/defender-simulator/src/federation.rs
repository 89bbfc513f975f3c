//! Federated assertions: tokens of another issuer, such as a Kubernetes cluster, checked as
//! Entra checks them: issuer, subject, audience, time, and an RS256 signature by one of the issuer's keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use exporter_clock::Timestamp;

/// A federated identity credential of an application.
#[derive(Clone, Debug)]
pub struct Federation {
    /// Who issues the tokens, as in `iss`.
    pub issuer: String,
    /// For whom, as in `sub`: `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// For which recipient, as one of `aud`.
    pub audience: String,
    /// The issuer's keys: a JSON Web Key Set.
    pub keys: Value,
}

impl Federation {
    /// Whether a token signs the application in, at `now`.
    ///
    /// # Errors
    ///
    /// The `AADSTS` code, and what Entra says.
    pub(super) fn check(&self, token: &str, now: Timestamp) -> Result<(), (u32, &'static str)> {
        const MALFORMED: (u32, &str) = (50_027, "JWT token is invalid or malformed.");
        let (message, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = message.split_once('.').ok_or(MALFORMED)?;
        let signature = bytes(signature).ok_or(MALFORMED)?;
        let [header, claims] = [header, claims].map(part);
        let (header, claims) = (header.ok_or(MALFORMED)?, claims.ok_or(MALFORMED)?);
        if claims["iss"] != *self.issuer {
            let text =
                "No matching federated identity record found for presented assertion issuer.";
            return Err((700_211, text));
        }
        if claims["sub"] != *self.subject {
            let text =
                "No matching federated identity record found for presented assertion subject.";
            return Err((700_213, text));
        }
        let audiences = claims["aud"].as_array().map_or(&[][..], Vec::as_slice);
        if claims["aud"] != *self.audience && !audiences.iter().any(|one| *one == *self.audience) {
            let text =
                "No matching federated identity record found for presented assertion audience.";
            return Err((700_212, text));
        }
        if header["alg"] != "RS256" || !self.signed(&header["kid"], message, &signature) {
            return Err((50_013, "Assertion failed signature validation."));
        }
        let now = now.unix_millis() / 1000;
        // Entra allows five minutes of clock skew.
        let begun = claims["nbf"]
            .as_i64()
            .is_none_or(|begin| begin <= now + 300);
        if !begun || claims["exp"].as_i64().is_none_or(|end| end + 300 < now) {
            let text = "Client assertion is not within its valid time range.";
            return Err((700_024, text));
        }
        Ok(())
    }

    fn signed(&self, id: &Value, message: &str, signature: &[u8]) -> bool {
        let keys = self.keys["keys"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(key) = keys.iter().find(|key| key["kid"] == *id) else {
            return false;
        };
        let number = |name: &str| key[name].as_str().and_then(bytes);
        let (Some(n), Some(e)) = (number("n"), number("e")) else {
            return false;
        };
        RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), signature)
            .is_ok()
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&bytes(text)?).ok()
}

#[cfg(test)]
mod tests {
    use rustls::SignatureScheme;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use serde_json::json;
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    use x509_parser::public_key::PublicKey;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

    /// The public part of the key in `testdata`, as an issuer publishes it.
    fn keys() -> Value {
        let pem = include_bytes!("testdata/certificate.pem");
        let der = rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let PublicKey::RSA(key) = certificate.public_key().parsed().unwrap() else {
            panic!("expected an RSA key");
        };
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0).unwrap();
            URL_SAFE_NO_PAD.encode(&bytes[start..])
        };
        json!({ "keys": [
            { "kid": "old", "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            { "kid": "new", "kty": "RSA", "n": number(key.modulus), "e": number(key.exponent) },
        ]})
    }

    fn sign(header: &Value, claims: &Value) -> String {
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("testdata/key.pem")).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signature = signer.unwrap().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_token_of_the_issuer_is_checked_in_full() {
        let federation = Federation {
            issuer: "https://kubernetes.default.svc".to_owned(),
            subject: "system:serviceaccount:default:exporter".to_owned(),
            audience: "api://AzureADTokenExchange".to_owned(),
            keys: keys(),
        };
        let header = json!({ "alg": "RS256", "kid": "new" });
        let claims = json!({
            "iss": federation.issuer, "sub": federation.subject, "aud": [federation.audience],
            "nbf": 1_700_000_000, "exp": 1_700_003_600,
        });
        let code = |token: &str| federation.check(token, NOW).err().map(|(code, _)| code);
        let good = sign(&header, &claims);
        assert_eq!(code(&good), None);
        assert_eq!(code("no"), Some(50_027));
        let (message, _) = good.rsplit_once('.').unwrap();
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode([7; 256]));
        assert_eq!(code(&forged), Some(50_013));
        for (name, value, expected) in [
            ("iss", json!("https://elsewhere"), 700_211),
            (
                "sub",
                json!("system:serviceaccount:other:exporter"),
                700_213,
            ),
            ("aud", json!(["https://kubernetes.default.svc"]), 700_212),
            ("exp", json!(1_699_990_000), 700_024),
            ("exp", Value::Null, 700_024),
            ("nbf", json!(1_700_009_000), 700_024),
        ] {
            let mut claims = claims.clone();
            claims[name] = value;
            assert_eq!(code(&sign(&header, &claims)), Some(expected), "{name}");
        }
        for (name, value) in [("kid", "old"), ("kid", "none"), ("alg", "none")] {
            let mut header = header.clone();
            header[name] = json!(value);
            assert_eq!(code(&sign(&header, &claims)), Some(50_013), "{name}");
        }
    }
}
