//! Processes that end with their test, and tests that run in namespaces of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::{eventually, tools};

/// Whether this is the run of a test in namespaces of its own; if not, it has run there, and
/// what it said is printed, or there can be none.
///
/// `kinds` are flags of `unshare`, `prepare` a shell's commands, `test` the test's path.
pub fn in_namespaces(kinds: &[&str], prepare: &str, test: &str) -> bool {
    if std::env::var_os("IN_NAMESPACES").is_some() {
        return true;
    }
    if !tools::are_there(&["user namespaces"]) {
        return false;
    }
    let output = Command::new("unshare")
        .args(kinds)
        .args(["--map-root-user", "/bin/sh", "-c"])
        .arg(format!(
            "{prepare} && exec \"$0\" --exact --nocapture {test}"
        ))
        .arg(std::env::current_exe().expect("it has a path"))
        .env("IN_NAMESPACES", "1")
        .output()
        .expect("unshare (package util-linux) starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "expected a pass in namespaces of its own, but found a failure; without root, user namespaces must be allowed: {said}"
    );
    println!("{said}");
    false
}

/// A library to preload: a disk that takes as long as the file says that `SLOW_DISK` names.
pub fn slow_disk(folder: &Path) -> PathBuf {
    let library = folder.join("slow_disk.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shims/slow_disk.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status();
    assert!(status.expect("cc (package gcc or clang) starts").success());
    library
}

/// Sends a signal to a process, or to a group if its id has a minus in front. A shell does
/// that: it needs no further package.
pub fn kill(signal: &str, id: &str) -> Output {
    let output = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, id])
        .output();
    output.expect("the shell runs")
}

/// A child process that is killed and reaped with its test.
pub struct Process {
    child: Child,
    pub folder: Arc<TempDir>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Process {
    pub fn start(folder: impl Into<Arc<TempDir>>, command: &mut Command) -> Self {
        let folder = folder.into();
        let stderr = fs::File::create(folder.path().join("stderr"));
        Self::start_with_stderr(folder, command, stderr.expect("the folder can be written"))
    }

    /// The same, with an error output of the caller's.
    pub fn start_with_stderr(
        folder: impl Into<Arc<TempDir>>,
        command: &mut Command,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let folder = folder.into();
        let stdout = fs::File::create(folder.path().join("stdout"));
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(stdout.expect("the folder can be written"))
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        // It may keep the other end of a pipe.
        command.stderr(Stdio::null());
        Self { child, folder }
    }

    /// Everything it has printed so far.
    pub fn output(&self) -> String {
        let read = |name| fs::read(self.folder.path().join(name)).unwrap_or_default();
        [read("stdout"), read("stderr")]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        assert!(kill(name, &self.child.id().to_string()).status.success());
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        eventually("the process ends", async || {
            self.child.try_wait().expect("it can be waited for")
        })
        .await
    }

    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("it can be waited for")
            .is_none()
    }
}
