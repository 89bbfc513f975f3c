//! Small files that users name: the configuration, secrets, tokens, certificates.
//!
//! Only regular files are read (links are followed), up to a limit, and nobody
//! waits for ever: a file system whose server is gone gives no thread back, so
//! reads have threads of their own, and these are few.
//!
//! ```text
//! read ─► is the same read under way? ─► wait for it
//!            └► does its folder hang? ─► an error at once
//!                  └► queue ─► thread: open, check, read ─► everyone who waits
//! ```

use std::collections::{HashMap, VecDeque};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::sync::oneshot;

use exporter_clock::{Clock, Uptime};

/// The most that a file with one secret or token may hold, in bytes.
pub const SECRET: u64 = 64 * 1024;

/// The most that a file of certificates may hold, in bytes: more than any bundle has.
pub const CERTIFICATES: u64 = 4 * 1024 * 1024;

/// How long anyone waits for a file; a read that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Threads that read at the same time.
const THREADS: usize = 32;

/// Those that read files of one folder: where it hangs, the other threads go on.
const THREADS_A_FOLDER: usize = 4;

/// What is in a file.
#[derive(Clone, Debug)]
pub struct Content {
    /// Without a byte order mark.
    pub bytes: Vec<u8>,
    /// Whether every user of this machine may read the file.
    pub exposed: bool,
}

/// Reads a regular file of at most `limit` bytes, within 5 s.
///
/// # Errors
/// What the system says; also if it is no regular file ([`ErrorKind::InvalidInput`]), is
/// longer ([`ErrorKind::FileTooLarge`]), or its file system hangs ([`ErrorKind::TimedOut`]).
pub async fn read(path: &Path, limit: u64) -> io::Result<Content> {
    let (sender, answer) = oneshot::channel();
    READS.ask(
        path,
        limit,
        Box::new(move |outcome| drop(sender.send(outcome))),
    );
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(outcome)) => outcome,
        _ => Err(hangs()),
    }
}

/// [`read`], for whoever may block the thread.
///
/// # Errors
/// As of [`read`].
pub fn blocking_read(path: &Path, limit: u64) -> io::Result<Content> {
    let (sender, answer) = mpsc::channel();
    READS.ask(
        path,
        limit,
        Box::new(move |outcome| drop(sender.send(outcome))),
    );
    answer
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err(hangs()))
}

/// Does `work` on a thread of its own, for whoever may block theirs: such as to list a folder,
/// which takes for ever where its file system hangs.
///
/// # Errors
/// [`ErrorKind::TimedOut`], if it is not finished within 5 s, or some of before are not done yet; what
/// the system says, if it has no more threads.
pub fn patiently<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    wait_for(&BUSY, PATIENCE, work)
}

/// Threads of [`patiently`] that are not done.
static BUSY: AtomicUsize = AtomicUsize::new(0);

fn wait_for<T: Send + 'static>(
    busy: &'static AtomicUsize,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if busy.fetch_add(1, Ordering::Relaxed) >= THREADS_A_FOLDER {
        busy.fetch_sub(1, Ordering::Relaxed);
        return Err(hangs());
    }
    let (sender, answer) = mpsc::channel();
    let thread = std::thread::Builder::new().name("files".to_owned());
    let spawned = thread.spawn(move || {
        let done = work();
        busy.fetch_sub(1, Ordering::Relaxed);
        // Whoever asked may have gone.
        drop(sender.send(done));
    });
    if let Err(error) = spawned {
        busy.fetch_sub(1, Ordering::Relaxed);
        return Err(error);
    }
    answer.recv_timeout(patience).map_err(|_| hangs())
}

/// Opens a regular file; neither a pipe without a writer nor a device holds it up.
///
/// # Errors
/// What the system says; [`ErrorKind::InvalidInput`] if it is no regular file.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // What is no file is not even opened: that alone has effects on some devices.
    check_kind(&path.metadata()?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    check_kind(&metadata)?;
    Ok((file, metadata))
}

/// What to do about a file that could not be read.
#[must_use]
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::IsADirectory => "name a regular file",
        ErrorKind::FileTooLarge => "name the right file",
        ErrorKind::TimedOut => "check the file system that it is on",
        _ => "check that it exists and can be read",
    }
}

fn check_kind(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    let found = if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::new(ErrorKind::InvalidInput, found))
}

fn hangs() -> io::Error {
    let seconds = PATIENCE.as_secs();
    let text = format!("no response from its file system within {seconds} s");
    io::Error::new(ErrorKind::TimedOut, text)
}

