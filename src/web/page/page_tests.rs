use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::header::CONTENT_SECURITY_POLICY;

use super::super::tests::{NOW, definition, state, tenant};
use super::*;
use crate::clock::Uptime;
use crate::model::health::{CollectorFailure, Incomplete, Reason};
use crate::model::view::KnownSession;
use crate::model::{
    Agent, AgentId, ScanStatus, ScanType, SessionErrors, TargetError, Targets, TenantName,
};

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A state whose one tenant is in trouble and has hostile definitions.
fn hostile() -> WebState {
    let state = state();
    let mut view = tenant("contoso", &state.clock);
    let mut worst = definition(
        "../<i>?#&\"'\0",
        Some(Duration::from_hours(51)),
        ScanStatus::Failure,
    );
    Arc::make_mut(&mut worst.definition).scan_name = "<script>alert('\"&')</script>\n\0".into();
    Arc::make_mut(&mut worst.definition).failure_reason = Some("<u>reason".into());
    Arc::make_mut(&mut worst.definition).troubleshoot_mode = Some(true);
    Arc::make_mut(&mut worst.definition).scan_type = Some(ScanType::Other("<b>".into()));
    let session = |hours, status| KnownSession {
        identity: hours,
        at: Some(NOW - Duration::from_hours(hours)),
        status,
        targets: Targets::new(Some(8), Some(5)),
        errors: Some(Arc::new(SessionErrors {
            general: Some("<b>general".into()),
            targets: vec![TargetError {
                status: ScanStatus::Failure,
                text: "<i>single".into(),
                targets: 3,
            }],
        })),
    };
    worst.recent = [
        session(55, ScanStatus::Unknown("<u>".into())),
        session(51, ScanStatus::Failure),
    ]
    .into();
    let mut long = definition("long", None, ScanStatus::Success);
    Arc::make_mut(&mut long.definition).scan_name = "ä".repeat(10_000).into();
    view.definitions = [worst.into(), long.into()].into();
    view.health.up = Some(false);
    view.health.history.failure = Some(failure(Reason::Forbidden, "no <permission>"));
    view.health.throttled_until = Some(NOW + Duration::from_mins(1));
    state.snapshot.publish(view);
    state
}

fn failure(reason: Reason, text: &str) -> CollectorFailure {
    CollectorFailure {
        reason,
        text: text.to_owned(),
        advice: "Set `<this>`.",
        since: NOW - Duration::from_secs(90),
        since_uptime: Uptime::default(),
    }
}

fn contains(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    for bad in [
        "<script>",
        "<i>",
        "<b>",
        "<u>",
        "<permission>",
        "style=",
        "onclick",
    ] {
        assert!(!page.contains(bad), "{bad} is in\n{page}");
    }
}

#[tokio::test]
async fn everything_is_escaped_and_said_in_words() {
    let page = status_page(
        State(Pages::new(hostile())),
        RawQuery(Some("q=%22%3Cb%3E&sort=name".into())),
    );
    contains(
        &text(page.await).await,
        &[
            "value=\"&quot;&lt;b&gt;\"",
            "None of 2 definitions",
            "./?sort=name",
        ],
    );
    let page = text(status_page(State(Pages::new(hostile())), RawQuery(None)).await).await;
    contains(
        &page,
        &[
            "<bdi>&lt;script&gt;alert('&quot;&amp;')&lt;/script&gt; \u{fffd}</bdi>",
            "&lt;b&gt;",
            "<small class=\"id\"><bdi>../&lt;i&gt;?#&amp;&quot;'\u{fffd}</bdi></small>",
            "definition?tenant=contoso&amp;id=..%2F%3Ci%3E%3F%23%26%22%27%00",
            "The history of scans: access is denied. </strong><bdi>no &lt;permission&gt;</bdi>",
            "throttled until <time datetime=\"2026-09-21T",
            "2 d 3 h ago",
            "<span class=\"condition failed\">failed</span>",
            "<span class=\"condition overdue\">1 d 23 h</span>",
            "never ran",
            "href=\"./metrics\"",
            "Version 0.1.0",
        ],
    );
    assert!(!page.contains(&"ä".repeat(200)), "the long name is cut off");
}

