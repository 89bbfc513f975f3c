//! Each trap of `azure_identity`, with an issuer that answers on demand.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::*;

/// What a sign-in does.
enum Turn {
    Answer(Result<Issued, AuthError>),
    Hang,
    Panic,
}

/// Answers in turn.
#[derive(Clone, Default)]
struct Script(Arc<Turns>);

#[derive(Default)]
struct Turns {
    left: StdMutex<VecDeque<Turn>>,
    /// What the credential is read from.
    files: Vec<PathBuf>,
    asked_too_often: AtomicBool,
}

/// A panic alone would be caught.
impl Drop for Turns {
    fn drop(&mut self) {
        let asked_too_often = *self.asked_too_often.get_mut();
        assert!(!asked_too_often, "no further sign-in was expected");
    }
}

impl Script {
    fn will(&self, answer: Result<Issued, AuthError>) {
        self.turn(Turn::Answer(answer));
    }

    fn turn(&self, turn: Turn) {
        self.0.left.lock().expect("unpoisoned").push_back(turn);
    }

    fn left(&self) -> usize {
        self.0.left.lock().expect("unpoisoned").len()
    }
}

#[async_trait]
impl Issuer for Script {
    async fn issue(&self) -> Result<Issued, AuthError> {
        tokio::task::yield_now().await;
        let next = self.0.left.lock().expect("unpoisoned").pop_front();
        match next {
            Some(Turn::Answer(answer)) => answer,
            Some(Turn::Hang) => std::future::pending().await,
            Some(Turn::Panic) => panic!("resulting value is out of range"),
            None => {
                self.0.asked_too_often.store(true, Ordering::Relaxed);
                Err(AuthError::new(AuthReason::Other, "asked too often"))
            }
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.0.files.iter().map(PathBuf::as_path).collect()
    }

    fn whom(&self) -> &'static str {
        "the script"
    }
}

fn issued(name: &str, seconds: u64) -> Result<Issued, AuthError> {
    Ok(Issued {
        bearer: Bearer::new(name)?,
        lifetime: Duration::from_secs(seconds),
    })
}

fn failure() -> Result<Issued, AuthError> {
    Err(AuthError::new(AuthReason::Connect, "no connection"))
}

fn source() -> (TokenSource, Script) {
    source_of(Vec::new())
}

fn source_of(files: Vec<PathBuf>) -> (TokenSource, Script) {
    let mut turns = Turns::default();
    turns.files = files;
    let script = Script(Arc::new(turns));
    let clock = Clock::anchored(Timestamp::from_unix_millis(1_000_000));
    let source = TokenSource::with_issuer(Box::new(script.clone()), clock);
    (source, script)
}

async fn seconds(number: u64) {
    tokio::time::advance(Duration::from_secs(number)).await;
}

async fn token(source: &TokenSource) -> String {
    source.token().await.expect("a token").secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_and_replaced_in_time() {
    let (source, script) = source();
    assert_eq!(source.expiry(), None);
    script.will(issued("one", 3_600));
    assert_eq!(token(&source).await, "one");
    assert_eq!(
        source.expiry(),
        Some(Timestamp::from_unix_millis(4_600_000))
    );
    seconds(3_239).await;
    assert_eq!(token(&source).await, "one");
    script.will(issued("two", 3_600));
    seconds(1).await;
    assert_eq!(token(&source).await, "two");
}

/// Trap 1.
#[tokio::test(start_paused = true)]
async fn a_token_works_until_30_s_before_its_end_though_sign_in_fails() {
    let (source, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&source).await, "one");
    for at in [3_300, 3_569] {
        let now = source.clock.uptime().since(Uptime::default()).as_secs() - 86_400;
        seconds(at - now).await;
        script.will(failure());
        assert_eq!(token(&source).await, "one");
    }
    seconds(120).await;
    script.will(failure());
    let error = source.token().await.expect_err("it is gone");
    assert_eq!(error.reason, AuthReason::Connect);
}

/// Trap 2.
#[tokio::test(start_paused = true)]
async fn a_short_token_is_kept_too() {
    let (source, script) = source();
    script.will(issued("one", 300));
    assert_eq!(token(&source).await, "one");
    seconds(149).await;
    assert_eq!(token(&source).await, "one");
    script.will(issued("two", 20));
    seconds(1).await;
    assert_eq!(token(&source).await, "two");
    script.will(issued("three", 300));
    assert_eq!(token(&source).await, "three", "20 s are too short to keep");
}

