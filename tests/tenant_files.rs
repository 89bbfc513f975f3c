//! Tenants in files of their own: what a reload makes of them, and what is said of their mistakes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use crate::common::settings::budget;
use crate::common::{Exporter, Process, binary, options};
use defender_simulator::{CallRecord, Endpoint, Simulator};
use tempfile::TempDir;

const OK: &str = "defender_exporter_config_last_reload_successful";

async fn simulator(tenants: usize) -> Simulator {
    let mut options = options();
    options.tenants = tenants;
    Simulator::start(options)
        .await
        .expect("the simulator starts")
}

/// `exporter.yml` with what all tenants have in common, and their secrets beside their files.
fn prepare(simulator: &Simulator, tenants: usize) -> Arc<TempDir> {
    let folder = TempDir::new().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("tenants/secrets")).expect("it can be made");
    fs::write(at("ca.pem"), simulator.ca_pem()).expect("it can be written");
    for number in 0..tenants {
        let identity = simulator.tenant(number).expect("there is such a tenant");
        let file = at(&format!("tenants/secrets/{number}"));
        fs::write(file, &identity.client_secret).expect("it can be written");
    }
    let url = simulator.https_url();
    let text = format!(
        "http: {{ca_file: ca.pem}}\ntenant_files: ['tenants/*.yml']\ndefaults:\n  api_base_url: {url}\n  \
         authority_host: {url}\n  poll: {{definitions: 1s, agents: 10s}}\n  quota: {}\n",
        budget(1_000, 50_000)
    );
    fs::write(at("exporter.yml"), text).expect("it can be written");
    Arc::new(folder)
}

/// A tenant file with one tenant of the simulator.
fn tenant(simulator: &Simulator, number: usize) -> String {
    let identity = simulator.tenant(number).expect("there is such a tenant");
    format!(
        "tenants:\n  - name: tenant-{number}\n    tenant_id: {}\n    credential: {{type: client_secret, client_id: {}, client_secret_file: secrets/{number}}}\n",
        identity.tenant_id, identity.client_id
    )
}

/// Replaces the tenant files as the kubelet does those of a config map: by a link of all of them
/// into a folder that is never changed.
fn publish(folder: &Path, version: u32, files: &[(&str, &str)]) {
    let at = |name: &str| folder.join("tenants").join(name);
    let name = format!("..version-{version}");
    fs::create_dir(at(&name)).expect("it can be made");
    for (file, text) in files {
        fs::write(at(&name).join(file), text).expect("it can be written");
    }
    symlink(name, at("..data_tmp")).expect("it can be linked");
    fs::rename(at("..data_tmp"), at("..data")).expect("it can be moved");
    // As the kubelet does: never before there is something that they lead to.
    for (file, _) in files {
        let link = at(file);
        if link.symlink_metadata().is_err() {
            symlink(format!("..data/{file}"), link).expect("it can be linked");
        }
    }
    for entry in fs::read_dir(at("")).expect("it is a folder").flatten() {
        let name = entry.file_name();
        let is_file = name.to_string_lossy().ends_with(".yml");
        if is_file && !files.iter().any(|(file, _)| name == *file) {
            fs::remove_file(entry.path()).expect("it can be removed");
        }
    }
}

