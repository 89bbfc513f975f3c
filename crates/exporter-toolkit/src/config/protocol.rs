//! Versions, cipher suites and curves of TLS, out of those that the library has.
//!
//! What it lacks is an error, never silently something else: TLS 1.0 and 1.1,
//! cipher suites without forward secrecy or with CBC, and P-521.

use config_report::{ConfigReport, Mapping, Reported, YamlValue, collect_all, expected};
use rustls::crypto::ring::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use super::boolean;

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
    pub(super) fn read(
        section: &mut Mapping<'_>,
        report: &mut ConfigReport,
    ) -> Result<Self, Reported> {
        let versions = versions(section, report);
        let suites = section
            .take("cipher_suites")
            .map_or(Ok(Vec::new()), |value| suites(&value, report));
        let groups = section
            .take("curve_preferences")
            .map_or(Ok(Vec::new()), |value| groups(&value, report));
        let prefer_server = section
            .take("prefer_server_cipher_suites")
            .map_or(Ok(true), |value| boolean(&value, report));
        Ok(Self {
            versions: versions?,
            suites: suites?,
            groups: groups?,
            prefer_server: prefer_server?,
        })
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
    section: &mut Mapping<'_>,
    report: &mut ConfigReport,
) -> Result<Vec<&'static SupportedProtocolVersion>, Reported> {
    const ALL: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
    let mut bound = |key, default| match section.take(key) {
        None => Ok((default, None)),
        Some(value) => {
            let advice = "write one of them; this exporter does not support older versions";
            let index = value.choice(report, advice, &[("TLS12", 0), ("TLS13", 1)])?;
            Ok((index, Some(value)))
        }
    };
    let (low, high) = (bound("min_version", 0), bound("max_version", 1));
    let ((low, _), (high, value)) = (low?, high?);
    if let Some(value) = value
        && low > high
    {
        let text = expected(
            "`max_version` not below `min_version`",
            "no version that is allowed",
            "swap them",
        );
        return Err(value.error(report, text));
    }
    Ok(ALL[low..=high].to_vec())
}

/// As the file and Go name it; the library calls those of TLS 1.3 otherwise.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

fn suites(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<Vec<SupportedCipherSuite>, Reported> {
    let items = value.list(report, "a list of cipher suites")?;
    collect_all(items.iter().map(|item| {
        let text = item.text(report, "a cipher suite")?;
        let mut known = ring::DEFAULT_CIPHER_SUITES.iter();
        if let Some(suite) = known.find(|suite| suite_name(suite) == text) {
            return Ok(*suite);
        }
        let text = if LACKING_SUITES.contains(&text) {
            expected(
                "a cipher suite with forward secrecy and authenticated encryption",
                "one without, which this exporter does not support",
                "remove it; the documentation lists the supported ones",
            )
        } else {
            let advice = "the documentation lists the supported ones";
            expected("a cipher suite", "an unknown one", advice)
        };
        Err(item.error(report, text))
    }))
}

fn groups(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
) -> Result<Vec<&'static dyn SupportedKxGroup>, Reported> {
    let choices = [
        ("X25519", kx_group::X25519),
        ("CurveP256", kx_group::SECP256R1),
        ("CurveP384", kx_group::SECP384R1),
    ];
    let items = value.list(report, "a list of curves")?;
    collect_all(items.iter().map(|item| {
        let advice = "write one of them; this exporter does not support `CurveP521`";
        item.choice(report, advice, &choices)
    }))
}
