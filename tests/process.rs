//! The program as an operator meets it: starting, failing to start, stopping.

use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::common::{self, Exporter, binary, configuration, eventually, get, options};
use defender_simulator::{Endpoint, Fault, Simulator};

fn run(arguments: &[&str]) -> Output {
    binary()
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn error_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("it prints text");
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "a bound of five real seconds is what is promised"
)]
async fn a_signal_stops_it_in_good_order_while_a_call_hangs() {
    for signal in ["TERM", "INT"] {
        let simulator = Simulator::start(options())
            .await
            .expect("the simulator starts");
        let mut exporter = Exporter::start(&simulator).await;
        exporter.ready().await;
        simulator.set_fault(Endpoint::Definitions, Some(Fault::Hang));
        let asked = simulator.calls().len();
        eventually("a call hangs", async || {
            (simulator.calls().len() > asked).then_some(())
        })
        .await;
        let started = Instant::now();
        exporter.process.signal(signal);
        let status = exporter.process.exit().await;
        assert_eq!(status.code(), Some(0), "{}", exporter.process.output());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    simulator.set_fault(Endpoint::Definitions, Some(Fault::Hang));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
    let text = fs::read_to_string(&file).expect("it was written");
    let patient = text.replace("timeout: 5s", "timeout: 2m");
    assert_ne!(patient, text);
    fs::write(&file, patient).expect("it can be written");
    let exporter = Exporter::start_with_flags(folder.into(), &[]).await;
    assert_eq!(exporter.get("/-/healthy").await.0, 200);
    let (status, reasons) = exporter.get("/-/ready").await;
    assert_eq!(status, 503);
    assert!(reasons.contains("tenant-0"), "{reasons}");
    // The tenant starts anew, and its first call fails soon: that is enough.
    let changed = text.replace("agents: 10s", "agents: 11s");
    assert_ne!(changed, text);
    fs::write(&file, changed).expect("it can be written");
    exporter.process.signal("HUP");
    exporter.ready().await;
    assert_eq!(exporter.get("/nothing").await.0, 404);
    assert_eq!(exporter.get("/").await.0, 200);
    let healthy = format!("{}/-/healthy", exporter.url);
    assert_eq!(
        run(&["healthcheck", "--url", &healthy]).status.code(),
        Some(0)
    );
    let missing = format!("{}/nothing", exporter.url);
    error_of(&run(&["healthcheck", "--url", &missing]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = configuration(&simulator, folder.path(), (100, 1_500), &[]);
    let file = file.to_str().expect("the path is text");
    let text = error_of(&run(&[
        "--config.file",
        file,
        "--web.listen-address",
        &address,
    ]));
    assert!(
        text.lines()
            .last()
            .is_some_and(|line| line.contains(&address) && line.contains("in use")),
        "{text}"
    );
}

#[test]
fn a_missing_file_and_missing_variables_are_clear() {
    let text = error_of(&run(&["--config.file", "/nowhere/exporter.yml"]));
    assert!(text.contains("/nowhere/exporter.yml"), "{text}");
    let text = error_of(&run(&[]));
    for way in ["--config.file", "AZURE_TENANT_ID", "demo"] {
        assert!(text.contains(way), "{text}");
    }
}

#[test]
fn a_bad_file_is_refused_with_every_mistake() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("bad.yml");
    fs::write(&file, "tenants:\n  - nome: x\nhttp: {timeout: soon}\n")
        .expect("the folder can be written");
    let output = run(&[
        "check-config",
        "--config.file",
        file.to_str().expect("the path is text"),
    ]);
    let text = error_of(&output);
    assert!(text.contains("nome") && text.contains("timeout"), "{text}");
}

#[test]
fn scripts_read_what_is_wrong_with_files() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("bad.yml"), "tenants:\n  - name: x\n    tenant_id: y\n")
        .expect("it can be written");
    let good = "tenants: [{name: x, tenant_id: ${y}.example, credential: {type: azure_cli}}]";
    fs::write(path("good.yml"), good.replace("${y}", "y") + "\n").expect("it can be written");
    fs::write(path("web.yml"), "basic_auth_users: {}\n").expect("it can be written");
    let read = |name: &str| {
        let output = run(&[
            "check-config",
            "--output",
            "json",
            "--config.file",
            &path(name),
            "--web.config.file",
            &path("web.yml"),
        ]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        (output.status.code(), json)
    };
    let (code, bad) = read("bad.yml");
    assert_eq!((code, &bad["ok"]), (Some(1), &false.into()));
    let [first, second] = &bad["files"].as_array().expect("it is a list")[..] else {
        panic!("{bad}");
    };
    assert_eq!((&first["ok"], &second["ok"]), (&false.into(), &true.into()));
    assert_eq!(first["summary"], serde_json::Value::Null);
    let mistake = &first["mistakes"][1];
    assert_eq!(
        (&mistake["line"], &mistake["key"]),
        (&3.into(), &"tenants[0].tenant_id".into())
    );
    let message = mistake["message"].as_str().expect("it is text");
    assert!(message.starts_with("expected a directory"), "{message}");
    let (code, good) = read("good.yml");
    assert_eq!((code, &good["ok"]), (Some(0), &true.into()));
    assert_eq!(good["files"][0]["summary"], "tenants: 1");
}

#[test]
fn help_version_completions_and_the_metrics_reference() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["completions", "bash"],
        &["docs", "metrics"],
        &["docs", "schema"],
    ] {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    let output = run(&["--no-such-flag"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).expect("it is text");
    assert!(
        said.starts_with("defender-scan-exporter: unexpected argument"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_what_the_readme_promises() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0"]);
    let mut demo = common::Process::start(folder, &mut command);
    let url = eventually("the demo prints its address", async || {
        let output = demo.output();
        let line = output.lines().find(|line| line.contains("/metrics"))?;
        line.split_whitespace()
            .find(|word| word.starts_with("http://"))
            .map(str::to_owned)
    })
    .await;
    let first = eventually("all status codes show", async || {
        let (_, body) = get(&url).await?;
        let statuses = |code: &str| {
            let of_definition = |line: &&str| line.starts_with("defender_scan_status_code{");
            body.lines()
                .filter(of_definition)
                .any(|line| line.ends_with(&format!(" {code}")))
        };
        ["0", "1", "2"]
            .iter()
            .all(|code| statuses(code))
            .then_some(body)
    })
    .await;
    let age = |body: &str| -> f64 {
        let line = body
            .lines()
            .find(|line| line.starts_with("defender_scan_last_age_seconds{"));
        line.and_then(|line| line.rsplit(' ').next())
            .and_then(|value| value.parse().ok())
            .expect("there is an age")
    };
    let ids = first
        .lines()
        .filter_map(|line| line.split("definition_id=\"").nth(1)?.split('"').next());
    let mut series = std::collections::BTreeMap::<&str, usize>::new();
    for id in ids {
        *series.entry(id).or_default() += 1;
    }
    assert!(series.len() > 8);
    assert!(series.values().all(|count| *count <= 14), "{series:?}");
    eventually("ages grow", async || {
        (age(&get(&url).await?.1) > age(&first)).then_some(())
    })
    .await;
    demo.signal("INT");
    assert_eq!(demo.exit().await.code(), Some(0), "{}", demo.output());
}
