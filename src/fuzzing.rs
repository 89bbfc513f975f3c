//! What strangers can send, as functions of any bytes: each must return, whatever
//! it is given. `fuzz/` drives them with random input, and the tests below with the
//! corpus that it found worth keeping.
//!
//! Built for tests and fuzzers alone.

mod exposed;
#[cfg(test)]
mod mutation;

use exporter_toolkit::WebConfig;
use exporter_toolkit::metrics::{Format, gzip, negotiate};
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};

use crate::config::{CertificateFiles, ClientCertificate, Config};
use crate::defender;

/// A function of any bytes.
pub type FuzzTarget = fn(&[u8]);

/// All of them, by the name of their corpus.
pub static TARGETS: &[(&str, FuzzTarget)] = &[
    ("definitions", defender::fuzzing::definitions),
    ("history", defender::fuzzing::history),
    ("agents", defender::fuzzing::agents),
    ("refusal", defender::fuzzing::refusal),
    ("retry_after", defender::fuzzing::retry_after),
    ("times", defender::fuzzing::times),
    ("scrub", defender::fuzzing::scrubbed),
    ("token", defender::fuzzing::token),
    ("configuration", configuration),
    ("web_configuration", web_configuration),
    ("accept", accept),
    ("exposition", exposed::exposition),
    ("certificate", certificate),
    ("store_rows", exposed::store_rows),
];

/// Runs the target of that name.
///
/// # Panics
/// If there is none, or if the target found a mistake.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.expect("the target is in the table").1(data);
}

/// The configuration file.
fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Err(mistakes) = Config::parse(text, "exporter.yml") {
        assert!(!mistakes.to_string().is_empty(), "a mistake has words");
    }
}

/// The web configuration file.
fn web_configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Err(mistakes) = WebConfig::parse(text, "web.yml") {
        assert!(!mistakes.to_string().is_empty(), "a mistake has words");
    }
}

/// What a client accepts: one header a line.
fn accept(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(ACCEPT, value.clone());
            headers.append(ACCEPT_ENCODING, value);
        }
    }
    let _ = (negotiate(&headers, &[Format::OpenMetrics]), gzip(&headers));
}

/// A client certificate's file.
fn certificate(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let certificate = folder.path().join("certificate.pem");
    std::fs::write(&certificate, data).expect("the folder can be written");
    let files = CertificateFiles {
        certificate,
        key: None,
    };
    if let Ok(certificate) = ClientCertificate::blocking_read(&files) {
        defender::fuzzing::assertion(&certificate);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    use crate::clock::Clock;

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let files = fs::read_dir(root.join(name)).expect("every target has a corpus");
        let read = |file: std::io::Result<fs::DirEntry>| fs::read(file?.path());
        let corpus: std::io::Result<Vec<_>> = files.map(read).collect();
        let corpus = corpus.expect("it can be read");
        assert!(!corpus.is_empty(), "the corpus of {name} is empty");
        corpus
    }

    #[test]
    fn nothing_in_the_corpora_is_too_much() {
        for (name, target) in TARGETS {
            for data in corpus(name) {
                target(&data);
            }
        }
    }

    /// A second in all; `FUZZ_SECONDS` are those of each target.
    #[test]
    fn nothing_like_the_corpora_is_too_much() {
        let number = |name| {
            std::env::var(name)
                .ok()
                .map(|text| text.parse().expect("a number"))
        };
        let seed = number("FUZZ_SEED").unwrap_or(1);
        let millis = number("FUZZ_SECONDS").map_or(70, |seconds: u64| 1_000 * seconds);
        let clock = Clock::system();
        for (name, target) in TARGETS {
            let seeds = corpus(name);
            let mut random = fastrand::Rng::with_seed(seed);
            let end = clock.uptime() + std::time::Duration::from_millis(millis);
            let mut runs = 0_u64;
            while runs < 10 || clock.uptime() < end {
                let data = mutation::mutated(&mut random, &seeds);
                let fine = std::panic::catch_unwind(|| target(&data)).is_ok();
                let shown = String::from_utf8_lossy(&data);
                assert!(fine, "{name}, FUZZ_SEED={seed}, run {runs}: {shown:?}");
                runs += 1;
            }
            println!("{name}: {runs} runs");
        }
    }
}
