//! Secrets planted wherever they can stand, and looked for in everything that comes
//! out: logs in both formats, pages, metrics, the state, `check` and `check-config`, and
//! what the simulator was sent where.

use std::fs;
use std::path::Path;

use crate::common::{self, Exporter, binary, eventually, options};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use defender_simulator::{CallRecord, Endpoint, Fault, PRIVATE_WORDS, Simulator};

/// With letters that every encoding changes.
const SECRET: &str = "C4nary~in \"the\\file\" +/=?&ü~01";
const PROXY: &str = "C4naryOfTheProxy+/=02";
const PASSWORD: &str = "C4naryOfTheDoor+/=03";
const VARIABLE: &str = "C4naryOfTheEnvironment+/=04";

/// A secret as it may appear: plain, percent-encoded in both ways, escaped as JSON and
/// Rust do, and in base64 of either alphabet, wherever in a larger text it stands.
fn disguises(secret: &str) -> Vec<Vec<u8>> {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::Value::from(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        form.replace('+', "%20"),
        form,
        json.trim_matches('"').to_owned(),
        secret.escape_debug().to_string(),
        secret.escape_default().to_string(),
    ];
    for engine in [&STANDARD, &URL_SAFE] {
        for before in 0..3 {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(secret.as_bytes());
            let encoded = engine.encode(bytes);
            // What depends on the neighbours is left out at both ends.
            all.push(encoded[4..encoded.len() - 4].to_owned());
        }
    }
    all.into_iter().map(String::into_bytes).collect()
}

fn assert_free_of(what: &str, haystack: &[u8], secrets: &[String]) {
    for secret in secrets {
        for disguise in disguises(secret) {
            let found = haystack
                .windows(disguise.len())
                .any(|window| window == disguise);
            let shown = String::from_utf8_lossy(&disguise);
            assert!(!found, "{what} holds {shown}");
        }
    }
}

/// Everything in the files of a folder and those below.
fn contents(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.extend(fs::read(path).expect("it can be read"));
        }
    }
    all
}

#[test]
fn every_disguise_is_found() {
    let around = format!("user:{SECRET}@host");
    for text in [
        around.clone(),
        STANDARD.encode(&around),
        URL_SAFE.encode(format!("x{around}")),
        serde_json::Value::from(around.as_str()).to_string(),
    ] {
        let result = std::panic::catch_unwind(|| {
            assert_free_of("it", text.as_bytes(), &[SECRET.to_owned()]);
        });
        assert!(result.is_err(), "{text}");
    }
}

/// Answers that repeat secrets.
fn echoes(echo: &str) -> Vec<(Endpoint, Fault)> {
    let body = |content_type: &str, text: String| Fault::Body {
        content_type: content_type.to_owned(),
        bytes: text.into_bytes(),
    };
    let token = serde_json::json!({ "access_token": [echo], "expires_in": echo });
    vec![
        (Endpoint::Definitions, Fault::error(400, "BadRequest", echo)),
        (Endpoint::Definitions, body("text/html", echo.to_owned())),
        (Endpoint::Definitions, Fault::Unauthorized(5)),
        // Asked again after an hour only.
        (Endpoint::Agents, Fault::error(403, echo, echo)),
        (Endpoint::Token, Fault::error(400, "invalid_client", echo)),
        (Endpoint::Token, Fault::error(400, echo, echo)),
        (Endpoint::Token, body("text/html", echo.to_owned())),
        (Endpoint::Token, body("application/json", token.to_string())),
    ]
}

/// Waits until a request to that endpoint gets such a status.
async fn asked(simulator: &Simulator, endpoint: Endpoint, wanted: impl Fn(u16) -> bool) {
    let before = simulator.calls().len();
    let what = format!("{endpoint:?} is asked");
    eventually(&what, async || {
        let calls = simulator.calls();
        let fits =
            |call: &CallRecord| call.endpoint == endpoint && call.status > 0 && wanted(call.status);
        calls[before..].iter().any(fits).then_some(())
    })
    .await;
}