async fn is_up(exporter: &Exporter, number: usize) {
    let label = format!("tenant=\"tenant-{number}\"");
    exporter
        .shows("defender_up", &[&label], |up| up > 0.5)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_come_change_and_go_are_reloaded_by_themselves() {
    let simulator = simulator(3).await;
    let folder = prepare(&simulator, 3);
    let texts = [0, 1, 2].map(|number| tenant(&simulator, number));
    let [a, b, c] = texts.each_ref().map(String::as_str);
    publish(folder.path(), 1, &[("a.yml", a)]);
    let auto = "--config.auto-reload-interval=1s";
    let exporter = Exporter::start_with_flags(Arc::clone(&folder), &[auto]).await;
    is_up(&exporter, 0).await;

    // One comes.
    publish(folder.path(), 2, &[("a.yml", a), ("b.yml", b)]);
    is_up(&exporter, 1).await;

    // One changes, and one is wrong: nothing changes.
    publish(
        folder.path(),
        3,
        &[("a.yml", c), ("b.yml", "tenants: [{name: x}]\n")],
    );
    exporter.shows(OK, &[], |ok| ok < 0.5).await;
    exporter
        .says("tenants/b.yml:1: tenants[0].tenant_id: expected a directory")
        .await;
    exporter.next_polls(&simulator, 4).await;
    let told = exporter.process.output();
    assert_eq!(
        told.matches("the configuration was not reloaded").count(),
        2,
        "{told}"
    );
    let metrics = exporter.metrics().await;
    for number in [0, 1] {
        let label = format!("tenant=\"tenant-{number}\"");
        assert_eq!(metrics.value("defender_up", &[&label]), Some(1.0));
    }

    // One changes, and one goes.
    publish(folder.path(), 4, &[("a.yml", c)]);
    exporter.shows(OK, &[], |ok| ok > 0.5).await;
    is_up(&exporter, 2).await;
    let metrics = exporter.metrics().await;
    for number in [0, 1] {
        let label = format!("tenant=\"tenant-{number}\"");
        assert!(!metrics.0.contains(&label), "{}", metrics.0);
    }
    let shown = exporter.get("/config").await.1;
    assert!(
        shown.contains("sweep: 1day") && shown.contains("definitions: 1s"),
        "{shown}"
    );
    assert!(
        !shown.contains("tenant_files") && !shown.contains("defaults"),
        "{shown}"
    );
    let calls = simulator.calls();
    let token = |call: &&CallRecord| call.endpoint == Endpoint::Token;
    assert_eq!(
        calls.iter().filter(token).count(),
        3,
        "one sign-in for each"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_again_when_asked() {
    let simulator = simulator(3).await;
    let folder = prepare(&simulator, 3);
    let write = |number: usize| {
        let file = folder.path().join(format!("tenants/{number}.yml"));
        fs::write(file, tenant(&simulator, number)).expect("it can be written");
    };
    write(0);
    let flags = &["--web.enable-lifecycle"];
    let exporter = Exporter::start_with_flags(Arc::clone(&folder), flags).await;
    is_up(&exporter, 0).await;
    write(1);
    assert_eq!(exporter.reload().await.0, 200);
    is_up(&exporter, 1).await;
    write(2);
    exporter.process.signal("HUP");
    is_up(&exporter, 2).await;

    // What is no file is a mistake, and holds nothing up.
    let pipe = folder.path().join("tenants/pipe.yml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let (status, text) = exporter.reload().await;
    assert_eq!(status, 500);
    assert!(
        text.contains("tenants/pipe.yml: expected a readable file, but found a named pipe; name a regular file"),
        "{text}"
    );
    fs::remove_file(pipe).expect("it is there");
    assert_eq!(exporter.reload().await.0, 200);
}

/// Words that stand for secrets.
const CANARIES: [&str; 4] = [
    "C4nary~of~a~key",
    "C4nary~of~a~value",
    "C4nary~secret",
    "C4nary~file",
];

/// What `check-config` says of the files in a folder.
async fn check(folder: &Arc<TempDir>, more: &[&str]) -> String {
    let mut command = binary();
    command
        .args(["--config.file=exporter.yml", "check-config"])
        .args(more);
    let mut process = Process::start(Arc::clone(folder), &mut command);
    process.exit().await;
    process.output()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mistake_in_a_tenant_file_tells_a_secret() {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("tenants")).expect("it can be made");
    fs::write(at("secret"), "C4nary~file\nC4nary~file\n").expect("it can be written");
    let id = "9b6f0000-0000-4000-8000-000000000001";
    let good = "{name: a, tenant_id: a.example, credential: {client_secret: C4nary~secret}}";
    let defaults = format!(
        "credential: {{type: client_secret, client_id: {id}, client_secret: C4nary~secret}}"
    );
    for (defaults, tenants) in [
        ("C4nary~of~a~value".to_owned(), format!("[{good}]")),
        (format!("{{{defaults}, C4nary~of~a~key:1}}"), format!("[{good}]")),
        (format!("{{{defaults}, labels: {{C4nary~of~a~key: 1}}}}"), format!("[{good}]")),
        ("{credential: {type: C4nary~of~a~value}}".to_owned(), format!("[{good}]")),
        ("{credential: {type: client_secret, client_id: C4nary~of~a~value}}".to_owned(), format!("[{good}]")),
        (format!("{{{defaults}}}"), "C4nary~of~a~value".to_owned()),
        (format!("{{{defaults}}}"), "[C4nary~of~a~value]".to_owned()),
        (format!("{{{defaults}}}"), "[{name: a, tenant_id: a.example, credential: C4nary~of~a~value}]".to_owned()),
        (format!("{{{defaults}}}"), "[{name: a, tenant_id: a.example, credential: {client_secret: [C4nary~secret]}}]".to_owned()),
        (format!("{{{defaults}}}"), "[{name: a, tenant_id: a.example, credential: {client_secret: C4nary~secret, client_secret_file: ../secret}}]".to_owned()),
        (format!("{{{defaults}}}"), "[{name: a, tenant_id: a.example, credential: {client_secret_file: ../secret}}]".to_owned()),
        (format!("{{{defaults}}}"), "[{name: a, tenant_id: a.example, credential: {key_file: C4nary~secret}}]".to_owned()),
        (format!("{{{defaults}}}"), format!("[{good}, {good}]")),
        (format!("{{{defaults}}}"), "[{name: a, tenant_id: a.example, C4nary~of~a~key: C4nary~of~a~value}]".to_owned()),
        (format!("{{{defaults}}}"), format!("[{good}]\nC4nary~of~a~key: {{C4nary~of~a~key:C4nary~of~a~value}}")),
        (format!("{{{defaults}}}"), format!("[{good}]\nC4nary~of~a~value")),
    ] {
        let text = format!("tenant_files: ['tenants/*']\ndefaults: {defaults}\n");
        fs::write(at("exporter.yml"), &text).expect("it can be written");
        let file = format!("tenants: {tenants}\n");
        fs::write(at("tenants/a.yml"), &file).expect("it can be written");
        for more in [&[][..], &["--output", "json"]] {
            let said = check(&folder, more).await;
            assert!(said.contains("expected "), "{text}{file}{said}");
            for canary in CANARIES {
                assert!(!said.contains(canary), "{text}{file}{said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_mistakes_are_counted_but_scripts_get_all_of_them() {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let at = |name: String| folder.path().join(name);
    fs::write(
        at("exporter.yml".to_owned()),
        "tenant_files: ['*_.yml']\ndefaults: {credential: {type: azure_cli}}\n",
    )
    .expect("it can be written");
    for file in 0..3 {
        let tenants = (0..100).map(|number| {
            format!("  - {{name: t-{file}-{number}, tenant_id: a.example, quota: {{use: 0%}}}}\n")
        });
        let text = format!("tenants:\n{}", tenants.collect::<String>());
        fs::write(at(format!("{file}_.yml")), text).expect("it can be written");
    }
    let said = check(&folder, &[]).await;
    assert_eq!(said.lines().count(), 3 * 20 + 1, "{said}");
    assert!(
        said.contains("\n0_.yml:21: tenants[19].quota.use: expected a whole"),
        "{said}"
    );
    assert!(said.ends_with("\nand 240 more errors\n"), "{said}");
    let said = check(&folder, &["--output", "json"]).await;
    let (json, _) = said.rsplit_once("}\n").expect("JSON and an error");
    let json: serde_json::Value = serde_json::from_str(&format!("{json}}}")).expect("it is JSON");
    let files = json["files"].as_array().expect("it is a list");
    let names: Vec<_> = files.iter().map(|file| file["file"].as_str()).collect();
    let expected = ["exporter.yml", "0_.yml", "1_.yml", "2_.yml"].map(Some);
    assert_eq!(names, expected);
    let [main, first, ..] = &files[..] else {
        panic!("{json}");
    };
    assert_eq!(
        (&main["ok"], &main["summary"]),
        (&true.into(), &serde_json::Value::Null)
    );
    assert_eq!(first["ok"], false);
    assert_eq!(first["mistakes"].as_array().map(Vec::len), Some(100));
    assert_eq!(first["mistakes"][99]["line"], 101);

    // Warnings likewise.
    for file in 0..3 {
        let name = at(format!("{file}_.yml"));
        let text = fs::read_to_string(&name).expect("it was written");
        fs::write(name, text.replace("use: 0%", "per_minute: 200")).expect("it can be written");
    }
    let said = check(&folder, &[]).await;
    assert!(
        said.contains("\nwarning: and 240 more warnings\n"),
        "{said}"
    );
    assert!(
        said.ends_with("\nexporter.yml: ok, tenants: 300\n"),
        "{said}"
    );
    let said = check(&folder, &["--output", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(
        json["files"][3]["warnings"].as_array().map(Vec::len),
        Some(100)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_named_with_what_to_do() {
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let at = |name: &str| folder.path().join(name);
    let large = "#".repeat((1 << 20) + 1);
    fs::write(at("exporter.yml"), &large).expect("it can be written");
    let said = check(&folder, &[]).await;
    assert!(
        said.contains("exporter.yml: expected at most 1 MiB, but found a larger file; name the right file, or move tenants to files that `tenant_files` names"),
        "{said}"
    );
    fs::write(at("exporter.yml"), "tenant_files: [large.yml]\n").expect("it can be written");
    fs::write(at("large.yml"), &large).expect("it can be written");
    let said = check(&folder, &[]).await;
    assert!(
        said.contains("large.yml: expected at most 1 MiB, but found a larger file; split it into several files"),
        "{said}"
    );
    assert_eq!(said.matches("1 MiB").count(), 1, "{said}");
}

/// A mount that is missing for a while is no reason to forget its tenants.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_takes_no_tenant_along() {
    let simulator = simulator(1).await;
    let folder = prepare(&simulator, 1);
    publish(folder.path(), 1, &[("a.yml", &tenant(&simulator, 0))]);
    let exporter =
        Exporter::start_with_flags(Arc::clone(&folder), &["--web.enable-lifecycle"]).await;
    is_up(&exporter, 0).await;
    let [tenants, away] = ["tenants", "away"].map(|name| folder.path().join(name));
    fs::rename(&tenants, &away).expect("it can be moved");
    let (status, text) = exporter.reload().await;
    assert_eq!(status, 500, "{text}");
    assert!(
        text.contains("tenants`: No such file or directory (os error 2); create it"),
        "{text}"
    );
    exporter.next_polls(&simulator, 1).await;
    is_up(&exporter, 0).await;
    fs::rename(&away, &tenants).expect("it can be moved");
    assert_eq!(exporter.reload().await.0, 200);
}
