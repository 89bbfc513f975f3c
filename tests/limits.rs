//! Limits on threads and files that the system sets, from the start and in mid-life.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;

use crate::common::{
    Exporter, Process, binary, configuration, eventually, free_port, get, options,
};
use defender_simulator::{Endpoint, Simulator};

/// A user of this test alone: the limit counts the threads of a user, and root has none.
fn nobody_else(test: u32) -> u32 {
    100_000_000 + 4 * std::process::id() + test
}

/// Starts `program` as a user whom the limit on processes concerns.
fn as_another(test: u32, program: &str) -> Command {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        let user = nobody_else(test);
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.arg("--clear-groups");
        command
    } else {
        // There, the user has no other processes.
        let mut command = Command::new("unshare");
        command.arg("--user");
        command
    };
    command.arg(program);
    command
}

/// The command `binary` under a limit.
fn limited(test: u32, limit: &str, binary: &Command) -> Command {
    let mut command = as_another(test, "prlimit");
    command.env_clear().env("RUST_BACKTRACE", "0");
    command.arg(limit);
    command.arg(binary.get_program()).args(binary.get_args());
    command
}

/// Starts an exporter under a limit, and returns it if it serves. If it does not, it has said why.
async fn start(test: u32, simulator: &Simulator, limit: &str) -> Option<Exporter> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = configuration(simulator, folder.path(), (1_000, 50_000), &[]);
    if geteuid().is_root() {
        let files = folder.path().read_dir().expect("it can be read");
        for path in files.map(|file| file.expect("it can be read").path()) {
            chown(path, Some(nobody_else(test)), None).expect("it can be given away");
        }
        chown(folder.path(), Some(nobody_else(test)), None).expect("it can be given away");
    }
    let mut exporter = binary();
    let port = free_port();
    exporter.arg("--config.file").arg(file);
    exporter.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut process = Process::start(folder, &mut limited(test, limit, &exporter));
    let url = format!("http://127.0.0.1:{port}");
    let serves = eventually("it serves or ends", async || {
        if !process.is_running() {
            return Some(false);
        }
        let (status, _) = get(&format!("{url}/-/ready")).await?;
        (status == 200).then_some(true)
    })
    .await;
    let output = process.output();
    assert!(!output.contains("panicked"), "{limit}: {output}");
    if serves {
        let (status, body) = get(&format!("{url}/metrics")).await.expect("it answers");
        assert!(status == 200 && body.contains("defender_up{"), "{body}");
        return Some(Exporter { process, url });
    }
    assert_eq!(process.exit().await.code(), Some(1), "{limit}: {output}");
    let last = output.lines().last().unwrap_or_default();
    let clear = last.contains("expected") && last.contains("ulimit");
    assert!(clear, "{limit}: {output}");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_few_threads_it_says_so_and_does_not_start() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let enough = 2 * cores + 16;
    for limit in (1..=9).chain([enough]) {
        let serves = start(0, &simulator, &format!("--nproc={limit}"))
            .await
            .is_some();
        println!("{limit} threads: {serves}");
        assert!(serves || limit < enough);
        assert!(!serves || limit > cores);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_few_files_it_says_so_and_does_not_start() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    for limit in (4..=28).chain([64]) {
        let serves = start(1, &simulator, &format!("--nofile={limit}"))
            .await
            .is_some();
        println!("{limit} files: {serves}");
        assert!(serves || limit < 64);
        assert!(!serves || limit > 4);
    }
}

/// Has `prlimit` set the limit of a running exporter.
fn set(exporter: &Exporter, limit: &str, mut prlimit: Command) {
    let id = exporter.process.id().to_string();
    let status = prlimit.args(["--pid", &id, limit]).status();
    assert!(status.expect("prlimit (util-linux) runs").success());
}

/// All threads are there from the start, so that no later limit keeps one from being made.
#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_threads_in_mid_life_costs_nothing() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let exporter = start(2, &simulator, "--nproc=1000").await;
    let exporter = exporter.expect("1 000 are enough");
    // Those that look a name up come and go.
    let threads = || {
        let tasks = format!("/proc/{}/task", exporter.process.id());
        let tasks = fs::read_dir(tasks).expect("it runs");
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() != "look-up").count()
    };
    // Others of the start end soon, or have no name yet.
    let mut last = 0;
    let before = eventually("the start is over", async || {
        let known = std::mem::replace(&mut last, threads());
        tokio::time::sleep(Duration::from_millis(300)).await;
        (known == last).then_some(last)
    })
    .await;
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    println!("{before} threads on {cores} cores");
    assert!(before >= 2 * cores + 7);
    set(&exporter, "--nproc=1", as_another(2, "prlimit"));
    let scrapes = (0..32).map(|_| exporter.get("/metrics"));
    for (status, _) in futures::future::join_all(scrapes).await {
        assert_eq!(status, 200);
    }
    assert_eq!(exporter.get("/").await.0, 200);
    exporter.process.signal("HUP");
    eventually("it reloads", async || {
        exporter.process.output().contains("reloaded").then_some(())
    })
    .await;
    let asked = simulator.calls().len();
    simulator.revoke_tokens(0);
    eventually("it signs in again", async || {
        let calls = simulator.calls();
        let mut later = calls.iter().skip(asked);
        later
            .find(|call| call.endpoint == Endpoint::Token)
            .map(drop)
    })
    .await;
    eventually("as many threads as before", async || {
        (threads() == before).then_some(())
    })
    .await;
    assert!(!exporter.process.output().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_files_in_mid_life_costs_calls_and_not_the_process() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    let mut exporter = Exporter::start(&simulator).await;
    exporter.ready().await;
    // A connection that was made before goes on.
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client can be made");
    let scrape = async || {
        let answer = client.get(format!("{}/metrics", exporter.url)).send().await;
        let answer = answer.expect("it answers");
        assert_eq!(answer.status(), 200);
        crate::common::Metrics(answer.text().await.expect("it is text"))
    };
    scrape().await;
    set(&exporter, "--nofile=4:4096", Command::new("prlimit"));
    simulator.revoke_tokens(0);
    eventually("calls fail", async || {
        let up = scrape().await.value("defender_up", &[]);
        (up == Some(0.0)).then_some(())
    })
    .await;
    set(&exporter, "--nofile=4096:4096", Command::new("prlimit"));
    let lists = || {
        let calls = simulator.calls();
        let lists = calls
            .iter()
            .filter(|call| call.endpoint == Endpoint::Definitions);
        lists.count()
    };
    let asked = lists();
    eventually("it polls again", async || (lists() > asked).then_some(())).await;
    exporter.shows("defender_up", &[], |up| up > 0.5).await;
    assert!(exporter.process.is_running());
    assert!(!exporter.process.output().contains("panicked"));
}
