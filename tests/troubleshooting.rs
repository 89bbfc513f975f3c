//! `docs/troubleshooting.md` has each message that the tests make the exporter say,
//! and no other. What the API may answer is said here; the rest in
//! `credentials.rs`, `files.rs`, `hostile_answers.rs`, `machine.rs`, `proxy.rs` and `statuses.rs`.

use std::collections::BTreeSet;
use std::fs;

use crate::common::messages;
use crate::common::tenants::{exporter, secret, simulator};
use crate::common::{Exporter, options};
use defender_simulator::{Endless, Endpoint, Fault, Simulator, Skip};

/// Starts an exporter at a simulator with that fault, and waits for what it says.
async fn says(endpoint: Endpoint, fault: Fault, message: &str) {
    let simulator = simulator().await;
    simulator.set_fault(endpoint, Some(fault));
    let exporter = exporter(&simulator, &secret(&simulator)).await;
    exporter.says(message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_answers_is_said() {
    use Endpoint::Definitions;
    let html = Fault::Body {
        content_type: "text/html".to_owned(),
        bytes: b"<html>".to_vec(),
    };
    let elsewhere = "https://elsewhere.example".to_owned();
    for (fault, message) in [
        (
            Fault::error(403, "Forbidden", "Missing roles"),
            messages::FORBIDDEN,
        ),
        (Fault::Throttle { retry_after: None }, messages::THROTTLED),
        (
            Fault::error(503, "Unavailable", "Later"),
            messages::SERVICE_FAILED,
        ),
        (Fault::Redirect(elsewhere.clone()), messages::REDIRECT),
        (Fault::Hang, messages::TIMEOUT),
        (Fault::Reset, messages::BROKEN),
        (html, messages::UNREADABLE),
        (Fault::GzipBomb, messages::TOO_LARGE),
    ] {
        says(Definitions, fault, message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_says_of_ids_and_pages_is_said() {
    let simulator = simulator().await;
    let id = simulator.world().definitions(0)[0].id.clone();
    simulator.set_fault(Endpoint::History, Some(Fault::BadIds([id].into())));
    let exporter_of = |simulator| async move { exporter(simulator, &secret(simulator)).await };
    exporter_of(&simulator).await.says(messages::BAD_ID).await;

    let mut options = options();
    (options.max_batch, options.page_size) = (1, 2);
    let strict = Simulator::start(options)
        .await
        .expect("the simulator starts");
    exporter_of(&strict)
        .await
        .says(messages::TOO_MANY_IDS)
        .await;
    let elsewhere = Fault::NextLink("https://elsewhere.example/x".to_owned());
    strict.set_fault(Endpoint::Definitions, Some(elsewhere));
    let foreign: Exporter = exporter_of(&strict).await;
    foreign.says(messages::FOREIGN_PAGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lists_without_an_end_and_caps_do_is_said() {
    let endless = Fault::Endless(Endless::Growing);
    says(Endpoint::Definitions, endless, messages::ENDLESS).await;
    let mut options = options();
    (options.definitions, options.agents, options.page_size) = (1, 4_100, 5_000);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    for (skip, message) in [
        (Skip::Obeyed, messages::CONTINUED),
        (Skip::Ignored, messages::CUT),
    ] {
        let cap = Fault::Cap {
            records: 4_096,
            skip,
        };
        simulator.set_fault(Endpoint::Agents, Some(cap));
        let exporter = exporter(&simulator, &secret(&simulator)).await;
        exporter.says(message).await;
    }
}

#[test]
fn the_page_has_each_message_and_no_other() {
    let page = fs::read_to_string("docs/troubleshooting.md").expect("the page is there");
    let quoted: BTreeSet<&str> = page
        .split("\n```text\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("\n```")?.0))
        .collect();
    let said = messages::ALL.iter().copied().collect();
    let missing: Vec<_> = quoted.symmetric_difference(&said).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let messages = page.split("\n```text\n").skip(1);
    let advised = messages
        .filter_map(|rest| Some(rest.split_once("\n```")?.1))
        .filter(|rest| rest.starts_with("\n\n"))
        .count();
    assert_eq!(
        advised,
        said.len(),
        "each message is followed by what to do"
    );
}

/// Each message is what a test waits for, not only a line of the list.
#[test]
fn each_message_is_tested() {
    let list = fs::read_to_string("tests/common/messages.rs").expect("it is there");
    let tests: String = [
        "credentials",
        "files",
        "hostile_answers",
        "machine",
        "outgoing/names",
        "proxy",
        "refusals",
        "statuses",
        "troubleshooting",
    ]
    .map(|name| fs::read_to_string(format!("tests/{name}.rs")).expect("it is there"))
    .concat();
    let names = list
        .lines()
        .filter_map(|line| line.trim().split_once(" = \""));
    let mut seen = 0;
    for (name, _) in names {
        assert!(tests.contains(&format!("messages::{name}")), "{name}");
        seen += 1;
    }
    assert_eq!(seen, messages::ALL.len());
}
