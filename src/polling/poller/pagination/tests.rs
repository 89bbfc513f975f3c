use super::*;
use crate::defender::{Causes, Detail};
use crate::model::health::Reason;
use crate::model::{DefinitionId, Failure};
use crate::schedule::Request;

fn history(ids: usize) -> Request {
    let ids = (0..ids).map(|number| DefinitionId::new(&number.to_string()));
    Request::History(ids.collect())
}

impl Keyed for u32 {
    fn key(&self) -> impl Hash {
        self
    }
}

fn page(items: &[u32], next: Option<&str>) -> Page<u32> {
    Page {
        items: items.to_vec(),
        next: next.map(NextLink::new),
        bytes: 1,
        ..Page::empty(Timestamp::from_unix_millis(0))
    }
}

fn at(seconds: u64) -> Uptime {
    Uptime::from_boot(Duration::from_secs(seconds))
}

/// The first page is in, the second failed.
fn failed(mut round: Pagination<u32>, error: ApiError) -> Pagination<u32> {
    assert!(round.start(at(0)).is_none());
    assert!(matches!(
        round.turn(Ok(page(&[1], Some("two"))), at(1)),
        PageOutcome::More { cut: false }
    ));
    assert_eq!(round.start(at(1)), Some(NextLink::new("two")));
    assert!(matches!(
        round.turn(Err(error), at(2)),
        PageOutcome::Failed(PaginationError::Api(_))
    ));
    round
}

#[test]
fn a_list_goes_on_at_the_page_that_failed() {
    let mut round = failed(Pagination::of_list(), ApiError::Timeout);
    assert_eq!(round.start(at(30)), Some(NextLink::new("two")));
    let PageOutcome::Complete(complete) = round.turn(Ok(page(&[2], None)), at(40)) else {
        panic!("that was the last page")
    };
    assert_eq!(complete.items, [1, 2]);
    assert_eq!(complete.took, Duration::from_secs(40));
    assert!(round.start(at(60)).is_none(), "the next begins anew");
}

#[test]
fn a_list_that_failed_for_long_begins_anew() {
    let mut round = failed(Pagination::of_list(), ApiError::Timeout);
    assert!(matches!(
        round.turn(Err(ApiError::Timeout), at(301)),
        PageOutcome::Failed(_)
    ));
    assert!(round.start(at(302)).is_none());
}

#[test]
fn a_list_that_takes_long_goes_on_at_the_page_that_failed() {
    let mut round = Pagination::of_list();
    for (number, link) in ["two", "three", "four"].into_iter().enumerate() {
        let (number, seconds) = (u32::try_from(number).expect("few"), 200 * number as u64);
        round.turn(Ok(page(&[number], Some(link))), at(seconds));
    }
    round.turn(Err(ApiError::Timeout), at(600));
    assert_eq!(round.start(at(601)), Some(NextLink::new("four")));
}

#[test]
fn a_list_whose_link_is_refused_begins_anew() {
    let refused = ApiError::RefusedLink("leads elsewhere".to_owned());
    assert!(
        failed(Pagination::of_list(), refused)
            .start(at(3))
            .is_none()
    );
}

