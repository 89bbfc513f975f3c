//! Standard error behind a bounded queue, so that nobody waits for its reader.
//!
//! ```text
//! line ─► queue (or dropped and counted) ─► one thread ─► standard error
//! ```
//!
//! A pipe whose reader stalls blocks whoever writes to it. Here only a thread that does
//! nothing else is blocked.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// The most bytes that wait: some thousand lines.
const MOST_BYTES: usize = 1024 * 1024;

/// How long to wait before writing again to what takes nothing now and does not block.
const FULL: Duration = Duration::from_millis(10);

/// Lines on their way to standard error; clones share the queue.
#[derive(Clone, Debug)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Of the lines above and of the one that is being written.
    bytes: usize,
}

impl Lines {
    /// Starts the thread that writes to `sink`. Whenever the reader has caught up after lines
    /// were dropped, that thread calls `caught_up` with their number.
    ///
    /// # Errors
    /// If the system allows no further thread.
    pub fn start(
        sink: impl Write + Send + 'static,
        caught_up: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_all(sink, &caught_up))?;
        Ok(lines)
    }

    /// Adds a line, or counts it as dropped if too much waits already.
    pub fn push(&self, line: Vec<u8>) {
        let mut queue = self.0.lock();
        if queue.bytes.saturating_add(line.len()) > MOST_BYTES {
            drop(queue);
            self.0.dropped.inc();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let queue = self.0.lock();
        // Whatever comes of it, there is nothing left to do.
        let _ = self
            .0
            .changed
            .wait_timeout_while(queue, patience, |queue| queue.bytes > 0);
    }

    /// The count of lines that were dropped.
    #[must_use]
    pub fn dropped(&self) -> Counter {
        self.0.dropped.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A queue is whole between any two statements that change it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut sink: impl Write, caught_up: &impl Fn(u64)) {
        let mut said = 0;
        loop {
            let line = self.next();
            let written = write(&mut sink, &line);
            let mut queue = self.lock();
            queue.bytes -= line.len();
            let empty = queue.bytes == 0;
            drop(queue);
            self.changed.notify_all();
            if written.is_err() {
                self.dropped.inc();
                continue;
            }
            let dropped = self.dropped.get();
            if empty && dropped > said {
                caught_up(dropped - said);
                said = dropped;
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                return line;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes all of a line. Whoever shares a pipe or a terminal may have made it non-blocking.
fn write(sink: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match sink.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => line = line.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    /// Takes a write when the other end takes it: a reader that may stall.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(bytes.to_vec());
            sent.map_err(|_| ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Lines, Receiver<Vec<u8>>, Receiver<u64>) {
        let (sender, reader) = sync_channel(0);
        let (say, said) = sync_channel(16);
        let lines = Lines::start(Reader(sender), move |count| {
            say.send(count).unwrap();
        });
        (lines.unwrap(), reader, said)
    }

    #[test]
    fn a_stalled_reader_costs_lines_that_are_counted_and_said() {
        let (lines, reader, said) = lines();
        let long = vec![b'x'; MOST_BYTES / 4];
        for _ in 0..7 {
            lines.push(long.clone());
        }
        assert_eq!(lines.dropped().get(), 3);
        lines.flush(Duration::from_millis(1));
        for _ in 0..4 {
            assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), long);
        }
        assert_eq!(said.recv_timeout(PATIENCE), Ok(3));
        lines.push(b"again\n".to_vec());
        assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), b"again\n");
        lines.flush(PATIENCE);
        assert_eq!(lines.dropped().get(), 3);
    }

    #[test]
    fn a_reader_that_goes_away_costs_lines_that_are_counted() {
        let (lines, reader, said) = lines();
        lines.push(b"one\n".to_vec());
        assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), b"one\n");
        drop(reader);
        for _ in 0..1_000 {
            lines.push(b"lost\n".to_vec());
        }
        lines.flush(PATIENCE);
        assert_eq!(lines.dropped().get(), 1_000);
        assert!(said.try_recv().is_err(), "nobody can be told");
    }

    #[test]
    fn what_does_not_block_is_tried_again() {
        struct Full(u32, Vec<u8>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 % 2 == 1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.1.extend(&bytes[..1]);
                Ok(1)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = Full(0, Vec::new());
        write(&mut sink, b"whole\n").unwrap();
        assert_eq!(sink.1, b"whole\n");
    }
}
