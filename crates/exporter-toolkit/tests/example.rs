//! The example does what the README says.

use crate::common::tools::needs;
use crate::common::{Exporter, example, hash};

#[test]
fn the_readme_shows_it() {
    let example = include_str!("../examples/room.rs");
    let (_, code) = example.split_once("\n\n").expect("it has a head");
    let readme = include_str!("../README.md");
    assert!(readme.contains(&format!("\n{code}```\n")), "copy it");
}

#[test]
fn it_has_tls_passwords_both_formats_and_a_landing_page() {
    needs!("curl");
    let web = format!(
        "tls_server_config: {{cert_file: server.pem, key_file: server.key}}\nbasic_auth_users: {{alice: '{}'}}\n",
        hash("s3cr3t")
    );
    let exporter = Exporter::start(&example(), Some(&web)).expect("it starts");
    let alice = ["--user", "alice:s3cr3t"];
    let ask = |path: &str, arguments: &[&str]| {
        let arguments = [&alice, arguments].concat();
        exporter.curl("https", path, &arguments)
    };
    let (status, classic) = ask("/metrics", &[]);
    assert_eq!(status, 200, "{classic}");
    for line in [
        "# TYPE room_readings_total counter",
        "# TYPE room_temperature_celsius gauge",
        "room_temperature_celsius 21.5",
        "room_readings_total 1",
    ] {
        assert!(classic.contains(&format!("{line}\n")), "{line}: {classic}");
    }
    assert!(!classic.contains("# EOF"), "{classic}");
    let accept = "accept: application/openmetrics-text;version=1.0.0";
    let (status, open_metrics) = ask("/metrics", &["--header", accept, "--compressed"]);
    assert_eq!(status, 200);
    assert!(
        open_metrics.contains("content-encoding: gzip"),
        "{open_metrics}"
    );
    assert!(
        open_metrics.contains("# TYPE room_readings counter\n"),
        "{open_metrics}"
    );
    assert!(open_metrics.ends_with("# EOF\n"), "{open_metrics}");
    let (status, page) = ask("/", &[]);
    assert_eq!(status, 200);
    assert!(
        page.contains("<a href=\"/metrics\">Metrics</a>: of one room"),
        "{page}"
    );
    assert_eq!(exporter.curl("https", "/metrics", &[]).0, 401);
    assert_eq!(
        exporter
            .curl("https", "/metrics", &["--user", "alice:wrong"])
            .0,
        401
    );
    assert_eq!(exporter.curl("http", "/metrics", &alice).0, 400);
}