fn load(path: &Path, limit: u64) -> io::Result<Content> {
    let (file, metadata) = open(path)?;
    let mut bytes = Vec::new();
    // The length says nothing for files that the kernel makes up.
    if metadata.len() <= limit {
        file.take(limit + 1).read_to_end(&mut bytes)?;
    }
    if metadata.len().max(bytes.len() as u64) > limit {
        let text = format!("more than {} KiB", limit / 1024);
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    let exposed = metadata.permissions().mode() & 0o004 != 0;
    Ok(Content { bytes, exposed })
}

/// The reads of this process: its threads are what is scarce, so there is one of these.
static READS: LazyLock<Reads> = LazyLock::new(|| Reads {
    clock: Clock::system(),
    state: Mutex::default(),
    queued: Condvar::new(),
});

struct Reads {
    clock: Clock,
    state: Mutex<State>,
    queued: Condvar,
}

#[derive(Default)]
struct State {
    under_way: HashMap<Wanted, Read>,
    queue: VecDeque<Wanted>,
    threads: usize,
    /// Those of the threads that wait for something to read.
    idle: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Wanted {
    path: PathBuf,
    limit: u64,
}

struct Read {
    /// `None`: it is in the queue.
    begun: Option<Uptime>,
    waiters: Vec<Waiter>,
}

/// Is told how a read ended; may have given up long ago.
type Waiter = Box<dyn FnOnce(io::Result<Content>) + Send>;

impl Reads {
    fn ask(&'static self, path: &Path, limit: u64, waiter: Waiter) {
        let path = path.to_owned();
        let wanted = Wanted { path, limit };
        let mut state = self.state();
        let now = self.clock.uptime();
        if state.is_hopeless(&wanted, now) {
            drop(state);
            return waiter(Err(hangs()));
        }
        if let Some(read) = state.under_way.get_mut(&wanted) {
            read.waiters.push(waiter);
            return;
        }
        let read = Read {
            begun: None,
            waiters: vec![waiter],
        };
        state.under_way.insert(wanted.clone(), read);
        state.queue.push_back(wanted.clone());
        if !state.may_begin(&wanted) {
            // A thread comes to it when it is done with what it reads.
            return;
        }
        self.queued.notify_one();
        if state.threads == THREADS || state.idle >= state.queue.len() {
            return;
        }
        let thread = std::thread::Builder::new().name("files".to_owned());
        match thread.spawn(|| self.work()) {
            Ok(_) => state.threads += 1,
            // Those that there are will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                state.queue.retain(|queued| *queued != wanted);
                let waiters = state.finish(&wanted);
                drop(state);
                tell(waiters, &Err(error));
            }
        }
    }

    /// Reads what may be begun, for ever: a thread that ended could be refused later.
    fn work(&self) {
        loop {
            let wanted = self.next();
            let outcome = load(&wanted.path, wanted.limit);
            let waiters = self.state().finish(&wanted);
            tell(waiters, &outcome);
        }
    }

    fn next(&self) -> Wanted {
        let mut state = self.state();
        loop {
            let next = state.queue.iter().position(|next| state.may_begin(next));
            if let Some(wanted) = next.and_then(|next| state.queue.remove(next)) {
                if let Some(read) = state.under_way.get_mut(&wanted) {
                    read.begun = Some(self.clock.uptime());
                }
                return wanted;
            }
            state.idle += 1;
            let woken = self.queued.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Nothing that holds the lock can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the reads of this folder began that are not in the queue.
    fn begun(&self, folder: Option<&Path>) -> impl Iterator<Item = Uptime> {
        let reads = self.under_way.iter();
        let reads = reads.filter(move |(other, _)| other.path.parent() == folder);
        reads.filter_map(|(_, read)| read.begun)
    }

    fn may_begin(&self, wanted: &Wanted) -> bool {
        self.begun(wanted.path.parent()).count() < THREADS_A_FOLDER
    }

    /// Whether this read hangs already, or all that there may be of its folder do.
    fn is_hopeless(&self, wanted: &Wanted, now: Uptime) -> bool {
        let hangs = |begun: &Uptime| now.since(*begun) >= PATIENCE;
        let itself = self.under_way.get(wanted);
        let itself = itself.and_then(|read| read.begun);
        let beside = self.begun(wanted.path.parent()).filter(hangs);
        itself.as_ref().is_some_and(hangs) || beside.count() == THREADS_A_FOLDER
    }

    fn finish(&mut self, wanted: &Wanted) -> Vec<Waiter> {
        let read = self.under_way.remove(wanted);
        read.map_or_else(Vec::new, |read| read.waiters)
    }
}

fn tell(waiters: Vec<Waiter>, outcome: &io::Result<Content>) {
    for waiter in waiters {
        waiter(match outcome {
            Ok(content) => Ok(content.clone()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
    }
}

#[cfg(test)]
mod tests;
