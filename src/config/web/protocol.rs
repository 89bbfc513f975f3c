//! Versions, cipher suites and curves of TLS, out of those that the library has.
//!
//! What it lacks is a mistake, never silently something else: TLS 1.0 and 1.1,
//! cipher suites without forward secrecy or with CBC, and P-521.

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::super::mistake::{Report, expected};
use super::super::node::{Section, Value};
use super::{Reported, boolean};

/// Cipher suites of Go's `tls.CipherSuites()` that the library lacks.
const LACKING_SUITES: [&str; 8] = [
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// What may be agreed with a client.
pub(super) struct Protocol {
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    /// Of TLS 1.2; empty: all.
    suites: Vec<SupportedCipherSuite>,
    /// Empty: all.
    groups: Vec<&'static dyn SupportedKxGroup>,
    pub(super) prefer_server: bool,
}

impl Protocol {
    pub(super) fn read(section: &mut Section<'_>, report: &mut Report) -> Result<Self, Reported> {
        let versions = versions(section, report);
        let suites = section
            .take("cipher_suites")
            .map_or(Some(Vec::new()), |value| suites(&value, report));
        let groups = section
            .take("curve_preferences")
            .map_or(Some(Vec::new()), |value| groups(&value, report));
        let prefer_server = section
            .take("prefer_server_cipher_suites")
            .map_or(Some(true), |value| boolean(&value, report));
        let all = || {
            Some(Self {
                versions: versions?,
                suites: suites?,
                groups: groups?,
                prefer_server: prefer_server?,
            })
        };
        all().ok_or(Reported)
    }

    /// The library's parts. Suites of TLS 1.3 are always there, as in Go.
    pub(super) fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if !self.suites.is_empty() {
            let newest = |suite: &SupportedCipherSuite| suite.tls13().is_some();
            provider.cipher_suites.retain(newest);
            let older = self.suites.iter().filter(|suite| !newest(suite));
            provider.cipher_suites.extend(older.copied());
        }
        if !self.groups.is_empty() {
            provider.kx_groups.clone_from(&self.groups);
        }
        provider
    }
}

fn versions(
    section: &mut Section<'_>,
    report: &mut Report,
) -> Option<Vec<&'static SupportedProtocolVersion>> {
    const ALL: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
    let mut bound = |key, default| match section.take(key) {
        None => Some((default, None)),
        Some(value) => {
            let what = "`TLS12` or `TLS13`";
            let advice = "raise it: this exporter does not speak older versions";
            let index = value.parse(report, what, advice, |text| match text {
                "TLS12" => Some(0),
                "TLS13" => Some(1),
                _ => None,
            })?;
            Some((index, Some(value)))
        }
    };
    let (low, high) = (bound("min_version", 0), bound("max_version", 1));
    let ((low, _), (high, value)) = (low?, high?);
    if low > high {
        let text = expected(
            "`max_version` not below `min_version`",
            "no version that is allowed",
            "swap them",
        );
        if let Some(value) = value {
            value.mistake(report, text);
        }
        return None;
    }
    Some(ALL[low..=high].to_vec())
}

/// As the file and Go name it; the library calls those of TLS 1.3 otherwise.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

fn suites(value: &Value<'_>, report: &mut Report) -> Option<Vec<SupportedCipherSuite>> {
    let mut found = Vec::new();
    let mut good = true;
    for item in value.list(report, "a list of cipher suites") {
        let text = item.text(report, "a cipher suite");
        let known = ring::DEFAULT_CIPHER_SUITES.iter();
        let suite = text.and_then(|text| known.clone().find(|suite| suite_name(suite) == text));
        if let Some(suite) = suite {
            found.push(*suite);
            continue;
        }
        good = false;
        if text.is_some_and(|text| LACKING_SUITES.contains(&text)) {
            let text = expected(
                "a cipher suite with forward secrecy and authenticated encryption",
                "one without, which this exporter lacks",
                "remove it; docs/web.md lists those that there are",
            );
            item.mistake(report, text);
        } else if text.is_some() {
            let advice = "docs/web.md lists those that there are";
            let text = expected("a cipher suite", "an unknown one", advice);
            item.mistake(report, text);
        }
    }
    (good && value.is_list()).then_some(found)
}

fn groups(value: &Value<'_>, report: &mut Report) -> Option<Vec<&'static dyn SupportedKxGroup>> {
    let mut found = Vec::new();
    let mut good = true;
    for item in value.list(report, "a list of curves") {
        let what = "`X25519`, `CurveP256` or `CurveP384`";
        let advice = "write one of them; this exporter lacks `CurveP521`";
        let name = item.parse(report, what, advice, |text| match text {
            "X25519" => Some(NamedGroup::X25519),
            "CurveP256" => Some(NamedGroup::secp256r1),
            "CurveP384" => Some(NamedGroup::secp384r1),
            _ => None,
        });
        let known = ring::ALL_KX_GROUPS.iter();
        match name.and_then(|name| known.clone().find(|group| group.name() == name)) {
            Some(group) => found.push(*group),
            None => good = false,
        }
    }
    (good && value.is_list()).then_some(found)
}
