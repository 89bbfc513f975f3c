//! A process that is asked to end does so within five seconds, whatever hangs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::common::process::slow_disk;
use crate::common::{Exporter, configuration, eventually, options};
use defender_scan_exporter::clock::Clock;
use defender_simulator::Simulator;

/// In `SLOW_DISK`: commits hang, as on a network disk that is gone.
const HANGS: &str = "600000";

/// A test of the library adds the parts of the five seconds up. Here other tests take their share
/// of the processors, and what hangs would hang for ever.
async fn stops(mut exporter: Exporter) {
    let clock = Clock::system();
    let started = clock.uptime();
    exporter.process.signal("TERM");
    let status = exporter.process.exit().await;
    let taken = clock.uptime().since(started);
    println!("stopped after {taken:?}");
    assert_eq!(status.code(), Some(0), "{}", exporter.process.output());
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

/// A disk that hangs once the file `hang` says so, and then makes the file `asked`.
fn disk(folder: &Path) -> [(&'static str, PathBuf); 3] {
    [
        ("SLOW_DISK", folder.join("hang")),
        ("ASKED", folder.join("asked")),
        ("LD_PRELOAD", slow_disk(folder)),
    ]
}

/// Starts an exporter of several tenants on such a disk.
async fn on_a_disk(simulator: &Simulator) -> Exporter {
    let folder = tempfile::tempdir().expect("a folder can be made");
    configuration(simulator, folder.path(), (1_000, 50_000), &[]);
    let variables = disk(folder.path());
    Exporter::start_adjusted(folder, |command| {
        command.envs(variables);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_hangs_under_every_tenant() {
    let mut options = options();
    options.tenants = 8;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = on_a_disk(&simulator).await;
    exporter.ready().await;
    let folder = Arc::clone(&exporter.process.folder);
    fs::write(folder.path().join("hang"), HANGS).expect("the folder can be written");
    eventually("a commit hangs", async || {
        folder.path().join("asked").exists().then_some(())
    })
    .await;
    stops(exporter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_hangs_at_the_start() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    configuration(&simulator, folder.path(), (1_000, 50_000), &[]);
    let path = folder.path().to_owned();
    fs::write(path.join("hang"), HANGS).expect("the folder can be written");
    let mut command = crate::common::binary();
    command
        .arg("--config.file")
        .arg(path.join("exporter.yml"))
        .envs(disk(&path))
        .arg("--web.listen-address=127.0.0.1:0");
    let process = crate::common::Process::start(folder, &mut command);
    eventually("a commit hangs", async || {
        path.join("asked").exists().then_some(())
    })
    .await;
    let url = String::new();
    stops(Exporter { process, url }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_clients_and_a_reload_hang() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    let address = exporter.url.trim_start_matches("http://");
    let parts = [
        "",
        "GET /metr",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    ];
    let mut held = Vec::new();
    for part in parts.iter().cycle().take(60) {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(part.as_bytes()).expect("it can be sent");
        held.push(stream);
    }
    // The last has an answer, so that all are accepted.
    let mut start = [0; 12];
    held[59].read_exact(&mut start).expect("it answers");
    let file = exporter.process.folder.path().join("exporter.yml");
    fs::remove_file(&file).expect("it is there");
    let made = Command::new("mkfifo").arg(&file).status();
    assert!(made.expect("mkfifo (coreutils) runs").success());
    exporter.process.signal("HUP");
    stops(exporter).await;
}
