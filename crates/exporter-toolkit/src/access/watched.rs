//! The web configuration file as it is now.
//!
//! It and the files that it names are looked at for each connection and each
//! request, on a thread of their own, and read again when one has changed. A
//! request waits for the look, but not long: where a file system hangs, what was
//! in force stays. So it does if a change cannot be used.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::watch;

use config_report::ConfigErrors;
use exporter_clock::{Clock, Uptime};

use crate::config::{FileStamp, WebConfig};
use crate::event::{Event, Events};

/// How long a request waits for a look, which takes far less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(75);
/// When a look has taken so long, it is time to say so.
const HUNG: Duration = Duration::from_secs(10);

/// Why the web configuration cannot be used at the start.
#[derive(Debug, Error)]
pub enum AccessError {
    /// What is wrong with the files.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The thread that looks at them cannot be started.
    #[error("cannot start the thread that watches the web configuration: {0}")]
    Thread(#[source] io::Error),
}

/// The files as they were when they were last read.
type Files = Vec<(PathBuf, Option<FileStamp>)>;

/// A file that is looked at.
pub(super) struct Watched {
    shared: Arc<Shared>,
    /// A look is due; one is enough for all who wait. Its end is the thread's end.
    due: SyncSender<()>,
}

struct Shared {
    path: PathBuf,
    clock: Clock,
    events: Events,
    current: ArcSwap<WebConfig>,
    /// Looks that were asked for.
    asked: AtomicU64,
    /// How many had been asked for when the last one that has ended began.
    looked: watch::Sender<u64>,
    late: Mutex<Late>,
}

/// The look that takes too long now.
#[derive(Default)]
struct Late {
    since: Option<Uptime>,
    said: bool,
}

impl Watched {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`AccessError`], if it cannot be used or not be watched.
    pub(super) fn load(path: &Path, clock: Clock, events: Events) -> Result<Self, AccessError> {
        let (watched, files, dues) = Self::read_once(path, clock, events)?;
        let shared = Arc::clone(&watched.shared);
        thread::Builder::new()
            .name("web-config".to_owned())
            .spawn(move || shared.keep_looking(files, &dues))
            .map_err(AccessError::Thread)?;
        Ok(watched)
    }

    /// The same without the thread, which is given the rest.
    fn read_once(
        path: &Path,
        clock: Clock,
        events: Events,
    ) -> Result<(Self, Files, Receiver<()>), ConfigErrors> {
        let reading = WebConfig::load(path);
        let (config, warnings) = reading.result?;
        for warning in warnings {
            tracing::warn!(%warning, "web configuration");
        }
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            clock,
            events,
            current: ArcSwap::from_pointee(config),
            asked: AtomicU64::new(0),
            looked: watch::Sender::new(0),
            late: Mutex::default(),
        });
        let (due, dues) = sync_channel(1);
        Ok((Self { shared, due }, reading.files, dues))
    }

    /// What was in force at the last look.
    pub(super) fn current(&self) -> Arc<WebConfig> {
        self.shared.current.load_full()
    }

    /// What is in force now.
    pub(super) async fn look(&self) -> Arc<WebConfig> {
        let shared = &self.shared;
        let number = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut looked = shared.looked.subscribe();
        // If one is due already, it begins after this.
        let _ = self.due.try_send(());
        if !shared.is_late() {
            let seen = looked.wait_for(|looked| *looked >= number);
            if tokio::time::timeout(PATIENCE, seen).await.is_err() {
                shared
                    .late()
                    .since
                    .get_or_insert_with(|| shared.clock.uptime());
            }
        }
        self.current()
    }
}

impl Shared {
    fn late(&self) -> MutexGuard<'_, Late> {
        // Both fields make sense by themselves, whatever happened to who held it.
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a look takes too long already, so that nobody else waits for it.
    fn is_late(&self) -> bool {
        let mut late = self.late();
        let Some(since) = late.since else {
            return false;
        };
        if !late.said && self.clock.uptime().since(since) >= HUNG {
            late.said = true;
            self.events.emit(Event::ReloadFailed);
            tracing::error!(
                path = %self.path.display(),
                "the web configuration or a file that it names cannot be read because the file system does not respond: the previous configuration stays in effect"
            );
        }
        true
    }

    fn keep_looking(&self, mut files: Files, dues: &Receiver<()>) {
        while dues.recv().is_ok() {
            let asked = self.asked.load(Ordering::SeqCst);
            let fresh = files
                .iter()
                .all(|(path, mark)| FileStamp::of(path) == *mark);
            let was_hung = self.late().said;
            if !fresh || was_hung {
                files = self.read();
            }
            *self.late() = Late::default();
            self.looked.send_replace(asked);
        }
    }

