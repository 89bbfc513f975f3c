//! A real Chromium that tests drive, in a process group that ends with its test.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::common::process::kill;
use crate::common::{Process, eventually, tools};

/// A browser with one window.
pub struct Browser {
    pub client: Client,
    driver: Process,
    /// The only host that it may ask, as scheme, host and port.
    origin: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver leads a group, in which its browsers are too.
        let group = format!("-{}", self.driver.id());
        kill("KILL", &group);
    }
}

/// A command of `ChromeDriver` that the standard does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// Starts one that is to show pages of the server at `url` alone.
    pub async fn start(url: &str) -> Self {
        let (driver, port) = Self::driver().await;
        let profile = driver.folder.path().join("profile");
        let minutes = json!({ "script": 300_000, "pageLoad": 300_000 });
        let capabilities = json!({
            "timeouts": minutes,
            "goog:chromeOptions": {
                "binary": tools::find("chromium").expect("chromium is installed"),
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en", "--window-size=1280,900",
                    format!("--user-data-dir={}", profile.display()),
                ],
            },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("it is written above")
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|error| {
                panic!("chromium does not start: {error}\n{}", driver.output())
            });
        Self {
            client,
            driver,
            origin: url.to_owned(),
        }
    }

    /// A driver, and its port. It takes a free port of IPv4 and wants the same of IPv6, and ends
    /// if something else has that: then another is started.
    async fn driver() -> (Process, String) {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let mut command = Command::new("chromedriver");
            command.arg("--port=0").process_group(0);
            let mut driver = Process::start(folder, &mut command);
            let port = eventually("chromedriver listens, or ends", async || {
                let output = driver.output();
                let after = output.split("started successfully on port ").nth(1);
                let end = after.and_then(|after| after.find(|c: char| !c.is_ascii_digit()));
                match (after, end) {
                    (Some(after), Some(end)) => Some(Some(after[..end].to_owned())),
                    _ => (!driver.is_running()).then_some(None),
                }
            })
            .await;
            if let Some(port) = port {
                return (driver, port);
            }
        }
        panic!("chromedriver does not start");
    }

    /// Opens a page of the server.
    pub async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.client.goto(&url).await.expect("the page opens");
    }

    async fn extension(&self, path: &'static str, body: Value) -> Value {
        let command = Extension { path, body };
        let answer = self.client.issue_cmd(command).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of the Chrome `DevTools` protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.extension("goog/cdp/execute", body).await
    }

    /// From now on the window is so wide and the reader prefers `scheme`.
    pub async fn look(&self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// What a script returns.
    pub async fn script(&self, script: &str) -> Value {
        let value = self.client.execute(script, Vec::new()).await;
        value.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The first element that the selector finds, once there is one.
    pub async fn find(&self, css: &str) -> Element {
        eventually(&format!("{css} is there"), async || {
            self.client.find(Locator::Css(css)).await.ok()
        })
        .await
    }

    /// Clicks on the first element that the selector finds. The page may replace it at any time.
    pub async fn click(&self, css: &str) {
        eventually(&format!("{css} is clicked on"), async || {
            self.find(css).await.click().await.ok()
        })
        .await;
    }

    /// The texts of all elements that the selector finds, as a reader sees them.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let selector = Value::from(css).to_string();
        let script = format!(
            "return [...document.querySelectorAll({selector})].map(e => (e.innerText ?? e.textContent).trim())"
        );
        let texts = self.script(&script).await;
        serde_json::from_value(texts).expect("they are texts")
    }

    pub async fn text(&self, css: &str) -> String {
        self.texts(css)
            .await
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("{css} is missing"))
    }

    /// Waits until an element says this.
    pub async fn says(&self, css: &str, wanted: &str) {
        eventually(&format!("{css} says {wanted:?}"), async || {
            self.texts(css)
                .await
                .iter()
                .any(|text| text.contains(wanted))
                .then_some(())
        })
        .await;
    }

    /// The part of the URL after the host.
    pub async fn location(&self) -> String {
        let url = self.client.current_url().await.expect("there is one");
        url.as_str()
            .strip_prefix(&self.origin)
            .unwrap_or(url.as_str())
            .to_owned()
    }

    /// The window as a PNG.
    pub async fn picture(&self, full: bool) -> Vec<u8> {
        let parameters = json!({ "format": "png", "captureBeyondViewport": full });
        let picture = self.devtools("Page.captureScreenshot", parameters).await;
        let data = picture["data"].as_str().expect("it is base64");
        STANDARD.decode(data).expect("it is base64")
    }

    /// Runs axe-core, and fails with what it finds.
    pub async fn is_accessible(&self, what: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("target/node/node_modules/axe-core/axe.min.js");
        let axe = fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "expected axe-core at {}, but {error}; run tests/run.sh",
                path.display()
            )
        });
        self.script(&axe).await;
        let script =
            "const done = arguments[0]; axe.run().then(done, error => done(String(error)));";
        let result = self.client.execute_async(script, Vec::new()).await;
        let result = result.expect("axe-core runs");
        let passes = result["passes"].as_array().map_or(0, Vec::len);
        assert!(
            passes > 15,
            "{what}: axe-core checked {passes} rules\n{result:#}"
        );
        let violations = result["violations"].as_array().expect("it is a list");
        assert!(violations.is_empty(), "{what}: {violations:#?}");
    }

    /// What the console says since it was last asked.
    pub async fn console(&self) -> Vec<String> {
        let log = self.extension("se/log", json!({ "type": "browser" })).await;
        let lines = log.as_array().expect("it is a list").iter();
        lines.map(|line| line["message"].to_string()).collect()
    }

    /// Ends it, and fails if the console holds a word, or if it asked another host.
    pub async fn finish(self) {
        let console = self.console().await;
        assert!(console.is_empty(), "the console is not empty: {console:?}");
        let log = self
            .extension("se/log", json!({ "type": "performance" }))
            .await;
        let mut own = 0;
        for entry in log.as_array().expect("it is a list") {
            let entry = entry["message"].as_str().expect("it is JSON in JSON");
            let entry: Value = serde_json::from_str(entry).expect("it is JSON in JSON");
            if entry["message"]["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let request = &entry["message"]["params"]["request"]["url"];
            let url = request.as_str().expect("it has one");
            // The browser's own page for a new tab, and what it is made of.
            if url.starts_with("chrome://") || url.starts_with("data:") {
                continue;
            }
            assert!(url.starts_with(&self.origin), "it asked for {url}");
            own += 1;
        }
        assert!(own > 0, "the log of requests is empty");
        self.client.clone().close().await.expect("it ends");
    }
}