#[tokio::test]
async fn a_definition_has_a_page_whatever_its_id() {
    let state = hostile();
    let tenants = state.snapshot.read();
    for view in tenants.values().next().unwrap().definitions.iter() {
        let link = query::definition_link("contoso", view.definition.id.as_str());
        let asked = link.strip_prefix("definition?").unwrap().to_owned();
        let response =
            definition_page(State(Pages::new(state.clone())), RawQuery(Some(asked))).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        let page = text(response).await;
        contains(
            &page,
            &["The data shown may be out of date", "no &lt;permission&gt;"],
        );
        if !view.recent.is_empty() {
            contains(
                &page,
                &[
                    "2 sessions in 2 d 7 h",
                    "class=\"mark failed\" x=\"8.98%\"",
                    "unknown status</span> <bdi>&lt;u&gt;</bdi>",
                    "overdue by 1 d 23 h",
                    "5 of 8",
                    "<p><bdi>&lt;b&gt;general</bdi></p>",
                    "3 targets failed: <bdi>&lt;i&gt;single</bdi>",
                    "&lt;u&gt;reason",
                    "<dt>Troubleshoot mode</dt><dd>on</dd>",
                    "definition_id=&quot;../&lt;i&gt;?#&amp;\\&quot;'\u{fffd}&quot;",
                ],
            );
        }
    }
    for asked in [
        None,
        Some(""),
        Some("tenant=contoso"),
        Some("id=a&tenant=x"),
        Some("%&="),
    ] {
        let query = RawQuery(asked.map(str::to_owned));
        let response = definition_page(State(Pages::new(state.clone())), query).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{asked:?}");
        contains(&text(response).await, &["No such definition"]);
    }
}

#[tokio::test]
async fn a_session_under_way_runs_and_is_not_of_unknown_status() {
    let state = state();
    let mut view = tenant("contoso", &state.clock);
    let mut runs = definition("runs", None, ScanStatus::Success);
    runs.recent = [KnownSession {
        identity: 1,
        at: Some(NOW),
        status: ScanStatus::Unknown("In Progress".into()),
        targets: Targets::default(),
        errors: None,
    }]
    .into();
    view.definitions = [runs.into()].into();
    state.snapshot.publish(view);
    let asked = RawQuery(Some("tenant=contoso&id=runs".to_owned()));
    let page = text(definition_page(State(Pages::new(state)), asked).await).await;
    contains(
        &page,
        &[
            "<td data-label=\"Status\"><span class=\"condition running\">running</span></td>",
            "<span class=\"condition running\">1 running</span>",
            "class=\"mark running\"",
        ],
    );
    assert!(!page.contains("unknown status"), "{page}");
}

#[tokio::test]
async fn a_list_that_is_incomplete_says_so_and_why() {
    for (why, words) in [
        (
            Incomplete::Endless,
            "the service keeps sending pages without end",
        ),
        (Incomplete::CutShort, "the service cut it short"),
        (
            Incomplete::RefusedLink,
            "the link to its next page cannot be followed",
        ),
        (Incomplete::Unreadable, "some of its records cannot be read"),
    ] {
        let state = state();
        let mut view = tenant("contoso", &state.clock);
        view.health.agents.incomplete = Some(why);
        state.snapshot.publish(view);
        let page = text(status_page(State(Pages::new(state)), RawQuery(None)).await).await;
        let expected = format!(
            "<small>The list of agents may be incomplete: {words}. Deleted items may still be shown.</small>"
        );
        contains(&page, &[&expected]);
        assert!(!page.contains("The list of definitions may be"));
    }
}

