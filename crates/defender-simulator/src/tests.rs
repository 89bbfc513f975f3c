//! The simulator over the wire, through a client of its own.

mod going_wrong;
mod pages;

use reqwest::{Certificate, Client, Response, StatusCode};
use serde_json::{Value, json};

use super::*;
use exporter_clock::Timestamp;

const SCOPE: &str = "https://api.securitycenter.microsoft.com/.default";

struct Bench {
    simulator: Simulator,
    client: Client,
}

impl Bench {
    async fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(Clock::anchored(Timestamp::from_unix_millis(
            1_700_000_000_000,
        )));
        change(&mut options);
        let simulator = Simulator::start(options).await.unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = Certificate::from_pem(simulator.ca_pem().as_bytes()).unwrap();
        let client = Client::builder()
            .tls_certs_only([root])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { simulator, client }
    }

    async fn sign_in(&self, change: impl FnOnce(&mut TenantIdentity)) -> (StatusCode, Value) {
        let mut identity = self.simulator.tenant(0).unwrap();
        change(&mut identity);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &identity.client_id),
            ("client_secret", &identity.client_secret),
            ("scope", SCOPE),
        ];
        self.post_form(&identity.tenant_id, &form).await
    }

    async fn post_form(&self, tenant_id: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let url = format!(
            "{}/{tenant_id}/oauth2/v2.0/token",
            self.simulator.https_url()
        );
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let response = self.client.post(url).body(body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn token(&self) -> String {
        let (status, body) = self.sign_in(|_| ()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn get(&self, token: &str, url: &str) -> reqwest::Result<Response> {
        self.client.get(url).bearer_auth(token).send().await
    }

    async fn list(&self, token: &str, what: &str) -> Response {
        let url = format!("{}/api/{what}", self.simulator.http_url());
        self.get(token, &url).await.unwrap()
    }

    async fn history(&self, token: &str, call: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!(
            "{}/api/DeviceAuthenticatedScanDefinitions/{call}",
            self.simulator.https_url()
        );
        let request = self.client.post(url).bearer_auth(token).json(body);
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    fn ids(&self) -> Vec<String> {
        let world = self.simulator.world();
        world
            .definitions(0)
            .iter()
            .map(|known| known.id.clone())
            .collect()
    }
}

const LIST: &str = "DeviceAuthenticatedScanDefinitions";
const BY_DEFINITION: &str = "GetScanHistoryByScanDefinitionId";
const BY_SESSION: &str = "GetScanHistoryBySessionId";

#[tokio::test]
async fn signing_in_fails_as_documented() {
    let bench = Bench::new(|_| ()).await;
    let world = &bench.simulator;
    let wrong = |identity: &mut TenantIdentity| identity.client_secret = "wrong".to_owned();
    let (status, body) = bench.sign_in(wrong).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body["error_codes"], json!([7_000_215]));
    let text = body["error_description"].as_str().unwrap();
    assert!(
        text.starts_with("AADSTS7000215: ") && text.contains("\r\n"),
        "{text}"
    );

    let stranger = |identity: &mut TenantIdentity| identity.client_id = "stranger".to_owned();
    assert_eq!(
        bench.sign_in(stranger).await.1["error_codes"],
        json!([700_016])
    );
    let elsewhere = |identity: &mut TenantIdentity| identity.tenant_id = "elsewhere".to_owned();
    assert_eq!(
        bench.sign_in(elsewhere).await.1["error_codes"],
        json!([90_002])
    );

    world.world().set_secret_expired(0, true);
    assert_eq!(
        bench.sign_in(|_| ()).await.1["error_codes"],
        json!([7_000_222])
    );
    world.world().rotate_secret(0).unwrap();
    let token = bench.token().await;
    assert!(world.secrets().contains(&token));

    let identity = world.tenant(0).unwrap();
    for (assertion, code) in [(identity.assertion.as_str(), 200), ("YQ.YQ.YQ", 401)] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &identity.client_id),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
            ("scope", SCOPE),
        ];
        let (status, body) = bench.post_form(&identity.tenant_id, &form).await;
        assert_eq!(status, code, "{body}");
    }
}

