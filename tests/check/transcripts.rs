//! What `check` says of each failure, word for word.

use std::time::Duration;

use super::*;

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
async fn excluded_metrics_cost_nothing() {
    case("excluded_metrics", None, |_, folder| {
        let names = "defender_scan_sessions_total, defender_scan_troubleshoot_mode";
        let section = format!("metrics: {{exclude: [{names}]}}\ntenants:");
        edit(folder, "tenants:", &section);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_expires_soon_or_should_have() {
    let simulator = simulator().await;
    let day = Duration::from_hours(24);
    let now = simulator.world().now();
    for (name, expires) in [
        ("expiring_secret", now + day),
        ("outdated_expiry", now - day),
    ] {
        let credential = format!("{}, expires: '{expires}'", secret(&simulator));
        let folder = folder(&simulator, &credential);
        let said = check(&folder, &[]).await;
        same(name, &normal(&simulator, folder.path(), &said));
    }
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
    case("unknown_root", None, |_, folder| {
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let pem = other.expect("it is made").cert.pem();
        fs::write(folder.join("ca.pem"), pem).expect("it can be written");
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
    let gateway = Fault::Status {
        code: 404,
        body: r#"{"statusCode":404,"message":"Resource not found"}"#.to_owned(),
        headers: Vec::new(),
    };
    for (name, endpoint, fault) in [
        ("forbidden", Definitions, forbidden()),
        ("forbidden_history", History, forbidden()),
        ("forbidden_agents", Agents, forbidden()),
        (
            "unlicensed",
            Definitions,
            Fault::error(401, "Unauthorized", "No Tvm license"),
        ),
        (
            "disabled_feature",
            Definitions,
            Fault::error(403, "DisabledFeature", "Tenant feature is not enabled"),
        ),
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
        ("gateway", Definitions, gateway),
        ("hangs", Definitions, Fault::Hang),
        ("html", Definitions, html),
        ("too_large", Definitions, Fault::GzipBomb),
        (
            "foreign_page",
            Definitions,
            Fault::NextLink(format!("{elsewhere}/x")),
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
async fn a_permission_that_the_token_does_not_have() {
    case("no_permission", None, |simulator, _| {
        simulator.world().set_roles(0, &["Alert.Read.All"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_is_not_meant_to_be() {
    case("agents_off", None, |_, folder| {
        edit(folder, "agents: 10s", "agents: 0s");
    })
    .await;
    case("none_published", None, |_, folder| {
        let rule = "    definitions: {include: {names: [nothing]}}\n    quota:";
        edit(folder, "    quota:", rule);
    })
    .await;
    let new = Damage::NewProperty("retiredOn".to_owned());
    let new = (Endpoint::Definitions, Fault::Damaged(new));
    case("new_property", Some(new), |_, _| ()).await;
    case("no_reserve", None, |_, folder| {
        edit(folder, "use: 80%", "use: 100%");
    })
    .await;
    case("endpoint_scope", None, |_, folder| {
        edit(folder, "use: 80%", "use: 80%, scope: endpoint");
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
        write_private(&folder.path().join("token"), stale);
        let said = checked(&folder, &[], |command| {
            command.env("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token");
            command.env("IDENTITY_HEADER", "a-secret-of-48-letters");
        })
        .await;
        assert!(!said.stdout.contains("a-secret-of-48-letters") && !said.stdout.contains(stale));
        pinned(name, &simulator, folder.path(), &said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_or_soon_will() {
    let simulator = simulator().await;
    let id = simulator.tenant(0).expect("there is a tenant").client_id;
    let credential = format!("type: client_certificate, client_id: {id}, certificate_file: a.pem");
    let now = simulator.world().now().unix_millis() / 1_000;
    let now = u32::try_from(now).expect("it is before 2106");
    for (name, end) in [
        ("ended_certificate", 1_700_000_000),
        ("ending_certificate", now + 86_400),
        ("certificate", now + 400 * 86_400),
    ] {
        let made = certificate(1_600_000_000, end);
        trust(&simulator, &made);
        let folder = folder(&simulator, &credential);
        write_private(&folder.path().join("a.pem"), made);
        let calls = calls(&simulator);
        let said = check(&folder, &[]).await;
        assert!(self::calls(&simulator) - calls <= CALLS);
        same(name, &normal(&simulator, folder.path(), &said));
    }
}

/// No name ends in `.invalid`, whether a name server can be asked or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows() {
    let simulator = simulator().await;
    let folder = folder(&simulator, &secret(&simulator));
    let from = format!("api_base_url: {}", simulator.https_url());
    edit(
        folder.path(),
        &from,
        "api_base_url: https://nowhere.invalid",
    );
    edit(folder.path(), "definitions: 1s", "definitions: 10s");
    edit(folder.path(), "timeout: 5s", "timeout: 2m");
    let said = checked(&folder, &[], |command| {
        command.env("RES_OPTIONS", "timeout:1 attempts:1");
    })
    .await;
    pinned("unknown_name", &simulator, folder.path(), &said);
}

/// Whatever takes long, a tenant is given up in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_no_more_than_its_time() {
    let fault = Some((Endpoint::History, Fault::Hang));
    case("out_of_time", fault, |_, folder| {
        edit(folder, "timeout: 5s", "timeout: 2m");
    })
    .await;
}
