//! `healthcheck`: for containers without a shell.
//!
//! An exporter that turns the check away because of its missing password or
//! certificate, or because of the rate limit, is serving: it counts as healthy.
//! So the check needs neither secrets nor the web configuration.

use std::error::Error;
use std::io;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use rustls::AlertDescription;
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(5);

/// How often a connection that broke is tried again.
const AGAIN: usize = 3;

pub(super) async fn run(url: Url) -> anyhow::Result<()> {
    // The certificate is for another name than that of the own machine. Nothing secret is sent.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        // An error of HTTP/2 does not tell the reason for which TLS was broken off.
        .http1_only()
        .retry(reqwest::retry::never())
        .timeout(TIMEOUT)
        .build()
        .context("cannot build the HTTP client")?;
    let mut answer = client.get(url.clone()).send().await;
    for _ in 0..AGAIN {
        // If the refusal arrives before the request is handed over, the library does not pass
        // its reason on.
        if !answer
            .as_ref()
            .is_err_and(|error| is_broken(error) && !wants_certificate(error))
        {
            break;
        }
        answer = client.get(url.clone()).send().await;
    }
    let status = match answer {
        Ok(answer) => answer.status(),
        Err(error) if wants_certificate(&error) => return Ok(()),
        // The library's own text names the address, and with it a password that may be in it.
        Err(error) => return Err(error.without_url()).context("the exporter does not respond"),
    };
    let turned_away = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
    ensure!(
        status.is_success() || turned_away.contains(&status),
        "expected status 200, but found {status}"
    );
    Ok(())
}

/// Whether a connection was made, and broke before an answer came.
fn is_broken(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout()
}

/// Whether the other side broke off since the check has no client certificate.
fn wants_certificate(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        let tls = inner.unwrap_or(error).downcast_ref::<rustls::Error>();
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            // TLS 1.3, and what TLS 1.2 had for it.
            return matches!(
                alert,
                AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure
            );
        }
        cause = inner.or_else(|| error.source());
    }
    false
}
