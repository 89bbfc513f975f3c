//! `check`, the doctor: the real binary against the simulator over TLS. What it says of each
//! failure is pinned in `tests/check/`; `UPDATE_TRANSCRIPTS=1` writes these files anew.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::tenants::{configure, secret, simulator};
use common::{Exporter, Process, binary, get, options};
use defender_scan_exporter::simulator::{Endpoint, Fault, Simulator};
use tempfile::TempDir;

/// Calls of one check to the API of one tenant, at most.
const CALLS: usize = 4;

/// What a check printed, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

/// A folder with the configuration of a tenant that leaves a reserve.
fn folder(simulator: &Simulator, credential: &str) -> Arc<TempDir> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    configure(simulator, folder.path(), credential, "");
    edit(folder.path(), "use: 100%", "use: 80%");
    folder.into()
}

/// Changes the configuration in a folder.
fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("exporter.yml");
    let text = fs::read_to_string(&file).expect("it can be read");
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(file, text.replace(from, to)).expect("it can be written");
}

async fn check(folder: &Arc<TempDir>, arguments: &[&str]) -> Said {
    checked(folder, arguments, |_| ()).await
}

async fn checked(
    folder: &Arc<TempDir>,
    arguments: &[&str],
    adjust: impl FnOnce(&mut Command),
) -> Said {
    let own = tempfile::tempdir().expect("a folder can be made");
    let mut command = binary();
    command.arg("check").args(arguments);
    command.arg("--config.file");
    command.arg(folder.path().join("exporter.yml"));
    command.arg("--storage.path");
    command.arg(folder.path().join("state"));
    adjust(&mut command);
    let mut process = Process::start(own, &mut command);
    let code = process.exit().await.code();
    let read = |name| fs::read_to_string(process.folder.path().join(name)).expect("it is text");
    Said {
        stdout: read("stdout"),
        stderr: read("stderr"),
        code,
    }
}

/// Calls to the API, not to the sign-in host.
fn calls(simulator: &Simulator) -> usize {
    let calls = simulator.calls();
    let api = calls
        .iter()
        .filter(|call| !matches!(call.endpoint, Endpoint::Token | Endpoint::Metadata));
    api.count()
}

/// What was said, without what differs from run to run.
fn normal(simulator: &Simulator, folder: &Path, said: &Said) -> String {
    let identity = simulator.tenant(0).expect("there is a tenant");
    let mut text = format!(
        "{}{}exit code {}\n",
        said.stdout,
        said.stderr,
        said.code.expect("it ended by itself")
    );
    text = text.replace(&folder.display().to_string(), "FOLDER");
    text = text.replace(&simulator.https_url(), "https://localhost:PORT");
    text = text.replace(&identity.client_id, "CLIENT-ID");
    for (pattern, instead) in [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "GUID"),
    ] {
        let pattern = regex::Regex::new(pattern).expect("it is a pattern");
        text = pattern.replace_all(&text, instead).into_owned();
    }
    text
}

