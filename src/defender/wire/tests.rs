//! Every statement of the contract's "Records on the wire", case by case.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::model::{
    Agent, AgentId, Definition, Run, ScanStatus, ScanType, Session, SessionId, TargetType, Targets,
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/",
            $name
        ))
    };
}

mod hostile;

const MAY_10H: Timestamp = Timestamp::from_unix_millis(1_777_629_600_000);
/// As late as all times of the fixtures.
const NOW: Timestamp = MAY_10H;

fn definitions(body: &[u8]) -> Page<Definition> {
    Page::read(body, NOW).expect("readable")
}

fn sessions(body: &[u8]) -> Page<Session> {
    Page::read(body, NOW).expect("readable")
}

fn error(body: &[u8]) -> String {
    let error = match Page::<Session>::read(body, NOW) {
        Ok(page) => page.unread.failure(&page.items).expect("unreadable"),
        Err(error) => error,
    };
    error.to_string()
}

#[test]
fn the_page_as_printed_has_a_trailing_comma() {
    assert_eq!(
        error(fixture!("history-as-printed.json")),
        "expected JSON, but found something else at line 22, column 4"
    );
}

#[test]
fn reads_the_reference_page() {
    let page = sessions(fixture!("history-repaired.json"));
    assert_eq!(
        (page.items.len(), page.unread.records, page.next),
        (3, 0, None)
    );
    let first = &page.items[0];
    assert_eq!(
        first.definition_id.as_str(),
        "4ad8d463-6b3a-4894-b42a-a2de9ea0a8ae"
    );
    assert_eq!(first.id, None);
    assert_eq!(
        first.last_scanned,
        Some(Timestamp::from_unix_millis(1_671_534_864_556))
    );
    assert_eq!(first.status, ScanStatus::PartialSuccess);
    assert_eq!(first.details.targets.total, None);
}

#[test]
fn reads_history_as_the_metadata_spells_it() {
    let page = sessions(fixture!("history-metadata.json"));
    let [first, second, third] = page.items.as_slice() else {
        panic!("expected 3 sessions");
    };
    assert_eq!(first.id.as_ref().map(SessionId::as_str), Some("session-1"));
    assert_eq!(first.last_scanned, None);
    assert_eq!(first.details.targets, Targets::new(Some(3), Some(2)));
    assert_eq!(
        first.details.target_durations,
        [Duration::from_millis(62_500), Duration::from_secs(62)]
    );
    assert_eq!(
        second.definition_id, first.definition_id,
        "a list of one is that one"
    );
    assert_eq!(second.id.as_ref().map(SessionId::as_str), Some("session-2"));
    assert_eq!(second.status, ScanStatus::Success);
    assert_eq!(
        second.details.targets.total, None,
        "a negative count is none"
    );
    assert_eq!(third.last_scanned, None, ".NET's zero means never");
    assert_eq!(
        third.status,
        ScanStatus::Unknown("Waiting for agent".into())
    );
    assert_eq!(third.details.target_durations, [Duration::from_hours(1)]);
    let next = page.next.expect("a next page");
    assert!(next.as_str().ends_with("?$skiptoken=abc"));
}

