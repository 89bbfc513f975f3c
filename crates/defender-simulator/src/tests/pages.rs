//! Next links stay good, however many tenants there are, and for nobody else.

use std::collections::BTreeSet;

use super::*;

/// The first page of a tenant's list.
async fn first(bench: &Bench, token: &str) -> Value {
    bench.list(token, LIST).await.json().await.unwrap()
}

fn next(page: &Value) -> &str {
    page["@odata.nextLink"].as_str().expect("there is more")
}

#[tokio::test]
async fn links_of_many_tenants_are_good_at_once() {
    let tenants = 300;
    let bench = Bench::new(|options| {
        (options.tenants, options.definitions, options.page_size) = (tenants, 3, 2);
    })
    .await;
    let tokens: Vec<String> = {
        let shared = &bench.simulator.shared;
        let now = shared.options.clock.uptime();
        let world = shared.world();
        let mut issued = lock(&shared.tokens);
        (0..tenants)
            .map(|tenant| issued.issue(&world, tenant, now))
            .collect()
    };
    let mut pages = Vec::new();
    for token in &tokens {
        pages.push(first(&bench, token).await);
    }
    for (token, page) in tokens.iter().zip(&pages) {
        let answer = bench.get(token, next(page)).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let foreign = bench.get(&tokens[0], next(&pages[1])).await.unwrap();
    assert_eq!(foreign.status(), 400, "a link is good for its tenant alone");
}

#[tokio::test]
async fn of_one_tenants_links_the_latest_are_good() {
    let bench = Bench::new(|options| (options.definitions, options.page_size) = (3, 2)).await;
    let token = bench.token().await;
    let mut pages = Vec::new();
    for _ in 0..40 {
        pages.push(first(&bench, &token).await);
    }
    for (page, status) in [(&pages[0], 400), (&pages[30], 200), (&pages[39], 200)] {
        let answer = bench.get(&token, next(page)).await.unwrap();
        assert_eq!(answer.status(), status);
    }
}

/// The ids on each page and its link, up to the last page or to so many.
async fn listed(bench: &Bench, most: usize) -> Vec<(Vec<String>, Option<String>)> {
    let token = bench.token().await;
    let mut url = format!("{}/api/{LIST}", bench.simulator.http_url());
    let mut pages = Vec::new();
    while pages.len() < most {
        let page: Value = bench.get(&token, &url).await.unwrap().json().await.unwrap();
        let records = page["value"].as_array().unwrap();
        let ids = records
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned());
        let next = page["@odata.nextLink"].as_str().map(ToOwned::to_owned);
        pages.push((ids.collect(), next.clone()));
        let Some(next) = next else { break };
        url = next;
    }
    pages
}

#[tokio::test]
async fn lists_never_end_in_all_ways() {
    let bench = Bench::new(|options| (options.definitions, options.page_size) = (6, 2)).await;
    let known = bench.ids();
    for kind in [
        Endless::Growing,
        Endless::Blank,
        Endless::Invented,
        Endless::Circle(2),
        Endless::Circle(3),
    ] {
        let fault = Fault::Endless(kind);
        bench
            .simulator
            .set_fault(Endpoint::Definitions, Some(fault));
        let pages = listed(&bench, 8).await;
        assert_eq!(pages.len(), 8, "{kind:?}");
        let links: BTreeSet<_> = pages.iter().map(|(_, link)| link).collect();
        let of = |page: usize| pages[page].0.as_slice();
        if kind != Endless::Invented {
            assert_eq!([of(0), of(1), of(2)].concat(), known, "{kind:?}");
        }
        let circle = matches!(kind, Endless::Circle(_));
        assert_eq!(links.len() == 8, !circle, "{kind:?}");
        match kind {
            Endless::Growing => assert_eq!(of(7), of(2)),
            Endless::Blank => assert!(of(3).is_empty() && of(7).is_empty()),
            Endless::Invented => assert_ne!(of(7), of(6)),
            Endless::Circle(_) => assert_eq!([of(3), of(4)], [of(1), of(2)]),
        }
    }
    bench
        .simulator
        .set_fault(Endpoint::Definitions, Some(Fault::BlankPages));
    let sizes: Vec<_> = listed(&bench, 9)
        .await
        .iter()
        .map(|page| page.0.len())
        .collect();
    assert_eq!(sizes, [2, 0, 2, 0, 2]);
}

#[tokio::test]
async fn caps_leave_the_rest_to_skip_or_to_nobody() {
    let bench = Bench::new(|options| options.definitions = 6).await;
    let (token, known) = (bench.token().await, bench.ids());
    for (skip, rest) in [
        (Skip::Obeyed, Some(&known[4..])),
        (Skip::Ignored, Some(&known[..4])),
        (Skip::Refused(400), None),
    ] {
        let fault = Fault::Cap { records: 4, skip };
        bench
            .simulator
            .set_fault(Endpoint::Definitions, Some(fault));
        let pages = listed(&bench, 2).await;
        assert_eq!(pages, [(known[..4].to_vec(), None)], "{skip:?}");
        let answer = bench.list(&token, &format!("{LIST}?$skip=4")).await;
        assert_eq!(answer.status().is_success(), rest.is_some(), "{skip:?}");
        if let Some(rest) = rest {
            let page: Value = answer.json().await.unwrap();
            let records = page["value"].as_array().unwrap();
            let ids: Vec<_> = records
                .iter()
                .map(|it| it["id"].as_str().unwrap())
                .collect();
            assert_eq!(ids, rest, "{skip:?}");
        }
    }
}