/// Compares what was said with `tests/check/NAME.txt`.
fn pinned(name: &str, simulator: &Simulator, folder: &Path, said: &Said) {
    assert!(calls(simulator) <= CALLS, "{name}: {}", calls(simulator));
    assert_eq!(simulator.violations(), 0);
    let text = normal(simulator, folder, said);
    for secret in simulator.secrets() {
        assert!(!text.contains(&secret), "{name}: a secret leaked");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/check/{name}.txt"));
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        fs::write(&path, &text).expect("it can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{name}: expected\n{expected}\nbut found\n{text}"
    );
}

/// One case: a simulator of its own with `fault`, and a configuration changed by `change`.
async fn case(
    name: &str,
    fault: Option<(Endpoint, Fault)>,
    change: impl FnOnce(&Simulator, &Path),
) {
    let simulator = simulator().await;
    if let Some((endpoint, fault)) = fault {
        simulator.set_fault(endpoint, Some(fault));
    }
    let folder = folder(&simulator, &secret(&simulator));
    change(&simulator, folder.path());
    let said = check(&folder, &[]).await;
    pinned(name, &simulator, folder.path(), &said);
}

/// The sign-in host refuses with that code.
fn aadsts(code: u32) -> Fault {
    let description = format!("AADSTS{code}: As Microsoft words it.\r\nTrace ID: 1");
    Fault::Status {
        code: 401,
        body: serde_json::json!({"error": "invalid_client", "error_description": description, "error_codes": [code]}).to_string(),
        headers: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well() {
    case("good", None, |_, _| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sign_in_host_refuses() {
    let wrong = |_: &Simulator, folder: &Path| {
        let file = folder.join("exporter.yml");
        let text = fs::read_to_string(&file).expect("it can be read");
        let secret = regex::Regex::new("client_secret: '[^']*'").expect("it is a pattern");
        let text = secret.replace(&text, "client_secret: 'not-the-right-one'");
        fs::write(file, text.as_bytes()).expect("it can be written");
    };
    case("wrong_secret", None, wrong).await;
    case("expired_secret", None, |simulator, _| {
        simulator.world().set_secret_expired(0, true);
    })
    .await;
    case("unknown_application", None, |simulator, folder| {
        let id = simulator.tenant(0).expect("there is a tenant").client_id;
        edit(folder, &id, "9b6f0000-0000-4000-8000-000000000001");
    })
    .await;
    case("unknown_tenant", None, |simulator, folder| {
        let id = simulator.tenant(0).expect("there is a tenant").tenant_id;
        edit(folder, &id, "3f0e6d0e-0000-4000-8000-000000000001");
    })
    .await;
    case("unknown_api", None, |_, folder| {
        let scope = "    scope: https://elsewhere.example/.default\n    quota:";
        edit(folder, "    quota:", scope);
    })
    .await;
    for code in [
        700_027, 700_213, 700_024, 7_000_229, 7_000_112, 53_003, 50_058,
    ] {
        let fault = Some((Endpoint::Token, aadsts(code)));
        case(&format!("aadsts{code}"), fault, |_, _| ()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_on_the_way() {
    let simulator = simulator().await;
    let port = simulator.https_url();
    drop(simulator);
    case(
        "sign_in_hangs",
        Some((Endpoint::Token, Fault::Hang)),
        |_, _| (),
    )
    .await;
    case("no_sign_in_host", None, |simulator, folder| {
        let from = format!("authority_host: {}", simulator.https_url());
        edit(folder, &from, "authority_host: https://localhost:1");
    })
    .await;
    case("no_api_host", None, |simulator, folder| {
        let from = format!("api_base_url: {}", simulator.https_url());
        edit(folder, &from, "api_base_url: https://localhost:1");
    })
    .await;
    case("unknown_name", None, |simulator, folder| {
        // No name has a part that long, so nobody is asked for it.
        let from = format!("api_base_url: {}", simulator.https_url());
        let name = "a".repeat(64);
        edit(
            folder,
            &from,
            &format!("api_base_url: https://{name}.example"),
        );
    })
    .await;
    case("unknown_root", None, |_, folder| {
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let pem = other.expect("it is made").cert.pem();
        fs::write(folder.join("ca.pem"), pem).expect("it can be written");
    })
    .await;
    case("other_name", None, |simulator, folder| {
        let from = format!("api_base_url: {}", simulator.https_url());
        let to = simulator.https_url().replace("localhost", "127.0.0.2");
        edit(folder, &from, &format!("api_base_url: {to}"));
    })
    .await;
    case("proxy_down", None, |_, folder| {
        edit(
            folder,
            "timeout: 5s",
            "timeout: 5s, proxy_url: 'http://user:pa55word-canary@127.0.0.1:1'",
        );
    })
    .await;
    assert!(get(&port).await.is_none(), "that simulator has stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_answers() {
    use Endpoint::{Agents, Definitions, History};
    let html = Fault::Body {
        content_type: "text/html".to_owned(),
        bytes: b"<html>".to_vec(),
    };
    let forbidden = || Fault::error(403, "Forbidden", "Missing application roles");
    let throttle = Fault::Throttle {
        retry_after: Some("30".to_owned()),
    };
    let elsewhere = "https://elsewhere.example".to_owned();
    for (name, endpoint, fault) in [
        ("forbidden", Definitions, forbidden()),
        ("forbidden_history", History, forbidden()),
        ("forbidden_agents", Agents, forbidden()),
        ("refused_token", Definitions, Fault::Unauthorized(9)),
        ("renewed_token", Definitions, Fault::Unauthorized(1)),
        ("throttled", Definitions, throttle),
        (
            "server",
            Definitions,
            Fault::error(503, "Unavailable", "Later"),
        ),
        ("redirect", Definitions, Fault::Redirect(elsewhere.clone())),
        (
            "not_found",
            Definitions,
            Fault::error(404, "NotFound", "Nothing here"),
        ),
        ("hangs", Definitions, Fault::Hang),
        ("html", Definitions, html),
        ("cut_off", Agents, Fault::CutOff),
        ("too_large", Definitions, Fault::GzipBomb),
        (
            "foreign_page",
            Definitions,
            Fault::NextLinkElsewhere(elsewhere),
        ),
        (
            "bad_request",
            History,
            Fault::error(400, "BadRequest", "Bad"),
        ),
    ] {
        case(name, Some((endpoint, fault)), |_, _| ()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_is_not_meant_to_be() {
    case("agents_off", None, |_, folder| {
        edit(folder, "agents: 10s", "agents: 0s")
    })
    .await;
    case("none_published", None, |_, folder| {
        let rule = "    definitions: {include: {names: [nothing]}}\n    quota:";
        edit(folder, "    quota:", rule);
    })
    .await;
    case("no_reserve", None, |_, folder| {
        edit(folder, "use: 80%", "use: 100%")
    })
    .await;
    case("bad_configuration", None, |_, folder| {
        edit(folder, "use: 80%", "use: 180%");
        edit(folder, "agents: 10s", "agents: soon");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_credentials() {
    let simulator = simulator().await;
    let stale = "e30.eyJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl";
    for (name, credential) in [
        ("no_az", "type: azure_cli"),
        ("no_azd", "type: azure_developer_cli"),
        ("no_metadata_service", "type: managed_identity"),
        ("stale_token", "type: token_file, path: token"),
    ] {
        let folder = folder(&simulator, credential);
        fs::write(folder.path().join("token"), stale).expect("it can be written");
        let said = checked(&folder, &[], |command| {
            command.env("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token");
            command.env("IDENTITY_HEADER", "a-secret-of-48-letters");
        })
        .await;
        assert!(!said.stdout.contains("a-secret-of-48-letters") && !said.stdout.contains(stale));
        pinned(name, &simulator, folder.path(), &said);
    }
}