/// `check`: of a file, in words and as JSON, and of the environment alone.
fn checks_are_free_of(file: &Path, simulator: &Simulator, secrets: &[String]) {
    let folder = file.parent().expect("it is in a folder");
    let identity = simulator.tenant(0).expect("there is a tenant");
    for more in [&["--output", "json"][..], &[]] {
        let mut check = binary();
        check.args(["check", "--config.file"]).arg(file).args(more);
        let output = check.current_dir(folder).output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(1), "a tenant's secret is wrong");
        assert_free_of("check", &said, secrets);
    }
    let mut check = binary();
    check
        .args(["check", "--storage.path="])
        .current_dir(folder)
        .env("SSL_CERT_FILE", folder.join("ca.pem"))
        .env("AZURE_TENANT_ID", &identity.tenant_id)
        .env("AZURE_CLIENT_ID", &identity.client_id)
        .env("AZURE_CLIENT_SECRET", SECRET)
        .env("AZURE_AUTHORITY_HOST", simulator.https_url());
    let output = check.output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("AADSTS7000215"), "it tried: {text}");
    assert_free_of("check", &said, secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_gets_out() {
    let mut options = options();
    options.definitions = 24;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    // At level debug, which includes the others.
    for format in ["logfmt", "json"] {
        run(&simulator, format).await;
    }
    let secrets = simulator.secrets().len();
    assert!(secrets > 24, "the world has secrets to leak: {secrets}");
    assert_eq!(
        simulator.misplaced(),
        0,
        "credentials went where they belong"
    );
}

#[expect(clippy::too_many_lines, reason = "one story")]
async fn run(simulator: &Simulator, format: &str) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = common::configuration(simulator, folder.path(), (1_000, 50_000), &[]);
    // A second tenant whose secret is wrong, and a third behind a proxy that is not there.
    let identity = simulator.tenant(0).expect("there is a tenant");
    let url = simulator.https_url();
    let text = fs::read_to_string(&file).expect("it was written");
    let (tenants, http) = text.split_once("http:").expect("it has both");
    let wrong = serde_json::to_string(SECRET).expect("it is text");
    let more = format!(
        "{tenants}  - name: wrong\n    tenant_id: {}\n    api_base_url: {url}\n    authority_host: {url}\n    \
         credential: {{type: client_secret, client_id: {}, client_secret: {wrong}}}\n    poll: {{definitions: 1s}}\nhttp:{http}",
        identity.tenant_id, identity.client_id
    );
    fs::write(&file, &more).expect("it can be written");
    let hash = bcrypt::hash(PASSWORD, 4).expect("there is randomness");
    let web = folder.path().join("web.yml");
    fs::write(
        &web,
        format!("basic_auth_users: {{prometheus: '{hash}'}}\n"),
    )
    .expect("written");
    let web = web.display().to_string();
    let secrets = || {
        let canaries = [SECRET, PROXY, PASSWORD, VARIABLE, &hash].map(str::to_owned);
        // A GUID is let through as the correlation ids are, which Microsoft's support asks for.
        let mut all = simulator.secrets();
        all.retain(|secret| secret.len() != 36);
        all.extend(canaries);
        all
    };

    let flags = ["--web.config.file", &web, "--log.format", format];
    let folder = std::sync::Arc::new(folder);
    let exporter = Exporter::start_adjusted(folder.clone(), |command| {
        command.args(flags);
        command.env("AZURE_CLIENT_SECRET", VARIABLE);
    });

    let exporter = exporter.await;
    // Not the other tenant's, which the API never sees, and which looks like words.
    let known = secrets();
    let known: Vec<_> = known.iter().filter(|secret| *secret != SECRET).collect();
    let echo = known
        .iter()
        .map(|secret| secret.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    simulator.set_fault(
        Endpoint::Definitions,
        Some(Fault::error(500, "Echo", &echo)),
    );
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client can be made");
    let get = async |path: &str| {
        let request = client.get(format!("{}{path}", exporter.url));
        let answer = request
            .basic_auth("prometheus", Some(PASSWORD))
            .send()
            .await;
        answer
            .expect("it answers")
            .text()
            .await
            .expect("it has text")
    };
    eventually("both failures show", async || {
        let page = get("/metrics").await;
        let failed = |tenant: &str, reason: &str| {
            page.lines().any(|line| {
                line.starts_with("defender_collector_errors_total")
                    && line.contains(tenant)
                    && line.contains(reason)
                    && !line.ends_with(" 0")
            })
        };
        (failed("\"wrong\"", "\"auth\"") && failed("\"tenant-0\"", "\"server\"")).then_some(())
    })
    .await;
    let refused = client.get(format!("{}/?q={PASSWORD}", exporter.url));
    let refused = refused.basic_auth("prometheus", Some(SECRET)).send().await;
    assert_eq!(refused.expect("it answers").status().as_u16(), 401);
    for path in [
        "/",
        "/metrics",
        "/config",
        "/-/ready",
        "/-/healthy",
        "/nothing",
    ] {
        assert_free_of(path, get(path).await.as_bytes(), &secrets());
    }
    for (endpoint, fault) in echoes(&echo) {
        simulator.set_fault(endpoint, Some(fault));
        simulator.revoke_tokens(0);
        asked(simulator, endpoint, |_| true).await;
        for path in ["/", "/metrics", "/config", "/-/ready", "/nothing"] {
            assert_free_of(path, get(path).await.as_bytes(), &secrets());
        }
        simulator.set_fault(endpoint, None);
        asked(simulator, Endpoint::Definitions, |status| status == 200).await;
    }
    let said = exporter.process.output();
    assert!(said.contains("wrong"), "there is something to search");
    assert_free_of("the log", said.as_bytes(), &secrets());
    if format == "logfmt" {
        for line in said.lines().filter(|line| line.contains(" level=debug ")) {
            // Below `warn`, libraries print what they send.
            let ours = " target=defender_scan_exporter";
            assert!(line.contains(ours), "a library is heard: {line}");
        }
    }
    let state = contents(&exporter.process.folder.path().join("state"));
    assert!(state.len() > 1_000, "there is a state");
    assert_free_of("the state", &state, &secrets());
    simulator.set_fault(Endpoint::Definitions, None);

    checks_are_free_of(&file, simulator, &secrets());

    // A proxy with a password that is not there, and whatever else `check-config` sees.
    let proxied = more.replace(
        "http: {",
        &format!(
            "http: {{proxy_url: 'http://user:{}@127.0.0.1:9', ",
            PROXY
                .replace('/', "%2F")
                .replace('+', "%2B")
                .replace('=', "%3D")
        ),
    );
    fs::write(&file, &proxied).expect("it can be written");
    let mut check = binary();
    check.args(["check-config", "--config.file"]).arg(&file);
    check.args(["--web.config.file", &web]);
    for more in [&[][..], &["--output", "json"]] {
        let output = check.args(more).output().expect("it starts");
        let shown = [output.stdout, output.stderr].concat();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&shown)
        );
        assert_free_of("check-config", &shown, &secrets());
    }
    assert!(get("/config").await.contains("tenants:"), "it is shown");
    exporter.process.signal("HUP");
    exporter.says("proxy").await;
    assert_free_of("the log", exporter.process.output().as_bytes(), &secrets());
}

