//! The thread that owns the file.
//!
//! ```text
//! jobs ─► all that wait ─► is the file still ours? ─► one transaction ─► each is told
//!                              └─► lost: made anew from memory
//! ```
//!
//! All changes that wait when a commit ends share the next one. If they cannot be written
//! together, those that calls wait for are tried by themselves, as they are small. What is in
//! no hurry waits for a while, so that it shares a commit with what comes meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use redb::{Database, Durability, WriteTransaction};
use tokio::sync::oneshot;

use super::file::{self, FileStamp, Opening};
use super::handle::{Change, Handle, Job, Part, Priority, Signs, Write};
use super::rows::{self, BudgetRow, Stamp, millis};
use super::tenant::put_budget;
use super::trouble::Trouble;
use super::{BUDGETS, HeldBudgets, OnEvent, STAMPS, StoreError, StoreEvent, call_log};
use crate::clock::{Clock, Uptime};

/// How often the file is looked at when nothing is to be written.
const LOOK: Duration = Duration::from_secs(1);

/// How old the sign of life may be at which a gap in holding budgets begins.
const ALIVE: Duration = Duration::from_secs(15);

/// Changes in one transaction, at most.
const BATCH: usize = 256;

/// Changes that wait for the next transaction, at most: then they get one of their own.
const WAITING: usize = 4_096;

/// The thread's own.
pub(super) struct Disk {
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) boot_id: Option<String>,
    on_event: OnEvent,
    signs: Arc<Signs>,
    pub(super) held: Arc<HeldBudgets>,
    /// `None` after a failure, until it can be opened again.
    file: Option<(Database, FileStamp)>,
    /// Whether the file was made and is not filled yet.
    is_new: bool,
    trouble: Trouble,
    /// Changes for the next transaction.
    waiting: Vec<Write>,
    /// Changes that wait for others to share a transaction with.
    grouped: Vec<Write>,
    /// When they are written at the latest.
    group_due: Option<Uptime>,
    /// When such changes were written last.
    group_written: Option<Uptime>,
    alive: Option<Uptime>,
    looked: Uptime,
}

impl Disk {
    pub(super) fn new(path: PathBuf, clock: Clock, on_event: OnEvent) -> Self {
        Self {
            boot_id: clock.boot_id(),
            looked: clock.uptime(),
            path,
            clock,
            on_event,
            signs: Arc::default(),
            held: Arc::default(),
            file: None,
            is_new: false,
            trouble: Trouble::default(),
            waiting: Vec::new(),
            grouped: Vec::new(),
            group_due: None,
            group_written: None,
            alive: None,
        }
    }

    /// Starts the thread, which opens the file first; `None` if there is none to open.
    pub(super) async fn start(mut self, opening: Opening) -> Result<Option<Handle>, StoreError> {
        let (jobs, work) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let (opened, outcome) = oneshot::channel();
        let (signs, held) = (Arc::clone(&self.signs), Arc::clone(&self.held));
        let path = self.path.clone();
        let io = |source| StoreError::Io {
            path,
            error: source,
        };
        let thread = thread::Builder::new().name("state".to_owned());
        // Where a test pauses the time of the runtime, it is paused here, too.
        let runtime = tokio::runtime::Handle::current();
        let thread = thread.spawn(move || {
            let _runtime = runtime.enter();
            // Goes when the thread ends, whichever way.
            let _alive = alive;
            let result = self.open(opening);
            let goes_on = matches!(result, Ok(true));
            if opened.send(result).is_ok() && goes_on {
                self.run(&work);
            }
        });
        thread.map_err(io.clone())?;
        let ended_early = || std::io::Error::other("its thread ended");
        if !outcome.await.map_err(|_| io(ended_early()))?? {
            return Ok(None);
        }
        Ok(Some(Handle::new(jobs, signs, held, ended)))
    }

    /// Opens the file; false if there is none and none is to be made.
    fn open(&mut self, opening: Opening) -> Result<bool, StoreError> {
        let Some(opened) = file::open(&self.path, opening, &self.clock, &self.on_event)? else {
            return Ok(false);
        };
        self.file = Some((opened.database, opened.stamp));
        self.is_new |= opened.is_new;
        self.fill()?;
        Ok(true)
    }

