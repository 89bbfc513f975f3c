//! Each trap of `azure_identity`, with an issuer that answers on demand.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use async_trait::async_trait;

use super::*;

/// What a sign-in gives; `None`: no answer, ever.
type Turn = Option<Result<Issued, AuthError>>;

/// Answers in turn; panics when asked once too often.
#[derive(Clone, Default)]
struct Script(Arc<StdMutex<VecDeque<Turn>>>);

impl Script {
    fn will(&self, answer: Result<Issued, AuthError>) {
        self.0.lock().expect("unpoisoned").push_back(Some(answer));
    }

    fn left(&self) -> usize {
        self.0.lock().expect("unpoisoned").len()
    }
}

#[async_trait]
impl Issuer for Script {
    async fn issue(&self) -> Result<Issued, AuthError> {
        tokio::task::yield_now().await;
        let next = self.0.lock().expect("unpoisoned").pop_front();
        match next.expect("no further sign-in was expected") {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
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
    let script = Script::default();
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
    script.0.lock().expect("unpoisoned").push_back(None);
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
