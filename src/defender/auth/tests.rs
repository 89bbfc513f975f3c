//! Each trap of `azure_identity`, with an issuer that answers on demand.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};

use async_trait::async_trait;

use super::*;
use crate::backoff::LONGEST;

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
    certificate_end: Option<Timestamp>,
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

    fn certificate_end(&self) -> Option<Timestamp> {
        self.0.certificate_end
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
    turns.certificate_end = Some(Timestamp::from_unix_millis(2_000_000));
    let script = Script(Arc::new(turns));
    let clock = Clock::anchored(Timestamp::from_unix_millis(1_000_000));
    let source = TokenSource::with_issuer(Box::new(script.clone()), clock);
    (source, script)
}

async fn seconds(number: u64) {
    tokio::time::advance(Duration::from_secs(number)).await;
}

/// How long no sign-in is tried.
fn wait(source: &TokenSource) -> Duration {
    let retry_at = source.retry_at().expect("a failure");
    retry_at.since(source.clock.uptime())
}

async fn token(source: &mut TokenSource) -> String {
    source.token().await.expect("a token").secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_and_replaced_in_time() {
    let (mut source, script) = source();
    assert_eq!(source.expiry(), None);
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut source).await, "one");
    assert_eq!(
        source.expiry(),
        Some(Timestamp::from_unix_millis(4_600_000))
    );
    seconds(3_239).await;
    assert_eq!(token(&mut source).await, "one");
    script.will(issued("two", 3_600));
    seconds(1).await;
    assert_eq!(token(&mut source).await, "two");
}

/// A trap of `azure_identity`.
#[tokio::test(start_paused = true)]
async fn a_token_works_until_30_s_before_its_end_though_sign_in_fails() {
    let (mut source, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut source).await, "one");
    for at in [3_300, 3_569] {
        let now = source.clock.uptime().since(Uptime::default()).as_secs() - 86_400;
        seconds(at - now).await;
        script.will(failure());
        assert_eq!(token(&mut source).await, "one");
    }
    seconds(120).await;
    script.will(failure());
    let error = source.token().await.expect_err("it is gone");
    assert_eq!(error.reason, AuthReason::Connect);
}

/// A trap of `azure_identity`.
#[tokio::test(start_paused = true)]
async fn a_short_token_is_kept_too() {
    let (mut source, script) = source();
    script.will(issued("one", 300));
    assert_eq!(token(&mut source).await, "one");
    seconds(149).await;
    assert_eq!(token(&mut source).await, "one");
    script.will(issued("two", 20));
    seconds(1).await;
    assert_eq!(token(&mut source).await, "two");
    script.will(issued("three", 300));
    assert_eq!(
        token(&mut source).await,
        "three",
        "20 s are too short to keep"
    );
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_end_with_success() {
    let (mut source, script) = source();
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        script.will(failure());
        assert!(source.token().await.is_err());
        let wait = wait(&source);
        assert!((FIRST_WAIT..=LONGEST).contains(&wait), "{wait:?}");
        longest = longest.max(wait);
        tokio::time::advance(wait / 2).await;
        assert!(source.token().await.is_err());
        assert_eq!(script.left(), 0, "nobody is asked");
        tokio::time::advance(wait).await;
    }
    assert!(longest > LONGEST / 2, "{longest:?}");
    script.will(issued("one", 20));
    assert_eq!(token(&mut source).await, "one");
    assert_eq!(source.retry_at(), None);
    script.will(failure());
    assert!(source.token().await.is_err());
    assert!(wait(&source) <= FIRST_WAIT * 2);
}

/// Also while the old token works, when nobody else would wait.
#[tokio::test(start_paused = true)]
async fn a_pause_that_the_sign_in_host_asks_for_is_kept() {
    let (mut source, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut source).await, "one");
    seconds(3_300).await;
    script.will(failure().map_err(|error| error.after(Some(Duration::from_secs(200)))));
    assert_eq!(token(&mut source).await, "one");
    seconds(199).await;
    assert_eq!(token(&mut source).await, "one", "nobody is asked");
    script.will(issued("two", 3_600));
    seconds(1).await;
    assert_eq!(token(&mut source).await, "two");
}