/// A wrong secret at the first start: no scan is known, which is not good news.
#[tokio::test]
async fn nothing_is_well_where_nothing_can_be_polled() {
    let state = state();
    let mut view = tenant("contoso", &state.clock);
    view.definitions = [].into();
    view.health.up = Some(false);
    view.health.definitions.failure = Some(failure(Reason::Auth, "AADSTS7000215"));
    state.snapshot.publish(view);
    let page = text(status_page(State(Pages::new(state)), RawQuery(None)).await).await;
    assert!(!page.contains("No scan needs attention"), "{page}");
    contains(
        &page,
        &[
            "No scans are known. ",
            "1 of 1 tenant cannot be polled",
            "AADSTS7000215",
            "Set <code>&lt;this&gt;</code>.",
            ", for 1 min.",
            "No agents are known.",
        ],
    );
}

#[tokio::test]
async fn nothing_known_is_a_page_too() {
    let state = state();
    state.snapshot.remove(&TenantName::new("contoso"));
    let page = text(status_page(State(Pages::new(state)), RawQuery(None)).await).await;
    contains(
        &page,
        &[
            "No definitions are known yet.",
            "No tenant has been polled yet.",
        ],
    );
}

#[tokio::test]
async fn own_files_are_served_with_their_types_and_no_other() {
    for (file, content_type) in [
        (&assets::STYLE, "text/css; charset=utf-8"),
        (&assets::SCRIPT, "text/javascript; charset=utf-8"),
        (&assets::ICON, "image/svg+xml"),
    ] {
        let link = file.link();
        let name = link.strip_prefix("./-/assets/").unwrap();
        let name = name.split('?').next().unwrap().to_owned();
        let response = asset(axum::extract::Path(name)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], content_type);
    }
    let response = asset(axum::extract::Path("../Cargo.toml".to_owned())).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn agents_are_listed_with_the_scans_that_they_run() {
    let state = state();
    let mut view = tenant("contoso", &state.clock);
    let agent = |id: &str, name: &str, minutes: Option<u64>| Agent {
        id: AgentId::new(id),
        machine_id: "".into(),
        computer_dns_name: name.into(),
        last_seen: minutes.map(|minutes| NOW - Duration::from_mins(minutes)),
        last_command: None,
        scanner_version: "6.9 <b>".into(),
        client_version: "".into(),
    };
    let agents = (0..30).map(|n| agent(&format!("more-{n}"), "", Some(1)));
    let named = [
        agent("quiet", "quiet.example", Some(180)),
        agent("never", "never.example", None),
    ];
    view.agents = named.into_iter().chain(agents).collect::<Vec<_>>().into();
    let scans = ["on", "off"].map(|id| {
        let mut scan = definition(id, None, ScanStatus::Success);
        let known = Arc::make_mut(&mut scan.definition);
        known.agent_id = Some(AgentId::new("quiet"));
        known.is_active = id == "on";
        scan
    });
    view.definitions = scans.into_iter().map(Arc::new).collect::<Vec<_>>().into();
    view.health.credential_expiry = Some(NOW - Duration::from_hours(2));
    state.snapshot.publish(view);
    let pages = Pages::new(state);
    let page = text(status_page(State(pages.clone()), RawQuery(None)).await).await;
    let rows: Vec<&str> = page.split("data-label=\"Active scans\">").collect();
    assert_eq!(rows.len(), 26, "{page}");
    assert!(rows[0].contains("never.<wbr>example"), "{}", rows[0]);
    assert!(rows[1].starts_with("0<") && rows[1].contains("quiet.<wbr>example"));
    assert!(
        rows[1].contains("3 h ago") && rows[2].starts_with("1<"),
        "{}",
        rows[1]
    );
    contains(&page, &["Show all 32 agents", "credential expired 2 h ago"]);
    let all = RawQuery(Some("all=1".to_owned()));
    let page = text(status_page(State(pages), all).await).await;
    assert_eq!(page.split("data-label=\"Active scans\">").count(), 33);
}
