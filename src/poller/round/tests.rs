use super::*;
use crate::defender::Detail;

fn page(items: &[u8], next: Option<&str>) -> Page<u8> {
    Page {
        items: items.to_vec(),
        next: next.map(NextLink::new),
        skipped: 0,
        unknown: Vec::new(),
        bytes: 1,
    }
}

fn at(seconds: u64) -> Uptime {
    Uptime::from_boot(Duration::from_secs(seconds))
}

/// The first page is in, the second failed.
fn failed(mut round: Round<u8>, error: ApiError) -> Round<u8> {
    assert!(round.start(at(0)).is_none());
    assert!(matches!(
        round.turn(Ok(page(&[1], Some("two"))), at(1)),
        Turn::More
    ));
    assert_eq!(round.start(at(1)), Some(NextLink::new("two")));
    assert!(matches!(
        round.turn(Err(error), at(2)),
        Turn::Failed(RoundError::Api(_))
    ));
    round
}

#[test]
fn a_list_goes_on_at_the_page_that_failed() {
    let mut round = failed(Round::of_list(), ApiError::Timeout);
    assert_eq!(round.start(at(30)), Some(NextLink::new("two")));
    let Turn::Complete(complete) = round.turn(Ok(page(&[2], None)), at(40)) else {
        panic!("that was the last page")
    };
    assert_eq!(complete.items, [1, 2]);
    assert_eq!(complete.took, Duration::from_secs(40));
    assert!(round.start(at(60)).is_none(), "the next begins anew");
}

#[test]
fn a_list_whose_first_pages_are_old_begins_anew() {
    let mut round = failed(Round::of_list(), ApiError::Timeout);
    assert!(matches!(
        round.turn(Err(ApiError::Timeout), at(301)),
        Turn::Failed(_)
    ));
    assert!(round.start(at(302)).is_none());
}

#[test]
fn a_list_whose_link_is_refused_begins_anew() {
    let refused = ApiError::ForeignNextLink {
        to: "https://elsewhere.example".to_owned(),
    };
    assert!(failed(Round::of_list(), refused).start(at(3)).is_none());
}

#[test]
fn history_of_a_batch_begins_anew() {
    let mut round = failed(Round::of_batches(), ApiError::Timeout);
    assert!(round.start(at(3)).is_none());
}

fn expired() -> ApiError {
    ApiError::BadRequestOrId(Detail {
        status: 400,
        code: "BadRequest".to_owned(),
        message: "the skip token is invalid".to_owned(),
        correlation_id: String::new(),
    })
}

/// Asks for a first page, and then for a second that is refused.
fn refused(round: &mut Round<u8>) -> Turn<u8> {
    assert!(round.start(at(0)).is_none(), "it begins at the first page");
    let first = round.turn(Ok(page(&[1], Some("two"))), at(1));
    assert!(matches!(first, Turn::More));
    assert!(round.start(at(1)).is_some());
    round.turn(Err(expired()), at(2))
}

#[test]
fn an_expired_link_lets_the_round_begin_anew_once() {
    for mut round in [Round::of_list(), Round::of_batches()] {
        for _ in 0..2 {
            assert!(matches!(refused(&mut round), Turn::More));
            assert!(round.start(at(3)).is_none());
            let Turn::Complete(complete) = round.turn(Ok(page(&[1, 2], None)), at(4)) else {
                panic!("that was the last page")
            };
            assert_eq!(complete.items, [1, 2], "nothing is left of the first try");
        }
    }
}

#[test]
fn a_link_that_is_always_refused_is_backed_off_from_and_blames_no_id() {
    let mut round = Round::of_batches();
    assert!(matches!(refused(&mut round), Turn::More));
    for _ in 0..3 {
        let Turn::Failed(error) = refused(&mut round) else {
            panic!("it went on at once")
        };
        let failure = error.failure(Collector::History);
        assert_eq!(failure, Failure::Temporary(Reason::Client));
    }
}

#[test]
fn a_refused_first_page_is_the_ids_fault() {
    let mut round = Round::<u8>::of_batches();
    assert!(round.start(at(0)).is_none());
    let Turn::Failed(error) = round.turn(Err(expired()), at(1)) else {
        panic!("it went on")
    };
    assert_eq!(error.failure(Collector::History), Failure::Refused);
}

#[test]
fn a_round_of_too_many_bytes_is_given_up() {
    for (collector, expected) in [
        (Collector::History, Failure::BatchTooLarge(None)),
        (Collector::Agents, Failure::Temporary(Reason::Decode)),
    ] {
        let mut round = Round::of_list();
        let large = |next| {
            Ok(Page {
                bytes: MOST_BYTES / 2 + 1,
                ..page(&[1], Some(next))
            })
        };
        assert!(matches!(round.turn(large("two"), at(1)), Turn::More));
        let Turn::Failed(error) = round.turn(large("three"), at(2)) else {
            panic!("it goes on");
        };
        assert_eq!(error.failure(collector), expected);
        assert!(round.start(at(3)).is_none(), "it begins anew");
    }
}

#[test]
fn what_a_broken_connection_lost_is_asked_for_once_more() {
    let broken = || Err(ApiError::Unanswered("closed".to_owned()));
    let mut round = Round::<u32>::of_list();
    assert!(!round.ask(at(0)).1);
    for failure in 0..3 {
        let turn = round.turn(broken(), at(failure));
        assert_eq!(matches!(turn, Turn::Again), failure == 0, "{turn:?}");
        assert_eq!(matches!(turn, Turn::Failed(_)), failure > 0, "{turn:?}");
        assert!(round.ask(at(failure)).1, "on a fresh connection");
    }
    let answered = round.turn(Err(ApiError::Timeout), at(4));
    assert!(matches!(answered, Turn::Failed(_)), "{answered:?}");
    assert!(!round.ask(at(5)).1);
    assert!(matches!(round.turn(broken(), at(5)), Turn::Again));
}