#[test]
fn reads_definitions() {
    let page = definitions(fixture!("definitions.json"));
    assert_eq!(
        page.unread.records, 3,
        "two without an id and one that is text"
    );
    let [first, second, third, fourth, fifth] = page.items.as_slice() else {
        panic!("expected 5 definitions");
    };
    assert_eq!(&*first.scan_name, "Core switches");
    assert_eq!(first.scan_type, Some(ScanType::Network));
    assert_eq!(first.target_type, Some(TargetType::Ip));
    assert_eq!(first.interval, Some(Duration::from_hours(4)));
    assert_eq!(
        first.agent_id.as_ref().map(AgentId::as_str),
        Some("agent-1")
    );
    assert_eq!(
        first.latest,
        Some(Run {
            at: Timestamp::from_unix_millis(1_777_629_600_123),
            status: ScanStatus::Failure
        })
    );
    assert_eq!(second.scan_type, Some(ScanType::Linux));
    assert!(!second.is_active);
    assert_eq!(second.interval, None, "0 runs once");
    assert_eq!(
        second.latest,
        Some(Run {
            at: MAY_10H,
            status: ScanStatus::Success
        }),
        "0 is success in latestScan alone"
    );
    assert_eq!(third.scan_type, Some(ScanType::Other("9".into())));
    assert_eq!(
        third.target_type,
        Some(TargetType::Other("MAC address".into()))
    );
    assert_eq!(third.interval, None);
    assert_eq!(
        third.latest.as_ref().map(|run| &run.status),
        Some(&ScanStatus::Failure)
    );
    assert_eq!(fourth.scan_type, Some(ScanType::AdvancedActive));
    assert_eq!(fourth.target_type, Some(TargetType::Hostname));
    assert_eq!(fourth.interval, None, "more than an int32");
    assert_eq!(fourth.latest, None);
    assert_eq!(
        fifth.latest.as_ref().map(|run| &run.status),
        Some(&ScanStatus::Unknown("".into()))
    );
}