    /// Reads what has changed and puts it in force, if it can be used.
    fn read(&self) -> Files {
        let reading = WebConfig::load(&self.path);
        let refused = match reading.result {
            Ok((config, _)) if config.drops_protection(&self.current.load()) => {
                "expected TLS, passwords or client certificates as before, but found a file that protects nothing; restore it, or restart the exporter if everyone is to have access; with TLS, `client_auth_type: NoClientCert` says so".to_owned()
            }
            Ok((config, warnings)) => {
                for warning in warnings {
                    tracing::warn!(%warning, "web configuration");
                }
                tracing::info!(
                    "the web configuration or a file that it names has changed: the new configuration is in effect"
                );
                self.current.store(Arc::new(config));
                self.events.emit(Event::Reloaded);
                return reading.files;
            }
            Err(mistakes) => mistakes.to_string(),
        };
        tracing::error!(
            mistakes = %refused,
            "the web configuration or a file that it names has changed and is invalid: the previous configuration stays in effect"
        );
        self.events.emit(Event::ReloadFailed);
        reading.files
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::AtomicBool;

    use super::*;

    struct File {
        folder: tempfile::TempDir,
        /// How the last reload went.
        good: Arc<AtomicBool>,
        watched: Watched,
    }

    fn follow() -> (Arc<AtomicBool>, Events) {
        let good = Arc::new(AtomicBool::new(true));
        let last = Arc::clone(&good);
        let events = Events::default();
        events.set(move |event| last.store(matches!(event, Event::Reloaded), Ordering::SeqCst));
        (good, events)
    }

    impl File {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("web.yml");
            fs::write(&path, text).unwrap();
            let (good, events) = follow();
            let watched = Watched::load(&path, Clock::system(), events).unwrap();
            Self {
                folder,
                good,
                watched,
            }
        }

        /// Replaces it at once: who looks meanwhile finds no half of it.
        fn write(&self, text: &str) {
            let draft = self.folder.path().join("draft.yml");
            fs::write(&draft, text).unwrap();
            fs::rename(draft, self.folder.path().join("web.yml")).unwrap();
        }

        fn is_good(&self) -> bool {
            self.good.load(Ordering::SeqCst)
        }

        /// Looks until the last reload has gone as it should: a look may come to its end later
        /// than who asks for it waits.
        async fn went(&self, well: bool) {
            self.shows(|_| self.is_good() == well).await;
        }

        /// Looks until it is as it should be.
        async fn shows(&self, wanted: impl Fn(&WebConfig) -> bool) {
            let looking = async {
                while !wanted(&*self.watched.look().await) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let looked = tokio::time::timeout(Duration::from_mins(1), looking).await;
            let current = self.watched.current();
            assert!(looked.is_ok(), "{current:?}, good: {}", self.is_good());
        }
    }

    fn users(names: &[&str]) -> String {
        let hash = bcrypt::hash("s3cr3t", 4).unwrap();
        let users: Vec<_> = names
            .iter()
            .map(|name| format!("{name}: '{hash}'"))
            .collect();
        format!("basic_auth_users: {{{}}}\n", users.join(", "))
    }

    #[tokio::test]
    async fn a_change_is_in_force_at_once_and_a_bad_one_never() {
        let file = File::new("{}");
        let burst = async |wanted| {
            let wanted = |config: &WebConfig| config.rate_limit.map(|limit| limit.burst) == wanted;
            file.shows(wanted).await;
        };
        burst(None).await;
        file.write("rate_limit: {interval: 1s, burst: 5}");
        burst(Some(5)).await;
        file.went(true).await;
        file.write("rate_limit: {interval: 1s, burst: none}");
        file.went(false).await;
        burst(Some(5)).await;
        // So that the next failure shows.
        file.good.store(true, Ordering::SeqCst);
        fs::remove_file(file.folder.path().join("web.yml")).unwrap();
        file.went(false).await;
        burst(Some(5)).await;
        file.write("rate_limit: {interval: 1s, burst: 6}");
        burst(Some(6)).await;
        file.went(true).await;
        // It protected nothing before.
        file.write("");
        burst(None).await;
    }

    #[tokio::test]
    async fn what_protects_nothing_any_more_is_not_put_in_force() {
        let file = File::new(&users(&["alice"]));
        for bad in [
            "",
            "# all of it is gone\n",
            "{}",
            "basic_auth_users: {}\n",
            "basic_auth_users:\n",
            "rate_limit: {interval: 1s, burst: 5}\n",
            "tls_server_config: {}\n",
        ] {
            file.write(bad);
            file.went(false).await;
            for _ in 0..10 {
                assert_eq!(file.watched.look().await.users.len(), 1, "{bad:?}");
            }
            file.write(&users(&["alice", "bob"]));
            file.shows(|config| config.users.len() == 2).await;
            file.write(&users(&["alice"]));
            file.shows(|config| config.users.len() == 1).await;
            file.went(true).await;
        }
    }

    #[tokio::test]
    async fn a_look_that_hangs_holds_up_one_request_and_not_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, users(&["alice"])).unwrap();
        let (clock, (good, events)) = (Clock::system(), follow());
        let hung = Watched::read_once(&path, clock.clone(), events);
        let (watched, files, dues) = hung.unwrap();
        let file = File {
            folder,
            good,
            watched,
        };
        file.write(&users(&["alice", "bob"]));
        let begun = clock.uptime();
        for _ in 0..1_000 {
            assert_eq!(file.watched.look().await.users.len(), 1);
        }
        let taken = clock.uptime().since(begun);
        assert!(taken < PATIENCE * 20, "1 000 requests took {taken:?}");
        assert!(file.is_good());
        file.watched.shared.late().since = Some(begun - HUNG);
        file.watched.look().await;
        assert!(!file.is_good(), "it is said and counted");
        // It goes on.
        let shared = Arc::clone(&file.watched.shared);
        thread::spawn(move || shared.keep_looking(files, &dues));
        file.shows(|config| config.users.len() == 2).await;
        file.went(true).await;
    }

    #[test]
    fn a_pipe_is_no_configuration_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let refused = Watched::load(&path, Clock::system(), follow().1);
        let refused = refused.err().unwrap();
        assert!(refused.to_string().contains("a named pipe"), "{refused}");
    }
}
