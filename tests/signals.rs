//! Signals that come before the exporter has started.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Process, configuration, eventually, options};
use defender_simulator::Simulator;

/// The process's handlers (a mask) and the number of its threads, as the system says.
fn state(id: u32) -> (u64, u32) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("Linux says it").trim().to_owned()
    };
    let caught = u64::from_str_radix(&field("SigCgt:"), 16).expect("it is a mask");
    (caught, field("Threads:").parse().expect("a number"))
}

/// Starts the exporter and returns once a SIGHUP does not end it.
fn start(simulator: &Simulator) -> (Process, Pid) {
    const HUP: u64 = 1;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = configuration(simulator, folder.path(), (1_000, 50_000), &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_defender-scan-exporter"));
    command.env_clear().arg("--config.file").arg(file);
    command.args(["--web.listen-address", "127.0.0.1:0"]);
    let process = Process::start(folder, &mut command);
    loop {
        let (caught, threads) = state(process.id());
        if caught & HUP != 0 {
            break;
        }
        assert_eq!(threads, 1, "it does something before it handles signals");
    }
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    (process, id.expect("it is an id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_signal_is_remembered() {
    let simulator = Simulator::start(options())
        .await
        .expect("the simulator starts");
    for round in 0..45 {
        let signal = [Signal::HUP, Signal::TERM, Signal::INT][round % 3];
        let (mut process, id) = start(&simulator);
        // Each signal comes at another moment of the start.
        tokio::time::sleep(Duration::from_micros(700) * u32::try_from(round).expect("it is small"))
            .await;
        kill_process(id, signal).expect("it runs");
        if signal == Signal::HUP {
            eventually("it reloads", async || {
                assert!(process.is_running(), "{round}: {}", process.output());
                process.output().contains("reloaded").then_some(())
            })
            .await;
            kill_process(id, Signal::TERM).expect("it runs");
        }
        let status = process.exit().await;
        assert_eq!(status.code(), Some(0), "{round}: {}", process.output());
    }
}

/// Commands that end by themselves have no use for a signal but its usual effect, unless whoever
/// starts them wants it ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_command_that_hangs() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("it has an address");
    for (signal, program) in [
        (Signal::TERM, "exec"),
        // Whoever runs the tests may want these ignored.
        (Signal::INT, "exec env --default-signal=INT"),
        (Signal::HUP, "exec env --default-signal=HUP"),
        (Signal::HUP, "exec nohup"),
    ] {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{program} \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_defender-scan-exporter"));
        command.args(["healthcheck", "--url", &format!("http://{address}/")]);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut process = Process::start(folder, &mut command);
        let (asked, _) = silent.accept().expect("it asks");
        let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("it is an id"), signal).expect("it runs");
        if program == "exec nohup" {
            drop(asked);
            assert_eq!(process.exit().await.code(), Some(1), "it has no answer");
        } else {
            assert_eq!(process.exit().await.signal(), Some(signal.as_raw()));
        }
    }
}
