//! The faults over the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn what_goes_wrong_does_so_on_both_faces() {
    let bench = Bench::new(|_| ()).await;
    let token = bench.token().await;
    for base in [bench.simulator.http_url(), bench.simulator.https_url()] {
        let url = format!("{base}/api/{LIST}");
        let ask = async |fault: Fault| {
            bench
                .simulator
                .set_fault(Endpoint::Definitions, Some(fault));
            bench.get(&token, &url).await
        };
        assert!(ask(Fault::Reset).await.is_err());
        assert!(ask(Fault::CutOff).await.unwrap().bytes().await.is_err());
        let hung = tokio::time::timeout(Duration::from_millis(200), ask(Fault::Hang)).await;
        assert!(hung.is_err());
        let drip = ask(Fault::SlowDrip).await.unwrap().bytes();
        assert!(
            tokio::time::timeout(Duration::from_millis(300), drip)
                .await
                .is_err()
        );
        let forbidden = ask(Fault::error(403, "Forbidden", "no")).await.unwrap();
        assert_eq!(forbidden.status(), 403);
        let redirect = ask(Fault::Redirect("https://evil.example".to_owned()))
            .await
            .unwrap();
        assert_eq!(redirect.status(), 302);
        let elsewhere = Fault::NextLink("https://evil.example/api/x".to_owned());
        let body: Value = ask(elsewhere).await.unwrap().json().await.unwrap();
        assert!(
            body["@odata.nextLink"]
                .as_str()
                .unwrap()
                .starts_with("https://evil.example/api/")
        );
        let body: Value = ask(Fault::NextLinkLoop)
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let link = body["@odata.nextLink"].as_str().unwrap();
        let again: Value = bench.get(&token, link).await.unwrap().json().await.unwrap();
        assert_eq!(again, body);
        let once = Fault::Times(1, Box::new(Fault::error(500, "InternalError", "")));
        assert_eq!(ask(once).await.unwrap().status(), 500);
        assert_eq!(bench.get(&token, &url).await.unwrap().status(), 200);
        assert_eq!(ask(Fault::Unauthorized(1)).await.unwrap().status(), 401);
        assert_eq!(bench.get(&token, &url).await.unwrap().status(), 200);
        let mut bomb = ask(Fault::GzipBomb).await.unwrap();
        assert_eq!(bomb.headers()["content-encoding"], "gzip");
        assert!(bomb.chunk().await.unwrap().is_some());
        let throttled = ask(Fault::Throttle {
            retry_after: Some("7".to_owned()),
        })
        .await
        .unwrap();
        assert_eq!(throttled.headers()["retry-after"], "7");
        bench.simulator.set_fault(Endpoint::Definitions, None);
    }
    assert_eq!(bench.simulator.violations(), 0);
    bench
        .simulator
        .set_fault(Endpoint::Definitions, Some(Fault::Hang));
    let url = format!("{}/api/{LIST}", bench.simulator.http_url());
    let hung = tokio::spawn(bench.client.get(url.clone()).bearer_auth(&token).send());
    while bench.simulator.calls().last().unwrap().status != 0 {
        tokio::task::yield_now().await;
    }
    bench.simulator.stop().await;
    assert!(hung.await.unwrap().is_err());
    assert!(bench.client.get(url).send().await.is_err());
}

#[tokio::test]
async fn a_credential_where_it_does_not_belong_is_counted() {
    let bench = Bench::new(|_| ()).await;
    let world = &bench.simulator;
    let token = bench.token().await;
    bench.list(&token, LIST).await;
    bench.sign_in(|_| ()).await;
    assert_eq!(world.misplaced(), 0, "each went where it belongs");

    let secret = world.tenant(0).unwrap().client_secret;
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let url = format!("{}/api/{LIST}", world.http_url());
    let base64 = STANDARD.encode(&secret);
    let assertion = world.tenant(0).unwrap().assertion;
    // At the API: a secret in an address or in place of the token, a token in an address.
    for (bearer, query) in [
        (&*token, &*encoded),
        (&token, &base64),
        (&secret, "x"),
        (&assertion, "x"),
        (&token, &token),
    ] {
        let before = world.misplaced();
        bench
            .get(bearer, &format!("{url}?a={query}"))
            .await
            .unwrap();
        assert_eq!(world.misplaced(), before + 1, "{query}");
    }
    // At sign-in: a token, and the secret of another tenant.
    let identity = world.tenant(0).unwrap();
    let before = world.misplaced();
    let form = [
        ("client_id", &*identity.client_id),
        ("client_assertion", &token),
    ];
    bench.post_form(&identity.tenant_id, &form).await;
    let form = [("client_id", "another"), ("client_secret", &*secret)];
    bench.post_form("another", &form).await;
    assert_eq!(world.misplaced(), before + 2);
}
