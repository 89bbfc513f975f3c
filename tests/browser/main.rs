//! The status page in a real Chromium: as a reader uses it, with and without
//! script, and as axe-core judges it. Each test also fails if the browser's
//! console holds a word, or if another host was asked.

mod driver;
mod pictures;
mod stage;

use crate::common::eventually;
use crate::common::tools::needs;
use defender_simulator::{Draft, Endpoint, Fault, Outcome};
use serde_json::json;
use stage::{Stage, stage};

/// The links to definitions.
const NAMES: &str = "table.definitions tbody th a";

#[tokio::test(flavor = "multi_thread")]
async fn it_is_searched_filtered_and_sorted_and_the_url_says_so() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator: _simulator,
        exporter: _exporter,
    } = stage(|options| {
        options.tenants = 2;
        options.definitions = 24;
    })
    .await;
    browser.open("/").await;
    assert_eq!(browser.text("#count").await, "48 definitions");
    browser.says(".tiles", "2 of 2\ntenants up").await;
    let statuses = browser
        .texts("table.definitions tbody td:nth-child(4)")
        .await;
    assert!(statuses[0].ends_with("failed"), "{statuses:?}");
    assert!(statuses[47].ends_with("inactive"), "{statuses:?}");

    let search = browser.find("#search").await;
    search.send_keys("switches").await.expect("it can be typed");
    eventually("the URL follows", async || {
        (browser.location().await == "/?q=switches").then_some(())
    })
    .await;
    browser.says("#count", "matching, of 48 definitions").await;
    let names = browser.texts(NAMES).await;
    assert!(
        !names.is_empty() && names.iter().all(|name| name.contains("switches")),
        "{names:?}"
    );
    let focus = browser.script("return document.activeElement.id").await;
    assert_eq!(focus, json!("search"), "the focus stays");

    browser.script("document.querySelector('[name=tenant]').value = 'fabrikam'; document.querySelector('[name=tenant]').dispatchEvent(new Event('input', {bubbles: true}))").await;
    eventually("the URL follows", async || {
        (browser.location().await == "/?q=switches&tenant=fabrikam").then_some(())
    })
    .await;
    let tenants = browser
        .texts("table.definitions tbody td:nth-child(2)")
        .await;
    assert!(
        tenants.len() < names.len() && tenants.iter().all(|tenant| tenant == "fabrikam"),
        "{tenants:?}"
    );

    browser.click("thead th:nth-child(1) a").await;
    assert_eq!(
        browser.location().await,
        "/?q=switches&tenant=fabrikam&sort=name"
    );
    let sorted = browser.texts(NAMES).await;
    let mut expected = sorted.clone();
    expected.sort_by_key(|name| name.to_lowercase());
    assert_eq!((sorted.len(), &sorted), (tenants.len(), &expected));
    let direction = browser
        .find("thead th:nth-child(1)")
        .await
        .attr("aria-sort")
        .await;
    assert_eq!(
        direction.expect("it can be read").as_deref(),
        Some("ascending")
    );
    browser.click("thead th:nth-child(1) a").await;
    expected.reverse();
    assert_eq!(browser.texts(NAMES).await, expected);

    browser.click(".tile.overdue").await;
    browser.says("#count", "matching, of 48 definitions").await;
    let overdue = browser
        .texts("table.definitions tbody td:nth-child(7)")
        .await;
    assert!(
        !overdue.is_empty() && overdue.iter().all(|text| text.contains(' ')),
        "{overdue:?}"
    );
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_to_a_definition_and_back() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator,
        exporter: _exporter,
    } = stage(|_| ()).await;
    browser.open("/?status=succeeded").await;
    let name = browser.text(NAMES).await;
    let search = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("q", &name)
        .finish();
    let list = format!("/?sort=name&{search}");
    browser.open(&list).await;
    let shown = browser.texts(NAMES).await;
    browser.click(NAMES).await;
    browser.says("h1", &name).await;
    let title = browser.client.title().await.expect("it has one");
    assert_eq!(title, format!("{name} – Defender scan exporter"));
    let id = browser.text(".facts code").await;
    // Meanwhile it may run once more.
    eventually("each run is a row and a mark", async || {
        let runs = simulator.world().definition(0, &id)?.runs.len();
        browser.client.refresh().await.ok()?;
        let rows = browser.texts("table.sessions tbody tr").await.len();
        let marks = browser.texts(".timeline .mark title").await.len();
        (runs > 0 && [rows, marks] == [runs; 2]).then_some(())
    })
    .await;
    browser
        .client
        .back()
        .await
        .expect("there is a page to go back to");
    assert_eq!(browser.location().await, list);
    assert_eq!(browser.texts(NAMES).await, shown);
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_works_without_the_script() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator: _simulator,
        exporter: _exporter,
    } = stage(|_| ()).await;
    let off = json!({ "value": true });
    browser
        .devtools("Emulation.setScriptExecutionDisabled", off)
        .await;
    browser.open("/").await;
    let source = browser.client.source().await.expect("there is one");
    assert!(!source.contains("id=\"refresh\""), "no script ran");
    let search = browser.find("#search").await;
    search.send_keys("core").await.expect("it can be typed");
    browser.click("#filters [type=submit]").await;
    eventually("the form is sent", async || {
        browser
            .location()
            .await
            .starts_with("/?q=core&")
            .then_some(())
    })
    .await;
    let count = browser
        .find("#count")
        .await
        .text()
        .await
        .expect("it has one");
    assert!(count.ends_with("matching, of 16 definitions"), "{count}");
    browser.click("thead th:nth-child(5) a").await;
    assert_eq!(browser.location().await, "/?q=core&sort=last");
    browser.click(NAMES).await;
    assert!(
        browser
            .location()
            .await
            .starts_with("/definition?tenant=contoso&id=")
    );
    browser.find("table.sessions").await;
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_shown_as_text() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator,
        exporter,
    } = stage(|_| ()).await;
    let fixture: serde_json::Value =
        serde_json::from_str(include_str!("../fixtures/hostile.json")).expect("it is JSON");
    let names = [
        "<script>document.title = 'taken'</script>",
        "<img src=x onerror=\"document.title = 'taken'\">",
        "\"'><svg onload=alert(1)>",
        fixture["value"][0]["scanName"]
            .as_str()
            .expect("it has one"),
        "\u{202e}desrever",
    ];
    {
        let mut world = simulator.world();
        for name in names {
            let id = world
                .add_definition(0, Draft::manual(name))
                .expect("there is a tenant");
            world.run_now(0, &id, Outcome::Other("<b>odd</b>".to_owned()));
        }
    }
    eventually("they are published", async || {
        exporter
            .get("/")
            .await
            .1
            .contains("<strong>21</strong> definitions")
            .then_some(())
    })
    .await;
    let shown = eventually("their status is known", async || {
        browser.open("/?status=unknown").await;
        let shown = browser.texts(NAMES).await;
        (shown.len() == names.len()).then_some(shown)
    })
    .await;
    for name in &names[..3] {
        assert!(
            shown.contains(&(*name).to_owned()),
            "{name} is not in {shown:?}"
        );
    }
    assert!(shown.contains(&"\u{fffd}desrever".to_owned()), "{shown:?}");
    let alien = "return document.querySelectorAll('table script, table img, table svg, main [onerror]').length";
    assert_eq!(browser.script(alien).await, json!(0));
    browser.open("/?q=%3Cscript%3E&tenant=%22%3E%3Cb%3E").await;
    assert_eq!(browser.texts("option:checked").await[0], "\"><b>");
    browser.open("/?status=unknown&sort=name").await;
    for place in 1..=names.len() {
        browser
            .click(&format!("tbody tr:nth-child({place}) th a"))
            .await;
        browser.find("table.sessions").await;
        let title = browser.client.title().await.expect("it has one");
        assert!(title.ends_with(" – Defender scan exporter"), "{title}");
        assert_eq!(
            browser
                .script("return document.querySelectorAll('main img, main script').length")
                .await,
            json!(0)
        );
        browser
            .client
            .back()
            .await
            .expect("there is a page to go back to");
    }
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_definitions_are_read_page_by_page() {
    needs!("chromium", "chromedriver");
    let Stage {
        browser,
        simulator: _simulator,
        exporter,
    } = stage(|options| {
        options.definitions = 3_000;
        options.page_size = 2_000;
    })
    .await;
    let size = exporter.get("/").await.1.len();
    assert!(size < 300_000, "a page has {size} bytes");
    browser.open("/?sort=name").await;
    assert_eq!(browser.text("#count").await, "1–100 of 3000 definitions");
    assert_eq!(browser.texts(NAMES).await.len(), 100);
    let first = browser.texts(NAMES).await;
    browser.click(".pages [rel=next]").await;
    assert_eq!(browser.location().await, "/?sort=name&page=2");
    let second = browser.texts(NAMES).await;
    assert!(first[99].to_lowercase() <= second[0].to_lowercase());
    browser.click(".pages a:last-child").await;
    browser.says(".pages", "Page 30 of 30").await;
    let search = browser.find("#search").await;
    search
        .send_keys("PRINTERS zürich")
        .await
        .expect("it can be typed");
    // It is searched while one types, too.
    eventually("the list holds what was typed", async || {
        let count = browser.text("#count").await;
        let names = browser.texts(NAMES).await;
        let all = names.iter().all(|name| name.starts_with("Zürich printers"));
        let is_searched = count.ends_with("matching, of 3000 definitions");
        (is_searched && !names.is_empty() && all).then_some(())
    })
    .await;
    browser.is_accessible("a long list").await;
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_in_light_and_dark_narrow_and_wide() {
    needs!("chromium", "chromedriver", "target/node/node_modules");
    let Stage {
        browser,
        simulator,
        exporter: _exporter,
    } = stage(|options| {
        options.tenants = 2;
        options.definitions = 60;
    })
    .await;
    let refusal = Fault::error(403, "Forbidden", "Missing application roles");
    simulator.set_tenant_fault(1, Endpoint::Definitions, Some(refusal));
    eventually("the refusal is told", async || {
        browser.open("/").await;
        let texts = browser.texts(".problems li").await;
        texts
            .iter()
            .any(|text| text.contains("access is denied"))
            .then_some(())
    })
    .await;
    browser.says(".tiles", "1 of 2\ntenants up").await;
    browser.open("/?tenant=fabrikam&sort=overdue").await;
    browser.click(NAMES).await;
    browser.says(".problems", "fabrikam").await;
    let definition = browser.location().await;
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        for width in [400, 1_300, 2_000] {
            browser.look(width, scheme).await;
            for path in [
                "/",
                "/?q=nothing-is-called-so",
                &definition,
                "/definition?id=x",
            ] {
                browser.open(path).await;
                browser
                    .is_accessible(&format!("{path} {scheme} {width}"))
                    .await;
                let sideways = "return document.documentElement.scrollWidth - innerWidth";
                let sideways = browser.script(sideways).await.as_i64();
                assert!(
                    sideways.is_some_and(|pixels| pixels <= 0),
                    "{path} {width}: {sideways:?}"
                );
            }
        }
        let script = "return getComputedStyle(document.body).backgroundColor";
        backgrounds.push(browser.script(script).await);
    }
    assert_ne!(backgrounds[0], backgrounds[1], "dark is not light");
    // Chromium logs that the page of an unknown definition is a 404.
    let log = browser.console().await;
    assert!(log.iter().all(|line| line.contains("404")), "{log:?}");
    browser.finish().await;
}