#[test]
fn history_of_a_batch_begins_anew() {
    let mut round = failed(Pagination::of_batches(), ApiError::Timeout);
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
fn refused(round: &mut Pagination<u32>) -> PageOutcome<u32> {
    assert!(round.start(at(0)).is_none(), "it begins at the first page");
    let first = round.turn(Ok(page(&[1], Some("two"))), at(1));
    assert!(matches!(first, PageOutcome::More { cut: false }));
    assert!(round.start(at(1)).is_some());
    round.turn(Err(expired()), at(2))
}

#[test]
fn an_expired_link_lets_the_round_begin_anew_once() {
    for mut round in [Pagination::of_list(), Pagination::of_batches()] {
        for _ in 0..2 {
            assert!(matches!(refused(&mut round), PageOutcome::Again));
            assert!(round.start(at(3)).is_none());
            let PageOutcome::Complete(complete) = round.turn(Ok(page(&[1, 2], None)), at(4)) else {
                panic!("that was the last page")
            };
            assert_eq!(complete.items, [1, 2], "nothing is left of the first try");
        }
    }
}

#[test]
fn a_link_that_is_always_refused_is_backed_off_from_and_blames_no_id() {
    let mut round = Pagination::of_batches();
    assert!(matches!(refused(&mut round), PageOutcome::Again));
    for _ in 0..3 {
        let PageOutcome::Failed(error) = refused(&mut round) else {
            panic!("it went on at once")
        };
        let failure = error.failure(&history(2));
        assert_eq!(failure, Failure::Temporary(Reason::Client));
    }
}

#[test]
fn a_refused_first_page_is_the_ids_fault() {
    let mut round = Pagination::<u32>::of_batches();
    assert!(round.start(at(0)).is_none());
    let PageOutcome::Failed(error) = round.turn(Err(expired()), at(1)) else {
        panic!("it went on")
    };
    assert_eq!(error.failure(&history(2)), Failure::Refused);
}

#[test]
fn a_round_that_ends_at_a_refused_link_is_not_whole() {
    let mut round = Pagination::of_list();
    let refused = Page {
        refused_link: Some("elsewhere".to_owned()),
        ..page(&[1], None)
    };
    let PageOutcome::Complete(complete) = round.turn(Ok(refused), at(1)) else {
        panic!("it goes on");
    };
    assert_eq!(
        (complete.items, complete.extent),
        (vec![1], Extent::Refused)
    );
    assert!(!complete.extent.is_whole());
}

#[test]
fn a_round_of_too_many_bytes_is_given_up() {
    for (request, expected) in [
        (history(2), Failure::BatchTooLarge(None)),
        (Request::Agents, Failure::Temporary(Reason::Decode)),
    ] {
        let mut round = Pagination::of_list();
        let large = |next| {
            Ok(Page {
                bytes: MOST_BYTES / 2 + 1,
                ..page(&[1], Some(next))
            })
        };
        assert!(matches!(
            round.turn(large("two"), at(1)),
            PageOutcome::More { cut: false }
        ));
        let PageOutcome::Failed(error) = round.turn(large("three"), at(2)) else {
            panic!("it goes on");
        };
        assert_eq!(error.failure(&request), expected);
        assert!(round.start(at(3)).is_none(), "it begins anew");
    }
}

#[test]
fn what_a_broken_connection_lost_is_asked_for_once_more() {
    let broken = || Err(ApiError::Unanswered(Causes::default()));
    let mut round = Pagination::<u32>::of_list();
    assert!(!round.ask(at(0)).1);
    for failure in 0..3 {
        let turn = round.turn(broken(), at(failure));
        assert_eq!(matches!(turn, PageOutcome::Again), failure == 0, "{turn:?}");
        assert_eq!(
            matches!(turn, PageOutcome::Failed(_)),
            failure > 0,
            "{turn:?}"
        );
        assert!(round.ask(at(failure)).1, "on a fresh connection");
    }
    let answered = round.turn(Err(ApiError::Timeout), at(4));
    assert!(matches!(answered, PageOutcome::Failed(_)), "{answered:?}");
    assert!(!round.ask(at(5)).1);
    assert!(matches!(round.turn(broken(), at(5)), PageOutcome::Again));
}

/// Answers with `pages` one after the other, and returns how the round ended after how many.
fn ended(round: &mut Pagination<u32>, pages: impl Iterator<Item = Page<u32>>) -> (usize, Extent) {
    for (number, page) in pages.enumerate() {
        round.start(at(0));
        match round.turn(Ok(page), at(1)) {
            PageOutcome::More { .. } => {}
            PageOutcome::Complete(complete) => {
                assert_eq!(complete.pages, number + 1);
                assert!(round.start(at(2)).is_none(), "the next begins anew");
                return (complete.pages, complete.extent);
            }
            turn => panic!("{turn:?}"),
        }
    }
    panic!("it goes on")
}

/// The page of that number, counted from 0: its records and its link.
type Service = fn(u32) -> (Vec<u32>, u32);

#[test]
fn a_list_that_does_not_end_is_ended() {
    let link = |number: u32| Some(format!("link {number}"));
    let services: [(&str, Service, usize); 8] = [
        ("the same page by the same link", |_| (vec![1], 1), 2),
        ("the same page by other links", |n| (vec![1], n), 2),
        ("no records, by other links", |n| (vec![], n), 2),
        (
            "a page, then none with records",
            |n| (if n == 0 { vec![1] } else { vec![] }, n),
            3,
        ),
        ("a circle of two", |n| (vec![n % 2], n % 2), 3),
        ("a circle of three", |n| (vec![n % 3], n % 3), 4),
        ("new records by an old link", |n| (vec![n], n % 2), 3),
        ("new records for ever", |n| (vec![n], n), MOST_PAGES),
    ];
    for (name, service, pages) in services {
        for mut round in [Pagination::of_list(), Pagination::of_batches()] {
            let answers = (0..).map(|number| {
                let (items, next) = service(number);
                page(&items, link(next).as_deref())
            });
            let (asked, extent) = ended(&mut round, answers);
            assert_eq!((asked, extent), (pages, Extent::Endless), "{name}");
        }
    }
}

#[test]
fn one_page_without_records_is_followed() {
    let pages = [
        page(&[], Some("two")),
        page(&[1], Some("three")),
        page(&[], Some("four")),
        page(&[1, 2], None),
    ];
    let ended = ended(&mut Pagination::of_list(), pages.into_iter());
    assert_eq!(ended, (4, Extent::Whole));
}

#[test]
fn what_a_page_brought_is_there_before_the_next() {
    let mut round = Pagination::of_list();
    round.turn(Ok(page(&[1, 2], Some("two"))), at(0));
    assert_eq!(round.news(), [1, 2]);
    round.turn(Err(ApiError::Timeout), at(1));
    assert!(round.news().is_empty());
    round.start(at(1));
    round.turn(Ok(page(&[3], Some("three"))), at(2));
    assert_eq!(round.news(), [3]);
}

/// A service that holds `total` records and sends `cap` of them, from `skip` on.
fn capped(total: usize, cap: usize, skip: usize) -> Page<u32> {
    let numbers: Vec<u32> = (0..total).map(|n| u32::try_from(n).expect("few")).collect();
    let end = (skip + cap).min(total);
    page(&numbers[skip.min(end)..end], None)
}

/// The number that the round asks to leave out.
fn skip(round: &mut Pagination<u32>) -> Option<usize> {
    let link = round.start(at(0))?;
    let number = link.as_str().strip_prefix("?$skip=");
    Some(number.expect("it is our own").parse().expect("a number"))
}

#[test]
fn the_rest_behind_a_cap_is_asked_for() {
    for (total, cap, pages) in [(9_000, 4_096, 3), (25_000, 10_000, 3), (20_000, 10_000, 3)] {
        let mut round = Pagination::of_list();
        let mut cuts = 0;
        let complete = loop {
            let skip = skip(&mut round).unwrap_or_default();
            match round.turn(Ok(capped(total, cap, skip)), at(1)) {
                PageOutcome::More { cut } => cuts += usize::from(cut),
                PageOutcome::Complete(complete) => break complete,
                turn => panic!("{turn:?}"),
            }
        };
        assert_eq!(complete.extent, Extent::Continued);
        assert_eq!((complete.pages, cuts), (pages, pages - 1), "{total}");
        assert_eq!(complete.items.len(), total);
    }
    let mut round = Pagination::of_list();
    round.turn(Ok(capped(4_096, 4_096, 0)), at(1));
    let nothing_behind = round.turn(Ok(capped(4_096, 4_096, 4_096)), at(1));
    let PageOutcome::Complete(complete) = nothing_behind else {
        panic!("{nothing_behind:?}")
    };
    assert_eq!(
        complete.extent,
        Extent::Truncated,
        "the cap may hold for $skip too"
    );
    let mut round = Pagination::of_list();
    assert!(matches!(
        round.turn(Ok(capped(4_095, 4_096, 0)), at(1)),
        PageOutcome::Complete(Complete {
            extent: Extent::Whole,
            ..
        })
    ));
}

#[test]
fn a_cap_on_all_pages_together_is_one() {
    let mut round = Pagination::of_list();
    for number in 0..4 {
        let link = (number < 3).then_some(["two", "three", "four", ""][number]);
        let items = capped(10_000, 2_500, number * 2_500).items;
        let turn = round.turn(Ok(page(&items, link)), at(1));
        assert!(
            matches!(turn, PageOutcome::More { cut } if cut == (number == 3)),
            "{turn:?}"
        );
    }
    assert_eq!(skip(&mut round), Some(10_000));
}

#[test]
fn skip_that_is_ignored_or_refused_ends_the_round() {
    let detail = |status| Detail {
        status,
        code: String::new(),
        message: String::new(),
        correlation_id: String::new(),
    };
    let failed = |retry_after| ApiError::Server {
        retry_after,
        detail: detail(500),
    };
    let too_large = ApiError::BodyTooLarge { limit: 1 };
    for (answer, ends) in [
        (Ok(capped(9_000, 4_096, 0)), true),
        (Err(ApiError::BadRequestOrId(detail(400))), true),
        (Err(ApiError::Client(detail(404))), true),
        (Err(failed(None)), true),
        (Err(too_large), true),
        (Err(failed(Some(Duration::from_secs(1)))), false),
        (Err(ApiError::Timeout), false),
        (Err(ApiError::Forbidden(detail(403))), false),
    ] {
        let mut round = Pagination::of_list();
        let cut = round.turn(Ok(capped(9_000, 4_096, 0)), at(1));
        assert!(matches!(cut, PageOutcome::More { cut: true }), "{cut:?}");
        assert_eq!(skip(&mut round), Some(4_096));
        match round.turn(answer.clone(), at(2)) {
            PageOutcome::Complete(complete) if ends => {
                assert_eq!(complete.extent, Extent::Truncated);
            }
            PageOutcome::Failed(_) if !ends => {}
            turn => panic!("{answer:?}: {turn:?}"),
        }
    }
}

#[test]
fn a_last_page_that_brings_nothing_new_is_not_the_end_of_a_list() {
    let mut round = Pagination::of_list();
    round.turn(Ok(page(&[1], Some("two"))), at(1));
    let PageOutcome::Complete(complete) = round.turn(Ok(page(&[1], None)), at(2)) else {
        panic!("it goes on");
    };
    assert_eq!(
        complete.extent,
        Extent::Endless,
        "the link was not understood"
    );
}
