//! What the tests look at.

use std::sync::Arc;

use defender_simulator::{Options, Simulator};
use tempfile::TempDir;

use super::driver::Browser;
use crate::common::settings::{Entry, entry, write};
use crate::common::{Exporter, eventually, options};

/// The real binary with a simulated API, and a browser that looks at it.
pub struct Stage {
    pub simulator: Simulator,
    pub exporter: Exporter,
    pub browser: Browser,
}

/// Tenants `contoso`, `fabrikam`, …, with history that names times.
pub async fn stage(adjust: impl FnOnce(&mut Options)) -> Stage {
    let mut options = options();
    options.last_scanned = true;
    adjust(&mut options);
    let tenants = options.tenants;
    let definitions = tenants * options.definitions;
    let simulator = Simulator::start(options)
        .await
        .expect("the simulator starts");
    let folder: Arc<TempDir> = tempfile::tempdir().expect("a folder can be made").into();
    let names = ["contoso", "fabrikam", "northwind"];
    let entries = (0..tenants).map(|number| Entry {
        name: names[number].to_owned(),
        ..entry(number)
    });
    write(
        &simulator,
        folder.path(),
        &entries.collect::<Vec<_>>(),
        "20s",
    );
    let exporter = Exporter::start_with_flags(folder, &[]).await;
    exporter.ready().await;
    // History follows the list; with it come the sessions and the targets.
    eventually("all is known", async || {
        let page = exporter.get("/").await.1;
        let known = page.contains(&format!("<strong>{definitions}</strong> definitions"));
        let metrics = exporter.get("/metrics").await.1;
        let history = metrics.lines().filter(|line| {
            line.starts_with("defender_collector_last_success_timestamp_seconds{")
                && line.contains("collector=\"history\"")
        });
        (known && history.count() == tenants).then_some(())
    })
    .await;
    let browser = Browser::start(&exporter.url).await;
    Stage {
        simulator,
        exporter,
        browser,
    }
}
