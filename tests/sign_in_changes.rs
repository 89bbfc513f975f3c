//! What changes about a sign-in: a credential's file ends the back-off, and a reload keeps
//! the tokens that are still good.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use crate::common::settings::{self, Entry, entry};
use crate::common::tenants::{configure, is_up, simulator};
use crate::common::{Exporter, eventually, messages, options};
use defender_simulator::{Endpoint, Simulator};
use tempfile::TempDir;

fn sign_ins(simulator: &Simulator) -> usize {
    let calls = simulator.calls();
    let token = calls.iter().filter(|call| call.endpoint == Endpoint::Token);
    token.count()
}

/// Replaces what is mounted at `folder`, as Kubernetes does.
fn mount(folder: &Path, version: &str, secret: &str) {
    let at = |name: &str| folder.join(name);
    fs::create_dir(at(version)).expect("a folder can be made");
    fs::write(at(version).join("secret"), secret).expect("it can be written");
    symlink(version, at("..data_tmp")).expect("a link can be made");
    fs::rename(at("..data_tmp"), at("..data")).expect("it can be renamed");
}

/// A secret that was corrected was tried up to 355 s later.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_secret_is_tried_at_once() {
    let simulator = simulator().await;
    let identity = simulator.tenant(0).expect("there is a tenant");
    let folder = tempfile::tempdir().expect("a folder can be made");
    mount(folder.path(), "..1", "C4nary~wrong\n");
    symlink("..data/secret", folder.path().join("secret")).expect("a link can be made");
    let id = &identity.client_id;
    let credential = format!("type: client_secret, client_id: {id}, client_secret_file: secret");
    configure(&simulator, folder.path(), &credential, "");
    let exporter = Exporter::start_adjusted(folder, |_| ()).await;
    exporter.says(messages::WRONG_SECRET).await;
    let errors = "defender_auth_errors_total";
    let folder = exporter.process.folder.path();
    let wrong = ["reason=\"wrong_secret\""];
    let changed = "the credential's files have changed: signing in again";
    // A wait may be shorter than the time until a change is seen; but they grow.
    for version in 2.. {
        assert!(version < 12, "never seen\n{}", exporter.process.output());
        let failed = exporter.metrics().await.value(errors, &wrong);
        let failed = failed.expect("it failed");
        mount(
            folder,
            &format!("..{version}"),
            &format!("C4nary~{version}\n"),
        );
        exporter.shows(errors, &wrong, |count| count > failed).await;
        if messages::is_in(changed, &exporter.process.output().replace('\\', "")) {
            break;
        }
    }
    mount(folder, "..right", &identity.client_secret);
    is_up(&exporter).await;
    assert!(!exporter.process.output().contains("C4nary"));
}

async fn reload(exporter: &Exporter, simulator: &Simulator, entry: &Entry) {
    let folder = exporter.process.folder.path();
    settings::write(simulator, folder, std::slice::from_ref(entry), "40s");
    let (status, text) = exporter.reload().await;
    assert_eq!(status, 200, "{text}\n{}", exporter.process.output());
}

/// There were 90 sign-ins in 4 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_reloads_keeps_the_token_until_the_sign_in_is_another() {
    let mut small = options();
    (small.definitions, small.agents) = (3, 1);
    let simulator = Simulator::start(small).await.expect("the simulator starts");
    let folder = Arc::new(TempDir::new().expect("a folder can be made"));
    let mut tenant = entry(0);
    settings::write(
        &simulator,
        folder.path(),
        std::slice::from_ref(&tenant),
        "40s",
    );
    let exporter = Exporter::start_with_flags(folder, &["--web.enable-lifecycle"]).await;
    exporter.ready().await;
    for round in 0..90 {
        tenant.poll = format!("{{definitions: 1s, agents: {}s}}", 10 + round);
        reload(&exporter, &simulator, &tenant).await;
    }
    let polled = simulator.calls().len();
    eventually("it polls on", async || {
        (simulator.calls().len() > polled + 2).then_some(())
    })
    .await;
    assert_eq!(sign_ins(&simulator), 1);

    // A token that the API refused is replaced, whatever is reloaded.
    simulator.revoke_tokens(0);
    tenant.per_minute += 1;
    reload(&exporter, &simulator, &tenant).await;
    eventually("it signs in anew", async || {
        (sign_ins(&simulator) == 2).then_some(())
    })
    .await;

    // Another secret is another sign-in, and so is the right one after it.
    tenant.secret = Some("wrong".to_owned());
    reload(&exporter, &simulator, &tenant).await;
    exporter.says(messages::WRONG_SECRET).await;
    tenant.secret = None;
    reload(&exporter, &simulator, &tenant).await;
    exporter.shows("defender_up", &[], |up| up > 0.5).await;
}
