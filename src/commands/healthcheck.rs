//! `healthcheck`: for containers without a shell.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(url: Url) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .context("no HTTP client")?;
    let answer = client.get(url.clone()).send().await;
    // The library's own text names the address, and with it a password that may be in it.
    let status = answer
        .map_err(reqwest::Error::without_url)
        .context("the exporter does not answer")?
        .status();
    ensure!(
        status.is_success(),
        "expected status 200, but found {status}"
    );
    Ok(())
}
