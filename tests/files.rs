//! Files that are none: pipes, devices, endless ones, and such on a file system that hangs.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::common::messages;
use crate::common::settings::{self, entry};
use crate::common::tenants::{CERTIFICATES, simulator};
use crate::common::{Exporter, Process, binary, configuration, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::{Endpoint, Simulator};
use tempfile::TempDir;

const CANARY: &str = "C4nary~in~a~file";

/// Puts each kind of what is no small file into a folder; names and what is said of them.
fn no_files(folder: &Path) -> Vec<(&'static str, &'static str)> {
    let at = |name: &str| folder.join(name);
    let made = Command::new("mkfifo").arg(at("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    symlink("/dev/zero", at("zero")).expect("a link can be made");
    symlink("pipe", at("link")).expect("a link can be made");
    symlink("loop", at("loop")).expect("a link can be made");
    drop(UnixListener::bind(at("socket")).expect("a socket can be made"));
    fs::create_dir(at("folder")).expect("a folder can be made");
    let sparse = fs::File::create(at("sparse")).expect("a file can be made");
    sparse.set_len(1 << 40).expect("it can be sparse");
    vec![
        ("pipe", "a named pipe; name a regular file"),
        ("link", "a named pipe; name a regular file"),
        ("zero", "a device; name a regular file"),
        ("socket", "a socket; name a regular file"),
        ("folder", "Is a directory (os error 21); name a regular"),
        ("loop", "symbolic links (os error 40); check that"),
        ("sparse", "name the"),
    ]
}

/// What `check-config` says, which must not take long.
async fn check(folder: &Arc<TempDir>, text: &str) -> String {
    fs::write(folder.path().join("exporter.yml"), text).expect("it can be written");
    let mut command = binary();
    command.args(["--config.file=exporter.yml", "check-config"]);
    let mut process = Process::start(Arc::clone(folder), &mut command);
    assert!(
        !process.exit().await.success(),
        "{text}\n{}",
        process.output()
    );
    process.output()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_a_mistake_wherever_it_is_named() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let id = "9b6f0000-0000-4000-8000-000000000001";
    for (name, found) in no_files(folder.path()) {
        for credential in [
            format!("type: client_secret, client_id: {id}, client_secret_file: {name}"),
            format!("type: workload_identity, client_id: {id}, token_file: {name}"),
            format!("type: token_file, path: {name}"),
            format!("type: client_certificate, client_id: {id}, certificate_file: {name}"),
            format!(
                "type: client_certificate, client_id: {id}, certificate_file: {CERTIFICATES}/certificate.pem, key_file: {name}"
            ),
        ] {
            let text = format!(
                "tenants: [{{name: a, tenant_id: a.example, credential: {{{credential}}}}}]\n"
            );
            let said = check(&folder, &text).await;
            assert!(
                said.contains(found) && said.contains("exporter.yml:1: "),
                "{credential}: {said}"
            );
        }
        let text = format!(
            "tenants: [{{name: a, tenant_id: a.example, credential: {{type: azure_cli}}}}]\nhttp: {{ca_file: {name}}}\n"
        );
        let said = check(&folder, &text).await;
        assert!(
            said.contains(found) && said.contains("http.ca_file"),
            "{name}: {said}"
        );
        for text in [
            format!("tenant_files: [{name}]\n"),
            format!(
                "tenant_files: ['{}[{}]']\n",
                &name[..name.len() - 1],
                &name[name.len() - 1..]
            ),
        ] {
            let said = check(&folder, &text).await;
            let (start, lines) = (format!(" {name}: expected "), said.lines().count());
            let bounded = name == "sparse" && said.contains("split it");
            assert!(
                said.contains(&start) && (said.contains(found) || bounded) && lines == 1,
                "{text}: {said}"
            );
        }
        for flags in [["--config.file"], ["--web.config.file"]] {
            let mut command = binary();
            command.args(flags).arg(name).arg("check-config");
            let mut process = Process::start(Arc::clone(&folder), &mut command);
            assert!(!process.exit().await.success());
            let said = process.output();
            let bounded = name == "sparse";
            assert!(said.contains(found) || bounded, "{flags:?} {name}: {said}");
        }
    }
    for content in [format!("{CANARY}\n{CANARY}\n"), CANARY.repeat(5_000)] {
        fs::write(folder.path().join("secret"), content).expect("it can be written");
        let said = check(&folder, "tenants: [{name: a, tenant_id: a.example, credential: {type: token_file, path: secret}}]\n").await;
        assert!(
            said.contains("name the file that holds only the secret"),
            "{said}"
        );
        assert!(!said.contains(CANARY), "{said}");
    }
}

/// A reload from a pipe hung, and every later one with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_what_is_no_file_changes_nothing_and_the_next_one_works() {
    let simulator = simulator().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let kinds = no_files(folder.path());
    settings::write(&simulator, folder.path(), &[entry(0)], "40s");
    let flags = &["--web.enable-lifecycle"];
    let exporter = Exporter::start_with_flags(Arc::clone(&folder), flags).await;
    exporter.ready().await;
    let file = folder.path().join("exporter.yml");
    for (name, found) in kinds {
        fs::remove_file(&file).expect("it is there");
        symlink(name, &file).expect("a link can be made");
        let (status, text) = exporter.reload().await;
        assert!(
            status == 500 && text.contains(found),
            "{name}: {status} {text}"
        );
        exporter
            .shows(
                "defender_exporter_config_last_reload_successful",
                &[],
                |ok| ok < 0.5,
            )
            .await;
        assert_eq!(exporter.get("/-/healthy").await.0, 200);
        fs::remove_file(&file).expect("it is there");
        settings::write(&simulator, folder.path(), &[entry(0)], "40s");
        let (status, text) = exporter.reload().await;
        assert_eq!(status, 200, "{name}: {text}");
    }
}

/// A library to be loaded before all others, with which no file below `stuck/` can be opened
/// as long as there is one called `hangs`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    while (strstr(path, "/stuck/") && access(getenv("HANGS"), F_OK) == 0)
        usleep(10000);
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    return next(path, flags, mode);
}
"#;

/// Makes opening files below `stuck/` hang as long as there is the file that is returned.
fn hanging(folder: &Path, command: &mut Command) {
    fs::write(folder.join("shim.c"), SHIM).expect("it can be written");
    let library = folder.join("shim.so");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(folder.join("shim.c"));
    assert!(compiler.arg("-ldl").status().expect("cc runs").success());
    command
        .env("LD_PRELOAD", library)
        .env("HANGS", folder.join("hangs"));
}

/// Asks for `path` and returns how long the answer took.
async fn took(exporter: &Exporter, path: &str) -> Duration {
    let clock = Clock::system();
    let before = clock.uptime();
    assert_eq!(exporter.get(path).await.0, 200);
    clock.uptime().since(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_on_a_mount_that_hangs_costs_that_reload_alone() {
    let simulator = simulator().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    fs::create_dir(folder.path().join("stuck")).expect("a folder can be made");
    settings::write(&simulator, &folder.path().join("stuck"), &[entry(0)], "40s");
    let (hangs, parent) = (folder.path().join("hangs"), Arc::clone(&folder));
    let exporter = Exporter::start_adjusted(folder, |command| {
        command.args(["--web.enable-lifecycle", "--config.file"]);
        command.arg(parent.path().join("stuck/exporter.yml"));
        hanging(parent.path(), command);
    })
    .await;
    exporter.ready().await;
    fs::write(&hangs, "").expect("it can be written");
    for _ in 0..3 {
        let health = async { took(&exporter, "/-/healthy").await };
        let ((status, text), health) = tokio::join!(exporter.reload(), health);
        assert!(
            status == 500 && text.contains("no response from its file system within 5 s"),
            "{text}"
        );
        println!("health in {health:?}");
        // Of a mount that is known to hang, a reload asks nothing, and is as quick.
        assert!(health < Duration::from_secs(3), "{health:?}");
    }
    fs::remove_file(&hangs).expect("it is there");
    eventually("a reload works again", async || {
        (exporter.reload().await.0 == 200).then_some(())
    })
    .await;
}

/// Tenants whose tokens were refused sign in anew, with secrets that cannot be read; one
/// has its secret elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_on_a_mount_that_hangs_cost_their_tenants_alone() {
    const TENANTS: usize = 60;
    let mut small = options();
    (small.tenants, small.definitions, small.agents) = (TENANTS, 2, 1);
    let simulator = Simulator::start(small).await.expect("the simulator starts");
    let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
    let file = configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
    fs::create_dir(folder.path().join("stuck")).expect("a folder can be made");
    let mut text = fs::read_to_string(&file).expect("it was written");
    for number in 1..TENANTS {
        let at = |folder: &Path| folder.join(format!("secret-{number}"));
        let (from, to) = (at(folder.path()), at(&folder.path().join("stuck")));
        fs::rename(&from, &to).expect("it was written");
        let line = |path: &Path| format!("client_secret_file: {}}}", path.display());
        text = text.replace(&line(&from), &line(&to));
    }
    fs::write(&file, text).expect("it can be written");
    let parent = Arc::clone(&folder);
    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |command| {
        hanging(parent.path(), command);
    })
    .await;
    let all_up = async || {
        let metrics = exporter.metrics().await;
        let up = |number| {
            let label = format!("tenant=\"tenant-{number}\"");
            metrics
                .value("defender_up", &[&label])
                .is_some_and(|up| up > 0.5)
        };
        (0..TENANTS).all(up).then_some(())
    };
    eventually("all tenants are polled", all_up).await;
    let threads = async || {
        let threads = exporter.metrics().await.value("process_threads", &[]);
        threads.expect("it is measured")
    };
    let before = threads().await;
    fs::write(folder.path().join("hangs"), "").expect("it can be written");
    for number in 0..TENANTS {
        simulator.revoke_tokens(number);
    }
    let reason = "reason=\"auth\"";
    let slowest = [Duration::ZERO; 2].map(std::cell::Cell::new);
    eventually("all tenants on the mount have failed", async || {
        for (slowest, path) in slowest.iter().zip(["/-/healthy", "/metrics"]) {
            slowest.set(slowest.get().max(took(&exporter, path).await));
        }
        let metrics = exporter.metrics().await;
        let failed = |number| {
            let label = format!("tenant=\"tenant-{number}\"");
            let labels = [label.as_str(), "collector=\"definitions\"", reason];
            metrics
                .value("defender_collector_errors_total", &labels)
                .is_some_and(|count| count > 0.5)
        };
        (1..TENANTS).all(failed).then_some(())
    })
    .await;
    exporter.says(messages::HANGING_FILE).await;
    let during = threads().await;
    let [health, scrape] = slowest.map(std::cell::Cell::into_inner);
    println!("health ≤ {health:?}, scrape ≤ {scrape:?}, {before} → {during} threads");
    assert!(health < Duration::from_secs(5) && scrape < Duration::from_secs(5));
    assert!(during <= before + 40.0, "{before} → {during} threads");
    let polled = || {
        let calls = simulator.calls();
        let of_first = calls
            .iter()
            .filter(|call| call.tenant == Some(0) && call.endpoint == Endpoint::Definitions);
        of_first.filter(|call| call.status == 200).count()
    };
    let enough = polled() + 3;
    eventually("the other tenant is polled on", async || {
        (polled() > enough).then_some(())
    })
    .await;

    fs::remove_file(folder.path().join("hangs")).expect("it is there");
    eventually("all tenants are polled again", all_up).await;
}
