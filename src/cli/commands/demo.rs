//! `demo`: the simulator and the exporter in one process, and nothing to set up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};

use super::Process;
use super::serve::Exporter;
use crate::cli::{Demo, Flags, Storage};
use crate::clock::Clock;
use crate::config::Config;
use defender_simulator::{Options, Simulator};

/// Runs until a signal.
pub(super) async fn run(demo: Demo, flags: Flags, process: Process) -> anyhow::Result<()> {
    let Demo {
        definitions,
        tenants,
        speed,
        chaos,
    } = demo;
    ensure!(
        flags.config_file.is_none(),
        "expected no --config.file, but found one; the demo creates its own"
    );
    let clock = Clock::accelerated(speed);
    let mut options = Options::new(clock.clone());
    options.definitions = usize::try_from(definitions)?;
    options.tenants = usize::try_from(tenants)?;
    options.last_scanned = true;
    options.chaos = chaos;
    if chaos.is_some() {
        // So that sessions are asked for by their ids too.
        options.bare_history = options.tenants - 1..options.tenants;
    }
    let simulator = Simulator::start(options)
        .await
        .context("starting the simulated Defender API")?;
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let config = config(&simulator, folder.path())?;
    let storage = flags
        .storage_path
        .clone()
        .unwrap_or_else(|| Storage::Folder(folder.path().join("data")));
    let reader = Arc::new(move || Ok(config.clone()));
    let exporter = Exporter::start(reader, &flags, &storage, clock, &process).await?;
    let Some(exporter) = exporter else {
        return Ok(());
    };
    let mut text = format!(
        "A simulated Defender API with {tenants} tenants of {definitions} definitions each; a simulated hour takes "
    );
    writeln!(
        text,
        "{}.",
        humantime::format_duration(std::time::Duration::from_millis(u64::from(
            3_600_000 / speed
        )))
    )?;
    if let Some(seed) = chaos {
        writeln!(
            text,
            "Every fourth call fails in some way, as decided by seed {seed}."
        )?;
    }
    let scheme = exporter.scheme();
    for address in exporter.addresses() {
        let mut address = *address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let metrics = flags.metrics.telemetry_path.as_str();
        writeln!(text, "  metrics      {scheme}://{address}{metrics}")?;
        if metrics != "/" {
            writeln!(text, "  status page  {scheme}://{address}/")?;
        }
    }
    text.push_str("Stop it with Ctrl-C.\n");
    super::print(&text)?;
    let result = exporter.finish().await;
    simulator.stop().await;
    result
}

/// A configuration such as a user would write it, for all tenants of the simulator. Nobody
/// else asks the simulator, which is new: the reserve is as large as our usual share.
fn config(simulator: &Simulator, folder: &Path) -> anyhow::Result<Config> {
    let ca = folder.join("ca.pem");
    fs::write(&ca, simulator.ca_pem()).with_context(|| format!("writing {}", ca.display()))?;
    let url = simulator.https_url();
    let mut text = format!(
        "http: {{ca_file: {}}}\ntenants:\n",
        serde_json::to_string(&ca)?
    );
    for number in 0.. {
        let Some(tenant) = simulator.tenant(number) else {
            break;
        };
        write!(
            text,
            "  - name: demo-{}\n    tenant_id: {}\n    api_base_url: {url}\n    authority_host: {url}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret: {}}}\n    \
             poll: {{definitions: 6s, agents: 1m}}\n    \
             quota: {{per_minute: 160, per_hour: 2400, use: 50%}}\n",
            number + 1,
            tenant.tenant_id,
            tenant.client_id,
            serde_json::to_string(&tenant.client_secret)?,
        )?;
    }
    let (config, _) = Config::parse(&text, "demo")?;
    Ok(config)
}