/// What the service says of failed scans is shown, but names no target, account or secret.
#[tokio::test(flavor = "multi_thread")]
async fn words_about_failures_name_nobody() {
    let mut options = options();
    options.definitions = 24;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let exporter = Exporter::start(&simulator).await;
    let ids: Vec<String> = {
        let world = simulator.world();
        let definitions = world.definitions(0).iter();
        definitions.map(|known| known.id.clone()).collect()
    };
    let page = async |id: &str| {
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        exporter
            .get(&format!("/definition?tenant=tenant-0&id={id}"))
            .await
            .1
    };
    // Number 2 always fails.
    for said in [
        "answered within 30 seconds to community",
        "The credentials were refused",
        "targets failed: ",
        "Logging on to",
        "Troubleshoot mode",
    ] {
        eventually(said, async || {
            page(&ids[2]).await.contains(said).then_some(())
        })
        .await;
    }
    let mut secrets = simulator.secrets();
    secrets.retain(|secret| secret.len() != 36);
    let free = |what: &str, bytes: &[u8]| {
        assert_free_of(what, bytes, &secrets);
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        let private = PRIVATE_WORDS.map(str::to_lowercase);
        // The names of targets.
        for word in private
            .iter()
            .map(String::as_str)
            .chain(["host0", "host1", ".0.1 "])
        {
            assert!(!text.contains(word), "{what} holds {word}");
        }
    };
    for id in &ids {
        free("a page", page(id).await.as_bytes());
    }
    for path in ["/", "/metrics"] {
        free(path, exporter.get(path).await.1.as_bytes());
    }
    free("the log", exporter.process.output().as_bytes());
    let state = contents(&exporter.process.folder.path().join("state"));
    assert!(String::from_utf8_lossy(&state).contains("The credentials were refused"));
    free("the state", &state);
}
