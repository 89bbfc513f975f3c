//! Credentials that the machine has: a managed identity, by the metadata service of
//! App Service and of virtual machines, and whoever is signed in with `az` or `azd`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::messages;
use crate::common::process::in_namespaces;
use crate::common::tenants::{adjusted, configure, exporter, is_up, simulator, token};
use crate::common::tools::needs;
use crate::common::{Exporter, eventually};
use defender_simulator::{Endpoint, MachineIdentity, Simulator};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const RESOURCE: &str = "/subscriptions/1/resourceGroups/a/providers/Microsoft.ManagedIdentity/userAssignedIdentities/b";

fn assign(simulator: &Simulator, name: &str, resource_id: Option<&str>) {
    simulator.world().assign_identity(MachineIdentity {
        client_id: id("client_id", name),
        object_id: id("object_id", name),
        resource_id: resource_id.map(str::to_owned),
    });
}

/// An id of an identity: the configuration takes GUIDs alone.
fn id(key: &str, name: &str) -> String {
    let kind = u8::from(key == "object_id");
    let digit = match name {
        "system" => 1,
        "user" => 2,
        _ => 3,
    };
    format!("00000000-0000-4000-8{kind:03}-{digit:012}")
}

/// As App Service sets it up; a proxy that does not answer must not be asked.
fn app_service(simulator: &Simulator, command: &mut Command) {
    let (endpoint, header) = simulator.metadata_service();
    command.env("IDENTITY_ENDPOINT", endpoint);
    command.env("IDENTITY_HEADER", header);
    command.env("HTTP_PROXY", "http://127.0.0.1:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_of_app_service_signs_in() {
    let simulator = simulator().await;
    let wrong = |key: &str| {
        let other = id(key, "other");
        format!("type: managed_identity, {key}: {other}")
    };
    let system = "type: managed_identity";
    let start = |credential: String| {
        let simulator = &simulator;
        async move {
            adjusted(simulator, &credential, |command| {
                app_service(simulator, command);
            })
            .await
        }
    };
    start(system.to_owned())
        .await
        .says(messages::NO_IDENTITY)
        .await;
    assign(&simulator, "system", None);
    assign(&simulator, "user", Some(RESOURCE));
    is_up(&start(system.to_owned()).await).await;
    for key in ["client_id", "object_id"] {
        let by_id = format!("{system}, {key}: {}", id(key, "user"));
        is_up(&start(by_id).await).await;
    }
    for key in ["client_id", "object_id"] {
        start(wrong(key)).await.says(messages::OTHER_IDENTITY).await;
    }
    let by_resource = format!("{system}, resource_id: {RESOURCE}");
    start(by_resource).await.says(messages::RESOURCE_ID).await;
    let asked = simulator.calls();
    let mut asked = asked
        .iter()
        .filter(|call| call.endpoint == Endpoint::Metadata);
    let resource = Some("https://api.securitycenter.microsoft.com".to_owned());
    assert!(asked.all(|call| call.scope == resource));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_where_there_is_none_is_said_so_at_once() {
    let simulator = simulator().await;
    let start = adjusted(&simulator, "type: managed_identity", |command| {
        command.env("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token");
        command.env("IDENTITY_HEADER", "a-secret-of-48-letters");
    });
    let exporter = start.await;
    exporter.says(messages::NO_METADATA_SERVICE).await;
    assert!(!exporter.process.output().contains("a-secret-of-48"));
    // Another cloud's metadata service knows no such path.
    let start = adjusted(&simulator, "type: managed_identity", |command| {
        command.env("IDENTITY_ENDPOINT", simulator.http_url() + "/nothing");
        command.env("IDENTITY_HEADER", "a-secret-of-48-letters");
    });
    start.await.says(messages::NO_METADATA).await;
}

/// Virtual machines have the metadata service at an address that cannot be chosen,
/// so this runs once more in a network namespace that has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_of_a_virtual_machine_signs_in() {
    needs!("ip");
    let prepare = "ip link set lo up && ip address add 169.254.169.254/32 dev lo";
    let test = "machine::a_managed_identity_of_a_virtual_machine_signs_in";
    if !in_namespaces(&["--net"], prepare, test) {
        return;
    }
    let simulator = simulator().await;
    let face = simulator
        .http_url()
        .trim_start_matches("http://")
        .to_owned();
    let system = exporter(&simulator, "type: managed_identity").await;
    system.says(messages::NO_METADATA_SERVICE).await;
    let listener = TcpListener::bind("169.254.169.254:80")
        .await
        .expect("the address is ours");
    tokio::spawn(async move {
        while let Ok((mut asked, _)) = listener.accept().await {
            let mut service = TcpStream::connect(&face).await.expect("it listens");
            tokio::spawn(async move { copy_bidirectional(&mut asked, &mut service).await });
        }
    });
    assign(&simulator, "system", None);
    assign(&simulator, "user", Some(RESOURCE));
    is_up(&system).await;
    let credential = format!("type: managed_identity, resource_id: {RESOURCE}");
    is_up(&exporter(&simulator, &credential).await).await;
}

/// Writes a command line that counts its calls, checks its arguments, and prints what
/// is in the file `answer` beside it.
fn command_line(folder: &Path, name: &str, arguments: &str) {
    let (folder_name, path) = (folder.display(), folder.join(name));
    let script = format!(
        "#!/bin/sh\necho call >> {folder_name}/calls\n\
         [ \"$*\" = '{arguments}' ] || {{ echo \"unexpected: $*\" >&2; exit 2; }}\n\
         [ -e {folder_name}/answer ] && exec cat {folder_name}/answer\n\
         cat {folder_name}/complaint >&2; exit 1\n"
    );
    fs::write(&path, script).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be made to run");
}

fn calls(folder: &Path) -> usize {
    fs::read_to_string(folder.join("calls"))
        .unwrap_or_default()
        .lines()
        .count()
}

/// Starts with no command line on the path, then with one that complains or prints what is no
/// token, and signs in at last.
async fn signs_in(
    name: &str,
    type_: &str,
    arguments: &str,
    complaints: [&str; 2],
    messages: [&str; 4],
    answer: impl Fn(&str, i64) -> String,
) {
    let simulator = simulator().await;
    let id = simulator.tenant(0).expect("there is a tenant").tenant_id;
    let scope = "https://api.securitycenter.microsoft.com/.default";
    let credential = format!("type: {type_}");
    let missing = exporter(&simulator, &credential).await;
    missing.says(messages[0]).await;

    let folder = tempfile::tempdir().expect("a folder can be made");
    let tool = folder.path().to_owned();
    let arguments = arguments.replace("SCOPE", scope).replace("TENANT", &id);
    command_line(&tool, name, &arguments);
    let write = |file: &str, text: &str| {
        fs::write(tool.join("new"), text).expect("it can be written");
        fs::rename(tool.join("new"), tool.join(file)).expect("it can be renamed");
    };
    write("complaint", complaints[0]);
    configure(&simulator, &tool, &credential, "");
    let path = format!("{}:/usr/bin:/bin", tool.display());
    let exporter = Exporter::start_adjusted(folder, |command| {
        command.env("PATH", path);
    })
    .await;
    exporter.says(messages[1]).await;
    write("complaint", complaints[1]);
    exporter.says(messages[2]).await;
    write("answer", "A new version is available.");
    exporter.says(messages[3]).await;

    let write_token = async || {
        let (token, end) = token(&simulator).await;
        write("answer", &answer(&token, end));
    };
    write_token().await;
    is_up(&exporter).await;
    let asked = calls(&tool);
    let polled = || {
        simulator
            .calls()
            .iter()
            .filter(|call| call.endpoint == Endpoint::Definitions)
            .count()
    };
    let enough = polled() + 3;
    eventually("it polls on", async || (polled() > enough).then_some(())).await;
    assert_eq!(calls(&tool), asked, "the token is kept");
    simulator.revoke_tokens(0);
    write_token().await;
    eventually("it asks for another token", async || {
        (calls(&tool) > asked).then_some(())
    })
    .await;
    is_up(&exporter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_with_az() {
    signs_in(
        "az",
        "azure_cli",
        "account get-access-token -o json --scope SCOPE --tenant TENANT",
        [
            "ERROR: Please run 'az login' to setup account.\n",
            "ERROR: Get Token request returned http error: 503; to sign in again, run: az login\n",
        ],
        [
            messages::NO_AZ,
            messages::AZ_LOGIN,
            messages::AZ_REFUSES,
            messages::AZ_OUTPUT,
        ],
        |token, end| {
            format!(r#"{{"accessToken":"{token}","expires_on":{end},"tokenType":"Bearer"}}"#)
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_with_azd() {
    let complaints = [
        r#"{"type":"consoleMessage","timestamp":"2026-01-01T00:00:00Z","data":{"message":"\nERROR: not logged in, run `azd auth login` to login\n"}}"#,
        r#"{"type":"consoleMessage","timestamp":"2026-01-01T00:00:00Z","data":{"message":"\nERROR: fetching token: dial tcp: lookup login.example: no such host; run `azd auth login`\n"}}"#,
    ];
    signs_in(
        "azd",
        "azure_developer_cli",
        "auth token -o json --no-prompt --scope SCOPE --tenant-id TENANT",
        complaints,
        [
            messages::NO_AZD,
            messages::AZD_LOGIN,
            messages::AZD_REFUSES,
            messages::AZD_OUTPUT,
        ],
        |token, end| {
            let end = humantime::format_rfc3339_seconds(
                std::time::UNIX_EPOCH + Duration::from_secs(end.cast_unsigned()),
            );
            format!(r#"{{"token":"{token}","expiresOn":"{end}"}}"#)
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_hangs_is_ended_with_all_its_children() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let tool = folder.path().to_owned();
    let script = format!(
        "#!/bin/sh\nsleep 600 &\necho $! > {0}/child\necho $$ > {0}/parent\nwait\n",
        tool.display()
    );
    fs::write(tool.join("az"), script).expect("it can be written");
    fs::set_permissions(tool.join("az"), fs::Permissions::from_mode(0o755)).expect("it runs");
    configure(&simulator, &tool, "type: azure_cli", "");
    let path = format!("{}:/usr/bin:/bin", tool.display());
    let exporter = Exporter::start_adjusted(folder, |command| {
        command.env("PATH", path);
    })
    .await;
    let id = |name: &str| {
        let text = fs::read_to_string(tool.join(name)).ok()?;
        text.trim().parse::<u32>().ok()
    };
    let first = eventually("it runs", async || Some([id("child")?, id("parent")?])).await;
    exporter.says(messages::SLOW_AZ).await;
    eventually("both are gone", async || {
        // A zombie is nobody's burden, but runs no longer.
        let runs = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status"));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        (!first.iter().any(runs)).then_some(())
    })
    .await;
}