/// Trap 3.
#[tokio::test(start_paused = true)]
async fn one_task_signs_in_and_the_others_share_what_comes_of_it() {
    let (source, script) = source();
    script.will(failure());
    let all = futures::future::join_all((0..10).map(|_| source.token())).await;
    assert!(all.iter().all(Result::is_err));
    seconds(6).await;
    script.will(issued("one", 3_600));
    let all = futures::future::join_all((0..10).map(|_| source.token())).await;
    assert!(all.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_end_with_success() {
    let (source, script) = source();
    for pause in [5, 10, 20, 40, 60, 60] {
        script.will(failure());
        assert!(source.token().await.is_err());
        seconds(pause - 1).await;
        assert!(source.token().await.is_err(), "{pause}");
        assert_eq!(script.left(), 0);
        seconds(1).await;
    }
    script.will(issued("one", 20));
    assert_eq!(token(&source).await, "one");
    script.will(failure());
    assert!(source.token().await.is_err());
    seconds(5).await;
    script.will(issued("two", 3_600));
    assert_eq!(token(&source).await, "two");
}

/// Trap 4.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let (source, script) = source();
    script.will(issued("one", 3_600));
    let one = source.token().await.expect("a token");
    script.will(issued("two", 3_600));
    let both = tokio::join!(source.renew(&one), source.renew(&one));
    assert_eq!(both.0, both.1);
    assert_eq!(token(&source).await, "two");
    script.will(failure());
    let two = source.token().await.expect("a token");
    assert!(source.renew(&two).await.is_err(), "it is not used again");
    assert_eq!(source.expiry(), None);
}

#[tokio::test(start_paused = true)]
async fn the_refused_token_again_is_no_new_token() {
    let (source, script) = source();
    script.will(issued("one", 3_600));
    let one = source.token().await.expect("a token");
    script.will(issued("one", 3_600));
    let error = source.renew(&one).await.expect_err("the same");
    assert_eq!(error.reason, AuthReason::Refused);
    script.will(issued("two", 3_600));
    assert_eq!(token(&source).await, "two", "the refused one is forgotten");
}

/// Trap 5.
#[tokio::test(start_paused = true)]
async fn sign_in_takes_10_s_at_most() {
    let (source, script) = source();
    script.turn(Turn::Hang);
    let before = source.clock.uptime();
    let error = source.token().await.expect_err("no answer");
    assert_eq!(error.reason, AuthReason::Timeout);
    assert_eq!(source.clock.uptime().since(before), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_does_not_end_a_token() {
    let (source, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&source).await, "one");
    source.clock.jump(86_400_000);
    assert_eq!(token(&source).await, "one");
}

/// Trap 7.
#[test]
fn a_token_is_not_shown_and_must_be_sendable() {
    let bearer = Bearer::new("hunter2").expect("sendable");
    assert_eq!(format!("{bearer:?}"), "Bearer([redacted])");
    assert!(!format!("{:?}", bearer.header()).contains("hunter2"));
    for token in ["", "two lines\n", "ä", "a b"] {
        let error = Bearer::new(token).expect_err("not sendable");
        assert_eq!(error.reason, AuthReason::Other);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_library_costs_one_sign_in() {
    let (source, script) = source();
    script.turn(Turn::Panic);
    let error = source.token().await.expect_err("it panicked");
    assert_eq!(error.reason, AuthReason::Other);
    assert!(error.text.contains("(a panic)"), "{error}");
    assert!(
        source.token().await.is_err(),
        "it pauses as after any failure"
    );
    seconds(5).await;
    script.will(issued("one", 3_600));
    assert_eq!(token(&source).await, "one");
    seconds(3_300).await;
    script.turn(Turn::Panic);
    assert_eq!(token(&source).await, "one", "while it works, it is used");
}

#[tokio::test(start_paused = true)]
async fn whoever_succeeds_a_source_goes_on_with_its_token_and_its_pause() {
    let (former, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&former).await, "one");
    let successor = |of: &TokenSource| {
        let script = Script::default();
        let next = TokenSource::with_issuer(Box::new(script.clone()), of.clock.clone());
        (next.succeeding(of), script)
    };
    let (next, other) = successor(&former);
    assert_eq!(token(&next).await, "one");
    assert!(next.expiry().is_some());
    seconds(4_000).await;
    other.will(failure());
    assert!(next.token().await.is_err());
    let (last, other) = successor(&next);
    assert!(last.token().await.is_err(), "it waits as the former did");
    last.end_pause().await;
    other.will(issued("two", 3_600));
    assert_eq!(token(&last).await, "two");
}

/// On real time: files are read by threads.
#[tokio::test]
async fn a_changed_file_of_the_credential_ends_the_pause() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("secret");
    let (source, script) = source_of(vec![file.clone()]);
    let patience = Duration::from_secs(30);
    for change in [Some("wrong"), None, Some("other"), Some("right")] {
        script.will(failure());
        assert!(source.token().await.is_err());
        assert!(source.token().await.is_err(), "it pauses");
        match change {
            Some(content) => std::fs::write(&file, content).expect("it can be written"),
            None => std::fs::remove_file(&file).expect("it can be removed"),
        }
        let changed = tokio::time::timeout(patience, source.credential_changed());
        changed.await.expect("it notices");
    }
    script.will(issued("one", 3_600));
    assert_eq!(token(&source).await, "one");
}

#[tokio::test(start_paused = true)]
async fn without_files_no_change_ends_a_pause() {
    let (source, script) = source();
    script.will(failure());
    assert!(source.token().await.is_err());
    let changed = tokio::time::timeout(Duration::from_hours(1), source.credential_changed());
    assert!(changed.await.is_err(), "there is no file");
}

/// On real time: files are read by threads.
#[tokio::test]
async fn a_file_that_does_not_change_ends_no_pause() {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let (source, script) = source_of(vec![file.path().to_owned()]);
    script.will(failure());
    assert!(source.token().await.is_err());
    let often = tokio::time::timeout(LOOK * 2 + LOOK / 2, source.credential_changed());
    assert!(often.await.is_err(), "the file is the same");
}
