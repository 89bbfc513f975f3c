//! Commands that do not do as they should. `tests/orphans.rs` has process 1.

use std::path::Path;

use super::*;
use crate::clock::Clock;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// Waits until the process whose id is in the file has ended, whoever takes note of that.
async fn ends(file: &Path) {
    let waiting = async {
        loop {
            let id = fs::read_to_string(file).unwrap_or_default();
            let status = fs::read_to_string(format!("/proc/{}/status", id.trim()));
            if !id.is_empty() && status.map_or(true, |status| status.contains("State:\tZ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, waiting).await;
    ended.expect("it ends");
}

#[tokio::test]
async fn what_it_writes_and_its_status_come_back() {
    let output = output(&mut shell("echo out; echo err >&2; exit 3")).await;
    let output = output.expect("it runs");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(output.status.code(), Some(3));
    let error = super::output(&mut Command::new("/nowhere/az")).await;
    let error = error.expect_err("there is none");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn what_a_child_leaves_running_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("id");
    let script = format!("sleep 600 & echo $! > {}; echo out", file.display());
    let mut command = shell(&script);
    let output = tokio::time::timeout(PATIENCE, output(&mut command)).await;
    assert_eq!(output.expect("it ends").expect("it runs").stdout, b"out\n");
    let left = fs::read_to_string(&file).expect("it was written");
    let kill = shell(&format!("kill {}", left.trim())).status().await;
    assert!(
        kill.expect("kill runs").success(),
        "it was not ours to kill"
    );
}

#[tokio::test]
async fn a_flood_is_cut_off_and_its_source_killed() {
    for pipe in ["", " >&2"] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("id");
        // The flood begins when its source is known: it may be over soon after.
        let script = format!(
            "sh -c 'echo $$ > {}; exec yes{pipe}' & wait",
            file.display()
        );
        let mut command = shell(&script);
        let error = tokio::time::timeout(PATIENCE, output(&mut command)).await;
        let error = error.expect("it ends").expect_err("it is too much");
        assert!(error.to_string().contains("1 MiB"), "{error}");
        ends(&file).await;
    }
    let just = output(&mut shell("head -c 1048576 /dev/zero")).await;
    assert_eq!(just.expect("it is allowed").stdout.len(), 1 << 20);
}

#[tokio::test]
async fn when_nobody_waits_any_longer_the_group_is_killed_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name);
    let script = format!(
        "sleep 600 & echo $! > {}; echo $$ > {}; wait",
        at("child").display(),
        at("shell").display()
    );
    let mut command = shell(&script);
    let started = async {
        let is_written = || fs::read_to_string(at("shell")).is_ok_and(|id| id.ends_with('\n'));
        while !is_written() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = output(&mut command) => panic!("it hangs"),
        started = tokio::time::timeout(PATIENCE, started) => started.expect("it starts"),
    }
    ends(&at("child")).await;
    ends(&at("shell")).await;
    let id = fs::read_to_string(at("shell")).expect("it was written");
    let id: i32 = id.trim().parse().expect("it is a number");
    let forgotten = async {
        while waited_for().contains(&id) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let forgotten = tokio::time::timeout(PATIENCE, forgotten).await;
    forgotten.expect("its end is noted");
    assert!(
        !Path::new(&format!("/proc/{id}")).exists(),
        "it is no zombie"
    );
}

/// On one thread: the runtime takes no note of a child's end before the test lets it.
#[tokio::test]
async fn who_is_waited_for_is_no_orphan() {
    let group = ProcessGroup::start(&mut shell("exit 3")).expect("it runs");
    let id = group.id.expect("it has one").as_raw_pid();
    let (us, clock) = (std::process::id(), Clock::system());
    let start = clock.uptime();
    while !zombies(us).contains(&id) {
        assert!(clock.uptime().since(start) < PATIENCE, "it does not end");
        std::thread::yield_now();
    }
    assert!(!orphans(us).contains(&id));
    let output = group.finish(CancellationToken::new()).await;
    assert_eq!(output.expect("it ran").status.code(), Some(3));
    assert!(!zombies(us).contains(&id));
    assert!(!waited_for().contains(&id));
    assert_eq!(is_zombie(i32::MAX, us), None);
}
