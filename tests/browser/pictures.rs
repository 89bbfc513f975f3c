//! The pictures in `docs`, made by `docs/screenshots.sh`.

use std::path::PathBuf;

use super::stage::{Stage, stage};
use crate::common::tools::needs;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/status-*.png; run docs/screenshots.sh"]
async fn pictures_for_the_documentation() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator: _simulator,
        exporter: _exporter,
    } = stage(|options| {
        options.tenants = 3;
        options.definitions = 16;
    })
    .await;
    let folder = std::env::var_os("PICTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs"),
        PathBuf::from,
    );
    let overdue = "/?overdue=1";
    browser.open(overdue).await;
    browser.click(super::NAMES).await;
    let definition = browser.location().await;
    for (name, path, width, scheme) in [
        ("status-light.png", "/", 1_280, "light"),
        ("status-dark.png", "/", 1_280, "dark"),
        ("definition-dark.png", &definition, 1_280, "dark"),
        ("definition-light.png", &definition, 1_280, "light"),
        ("narrow-light.png", "/", 400, "light"),
        ("narrow-definition.png", &definition, 400, "light"),
        ("wide-light.png", "/", 2_000, "light"),
    ] {
        let kept = name.starts_with("status-");
        if !kept && std::env::var_os("PICTURES").is_none() {
            continue;
        }
        browser.look(width, scheme).await;
        browser.open(path).await;
        let picture = browser.picture(false).await;
        std::fs::write(folder.join(name), picture).expect("the folder can be written");
    }
    browser.finish().await;
}