#[tokio::test]
async fn a_token_is_needed_and_expires() {
    let bench = Bench::new(|options| options.token_seconds = 5).await;
    let token = bench.token().await;
    assert_eq!(bench.list(&token, LIST).await.status(), 200);
    // Its lifetime passes.
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    assert_eq!(bench.list(&token, LIST).await.status(), 401);
    let token = bench.token().await;
    assert_eq!(bench.list(&token, LIST).await.status(), 200);
    bench.simulator.revoke_tokens(0);
    assert_eq!(bench.list(&token, LIST).await.status(), 401);
    let statuses: Vec<_> = bench
        .simulator
        .calls()
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(statuses, [200, 200, 401, 200, 200, 401]);
}

#[tokio::test]
async fn history_comes_in_pages_that_overlap() {
    let bench = Bench::new(|options| options.page_size = 7).await;
    let token = bench.token().await;
    let body = json!({ "ScanDefinitionIds": bench.ids() });
    let (_, mut page) = bench.history(&token, BY_DEFINITION, &body).await;
    let mut sessions = Vec::new();
    loop {
        let records = page["value"].as_array().unwrap().clone();
        assert!(records.len() <= 7);
        sessions.extend(records.iter().map(|record| record["sessionId"].to_string()));
        let Some(link) = page["@odata.nextLink"].as_str() else {
            break;
        };
        assert!(link.starts_with(&bench.simulator.https_url()), "{link}");
        page = bench.get(&token, link).await.unwrap().json().await.unwrap();
    }
    let received = sessions.len();
    sessions.sort();
    sessions.dedup();
    let world = bench.simulator.world();
    let expected: usize = world
        .definitions(0)
        .iter()
        .map(|known| known.runs.len())
        .sum();
    assert_eq!(sessions.len(), expected);
    assert!(received > expected);
}

#[tokio::test]
async fn batches_are_checked() {
    let bench = Bench::new(|options| options.max_batch = 3).await;
    let token = bench.token().await;
    let ids = bench.ids();
    let ask = async |call, body: Value| bench.history(&token, call, &body).await;

    let (status, body) = ask(BY_DEFINITION, json!({ "ScanDefinitionIds": ids })).await;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["code"], "MaximumBatchSizeExceeded");
    let text = body["error"]["message"].as_str().unwrap();
    assert!(text.ends_with("Received: 16, allowed: 3"), "{text}");
    assert_eq!(body["error"]["target"].as_str().unwrap().len(), 36);

    let (status, _) = ask(BY_DEFINITION, json!({ "scanDefinitionIds": ids[..1] })).await;
    assert_eq!(status, 400);
    let (status, body) = ask(
        BY_DEFINITION,
        json!({ "ScanDefinitionIds": [ids[0], "no"] }),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (404, &json!("ResourceNotFound"))
    );

    let bad = Fault::BadIds([ids[1].clone()].into());
    bench
        .simulator
        .set_tenant_fault(0, Endpoint::History, Some(bad));
    for (batch, expected) in [(&ids[..1], 200), (&ids[..2], 404)] {
        let (status, _) = ask(BY_DEFINITION, json!({ "ScanDefinitionIds": batch })).await;
        assert_eq!(status, expected);
    }
    bench.simulator.set_tenant_fault(0, Endpoint::History, None);

    let session = bench.simulator.world().definitions(0)[0].runs[2]
        .session_id
        .clone();
    let (_, body) = ask(BY_SESSION, json!({ "SessionIds": [session] })).await;
    assert_eq!(body["value"][0]["sessionId"], json!(session));
    assert_eq!(body["value"].as_array().unwrap().len(), 1);
    let top = format!("{BY_DEFINITION}?$top=1");
    let (_, body) = ask(&top, json!({ "ScanDefinitionIds": ids[..2] })).await;
    assert_eq!(body["value"].as_array().unwrap().len(), 1);
    assert_eq!(bench.simulator.calls().last().unwrap().ids, ids[..2]);
}

