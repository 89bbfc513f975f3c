//! Child processes: each in a group of its own, bounded, and none left behind.
//!
//! A command line such as `az` is the child of a shell and has children of its own.
//! What is left of these when they are orphaned becomes the child of process 1, which
//! in a container this program is: nobody else takes note of their end.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::process::{Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The most that a child may write to either of its outputs, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// How long the rest of what a child wrote may take once it has ended: what it left running
/// may keep its outputs open, as `az` did with what reports how it is used.
const REST: Duration = Duration::from_secs(1);

/// How often process 1 looks for orphans that ended, whatever it was told.
const LOOK: Duration = Duration::from_mins(1);

/// Children that are waited for here: what else is a child of this process was orphaned.
/// Process ids belong to the whole process, and so does this.
static WAITED_FOR: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Nothing that holds the lock can panic half-way through a change.
fn waited_for() -> MutexGuard<'static, BTreeSet<i32>> {
    WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a command to its end; its standard input is empty. When the future is dropped, and
/// when the command writes more than 1 MiB, its whole group is killed, and waited for.
///
/// # Errors
/// If it does not start, cannot be read from, or writes too much.
pub async fn output(command: &mut Command) -> io::Result<Output> {
    let unwanted = CancellationToken::new();
    let _dropped = unwanted.clone().drop_guard();
    let group = ProcessGroup::start(command)?;
    // A task of its own sees to the end whatever becomes of the future.
    let ended = tokio::spawn(group.finish(unwanted)).await;
    ended.map_err(io::Error::other)?
}

/// A child and its descendants, as far as they stay in its group.
struct ProcessGroup {
    child: Child,
    id: Option<Pid>,
}

impl ProcessGroup {
    fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        // Nobody may see the child before it is noted that it is waited for.
        let mut waited_for = waited_for();
        let child = command.spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        waited_for.extend(id.map(Pid::as_raw_pid));
        Ok(Self { child, id })
    }

    async fn finish(mut self, unwanted: CancellationToken) -> io::Result<Output> {
        let output = unwanted.run_until_cancelled(self.output()).await;
        let gone = || io::Error::other("nothing is waiting for it any longer");
        let output = output.unwrap_or_else(|| Err(gone()));
        if output.is_err() {
            self.kill();
            // It was killed: this does not take long, and an error is as good as an end.
            let _ = self.child.wait().await;
        }
        self.forget();
        output
    }

    async fn output(&mut self) -> io::Result<Output> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let [mut out, mut err] = [Vec::new(), Vec::new()];
        let status = {
            let reading = async {
                tokio::try_join!(bounded(stdout, &mut out), bounded(stderr, &mut err)).map(drop)
            };
            tokio::pin!(reading);
            tokio::select! {
                read = &mut reading => {
                    read?;
                    self.child.wait().await?
                }
                status = self.child.wait() => {
                    if let Ok(read) = tokio::time::timeout(REST, &mut reading).await {
                        read?;
                    }
                    status?
                }
            }
        };
        Ok(Output {
            status,
            stdout: out,
            stderr: err,
        })
    }

    fn kill(&self) {
        if let Some(group) = self.id {
            // It may be gone already, which is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn forget(&mut self) {
        if let Some(id) = self.id.take() {
            waited_for().remove(&id.as_raw_pid());
        }
    }
}

/// At the end of the runtime the task is dropped before it is done.
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
        self.forget();
    }
}

async fn bounded(pipe: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) -> io::Result<()> {
    if let Some(pipe) = pipe {
        pipe.take(LIMIT + 1).read_to_end(bytes).await?;
    }
    if bytes.len() as u64 > LIMIT {
        let text = "expected at most 1 MiB of output, but found more";
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// As process 1, takes note of the end of orphaned processes, for ever: what nobody takes
/// note of stays as a zombie, until no process can be started any more. Nothing otherwise.
pub async fn reap_orphans() {
    if std::process::id() != 1 {
        return;
    }
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(%error, "cannot reap orphaned processes: they remain as zombies");
            return;
        }
    };
    loop {
        reap();
        // Signals that come at once are one; and none comes for what ended before.
        let _ = tokio::time::timeout(LOOK, ended.recv()).await;
    }
}

fn reap() {
    for id in orphans(1) {
        // It may be gone already, which is as good.
        let _ = waitpid(Pid::from_raw(id), WaitOptions::NOHANG);
    }
}

/// Children of `parent` that have ended, and whose end nobody here waits for.
fn orphans(parent: u32) -> Vec<i32> {
    // In this order: what is started meanwhile is not among the zombies.
    let zombies = zombies(parent);
    let waited_for = waited_for();
    let left = zombies.into_iter().filter(|id| !waited_for.contains(id));
    left.collect()
}

/// Children of `parent` that have ended, and nobody has taken note.
fn zombies(parent: u32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_one = |id: &i32| is_zombie(*id, parent).unwrap_or(false);
    ids.filter(is_one).collect()
}

/// Source: `proc_pid_stat(5)`. The name, in parentheses, may hold anything.
fn is_zombie(id: i32, parent: u32) -> Option<bool> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let ended = fields.next()? == "Z";
    Some(ended && fields.next()?.parse() == Ok(parent))
}

#[cfg(test)]
mod tests;