#[test]
fn credentials_are_never_kept() {
    let page = definitions(fixture!("definitions.json"));
    let shown = format!("{page:?}");
    for secret in ["hunter", "admin@contoso.com", "192.0.2.0"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn null_is_the_same_as_absent() {
    let nulls = definitions(fixture!("nulls.json"));
    let absent = definitions(br#"{"value":[{"id":"a"}]}"#);
    assert_eq!(nulls.items, absent.items);
    assert!(absent.items[0].is_active);
}

#[test]
fn hostile_strings_arrive_whole_and_wrong_types_are_absent() {
    let page = definitions(fixture!("hostile.json"));
    let [hostile, wrong] = page.items.as_slice() else {
        panic!("expected 2 definitions");
    };
    assert_eq!(hostile.id.as_str(), "id \"with\" \\ and \n");
    assert_eq!(
        hostile.scan_name.chars().count(),
        4_096,
        "longer texts are cut"
    );
    assert!(hostile.scan_name.contains("🛰️"));
    assert_eq!(hostile.scan_type, Some(ScanType::Other("🦀".into())));
    assert_eq!(
        (&*wrong.scan_name, &wrong.scan_type, &wrong.latest),
        ("", &None, &None)
    );
    assert_eq!(wrong.interval, Some(Duration::from_hours(24)));
    assert_eq!(wrong.agent_id, None);
    assert_eq!(page.unread.records, 1);
}

#[test]
fn a_name_with_escapes_is_that_name_and_one_that_is_no_text_is_unknown() {
    let page = definitions(b"{\"value\":[{\"\\u0069D\":\"a\",\"\xff\":1,\"\\ud800\":2}]}");
    assert_eq!(page.items[0].id.as_str(), "a");
}

#[test]
fn reads_agents_in_a_list_and_alone() {
    let page: Page<Agent> = Page::read(fixture!("agents.json"), NOW).expect("readable");
    assert_eq!(&*page.items[0].computer_dns_name, "scanner.contoso.com");
    assert_eq!(page.items[0].last_seen, Some(MAY_10H));
    assert_eq!(page.items[0].last_command, None);
    assert_eq!(&*page.items[1].computer_dns_name, "named-otherwise");
    let alone: Page<Agent> = Page::read(fixture!("agent-alone.json"), NOW).expect("readable");
    assert_eq!(
        alone.items[0].computer_dns_name,
        page.items[0].computer_dns_name
    );
    assert_eq!(alone.items.len(), 1);
}

#[test]
fn session_numbers_are_not_those_of_latest_scan() {
    for (written, expected) in [
        ("0", ScanStatus::Failure),
        ("1", ScanStatus::Success),
        ("2.0", ScanStatus::PartialSuccess),
        ("3", ScanStatus::Unknown("3".into())),
        ("-1", ScanStatus::Unknown("-1".into())),
        ("null", ScanStatus::Unknown("".into())),
        ("\"Partial Success\"", ScanStatus::PartialSuccess),
        ("\"partial_success\"", ScanStatus::PartialSuccess),
        ("\"PARTIAL-SUCCESS\"", ScanStatus::PartialSuccess),
        ("\"Failed\"", ScanStatus::Failure),
        ("\"fail\"", ScanStatus::Failure),
        ("\"Running\"", ScanStatus::Unknown("Running".into())),
    ] {
        let body = format!(
            "{{\"value\":[{{\"scanDefinitionId\":\"a\",\"sessionId\":\"s\",\"scanStatus\":{written}}}]}}"
        );
        assert_eq!(
            sessions(body.as_bytes()).items[0].status,
            expected,
            "{written}"
        );
    }
}

#[test]
fn an_id_that_stands_for_several_is_none() {
    let page = sessions(
        br#"{"value":[{"scanDefinitionIds":["a","b"],"sessionId":"s"},{"scanDefinitionIds":[],"sessionId":"s"},{"scanDefinitionIds":["a"],"sessionIds":["s"]}]}"#,
    );
    assert_eq!((page.items.len(), page.unread.records), (1, 2));
}

#[test]
fn what_is_no_page_says_where_and_not_what() {
    for (body, expected) in [
        (&b""[..], "expected JSON, but found an empty response"),
        (b"{}", "expected an object with a list \"value\""),
        (
            b"{\"value\":null}",
            "expected an object with a list \"value\"",
        ),
        (b"[]", "expected an object with a list \"value\""),
        (
            b"<html>hunter2</html>",
            "expected JSON, but found markup, which the API never sends; is a proxy in between?",
        ),
        (
            b"{\"value\":[{\"id\":\"hunter2",
            "expected more JSON, but the response is cut off at line 1, column 24",
        ),
        (
            b"{\"value\":[]} hunter2",
            "expected JSON, but found something else at line 1, column 14",
        ),
        (
            b"hunter2",
            "expected JSON, but found something else at line 1, column 1",
        ),
    ] {
        assert_eq!(error(body), expected);
    }
}

#[test]
fn a_byte_order_mark_and_an_empty_next_link_are_harmless() {
    let page = sessions("\u{feff}{\"Value\":[],\"@OData.NextLink\":\"\"}".as_bytes());
    assert_eq!((page.items.len(), page.next), (0, None));
}

/// JSON of any shape, with the names the reader looks for.
fn json_text() -> impl Strategy<Value = serde_json::Value> {
    let name = prop::sample::select(vec![
        "value",
        "id",
        "scanName",
        "scanType",
        "latestScan",
        "status",
        "executionDateTime",
        "intervalInHours",
        "scannerAgent",
        "scanDefinitionIds",
        "scannedTargets",
        "scanDuration",
        "numberOfTargets",
        "@odata.nextLink",
        "scanStatus",
        "error",
        "other",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
        Just("2026-05-01T10:00:00Z".into()),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                serde_json::Value::Object(
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn read_everything(body: &[u8]) {
    let _ = Page::<Definition>::read(body, NOW);
    let _ = Page::<Session>::read(body, NOW);
    let _ = Page::<Agent>::read(body, NOW);
    let _ = ErrorBody::read(body);
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn any_record_is_read_or_skipped(records in prop::collection::vec(json_text(), 0..8)) {
        let body = serde_json::json!({ "value": records }).to_string();
        read_everything(body.as_bytes());
        let page = Page::<Definition>::read(body.as_bytes(), NOW).expect("valid JSON");
        prop_assert_eq!(page.items.len() + page.unread.records, records.len());
        let is_nothing = page.items.is_empty() && !records.is_empty();
        let failure = page.unread.failure(&page.items);
        prop_assert_eq!(matches!(failure, Some(DecodeError::NoRecord { .. })), is_nothing);
    }
}