#[tokio::test]
async fn both_spellings() {
    for (spelling, key) in [
        (Spelling::Camel, "scanName"),
        (Spelling::Pascal, "ScanName"),
    ] {
        let bench = Bench::new(|options| options.spelling = spelling).await;
        let token = bench.token().await;
        let body: Value = bench.list(&token, LIST).await.json().await.unwrap();
        assert!(body["value"][0][key].is_string(), "{body}");
        let text = body.to_string();
        let secrets = bench.simulator.world().secrets.clone();
        let leaked = secrets.iter().filter(|secret| text.contains(*secret));
        assert_eq!(leaked.count(), 16);
        let ids = json!({ "ScanDefinitionIds": bench.ids()[..1] });
        let (_, body) = bench.history(&token, BY_DEFINITION, &ids).await;
        let dated = spelling == Spelling::Pascal;
        assert_eq!(body["value"][0]["LastScanned"].is_string(), dated, "{body}");
        assert_eq!(body["value"][0]["numberOfTargets"].is_null(), dated);
    }
}

#[tokio::test]
async fn agents_come_alone_and_together() {
    let bench = Bench::new(|_| ()).await;
    let token = bench.token().await;
    let all: Value = bench
        .list(&token, "DeviceAuthenticatedScanAgents")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(all["value"].as_array().unwrap().len(), 4);
    let id = all["value"][1]["id"].as_str().unwrap();
    let one = bench
        .list(&token, &format!("DeviceAuthenticatedScanAgents/{id}"))
        .await;
    let one: Value = one.json().await.unwrap();
    assert_eq!(one["value"], json!([all["value"][1]]));
    assert_eq!(
        bench
            .list(&token, "DeviceAuthenticatedScanAgents/no")
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn the_quota_is_enforced() {
    let bench = Bench::new(|options| options.per_minute = 2).await;
    let token = bench.token().await;
    for expected in [200, 200, 429] {
        let response = bench.list(&token, LIST).await;
        assert_eq!(response.status(), expected);
        assert_eq!(
            response.headers().contains_key("retry-after"),
            expected == 429
        );
    }
    assert_eq!(bench.simulator.violations(), 1);
}

#[tokio::test]
async fn microsofts_own_library_signs_in() {
    use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
    use azure_core::credentials::{Secret, TokenCredential as _};
    use azure_core::http::{ClientOptions, Transport};
    use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};

    let bench = Bench::new(|_| ()).await;
    let identity = bench.simulator.tenant(0).unwrap();
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = bench.simulator.https_url();
    let client_options = ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        transport: Some(Transport::new(Arc::new(bench.client.clone()))),
        ..ClientOptions::default()
    };
    let credential = ClientSecretCredential::new(
        &identity.tenant_id,
        identity.client_id,
        Secret::new(identity.client_secret),
        Some(ClientSecretCredentialOptions { client_options }),
    );
    let token = credential.unwrap().get_token(&[SCOPE], None).await.unwrap();
    let token = token.token.secret();
    assert_eq!(bench.list(token, LIST).await.status(), 200);
}

/// Errors show ids of traces, so none of these may be a secret by chance.
#[test]
fn no_id_in_an_error_is_the_identity_header() {
    let mut options = Options::new(Clock::anchored(Timestamp::from_unix_millis(0)));
    options.definitions = 1;
    let mut shown = std::collections::HashSet::new();
    for skipped in 0..2 {
        let mut rng = fastrand::Rng::with_seed(options.seed);
        for _ in 0..skipped {
            rng.u64(..);
        }
        shown.extend((0..100).map(|_| definition::guid(&mut rng)));
    }
    for tenants in 1..=20 {
        options.tenants = tenants;
        let header = World::new(&options).identity_header;
        assert!(!shown.contains(&header), "{tenants} tenants");
    }
}
