//! How a second process, `check`, takes a call out of the budget of a running exporter: it
//! leaves a question in the folder of the state, and the exporter renames it into its answer.
//!
//! ```text
//! check                              exporter
//! question-PID-N ───────────────────► slot, durable
//! granted-PID-N or refused-PID-N ◄──── renamed
//! ```

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Store, StoreError};
use crate::budget::{BudgetKey, Reserved};
use crate::clock::Timestamp;
use crate::model::health::Collector;

const QUESTION: &str = "question-";
const GRANTED: &str = "granted-";
const REFUSED: &str = "refused-";

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an answer is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Questions and answers that are older are nobody's any more.
const OLD: Duration = Duration::from_mins(1);

/// Longer than any question.
const MAX_BYTES: u64 = 4 * 1024;

/// Asks the exporter whose state is in `folder` for a call; `None` if none answers.
///
/// # Errors
/// If no question can be left there.
pub async fn ask(
    folder: &Path,
    budget: &BudgetKey,
    collector: Collector,
) -> io::Result<Option<bool>> {
    let text = format!("{}\n{}", collector.as_label(), budget.as_str());
    let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
    let [question, granted, refused] =
        [QUESTION, GRANTED, REFUSED].map(|kind| folder.join(format!("{kind}{name}")));
    // It appears whole or not at all.
    let draft = folder.join(format!("draft-{name}"));
    fs::write(&draft, text)?;
    fs::rename(&draft, &question)?;
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        for (answer, is_granted) in [(&granted, true), (&refused, false)] {
            if fs::remove_file(answer).is_ok() {
                return Ok(Some(is_granted));
            }
        }
        tokio::time::sleep(POLL).await;
        waited += POLL;
    }
    // An answer that comes now costs the exporter a call that nobody makes, which does no harm.
    let _ = fs::remove_file(&question);
    Ok(None)
}

/// A question.
struct Question {
    path: PathBuf,
    collector: Collector,
    budget: BudgetKey,
}

impl Store {
    /// Answers the questions of other processes. A call that is granted is durable, and counts
    /// as one whose answer never came: it is not ours.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub async fn answer_questions(&self) -> Result<(), StoreError> {
        for question in self
            .run_aside(|disk| questions(&disk.path, disk.clock.wall()))
            .await?
        {
            let budget = self.0.disk.held().budgets();
            let budget = budget.into_iter().find(|(key, _)| *key == question.budget);
            // What is not ours to spend nobody here can grant.
            let Some((_, budget)) = budget else { continue };
            let slot = budget
                .of_the_whole_api()
                .try_acquire(question.collector, Reserved::default());
            let granted = match slot {
                Ok(slot) => slot.pay().await.is_ok(),
                Err(_) => false,
            };
            self.run_aside(move |_| answer(&question.path, granted))
                .await?;
        }
        Ok(())
    }
}

fn questions(state: &Path, now: Timestamp) -> Vec<Question> {
    let entries = state.parent().and_then(|folder| fs::read_dir(folder).ok());
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            let ours = [QUESTION, GRANTED, REFUSED, "draft-"];
            if !ours.iter().any(|kind| name.starts_with(kind)) {
                return None;
            }
            let path = entry.path();
            if is_old(&path, now) {
                let _ = fs::remove_file(&path);
                return None;
            }
            name.starts_with(QUESTION).then(|| question(path))?
        })
        .collect()
}

fn is_old(path: &Path, now: Timestamp) -> bool {
    let changed = fs::symlink_metadata(path).map(|metadata| metadata.mtime());
    changed.is_ok_and(|seconds| {
        let changed = Timestamp::from_unix_millis(seconds.saturating_mul(1_000));
        now.since(changed) > OLD
    })
}

fn question(path: PathBuf) -> Option<Question> {
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = fs::File::open(&path).ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let (collector, budget) = text.split_once('\n')?;
    Some(Question {
        path,
        collector: Collector::from_label(collector)?,
        budget: BudgetKey::new(budget),
    })
}

fn answer(question: &Path, granted: bool) {
    let name = question.file_name().and_then(|name| name.to_str());
    let rest = name.and_then(|name| name.strip_prefix(QUESTION));
    if let Some(rest) = rest {
        let kind = if granted { GRANTED } else { REFUSED };
        // If it is gone, so is whoever asked.
        let _ = fs::rename(question, question.with_file_name(format!("{kind}{rest}")));
    }
}
