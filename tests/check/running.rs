//! Several tenants, scripts, a running exporter, and the state that it leaves.

use defender_simulator::CallRecord;

use super::*;

/// Three tenants, one of which has lost its secret.
async fn several() -> (Simulator, Arc<TempDir>) {
    let mut options = options();
    (options.tenants, options.definitions, options.agents) = (3, 3, 1);
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    common::configuration(&simulator, folder.path(), (100, 1_500), &[]);
    fs::write(folder.path().join("secret-1"), "another").expect("it can be written");
    edit(
        folder.path(),
        "per_minute: 200, per_hour: 3000, use: 50%",
        "use: 80%",
    );
    (simulator, folder.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_read_json() {
    let (_simulator, folder) = several().await;
    let said = check(&folder, &["--output", "json"]).await;
    assert_eq!(said.code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(keys(&json), ["mistakes", "notes", "ok", "tenants"]);
    assert_eq!(json["ok"], false);
    let tenants = json["tenants"].as_array().expect("a list");
    let ok: Vec<_> = tenants.iter().map(|tenant| &tenant["ok"]).collect();
    assert_eq!(ok, [true, false, true]);
    for (number, tenant) in tenants.iter().enumerate() {
        assert_eq!(keys(tenant), ["calls", "ok", "steps", "tenant"]);
        assert_eq!(tenant["tenant"], format!("tenant-{number}"));
        assert_eq!(tenant["calls"], if number == 1 { 0 } else { 3 });
        let steps = tenant["steps"].as_array().expect("a list");
        let names: Vec<_> = steps.iter().map(|step| step["step"].as_str()).collect();
        let all = [
            "configuration",
            "sign_in_host",
            "api_host",
            "token",
            "definitions",
            "history",
            "agents",
            "definitions_seen",
            "budget",
        ];
        // The cost is known only where the definitions are.
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| *name != Some("cost"))
            .collect();
        assert_eq!(names, all.map(Some));
        for step in steps {
            assert_eq!(keys(step), ["advice", "outcome", "reason", "step", "text"]);
        }
    }
    let failed = &tenants[1]["steps"][3];
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["reason"], "wrong_secret");
    assert!(
        failed["advice"]
            .as_str()
            .is_some_and(|text| text.starts_with("Create a new secret"))
    );

    edit(folder.path(), "use: 80%", "use: 800%");
    let said = check(&folder, &["--output", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert_eq!((said.code, &json["ok"]), (Some(1), &false.into()));
    assert_eq!(json["mistakes"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_may_be_named() {
    let (simulator, folder) = several().await;
    let said = check(&folder, &["--tenant", "tenant-2"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(!said.stdout.contains("tenant-1"), "{}", said.stdout);
    assert!(simulator.calls().iter().all(|call| call.tenant == Some(2)));
    let said = check(&folder, &["--tenant", "tenant-9"]).await;
    assert_eq!(said.code, Some(1));
    assert_eq!(
        said.stderr,
        "defender-scan-exporter: expected --tenant to name `tenant-0`, `tenant-1`, `tenant-2`, but found `tenant-9`; name one from the configuration\n"
    );
}

/// While one tenant hangs, the others are asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_tenant_holds_up_nobody() {
    let (simulator, folder) = several().await;
    edit(folder.path(), "timeout: 5s", "timeout: 15s");
    simulator.set_tenant_fault(0, Endpoint::Definitions, Some(Fault::Hang));
    let said = check(&folder, &[]).await;
    assert!(
        said.stderr.ends_with("tenants with a failure: 2 of 3\n"),
        "{}",
        said.stdout
    );
    let calls = simulator.calls();
    let place = |tenant, endpoint| {
        let wanted = |call: &CallRecord| call.tenant == Some(tenant) && call.endpoint == endpoint;
        calls.iter().position(wanted).expect("it was asked")
    };
    assert!(place(2, Endpoint::Agents) < place(0, Endpoint::Agents));
}

/// What is left of the hour, as a check says it.
fn left(said: &Said) -> u32 {
    let (_, rest) = said
        .stdout
        .split_once("are left this minute, and ")
        .expect("it says so");
    let (left, _) = rest.split_once(" of 1200 this hour").expect("it says so");
    left.parse().expect("it is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_exporter_and_after_it() {
    let simulator = simulator().await;
    let folder = folder(&simulator, &secret(&simulator));
    let whole = "per_minute: 200, per_hour: 3000, use: 50%";
    edit(folder.path(), "use: 80%", whole);
    edit(folder.path(), "definitions: 1s", "definitions: 1h");
    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
    exporter.ready().await;
    let before = exporter.metrics().await;
    let before = before.value("defender_api_quota_used", &["\"hour\""]);
    let before = before.expect("it is published");
    let said = check(&folder, &[]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let note = format!(
        "an exporter is running on {}/state; the calls of this check, at most 4 per tenant, come out of its budget\n",
        folder.path().display()
    );
    assert!(said.stdout.contains(&note), "{}", said.stdout);
    let budget = "calls made: 3, out of the budget of the running exporter";
    assert!(said.stdout.contains(budget), "{}", said.stdout);
    let used = |used: f64| used >= before + 3.0;
    exporter
        .shows("defender_api_quota_used", &["\"hour\""], used)
        .await;
    let left_over = fs::read_dir(folder.path().join("state")).expect("it is there");
    assert_eq!(left_over.count(), 1, "no question is left");
    edit(folder.path(), whole, "use: 80%");

    let mut exporter = exporter;
    exporter.process.signal("TERM");
    exporter.process.exit().await;
    let first = check(&folder, &[]).await;
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);
    let second = check(&folder, &[]).await;
    assert_eq!(left(&second) + 3, left(&first), "calls are written down");
    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
    let used = |used: f64| used >= 1_200.0 - f64::from(left(&second));
    exporter
        .shows("defender_api_quota_used", &["\"hour\""], used)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_kept_and_no_file_is_made_or_moved() {
    let simulator = simulator().await;
    let folder = folder(&simulator, &secret(&simulator));
    let state = folder.path().join("state");
    check(&folder, &[]).await;
    assert!(
        !state.exists(),
        "whoever checks need not be whom the state belongs to"
    );

    let exporter = Exporter::start_adjusted(Arc::clone(&folder), |_| ()).await;
    exporter.ready().await;
    let pause = Fault::Throttle {
        retry_after: Some("600".to_owned()),
    };
    simulator.set_fault(Endpoint::Definitions, Some(pause));
    exporter.says("the service is throttling requests").await;
    exporter.shows("defender_up", &[], |up| up == 0.0).await;
    drop(exporter);
    let calls = self::calls(&simulator);
    let said = check(&folder, &[]).await;
    assert_eq!(
        self::calls(&simulator),
        calls,
        "nothing is sent before its end"
    );
    assert!(
        said.stdout
            .contains("the service is throttling requests, for another "),
        "{}",
        said.stdout
    );

    fs::write(state.join("state.redb"), "rubbish").expect("it can be written");
    let said = check(&folder, &[]).await;
    assert!(
        said.stdout.contains("but found a damaged file"),
        "{}",
        said.stdout
    );
    assert_eq!(
        fs::read_dir(&state).expect("it is there").count(),
        1,
        "it is left where it is"
    );
}

/// Every advice is on the page, in the same words.
#[test]
fn the_page_on_troubleshooting_says_the_same() {
    let page = fs::read_to_string("docs/troubleshooting.md").expect("it is there");
    let page = page.replace('*', "");
    let source = fs::read_to_string("src/defender/advice.rs").expect("it is there");
    let (source, _) = source.split_once("#[cfg(test)]").expect("it has tests");
    let mut said = 0;
    // An advice begins with a capital letter and ends with a full stop; a meaning does not.
    for text in source.split('"').skip(1).step_by(2) {
        if text.starts_with(|c: char| c.is_ascii_uppercase()) && text.ends_with('.') {
            assert!(page.contains(text), "the page does not say: {text}");
            said += 1;
        }
    }
    assert!(said > 40, "{said}");
}
