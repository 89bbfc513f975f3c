//! The content of the configuration's files, watched for `--config.auto-reload-interval`.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::config::fingerprint;

/// How soon after a first look that found something new the second follows: longer than
/// anyone takes to write a file, or to move one into another's place.
const SETTLE: Duration = Duration::from_secs(1);

/// What a look found: a digest, as the files may hold secrets; `None` if the configuration file
/// cannot be read.
type Look = Option<[u8; 32]>;

/// A configuration file, and those that its `tenant_files` name: looked at once an interval.
pub(super) struct FileWatch {
    file: PathBuf,
    timer: Interval,
    settling: Settling,
}

impl FileWatch {
    /// Watches `file`; `None` if the interval is zero.
    pub(super) fn new(file: PathBuf, interval: Duration) -> Option<Self> {
        if interval.is_zero() {
            return None;
        }
        let mut timer = tokio::time::interval(interval);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            file,
            timer,
            settling: Settling::default(),
        })
    }

    /// Takes the content of this moment as known. To be called before the files are read to be put
    /// in force, so that no later change is missed.
    pub(super) async fn note(&mut self) {
        self.settling.known = self.look().await;
        self.settling.other = None;
    }

    /// Waits until the files have lost the content that is known.
    pub(super) async fn changed(&mut self) {
        loop {
            self.timer.tick().await;
            let look = self.look().await;
            match self.settling.see(look) {
                Seen::Known => {}
                Seen::Unsettled => self.timer.reset_after(SETTLE.min(self.timer.period())),
                Seen::Changed => return,
            }
        }
    }

    async fn look(&self) -> Look {
        let file = self.file.clone();
        let look = tokio::task::spawn_blocking(move || fingerprint(&file));
        look.await.ok().flatten()
    }
}

/// What looks in a row say. A file that is gone for a moment, or half written, is no change: two
/// looks in a row must find the same.
#[derive(Default)]
struct Settling {
    /// What the newest reload found.
    known: Look,
    /// What the newest look found instead.
    other: Option<Look>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Known,
    Unsettled,
    Changed,
}

impl Settling {
    fn see(&mut self, look: Look) -> Seen {
        if look == self.known {
            self.other = None;
            return Seen::Known;
        }
        if self.other == Some(look) {
            return Seen::Changed;
        }
        self.other = Some(look);
        Seen::Unsettled
    }
}

#[cfg(test)]
mod tests {
    use super::Seen::{Changed, Known, Unsettled};
    use super::*;

    const OLD: Look = Some([1; 32]);
    const NEW: Look = Some([2; 32]);
    const HALF: Look = Some([3; 32]);

    #[test]
    fn only_what_two_looks_in_a_row_find_is_a_change() {
        let seen = |looks: &[Look]| {
            let mut settling = Settling {
                known: OLD,
                other: None,
            };
            looks
                .iter()
                .map(|look| settling.see(*look))
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&[OLD, OLD]), [Known, Known]);
        assert_eq!(seen(&[OLD, NEW, NEW]), [Known, Unsettled, Changed]);
        // Gone for a moment, in favour of the same or of something new.
        assert_eq!(seen(&[None, OLD, OLD]), [Unsettled, Known, Known]);
        assert_eq!(seen(&[None, NEW, NEW]), [Unsettled, Unsettled, Changed]);
        assert_eq!(seen(&[None, OLD, None]), [Unsettled, Known, Unsettled]);
        // Half written, twice.
        assert_eq!(seen(&[HALF, NEW, NEW]), [Unsettled, Unsettled, Changed]);
        assert_eq!(seen(&[HALF, OLD, HALF]), [Unsettled, Known, Unsettled]);
        // Gone for good.
        assert_eq!(seen(&[None, None]), [Unsettled, Changed]);
    }

    /// What is done to a file.
    type Change<'c> = &'c dyn Fn(PathBuf) -> std::io::Result<()>;

    #[tokio::test]
    async fn each_change_of_a_tenant_file_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("tenants")).unwrap();
        std::fs::write(at("exporter.yml"), "tenant_files: ['tenants/*.yml']").unwrap();
        let mut watch = FileWatch::new(at("exporter.yml"), Duration::from_millis(1)).unwrap();
        watch.note().await;
        let write = |text: &'static str| move |path| std::fs::write(path, text);
        let changes: [(&str, Change<'_>); 6] = [
            ("tenants/new.yml", &write("one")),
            ("tenants/new.yml", &write("two")),
            ("tenants/same.yml", &write("two")),
            ("tenants/.hidden.yml", &write("two")),
            ("tenants/new.yml", &|path| std::fs::remove_file(path)),
            (
                "exporter.yml",
                &write("tenant_files: [tenants/.hidden.yml]"),
            ),
        ];
        for (number, (name, change)) in changes.into_iter().enumerate() {
            change(at(name)).unwrap();
            let short = Duration::from_millis(if number == 3 { 50 } else { 60_000 });
            let told = tokio::time::timeout(short, watch.changed()).await;
            assert_eq!(told.is_err(), number == 3, "{name}");
            watch.note().await;
            let again = tokio::time::timeout(Duration::from_millis(50), watch.changed());
            assert!(again.await.is_err(), "{name} was told twice");
        }
    }

    #[tokio::test]
    async fn each_content_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exporter.yml");
        std::fs::write(&file, "one").unwrap();
        assert!(FileWatch::new(file.clone(), Duration::ZERO).is_none());
        let mut watch = FileWatch::new(file.clone(), Duration::from_millis(1)).unwrap();
        watch.note().await;
        for content in [Some("two"), None, Some("two"), Some("")] {
            match content {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            watch.changed().await;
            watch.note().await;
            let again = tokio::time::timeout(Duration::from_millis(50), watch.changed());
            assert!(again.await.is_err(), "{content:?} was told twice");
        }
    }
}