    /// Writes into a new file what the budgets in memory say: at the start there are none.
    fn fill(&mut self) -> Result<(), StoreError> {
        let now = self.stamp();
        let Some((database, _)) = self.file.as_ref().filter(|_| self.is_new) else {
            return Ok(());
        };
        let budgets = self.held.budgets();
        file::caught(&self.path, || {
            let writing = database.begin_write()?;
            put_stamp(&writing, "created", &now)?;
            writing.open_table(BUDGETS)?.retain(|_, _| false)?;
            for (key, budget) in &budgets {
                let row = BudgetRow::new(now.clone(), false, budget.reserve());
                put_budget(&writing, key, &row)?;
                // In this order: what is taken meanwhile is written as a call.
                let leased = budget.leased();
                let calls = budget.calls();
                let calls = call_log::made(&calls, self.boot_id.as_deref());
                let calls: Vec<_> = call_log::leased(leased).chain(calls).collect();
                call_log::change(&writing, key.as_str(), 0, &calls)?;
            }
            writing.commit()?;
            Ok(())
        })?;
        self.is_new = false;
        self.signs
            .generation
            .send_modify(|generation| *generation += 1);
        Ok(())
    }

    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            let (first, rested) = match jobs.recv_timeout(self.patience()) {
                Ok(job) => (Some(job), false),
                Err(RecvTimeoutError::Timeout) => (None, true),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.signs
                .busy_since
                .store(millis(self.clock.uptime()).max(1), Ordering::Release);
            let mut batch = Vec::new();
            for job in first.into_iter().chain(jobs.try_iter()) {
                self.take(job, &mut batch);
                if batch.len() + self.grouped.len() >= BATCH {
                    break;
                }
            }
            // A wait that is over is over, also where a test pauses the time.
            if !batch.is_empty() || rested || self.is_group_due() {
                self.with_group(&mut batch);
            }
            self.write(batch);
            self.look();
            self.signs.busy_since.store(0, Ordering::Release);
        }
        self.flush();
    }

    fn take(&mut self, job: Job, batch: &mut Vec<Write>) {
        match job {
            Job::Write(write) => match write.priority {
                Priority::WithTheNext => self.waiting.push(write),
                // What comes before it is about to be written.
                Priority::Grouped(within) if batch.is_empty() => self.group(write, within),
                Priority::Grouped(_) | Priority::Now | Priority::Later => batch.push(write),
            },
            Job::Run(run) => {
                // In the order in which they were sent: it sees what was written before.
                let mut before = std::mem::take(batch);
                self.with_group(&mut before);
                self.write(before);
                run(self);
            }
            Job::Aside(run) => run(self),
        }
    }

    /// Lets a change wait for others: at most until `within` after the last that did.
    fn group(&mut self, write: Write, within: Duration) {
        let now = self.clock.uptime();
        let due = self.group_written.map_or(now, |last| last + within);
        self.group_due = Some(self.group_due.map_or(due, |known| known.min(due)));
        self.grouped.push(write);
    }

    fn is_group_due(&self) -> bool {
        let now = self.clock.uptime();
        self.grouped.len() >= BATCH || self.group_due.is_some_and(|due| due <= now)
    }

    /// Adds the changes that wait for others to `batch`, in the order in which they came.
    fn with_group(&mut self, batch: &mut Vec<Write>) {
        if self.group_due.take().is_none() {
            return;
        }
        self.group_written = Some(self.clock.uptime());
        let mut all = std::mem::take(&mut self.grouped);
        all.append(batch);
        *batch = all;
    }

    /// How long nothing need be done if no job comes.
    fn patience(&self) -> Duration {
        let now = self.clock.uptime();
        self.group_due.map_or(LOOK, |due| due.since(now).min(LOOK))
    }

    /// Looks at the file, and gives a sign of life.
    fn look(&mut self) {
        let now = self.clock.uptime();
        if now.since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        let is_due = self.is_alive_due(now) && !self.held.lock().is_empty();
        if is_due || self.is_lost() || self.waiting.len() > WAITING {
            self.flush();
        }
        self.trouble.look(&self.path, now);
    }

    /// Whether a sign of life is due.
    fn is_alive_due(&self, now: Uptime) -> bool {
        self.alive.is_none_or(|alive| now.since(alive) >= ALIVE)
    }

    /// Writes what waits for a transaction.
    fn flush(&mut self) {
        let change: Change = Box::new(|_| Ok(()));
        let mut batch = vec![Write {
            priority: Priority::Later,
            change,
            done: None,
        }];
        self.with_group(&mut batch);
        self.write(batch);
    }

    fn write(&mut self, batch: Vec<Write>) {
        if batch.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        // In the order in which they were sent.
        let all_written = self.commit(waiting.iter().chain(&batch));
        let (now, later): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|write| write.priority == Priority::Now);
        let had_others = !later.is_empty() || !waiting.is_empty();
        let now_written = all_written || (had_others && !now.is_empty() && self.commit(now.iter()));
        if !all_written {
            // They only shorten how long a call counts.
            self.waiting = waiting;
            self.waiting.truncate(WAITING);
        }
        for write in now {
            write.tell(now_written);
        }
        for write in later {
            write.tell(all_written);
        }
    }

    /// One durable transaction of all `writes`.
    fn commit<'w>(&mut self, writes: impl Iterator<Item = &'w Write>) -> bool {
        let started = self.clock.uptime();
        let stamp = self.stamp();
        let is_due = self.is_alive_due(started);
        let alive = |writing: &WriteTransaction| put_stamp(writing, "alive", &stamp);
        let mut changes: Vec<Part<'_>> = writes.map(|write| &*write.change as _).collect();
        if is_due {
            changes.push(&alive);
        }
        let result = self.transact(&changes);
        let now = self.clock.uptime();
        self.signs
            .is_failing
            .store(result.is_err(), Ordering::Release);
        match result {
            Ok(()) => {
                (self.on_event)(StoreEvent::Committed(now.since(started)));
                self.trouble.written(&self.path, now.since(started), now);
                if is_due {
                    self.alive = Some(started);
                }
                true
            }
            Err(error) => {
                self.file = None;
                (self.on_event)(StoreEvent::Failed);
                self.trouble.failed(&self.path, &error, now);
                false
            }
        }
    }

    fn transact(&mut self, changes: &[Part<'_>]) -> Result<(), StoreError> {
        self.reopen()?;
        let path = self.path.clone();
        let Some((database, stamp)) = &mut self.file else {
            return Err(StoreError::Closed(path));
        };
        // A file that was damaged under our hands may run into the library's assertions.
        file::caught(&path, || {
            let mut writing = database.begin_write()?;
            writing.set_durability(Durability::Immediate)?;
            changes.iter().try_for_each(|change| change(&writing))?;
            writing.commit()?;
            Ok(())
        })?;
        stamp.grew(&path);
        Ok(())
    }

    /// Whether the file under our name is not the one that we have open, or shorter.
    fn is_lost(&self) -> bool {
        let file = self.file.as_ref();
        file.is_some_and(|(_, stamp)| !stamp.is_of(&self.path))
    }

    /// The open database.
    pub(super) fn database(&mut self) -> Result<&Database, StoreError> {
        self.reopen()?;
        match &self.file {
            Some((database, _)) => Ok(database),
            None => Err(StoreError::Closed(self.path.clone())),
        }
    }

    /// Opens the file again, after a failure or if it is lost.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.is_lost() {
            (self.on_event)(StoreEvent::Failed);
            tracing::error!(path = %self.path.display(), "the state was removed, replaced or truncated while in use: it is being rewritten from memory");
            self.file = None;
            file::move_aside(&self.path, "replaced", &self.clock)?;
        }
        if self.file.is_some() {
            return self.fill();
        }
        self.open(Opening::Make).map(drop)
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(self.boot_id.clone(), self.clock.uptime(), self.clock.wall())
    }
}

fn put_stamp(writing: &WriteTransaction, name: &str, stamp: &Stamp) -> Result<(), StoreError> {
    let mut stamps = writing.open_table(STAMPS)?;
    stamps.insert(name, rows::encode(stamp)?.as_slice())?;
    Ok(())
}
