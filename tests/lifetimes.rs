//! Whatever an answer says of a token's lifetime, the process lives and the token is used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::tenants::{adjusted, configure, is_up, secret, simulator, token};
use crate::common::{Exporter, eventually};
use defender_simulator::{Endpoint, Fault, Simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// How long the token of a running exporter works, as it says.
async fn left(exporter: &Exporter, simulator: &Simulator) -> f64 {
    let metrics = exporter.metrics().await;
    let end = metrics.value("defender_auth_token_expiry_timestamp_seconds", &[]);
    end.expect("there is a token") - simulator.world().now().unix_seconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_in_a_sign_in_answer_ends_the_process() {
    for (lifetime, longest) in [
        ("1000000000000", 86_400.0),
        ("-9223372036854775808", 60.0),
        ("9223372036854775807", 86_400.0),
        ("1e300", 86_400.0),
        ("\"3599\"", 3_599.0),
        ("null", 60.0),
    ] {
        let simulator = simulator().await;
        let (token, _) = token(&simulator).await;
        let body = format!(
            r#"{{"token_type":"Bearer","access_token":"{token}","expires_in":{lifetime}}}"#
        );
        let answer = Fault::Body {
            content_type: "application/json".to_owned(),
            bytes: body.into_bytes(),
        };
        simulator.set_fault(Endpoint::Token, Some(answer));
        let mut exporter = adjusted(&simulator, &secret(&simulator), |_| ()).await;
        is_up(&exporter).await;
        let left = left(&exporter, &simulator).await;
        println!("expires_in {lifetime}: {left:.0} s");
        assert!(
            left <= longest && left > longest / 2.0 - 30.0,
            "{lifetime}: {left}"
        );
        assert!(exporter.process.is_running());
    }
}

/// App Service says when a token ends in several ways: see Azure/azure-sdk-for-net#12869.
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_service_may_write_the_end_as_it_likes() {
    for members in [
        r#""expires_on":"09/14/2017 00:00:00 PM +00:00""#,
        r#""expires_on":1e300"#,
        r#""expires_in":"28800","expires_on":99999999999999999999"#,
    ] {
        let simulator = simulator().await;
        let (token, _) = token(&simulator).await;
        let body = format!(
            r#"{{"access_token":"{token}","resource":"x","token_type":"Bearer",{members}}}"#
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one");
        tokio::spawn(async move {
            while let Ok((mut asked, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = asked.read(&mut request).await;
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = asked.write_all(answer.as_bytes()).await;
            }
        });
        let start = adjusted(&simulator, "type: managed_identity", |command| {
            command.env("IDENTITY_ENDPOINT", format!("http://{address}/msi/token"));
            command.env("IDENTITY_HEADER", "C4nary-of-48-letters");
        });
        let exporter = start.await;
        is_up(&exporter).await;
        assert!(!exporter.process.output().contains("C4nary"));
    }
}

/// `az` prints the end as a number of its own.
#[tokio::test(flavor = "multi_thread")]
async fn no_number_that_az_prints_ends_the_process() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let tool = folder.path().to_owned();
    let script = format!("#!/bin/sh\nexec cat {}/answer\n", tool.display());
    fs::write(tool.join("az"), script).expect("it can be written");
    fs::set_permissions(tool.join("az"), fs::Permissions::from_mode(0o755)).expect("it runs");
    let write = async |end: &str| {
        let (token, _) = token(&simulator).await;
        let answer =
            format!(r#"{{"accessToken":"{token}","expires_on":{end},"tokenType":"Bearer"}}"#);
        fs::write(tool.join("new"), answer).expect("it can be written");
        fs::rename(tool.join("new"), tool.join("answer")).expect("it can be renamed");
    };
    write("9223372036854775807").await;
    configure(&simulator, &tool, "type: azure_cli", "");
    let path = format!("{}:/usr/bin:/bin", tool.display());
    let exporter = Exporter::start_adjusted(folder, |command| {
        command.env("PATH", path);
    })
    .await;
    exporter.says("`az` returned no token (…)").await;
    for (end, longest) in [("253402300799", 86_400.0), ("1", 60.0)] {
        simulator.revoke_tokens(0);
        write(end).await;
        eventually("the token has a bounded lifetime", async || {
            let metrics = exporter.metrics().await;
            let ends = metrics.value("defender_auth_token_expiry_timestamp_seconds", &[])?;
            let left = ends - simulator.world().now().unix_seconds();
            (left > longest / 2.0 && left <= longest).then_some(())
        })
        .await;
    }
}
