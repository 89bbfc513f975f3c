//! The threads of the runtime, all of them made at the start: when the system allows no further
//! one later, whatever needs a thread has it.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// Threads beside those of the runtime: of signals, of the log, of the state, and one for files.
const OTHERS: usize = 4;

/// Files that must be free to be opened: about twice as many as an exporter has open that
/// nobody asks.
const FILES: usize = 32;

/// How long the threads may take to start.
const START: Duration = Duration::from_secs(30);

/// For longer than any process lives.
const FOR_EVER: Duration = Duration::from_hours(24 * 366 * 100);

/// How many threads a runtime has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// For what never blocks.
    workers: usize,
    /// For what computes for long, or blocks.
    blocking: usize,
}

impl Threads {
    /// For a command that asks, and ends.
    pub(super) const FEW: Self = Self {
        workers: 1,
        blocking: 2,
    };

    /// For the exporter: all cores can compute while some threads are blocked.
    pub(super) fn of_machine() -> Self {
        // One core is as good a guess as any.
        let cores = thread::available_parallelism().map_or(1, Into::into);
        Self {
            workers: cores,
            blocking: cores + 4,
        }
    }
}

/// A runtime with all its threads.
pub(super) fn start(Threads { workers, blocking }: Threads) -> anyhow::Result<Runtime> {
    let threads = workers + blocking + OTHERS;
    let problem = || {
        format!(
            "expected to start {threads} threads, but the system refused one; raise its limits on processes (`ulimit -u`, pids.max) and on memory"
        )
    };
    // Where one of these is refused to it, the runtime panics.
    raise_file_limit();
    probe_files().with_context(|| {
        format!(
            "expected to open {FILES} files, but the system refused one; raise its limit on open files (`ulimit -Hn`)"
        )
    })?;
    probe_threads(threads).with_context(problem)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers)
        .max_blocking_threads(blocking)
        .thread_keep_alive(FOR_EVER)
        .build()
        .with_context(problem)?;
    occupy(&runtime, blocking).with_context(problem)?;
    Ok(runtime)
}

/// As many open files as the system allows, as programs in Go have: the usual
/// 1024 would be used up by that many idle clients.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If that is refused, the limit is as it was.
    setrlimit(Resource::Nofile, limit).ok();
}

/// Opens some files, and closes them again.
fn probe_files() -> io::Result<()> {
    // It is there in every container, and one that may not be read says nothing of the limit.
    let files: io::Result<Vec<_>> = (0..FILES).map(|_| File::open("/")).collect();
    let limits = [Errno::MFILE, Errno::NFILE].map(|limit| Some(limit.raw_os_error()));
    match files {
        Err(error) if limits.contains(&error.raw_os_error()) => Err(error),
        _ => Ok(()),
    }
}

/// Starts so many threads, and ends them again.
fn probe_threads(count: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = |gate: Arc<Mutex<()>>| move || drop(gate.lock());
    let start = |_| thread::Builder::new().spawn(wait(Arc::clone(&gate)));
    let threads: io::Result<Vec<_>> = (0..count).map(start).collect();
    drop(closed);
    for thread in threads? {
        thread.join().ok();
    }
    Ok(())
}

/// Occupies so many threads of the runtime at once, so that it makes them.
fn occupy(runtime: &Runtime, count: usize) -> Result<(), mpsc::RecvTimeoutError> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let (arrive, arrived) = mpsc::channel();
    for _ in 0..count {
        let (gate, arrive) = (Arc::clone(&gate), arrive.clone());
        runtime.spawn_blocking(move || {
            arrive.send(()).ok();
            drop(gate.lock());
        });
    }
    let result = (0..count).try_for_each(|_| arrived.recv_timeout(START));
    drop(closed);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_cannot_be_broken_off_does_not_hold_up_the_exit() {
        let clock = Clock::system();
        let start_of_test = clock.uptime();
        let runtime = start(Threads::FEW).unwrap();
        let (begin, started) = mpsc::channel();
        runtime.spawn_blocking(move || {
            begin.send(()).unwrap();
            thread::sleep(Duration::from_secs(30));
        });
        started.recv().unwrap();
        runtime.shutdown_background();
        let took = clock.uptime().since(start_of_test);
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
}
