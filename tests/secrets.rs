//! No secret leaves: the simulator's world is full of them, and everything that
//! the exporter prints or serves is searched.

use std::time::Duration;

use crate::common::{Exporter, options};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use defender_scan_exporter::simulator::{Endpoint, Fault, Simulator};

/// A secret as it may appear: plain, in base64, URL-encoded.
fn disguises(secret: &str) -> [String; 3] {
    let encoded = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    [secret.to_owned(), STANDARD.encode(secret), encoded]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_in_any_output_at_debug_level() {
    let mut options = options();
    options.definitions = 24;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let mut seen = String::new();
    let echo = simulator.secrets().join(" ");
    for (endpoint, fault) in [
        (
            Endpoint::Definitions,
            Fault::error(500, "InternalError", &echo),
        ),
        (
            Endpoint::Definitions,
            Fault::error(400, "BadRequest", &echo),
        ),
        (Endpoint::History, Fault::Unauthorized(5)),
        (Endpoint::Token, Fault::error(400, "invalid_client", &echo)),
        (
            Endpoint::Token,
            Fault::Body {
                content_type: "text/html".to_owned(),
                bytes: echo.clone().into_bytes(),
            },
        ),
    ] {
        simulator.set_fault(endpoint, Some(fault));
        simulator.revoke_tokens(0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        for path in ["/", "/metrics", "/-/ready", "/nothing"] {
            seen += &exporter.get(path).await.1;
        }
        simulator.set_fault(endpoint, None);
    }
    let log = exporter.process.output();
    for line in log.lines().filter(|line| line.contains(" level=debug ")) {
        // Below `warn`, libraries print what they send.
        let ours = " target=defender_scan_exporter";
        assert!(line.contains(ours), "a library is heard: {line}");
    }
    seen += &log;
    let secrets = simulator.secrets();
    assert!(
        secrets.len() > 24,
        "the world has secrets to leak: {}",
        secrets.len()
    );
    assert!(seen.contains("defender_up"), "there is something to search");
    for secret in secrets {
        for disguise in disguises(&secret) {
            assert!(!seen.contains(&disguise), "{disguise} leaked");
        }
    }
}
