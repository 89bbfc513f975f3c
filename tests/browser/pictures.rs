//! The pictures in `docs`, made by `docs/screenshots.sh`; with `PICTURES=FOLDER` all that one looks at after a change.

use std::path::PathBuf;

use defender_simulator::{Endpoint, Fault};

use super::stage::{Stage, stage};
use crate::common::eventually;
use crate::common::tools::needs;

/// How wide the pictures in `docs` are.
const WIDTH: u32 = 1_300;

/// Narrow, usual and wide, light and dark.
const LOOKS: [(u32, &str); 6] = [
    (400, "light"),
    (400, "dark"),
    (WIDTH, "light"),
    (WIDTH, "dark"),
    (2_000, "light"),
    (2_000, "dark"),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/status-*.png; run docs/screenshots.sh"]
async fn pictures_for_the_documentation() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator,
        exporter,
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
    let all = std::env::var_os("PICTURES").is_some();
    let take = async |name: &str, path: &str| {
        for (width, scheme) in LOOKS {
            let kept = name == "status" && width == WIDTH;
            if !kept && !all {
                continue;
            }
            let size = if kept {
                String::new()
            } else {
                format!("{width}-")
            };
            browser.look(width, scheme).await;
            browser.open(path).await;
            let picture = browser.picture(false).await;
            let file = folder.join(format!("{name}-{size}{scheme}.png"));
            std::fs::write(file, picture).expect("the folder can be written");
        }
    };
    take("status", "/").await;
    take("definition", &definition).await;
    let refusal = Fault::error(403, "Forbidden", "Missing application roles");
    simulator.set_tenant_fault(1, Endpoint::Definitions, Some(refusal));
    eventually("the refusal is told", async || {
        let page = exporter.get("/").await.1;
        page.contains("access is denied").then_some(())
    })
    .await;
    take("failing", "/").await;
    browser.finish().await;
}
