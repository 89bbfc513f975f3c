//! Next links stay good, however many tenants there are, and for nobody else.

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
