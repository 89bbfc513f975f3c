//! What no service should send: it costs as little as can be.

use super::*;

/// Each damaged in another way: what JSON forbids within a text, and numbers that are none.
const DAMAGE: [&[u8]; 9] = [
    br#""caf\ud83d""#,
    br#""\ude00 first""#,
    br#""an \x escape""#,
    br#""a cut \u12 escape""#,
    b"\"a raw \t tab\"",
    b"\"a raw \x00 NUL\"",
    b"\"Latin-1: \xe9\"",
    b"1e309",
    b"NaN",
];

#[test]
fn damage_costs_the_text_or_number_that_it_is_in_and_nothing_else() {
    let around = |damage: &[u8], property: &str| {
        let head = format!(r#"{{"value":[{{"id":"before","scanName":"fine"}},{{"{property}":"#);
        let tail = br#","latestScan":{"status":"Success","executionDateTime":"2026-05-01T10:00:00Z"},"intervalInHours":4},{"id":"after"}]}"#;
        [head.as_bytes(), damage, tail].concat()
    };
    for damage in DAMAGE {
        let shown = String::from_utf8_lossy(damage);
        for property in [
            "scanName",
            "target",
            "created\u{fffd}By",
            "scanAuthenticationParams",
        ] {
            let body = around(damage, &format!(r#"id":"damaged","{property}"#));
            let page = definitions(&body);
            let [before, damaged, after] = page.items.as_slice() else {
                panic!(
                    "expected 3 definitions, but found {} with {shown}",
                    page.items.len()
                );
            };
            assert_eq!(page.unread.records, 0, "{shown}");
            assert_eq!((&*before.scan_name, after.id.as_str()), ("fine", "after"));
            assert_eq!(damaged.latest.as_ref().map(|run| run.at), Some(MAY_10H));
            assert_eq!(damaged.interval, Some(Duration::from_hours(4)));
            let is_text = damage.starts_with(b"\"");
            let replaced = damaged.scan_name.contains('\u{fffd}');
            assert_eq!(replaced, is_text && property == "scanName", "{shown}");
        }
        // A damaged id is an id all the same, but for what is not even a number.
        let page = definitions(&around(damage, "id"));
        let damaged = usize::from(damage != b"NaN");
        assert_eq!(
            (page.items.len(), page.unread.records),
            (2 + damaged, 1 - damaged),
            "{shown}"
        );
    }
    let keys = b"{\"value\":[{\"id\":\"a\",\"\\ud83d\":1,\"\xff\":2,\"a\tb\":{\"\t\":3},\"scanName\":\"b\"}]}";
    assert_eq!(&*definitions(keys).items[0].scan_name, "b");
}

#[test]
fn depth_costs_the_property_that_it_is_in() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let objects = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
    for nested in [deep, objects] {
        let body = format!(
            r#"{{"value":[{nested},{{"id":"a","scanName":{nested},"scannerAgent":{nested},"scanDefinitionId":{nested},"other":{nested}}},{{"id":{nested}}}],"other":{nested}}}"#
        );
        let page = definitions(body.as_bytes());
        assert_eq!((page.items.len(), page.unread.records), (1, 2));
    }
}

#[test]
fn an_answer_of_which_nothing_can_be_read_is_an_error_that_names_what_it_has() {
    for (body, expected) in [
        (
            r#"{"@odata.context":"x","value":[{"definition":"a","hunter2":1},{"State":{"inner":2}}]}"#,
            r#"expected records with an id, but none of 2 could be read, but found "State", "definition", "hunter2"; look for a newer version of the exporter"#,
        ),
        (
            r#"{"value":["a",null,[1]]}"#,
            "expected records with an id, but none of 3 could be read; look for a newer version of the exporter",
        ),
        (
            r#"{"values":[],"count":0}"#,
            r#"expected an object with a list "value", but found "count", "values""#,
        ),
        (
            // A session that neither says which it is nor how it went.
            r#"{"value":[{"scanDefinitionId":"a","result":"Success"}]}"#,
            r#"expected records with an id, but none of 1 could be read, but found "result"; look for a newer version of the exporter"#,
        ),
    ] {
        assert_eq!(error(body.as_bytes()), expected, "{body}");
    }
    let many: Vec<_> = (0..99)
        .map(|number| format!(r#""{number:099}":1"#))
        .collect();
    let body = format!(r#"{{"value":[{{{}}}]}}"#, many.join(","));
    assert!(error(body.as_bytes()).len() < 1_000, "names are bounded");
}

#[test]
fn fields_that_are_not_known_are_named_and_those_of_no_use_are_not() {
    for (body, unknown) in [
        (&fixture!("definitions.json")[..], &[][..]),
        (
            br#"{"value":[{"id":"a","ScanNAME":"b","owner":"hunter2","next\nRun":1}]}"#,
            &["next Run", "owner"],
        ),
    ] {
        assert_eq!(definitions(body).unread.unknown, unknown);
    }
    assert_eq!(
        sessions(fixture!("history-metadata.json")).unread.unknown,
        [""; 0]
    );
    assert_eq!(
        sessions(fixture!("history-repaired.json")).unread.unknown,
        [""; 0]
    );
}

#[test]
fn an_id_keeps_all_digits_and_none_is_longer_than_a_label() {
    let long = "x".repeat(513);
    for (written, expected) in [
        (
            "12345678901234567890123456789",
            Some("12345678901234567890123456789"),
        ),
        ("-7", Some("-7")),
        ("-98765432109876543210", Some("-98765432109876543210")),
        ("1e30", Some("1e30")),
        ("[ 7.5 ]", Some("7.5")),
        ("18446744073709551615", Some("18446744073709551615")),
        (r#"["a"]"#, Some("a")),
        (r#"[["a"]]"#, None),
        (r#""a\u0000b""#, Some("a\u{fffd}b")),
        ("true", None),
        (r#"" ""#, None),
        (&format!("\"{long}\""), None),
        (&format!("\"{}\"", &long[1..]), Some(&long[1..])),
    ] {
        let body = format!(r#"{{"value":[{{"id":{written}}},{{"id":"other"}}]}}"#);
        let page = definitions(body.as_bytes());
        let found = page.items.first().map(|found| found.id.as_str());
        assert_eq!(found.filter(|id| *id != "other"), expected, "{written}");
        assert_eq!(
            page.unread.records,
            usize::from(expected.is_none()),
            "{written}"
        );
    }
}

#[test]
fn what_lies_in_the_future_did_not_happen() {
    let run = |time: &str| {
        let body = format!(
            r#"{{"value":[{{"id":"a","latestScan":{{"status":"Fail","executionDateTime":"{time}"}}}}]}}"#
        );
        definitions(body.as_bytes()).items.remove(0).latest
    };
    assert!(run("2026-05-02T10:00:00Z").is_some());
    for time in [
        "2026-05-02T10:00:01Z",
        "2099-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",
    ] {
        assert_eq!(run(time), None, "{time}");
        let body = format!(
            r#"{{"value":[{{"scanDefinitionId":"a","sessionId":"s","lastScanned":"{time}"}}]}}"#
        );
        assert_eq!(
            sessions(body.as_bytes()).items[0].last_scanned,
            None,
            "{time}"
        );
        let body = format!(
            r#"{{"value":[{{"id":"a","lastSeen":"{time}","lastCommandExecutionTimestamp":"{time}"}}]}}"#
        );
        let page: Page<Agent> = Page::read(body.as_bytes(), NOW).expect("readable");
        assert_eq!(
            (page.items[0].last_seen, page.items[0].last_command),
            (None, None)
        );
    }
}

#[test]
fn what_is_there_and_cannot_be_read_is_counted_by_property() {
    let body = br#"{"value":[
        {"id":"a","latestScan":{"executionDateTime":"yesterday","status":"Fail"},"isActive":"maybe","intervalInHours":"many"},
        {"id":"b","latestScan":"never","scannerAgent":[1,2],"intervalInHours":4294967296},
        {"id":"c","latestScan":{"executionDateTime":"2026-05-01T10:00:00Z"},"scanName":{"en":"x"}},
        {"id":"d","latestScan":{"executionDateTime":"0001-01-01T00:00:00"},"isActive":0,"intervalInHours":-1},
        {"id":"e","latestScan":null,"isActive":null,"intervalInHours":null,"scanName":"","scannerAgent":null}
    ]}"#;
    let page = definitions(body);
    let found: Vec<_> = page.unread.values.into_iter().collect();
    let expected = [
        ("executionDateTime", 1),
        ("intervalInHours", 2),
        ("isActive", 1),
        ("latestScan", 1),
        ("scanName", 1),
        ("scannerAgent", 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(page.items.len(), 5);
    assert_eq!(
        (page.items[1].interval, page.items[3].is_active),
        (None, false)
    );
    let body = br#"{"value":[{"scanDefinitionId":"a","sessionId":"s","lastScanned":{},"scanStatus":[],"numberOfTargets":1e300,
        "scannedTargets":[{"scanDuration":"00:01:00"},{"scanDuration":"99999.00:00:00"},{"scanDuration":"long"},7]}]}"#;
    let page = sessions(body);
    let found: Vec<_> = page.unread.values.into_iter().collect();
    let expected = [
        ("lastScanned", 1),
        ("numberOfTargets", 1),
        ("scanDuration", 2),
        ("scanStatus", 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        page.items[0].details.target_durations,
        [Duration::from_mins(1)]
    );
}

#[test]
fn definitions_none_of_which_says_when_it_ran_are_an_error_if_that_is_there() {
    for (runs, values) in [
        (
            [
                "{\"executionDateTime\":\"soon\"}",
                "{\"executionDateTime\":7e300}",
            ],
            Some(2),
        ),
        (["\"soon\"", "null"], Some(1)),
        (
            [
                "\"soon\"",
                "{\"executionDateTime\":\"2026-05-01T10:00:00Z\"}",
            ],
            None,
        ),
        (
            ["null", "{\"executionDateTime\":\"0001-01-01T00:00:00Z\"}"],
            None,
        ),
    ] {
        let [one, other] = runs;
        let body = format!(
            r#"{{"value":[{{"id":"a","latestScan":{one}}},{{"id":"b","latestScan":{other}}}]}}"#
        );
        let page = definitions(body.as_bytes());
        let expected = values.map(|values| DecodeError::NoTime { values });
        assert_eq!(page.unread.failure(&page.items), expected, "{body}");
    }
}

#[test]
fn a_page_whose_link_cannot_be_read_is_not_the_last() {
    for (link, next, refused) in [
        ("null", None, false),
        (r#""""#, None, false),
        (r#""?$skip=1""#, Some("?$skip=1"), false),
        ("true", None, true),
        ("17", None, true),
        (r#"{"href":"x"}"#, None, true),
        (r#"["?$skip=1"]"#, Some("?$skip=1"), false),
        (r#"["a","b"]"#, None, true),
        (
            r#""?$skip=1","@odata.nextLink":null"#,
            Some("?$skip=1"),
            false,
        ),
        (r#""?$skip=1","odata.nextLink":"""#, Some("?$skip=1"), false),
        (r#"null,"@nextLink":"?$skip=2""#, Some("?$skip=2"), false),
        (r#"null,"NextLink":"?$skip=3""#, Some("?$skip=3"), false),
    ] {
        let body = format!(r#"{{"value":[{{"id":"a"}}],"@odata.nextLink":{link}}}"#);
        let page = definitions(body.as_bytes());
        let found = page.next.as_ref().map(super::super::NextLink::as_str);
        assert_eq!(
            (found, page.refused_link.is_some()),
            (next, refused),
            "{link}"
        );
    }
}

#[test]
fn a_list_in_two_parts_is_one() {
    let page = definitions(br#"{"value":[{"id":"a"},1],"value":[],"Value":[{"id":"b"}]}"#);
    assert_eq!((page.items.len(), page.unread.records), (2, 1));
}

#[test]
fn a_list_with_an_error_beside_it_is_not_whole() {
    for beside in [
        r#""error":{"code":"InternalServerError"}"#,
        r#""@odata.error":"x""#,
    ] {
        let body = format!(r#"{{"value":[{{"id":"a"}}],{beside}}}"#);
        assert_eq!(
            error(body.as_bytes()),
            "expected records, but found an error alongside them"
        );
    }
    let page = definitions(br#"{"value":[{"id":"a"}],"error":null}"#);
    assert_eq!(page.items.len(), 1);
}

#[test]
fn a_status_that_is_not_known_tells_no_secret() {
    for (status, expected) in [
        (
            "Failed: login as svc_scan with Hunter2xyz on 10.11.12.13 refused",
            None,
        ),
        ("Waiting for agent", Some("Waiting for agent")),
        ("In progress", Some("In progress")),
        ("7", Some("7")),
    ] {
        let body = format!(
            r#"{{"value":[{{"scanDefinitionId":"a","sessionId":"s","scanStatus":"{status}"}}]}}"#
        );
        let ScanStatus::Unknown(found) = sessions(body.as_bytes()).items.remove(0).status else {
            panic!("{status}")
        };
        for secret in ["svc", "Hunter", "10.11"] {
            assert!(!found.contains(secret), "{found}");
        }
        assert!(
            expected.is_none_or(|expected| expected == &*found),
            "{found}"
        );
    }
}

#[test]
fn the_id_of_no_session_is_none() {
    let page = sessions(br#"{"value":[
        {"scanDefinitionId":"a","sessionId":"00000000-0000-0000-0000-000000000000","lastScanned":"2026-05-01T10:00:00Z"},
        {"scanDefinitionId":"a","sessionId":"0","lastScanned":"2026-05-01T10:00:00Z"}
    ]}"#);
    let ids: Vec<_> = page
        .items
        .iter()
        .map(|session| session.id.is_some())
        .collect();
    assert_eq!(ids, [false, true]);
}
