//! Each type of credential signs in at the simulator, over TLS where the real one
//! does, and the API takes its token; and what is most often wrong with each has
//! a message of its own.

use std::fs;

use crate::common::messages;
use crate::common::tenants::{
    CERTIFICATES, certificate, configure, exporter, folder, is_up, pem, secret, simulator, token,
    trust,
};
use crate::common::{Exporter, binary, eventually};
use defender_simulator::{Endpoint, Fault, Simulator};

/// Until after the tests' certificates end, and from before they begin.
const LONG_AGO: u32 = 1_000_000_000;
const FAR_OFF: u32 = 4_000_000_000;

fn with_certificate(simulator: &Simulator, files: &str) -> String {
    let client_id = simulator.tenant(0).expect("there is a tenant").client_id;
    format!("type: client_certificate, client_id: {client_id}, {files}")
}

fn with_secret(simulator: &Simulator, file: &str) -> String {
    let client_id = simulator.tenant(0).expect("there is a tenant").client_id;
    format!("type: client_secret, client_id: {client_id}, client_secret_file: {file}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_signs_in_and_its_end_is_published() {
    let simulator = simulator().await;
    trust(&simulator, &pem("certificate.pem"));
    for files in [
        format!("certificate_file: {CERTIFICATES}/good.pem"),
        format!(
            "certificate_file: {CERTIFICATES}/certificate.pem, key_file: {CERTIFICATES}/key_pkcs1.pem"
        ),
    ] {
        let exporter = exporter(&simulator, &with_certificate(&simulator, &files)).await;
        is_up(&exporter).await;
        let name = "defender_auth_certificate_expiry_timestamp_seconds";
        let end = exporter
            .metrics()
            .await
            .value(name, &["tenant=\"contoso\""]);
        // 2126-10-30T11:35:50Z
        assert_eq!(end, Some(4_949_033_750.0));
        let name = "defender_auth_credential_expiry_timestamp_seconds";
        assert_eq!(exporter.metrics().await.value(name, &[]), end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_secret_is_published_even_if_it_does_not_work() {
    let simulator = simulator().await;
    let credential = format!("{}, expires: 2090-01-01T00:00:00+01:00", secret(&simulator));
    let refused = credential.replace("client_secret: '", "client_secret: 'not-");
    assert_ne!(credential, refused);
    let name = "defender_auth_credential_expiry_timestamp_seconds";
    for credential in [credential, refused] {
        let exporter = exporter(&simulator, &credential).await;
        // 2089-12-31T23:00:00Z
        let is_end = |end: f64| (end - 3_786_908_400.0).abs() < 0.5;
        exporter.shows(name, &["tenant=\"contoso\""], is_end).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_not_uploaded_is_said_so_and_replaced_without_a_restart() {
    let simulator = simulator().await;
    trust(&simulator, &pem("other_certificate.pem"));
    let credential = with_certificate(&simulator, "certificate_file: certificate.pem");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("certificate.pem");
    fs::write(&file, pem("good.pem")).expect("it can be written");
    configure(&simulator, folder.path(), &credential, "");
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    exporter.says(messages::FOREIGN_CERTIFICATE).await;
    fs::write(&file, pem("other_certificate.pem") + &pem("other_key.pem")).expect("written");
    is_up(&exporter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_out_of_date_is_said_so_and_renewed_without_a_restart() {
    let simulator = simulator().await;
    let credential = with_certificate(&simulator, "certificate_file: certificate.pem");
    for (begin, end, message) in [
        (LONG_AGO, LONG_AGO + 1, messages::ENDED_CERTIFICATE),
        (FAR_OFF, FAR_OFF + 1, messages::EARLY_CERTIFICATE),
    ] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("certificate.pem");
        fs::write(&file, certificate(begin, end)).expect("it can be written");
        configure(&simulator, folder.path(), &credential, "");
        let checked = binary()
            .args(["check-config", "--config.file"])
            .arg(folder.path().join("exporter.yml"))
            .output()
            .expect("it starts");
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        let said = String::from_utf8(checked.stderr).expect("it is text");
        let (_, text) = message.split_once(": ").expect("it says where");
        let place = "exporter.yml:6: tenants[0].credential.certificate_file: ";
        assert!(messages::is_in(&format!("{place}{text}"), &said), "{said}");
        let exporter = Exporter::start_adjusted(folder, |_| ()).await;
        exporter.says(message).await;
        let name = "defender_auth_certificate_expiry_timestamp_seconds";
        let is_end = |value: f64| (value - f64::from(end)).abs() < 0.5;
        exporter.shows(name, &[], is_end).await;
        let renewed = certificate(LONG_AGO, FAR_OFF);
        trust(&simulator, &renewed);
        fs::write(&file, renewed).expect("it can be written");
        is_up(&exporter).await;
    }
}

#[test]
fn files_that_are_no_certificate_are_said_so() {
    for (files, message) in [
        ("store.pfx", messages::PFX),
        ("encrypted.pem", messages::ENCRYPTED_KEY),
        (
            "certificate.pem, key_file: CERTIFICATES/other_key.pem",
            messages::OTHER_KEY,
        ),
    ] {
        let text = format!(
            "tenants: [{{name: a, tenant_id: a.example, credential: {{type: client_certificate, client_id: 9b6f0000-0000-4000-8000-000000000001, certificate_file: CERTIFICATES/{files}}}}}]"
        );
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("exporter.yml");
        fs::write(&file, text.replace("CERTIFICATES", CERTIFICATES)).expect("written");
        let output = binary().arg("--config.file").arg(&file).output();
        let said = String::from_utf8(output.expect("it starts").stderr).expect("it is text");
        assert!(messages::is_in(message, &said), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_said_to_be_wrong_or_expired_and_replaced_without_a_restart() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("secret");
    fs::write(&file, "wrong").expect("it can be written");
    configure(
        &simulator,
        folder.path(),
        &with_secret(&simulator, "secret"),
        "",
    );
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    exporter.says(messages::WRONG_SECRET).await;
    simulator.world().set_secret_expired(0, true);
    let secret = simulator
        .tenant(0)
        .expect("there is a tenant")
        .client_secret;
    fs::write(&file, secret).expect("it can be written");
    exporter.says(messages::EXPIRED_SECRET).await;
    let secret = simulator
        .world()
        .rotate_secret(0)
        .expect("there is a tenant");
    fs::write(&file, secret).expect("it can be written");
    is_up(&exporter).await;
    fs::remove_file(&file).expect("it can be removed");
    simulator.revoke_tokens(0);
    exporter.says(messages::SECRET_FILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_token_signs_in_and_is_read_anew() {
    let simulator = simulator().await;
    let identity = simulator.tenant(0).expect("there is a tenant");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("federated");
    fs::write(&file, &identity.assertion).expect("it can be written");
    let credential = format!(
        "type: workload_identity, client_id: {}, token_file: federated",
        identity.client_id
    );
    configure(&simulator, folder.path(), &credential, "");
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS700213: No matching federated identity record found for presented assertion subject 'system:serviceaccount:a:b'.","error_codes":[700213]}"#;
    let refusal = Fault::Status {
        code: 401,
        body: refusal.to_owned(),
        headers: Vec::new(),
    };
    simulator.set_fault(Endpoint::Token, Some(refusal));
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    exporter.says(messages::FEDERATED_SUBJECT).await;
    simulator.set_fault(Endpoint::Token, None);
    is_up(&exporter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_is_read_anew_when_its_token_is_refused_or_old() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("token");
    // {"exp":1000000000}
    fs::write(&file, "eyJh.eyJleHAiOjEwMDAwMDAwMDB9.c2ln").expect("it can be written");
    configure(
        &simulator,
        folder.path(),
        "type: token_file, path: token",
        "",
    );
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    exporter.says(messages::STALE_TOKEN).await;
    fs::write(&file, token(&simulator).await.0).expect("it can be written");
    is_up(&exporter).await;
    simulator.revoke_tokens(0);
    exporter.says(messages::REFUSED_TOKEN).await;
    fs::write(&file, token(&simulator).await.0).expect("it can be written");
    is_up(&exporter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_the_sign_in_host_does_not_know_are_said_so() {
    let simulator = simulator().await;
    let secret = simulator
        .tenant(0)
        .expect("there is a tenant")
        .client_secret;
    let known = format!("type: client_secret, client_secret: '{secret}', client_id: ");
    let application = exporter(
        &simulator,
        &format!("{known}9b6f0000-0000-4000-8000-000000000009"),
    )
    .await;
    application.says(messages::UNKNOWN_APPLICATION).await;
    let credential = with_secret(&simulator, "secret");
    for (key, message) in [
        ("tenant_id: nowhere.example #", messages::UNKNOWN_TENANT),
        (
            "scope: https://other.example/.default\n    tenant_id:",
            messages::UNKNOWN_API,
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("secret"), &secret).expect("it can be written");
        configure(&simulator, folder.path(), &credential, "");
        let file = folder.path().join("exporter.yml");
        let text = fs::read_to_string(&file).expect("it was written");
        fs::write(&file, text.replacen("tenant_id:", key, 1)).expect("it can be written");
        Exporter::start_adjusted(folder, |_| ())
            .await
            .says(message)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_environment_the_certificate_comes_after_the_secret() {
    let simulator = simulator().await;
    trust(&simulator, &pem("certificate.pem"));
    let identity = simulator.tenant(0).expect("there is a tenant");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, simulator.ca_pem()).expect("it can be written");
    let exporter = Exporter::start_adjusted(folder, |command| {
        command
            .env("AZURE_TENANT_ID", &identity.tenant_id)
            .env("AZURE_CLIENT_ID", &identity.client_id)
            .env(
                "AZURE_CLIENT_CERTIFICATE_PATH",
                format!("{CERTIFICATES}/good.pem"),
            )
            .env("AZURE_AUTHORITY_HOST", simulator.https_url())
            .env("SSL_CERT_FILE", &ca)
            // The API's own address is the real one: nobody is to call it.
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env("NO_PROXY", "localhost");
    })
    .await;
    eventually("it has signed in", async || {
        let calls = simulator.calls();
        calls
            .iter()
            .any(|call| call.endpoint == Endpoint::Token && call.status == 200)
            .then_some(())
    })
    .await;
    let name = "defender_auth_certificate_expiry_timestamp_seconds";
    exporter
        .shows(name, &["tenant=\"default\""], |end| end > 4e9)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_host_that_is_busy_is_not_taken_for_a_wrong_credential() {
    let simulator = simulator().await;
    let busy = Fault::Throttle {
        retry_after: Some("1".to_owned()),
    };
    simulator.set_fault(Endpoint::Token, Some(busy));
    let exporter = exporter(&simulator, &secret(&simulator)).await;
    exporter.says(messages::SIGN_IN_REFUSED).await;
    let name = "defender_auth_errors_total";
    exporter
        .shows(name, &["reason=\"throttled\""], |count| count > 0.0)
        .await;
    simulator.set_fault(Endpoint::Token, None);
    is_up(&exporter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_host_that_is_silent_or_not_there_is_said_so() {
    let simulator = simulator().await;
    simulator.set_fault(Endpoint::Token, Some(Fault::Hang));
    let silent = exporter(&simulator, &secret(&simulator)).await;
    let folder = folder(&simulator, &secret(&simulator), "");
    let file = folder.path().join("exporter.yml");
    let text = fs::read_to_string(&file).expect("it was written");
    let known = format!("authority_host: {}", simulator.https_url());
    let nobody = text.replace(&known, "authority_host: https://localhost:1");
    fs::write(&file, nobody).expect("it can be written");
    let closed = Exporter::start_adjusted(folder, |_| ()).await;
    closed.says(messages::NO_SIGN_IN_HOST).await;
    silent.says(messages::SILENT_SIGN_IN).await;
}
