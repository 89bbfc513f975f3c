//! The threads, all of them made at the start: when the system allows no further one later,
//! whatever needs a thread has it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// Threads for what blocks, beside one a core for what computes.
const BLOCKING: usize = 4;

/// How long the threads may take to start.
const START: Duration = Duration::from_secs(30);

/// For longer than any process lives.
const FOR_EVER: Duration = Duration::from_hours(24 * 366 * 100);

/// A runtime with all its threads.
pub(super) fn start() -> anyhow::Result<Runtime> {
    // The system's own error says the rest; one core is as good a guess as any.
    let cores = thread::available_parallelism().map_or(1, Into::into);
    let blocking = cores + BLOCKING;
    let problem = || {
        format!(
            "expected to start {} threads, but the system refuses one; raise its limits on processes (`ulimit -u`, pids.max) and on memory",
            cores + blocking
        )
    };
    // The runtime would panic.
    probe(cores + blocking).with_context(problem)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .worker_threads(cores)
        .max_blocking_threads(blocking)
        .thread_keep_alive(FOR_EVER)
        .build()
        .context("expected to start the runtime, but the system refuses it; raise its limit on open files (`ulimit -n`)")?;
    occupy(&runtime, blocking).with_context(problem)?;
    Ok(runtime)
}

/// Starts so many threads, and ends them again.
fn probe(count: usize) -> io::Result<()> {
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
        let runtime = start().unwrap();
        let (begin, begun) = mpsc::channel();
        runtime.spawn_blocking(move || {
            begin.send(()).unwrap();
            thread::sleep(Duration::from_secs(30));
        });
        begun.recv().unwrap();
        runtime.shutdown_background();
        let took = clock.uptime().since(start_of_test);
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
}