/// A trap of `azure_identity`.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let (mut source, script) = source();
    script.will(issued("one", 3_600));
    let one = source.token().await.expect("a token");
    script.will(issued("two", 3_600));
    source.refuse(one);
    let two = source.token().await.expect("another token");
    assert_eq!(two.secret(), "two");
    script.will(failure());
    source.refuse(two);
    assert!(source.token().await.is_err(), "it is not used again");
    assert_eq!(source.expiry(), None);
}

#[tokio::test(start_paused = true)]
async fn the_refused_token_again_is_no_new_token() {
    let (mut source, script) = source();
    script.will(issued("one", 3_600));
    let one = source.token().await.expect("a token");
    script.will(issued("one", 3_600));
    source.refuse(one);
    let error = source.token().await.expect_err("the same");
    assert_eq!(error.reason, AuthReason::Refused);
    tokio::time::advance(wait(&source)).await;
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut source).await, "one", "it may work by now");
}

/// A trap of `azure_identity`.
#[tokio::test(start_paused = true)]
async fn sign_in_takes_10_s_at_most() {
    let (mut source, script) = source();
    script.turn(Turn::Hang);
    let before = source.clock.uptime();
    let error = source.token().await.expect_err("no answer");
    assert_eq!(error.reason, AuthReason::Timeout);
    assert_eq!(source.clock.uptime().since(before), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_does_not_end_a_token() {
    let (mut source, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut source).await, "one");
    source.clock.jump(86_400_000);
    assert_eq!(token(&mut source).await, "one");
}

/// A trap of `azure_identity`.
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
    let (mut source, script) = source();
    script.turn(Turn::Panic);
    let error = source.token().await.expect_err("it panicked");
    assert_eq!(error.reason, AuthReason::Other);
    assert!(error.text.contains("panicked on the response"), "{error}");
    assert!(
        source.token().await.is_err(),
        "it pauses as after any failure"
    );
    tokio::time::advance(wait(&source)).await;
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut source).await, "one");
    seconds(3_300).await;
    script.turn(Turn::Panic);
    assert_eq!(
        token(&mut source).await,
        "one",
        "while it works, it is used"
    );
}

#[tokio::test(start_paused = true)]
async fn a_successor_goes_on_with_the_token_and_tries_at_once() {
    let (mut former, script) = source();
    script.will(issued("one", 3_600));
    assert_eq!(token(&mut former).await, "one");
    let successor = |of: &TokenSource| {
        let script = Script::default();
        let next = TokenSource::with_issuer(Box::new(script.clone()), of.clock.clone());
        (next.succeeding(of), script)
    };
    let (mut next, other) = successor(&former);
    assert_eq!(token(&mut next).await, "one");
    assert!(next.expiry().is_some());
    assert_eq!(next.certificate_expiry(), former.certificate_expiry());
    assert!(next.certificate_expiry().is_some());
    seconds(4_000).await;
    other.will(failure());
    assert!(next.token().await.is_err());
    let (mut last, other) = successor(&next);
    other.will(issued("two", 3_600));
    assert_eq!(token(&mut last).await, "two");
}

/// On real time: files are read by threads.
#[tokio::test]
async fn a_changed_file_of_the_credential_ends_the_pause() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("secret");
    let (mut source, script) = source_of(vec![file.clone()]);
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
    assert_eq!(token(&mut source).await, "one");
}

#[tokio::test(start_paused = true)]
async fn without_files_no_change_ends_a_pause() {
    let (mut source, script) = source();
    script.will(failure());
    assert!(source.token().await.is_err());
    let changed = tokio::time::timeout(Duration::from_hours(1), source.credential_changed());
    assert!(changed.await.is_err(), "there is no file");
}

/// On real time: files are read by threads.
#[tokio::test]
async fn a_file_that_does_not_change_ends_no_pause() {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let (mut source, script) = source_of(vec![file.path().to_owned()]);
    script.will(failure());
    assert!(source.token().await.is_err());
    let often = tokio::time::timeout(LOOK * 2 + LOOK / 2, source.credential_changed());
    assert!(often.await.is_err(), "the file is the same");
}
