//! The admin API as an operator meets it: everything by hand, bad input, roles, versions, pages, the live chain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use futures::StreamExt;
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{AGENT, in_secs, prepare};
use proctor_loadtest::oracle;
use proctor_loadtest::upstream::Upstream;
use reqwest::header::{ETAG, IF_MATCH};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;

/// How long events may take to come into the chain, on however busy a machine: some are sent again after 2, 4, 8 and 16 seconds.
const PATIENCE: Duration = Duration::from_secs(120);

struct Api<'c> {
    cluster: &'c Cluster,
    http: reqwest::Client,
}

impl Api<'_> {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.cluster.api_url))
    }

    async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let mut request = self
            .request(method, path)
            .bearer_auth(self.cluster.admin_key());
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }
}

async fn problem(response: Response, status: u16) -> String {
    let got = response.status().as_u16();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (got, kind.as_str()),
        (status, "application/problem+json"),
        "{body}"
    );
    for member in ["type", "title", "detail"] {
        assert!(body[member].is_string(), "{body}");
    }
    assert_eq!(body["status"], status);
    body["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_a_problem_that_says_what_was_wrong() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let api = Api {
        cluster: &cluster,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let agent = "/v1/tenants/acme/agents/copilot";
    let put = |body: &'static str| {
        let request = api
            .request(Method::PUT, agent)
            .bearer_auth(cluster.admin_key());
        request
            .header("content-type", "application/json")
            .body(body)
    };
    for (body, says) in [
        ("{", "the body"),
        ("[]", "the body"),
        (r#"{"display_name":"a","display_name":"b"}"#, "display_name"),
        (r#"{"displayname":"a"}"#, "displayname"),
        (r#"{"display_name":1}"#, "string"),
        (r#"{"display_name":"a\u0000"}"#, "U+0000"),
        (r#"{"id":"another"}"#, "id"),
        (r#"{"status":"asleep"}"#, "asleep"),
    ] {
        let detail = problem(put(body).send().await.unwrap(), 400).await;
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let text = api
        .request(Method::PUT, agent)
        .bearer_auth(cluster.admin_key())
        .body("{}");
    problem(text.send().await.unwrap(), 415).await;
    let large = json!({ "display_name": "x".repeat(1 << 20) });
    problem(api.admin(Method::PUT, agent, Some(&large)).await, 413).await;
    problem(api.admin(Method::GET, agent, None).await, 404).await;
    problem(api.admin(Method::GET, "/v1/nothing", None).await, 404).await;
    problem(api.admin(Method::DELETE, "/v1/tenants", None).await, 405).await;
    problem(
        api.admin(Method::GET, "/v1/tenants?limits=3", None).await,
        400,
    )
    .await;
    problem(
        api.admin(
            Method::GET,
            "/v1/tenants/acme/audit/events?from=yesterday",
            None,
        )
        .await,
        400,
    )
    .await;
    problem(
        api.request(Method::GET, "/v1/tenants")
            .send()
            .await
            .unwrap(),
        401,
    )
    .await;
    for key in ["pak_wrong", "nonsense", ""] {
        problem(
            api.request(Method::GET, "/v1/tenants")
                .bearer_auth(key)
                .send()
                .await
                .unwrap(),
            401,
        )
        .await;
    }
    let no_number = "/v1/tenants/acme/policies/p/versions/first";
    problem(api.admin(Method::GET, no_number, None).await, 400).await;
    let twice = json!({ "tenant": "acme" });
    problem(
        api.admin(Method::POST, "/v1/tenants", Some(&twice)).await,
        409,
    )
    .await;
    for bad in ["Acme", "a b", "", "_platform", "a/b"] {
        problem(
            api.admin(Method::POST, "/v1/tenants", Some(&json!({ "tenant": bad })))
                .await,
            400,
        )
        .await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_versions_and_pages() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let api = Api {
        cluster: &cluster,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    // A viewer reads, and no more; a withdrawn key is nobody's within a minute.
    let new = json!({ "name": "eyes", "roles": ["viewer"] });
    let made: Value = api
        .admin(Method::POST, "/v1/tenants/acme/api-keys", Some(&new))
        .await
        .json()
        .await
        .unwrap();
    let viewer = made["key"].as_str().unwrap();
    let listed = api
        .request(Method::GET, "/v1/tenants/acme/agents")
        .bearer_auth(viewer)
        .send()
        .await
        .unwrap();
    assert_eq!(listed.status(), 200);
    let mint = json!({ "agent": AGENT, "caveats": ["tool in a/*"] });
    let refused = api
        .request(Method::POST, "/v1/tenants/acme/tokens")
        .bearer_auth(viewer)
        .json(&mint);
    problem(refused.send().await.unwrap(), 403).await;
    problem(
        api.request(Method::GET, "/v1/tenants")
            .bearer_auth(viewer)
            .send()
            .await
            .unwrap(),
        403,
    )
    .await;
    let keys: Value = api
        .admin(Method::GET, "/v1/tenants/acme/api-keys", None)
        .await
        .json()
        .await
        .unwrap();
    assert!(!keys.to_string().contains(viewer), "a key is shown once");

    // A tenant's own administrator chooses neither programs that edges run nor where the limits are.
    let new = json!({ "name": "boss", "roles": ["tenant-admin"] });
    let made = api
        .admin(Method::POST, "/v1/tenants/acme/api-keys", Some(&new))
        .await;
    let made: Value = made.json().await.unwrap();
    let boss = made["key"].as_str().unwrap();
    let put = async |document: Value| {
        let request = api.request(Method::PUT, "/v1/tenants/acme/tool-servers/x");
        request
            .bearer_auth(boss)
            .json(&document)
            .send()
            .await
            .unwrap()
    };
    let stdio =
        json!({ "upstream": { "kind": "mcp-stdio", "command": "/bin/sh", "args": ["-c", "id"] } });
    problem(put(stdio).await, 403).await;
    let at = |url: &str| json!({ "upstream": { "kind": "mcp-http", "url": url } });
    for url in [
        "file:///etc/passwd",
        "http://user:pw@host/",
        "not a url",
        "http://host/#x",
        "",
    ] {
        problem(put(at(url)).await, 400).await;
    }
    for (member, value) in [
        ("timeout_ms", 0_u32),
        ("timeout_ms", 900_000),
        ("result_bytes_max", u32::MAX),
    ] {
        let mut document = at("https://tools.example/mcp");
        document[member] = value.into();
        assert!(problem(put(document).await, 400).await.contains(member));
    }
    assert_eq!(put(at("https://tools.example/mcp")).await.status(), 200);

    // Nor may it reach into the edges' own network, or go on where the platform's administrator let a server be.
    let private = |mut document: Value, private: bool| {
        document["upstream"]["private_addresses"] = private.into();
        document
    };
    let reach = async || -> Value {
        let path = "/v1/tenants/acme/tool-servers/x";
        let got = api.admin(Method::GET, path, None).await;
        let mut got: Value = got.json().await.unwrap();
        got["upstream"]["private_addresses"].take()
    };
    assert_eq!(reach().await, false);
    for document in [
        at("http://127.0.0.1:8080/mcp"),
        at("http://169.254.169.254/mcp"),
        at("http://localhost/mcp"),
        private(at("https://tools.example/mcp"), true),
        json!({ "upstream": { "kind": "http", "url": "https://api.example", "private_addresses": true } }),
    ] {
        let refused = problem(put(document).await, 403).await;
        assert!(refused.contains("platform key"), "{refused}");
    }
    let near = at("http://127.0.0.1:8080/mcp");
    let path = "/v1/tenants/acme/tool-servers/x";
    let by_platform = api.admin(Method::PUT, path, Some(&near)).await;
    assert_eq!(by_platform.status(), 200);
    assert_eq!(reach().await, true);
    let mut slower = near.clone();
    slower["timeout_ms"] = 20_000.into();
    assert_eq!(put(slower.clone()).await.status(), 200);
    assert_eq!(put(private(slower, true)).await.status(), 200);
    assert_eq!(reach().await, true, "as it was chosen");
    problem(put(at("http://127.0.0.1:8081/mcp")).await, 403).await;
    assert_eq!(put(private(near, false)).await.status(), 200);
    assert_eq!(reach().await, false);

    // The second of two writers who read the same version is told.
    let agent = "/v1/tenants/acme/agents/copilot";
    let first = api
        .admin(Method::PUT, agent, Some(&json!({ "display_name": "one" })))
        .await;
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    let write = async |name: &str| {
        let request = api
            .request(Method::PUT, agent)
            .bearer_auth(cluster.admin_key())
            .header(IF_MATCH, &tag);
        request
            .json(&json!({ "display_name": name }))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(write("two").await.status(), 200);
    problem(write("three").await, 412).await;
    let now: Value = api
        .admin(Method::GET, agent, None)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(now["display_name"], "two");

    // All pages together are all objects, each once.
    for number in 0..7 {
        let path = format!("/v1/tenants/acme/agents/agent-{number}");
        assert_eq!(
            api.admin(Method::PUT, &path, Some(&json!({})))
                .await
                .status(),
            200
        );
    }
    let (mut after, mut ids) = (String::new(), Vec::new());
    loop {
        let path = format!("/v1/tenants/acme/agents?limit=3&after={after}");
        let page: Value = api
            .admin(Method::GET, &path, None)
            .await
            .json()
            .await
            .unwrap();
        let agents = page["agents"].as_array().unwrap();
        assert!(agents.len() <= 3);
        ids.extend(
            agents
                .iter()
                .map(|agent| agent["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let mut wanted: Vec<_> = (0..7).map(|number| format!("agent-{number}")).collect();
    wanted.push("copilot".into());
    assert_eq!(ids, wanted);
    // Policies: one entry for each version, pages may end between two of them.
    for _ in 0..5 {
        proctor_loadtest::load::allow_all(&cluster).await.unwrap();
    }
    let (mut after, mut versions) = (String::new(), Vec::new());
    loop {
        let path = format!("/v1/tenants/acme/policies?limit=2&after={after}");
        let page: Value = api
            .admin(Method::GET, &path, None)
            .await
            .json()
            .await
            .unwrap();
        for policy in page["policies"].as_array().unwrap() {
            versions.push(policy["version"].as_u64().unwrap());
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(versions, [5, 4, 3, 2, 1]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_is_searched_followed_and_verified() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let api = Api {
        cluster: &cluster,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    oracle::settled(&cluster, PATIENCE).await.unwrap();
    let head: Value = api
        .admin(Method::GET, "/v1/tenants/acme/audit/head", None)
        .await
        .json()
        .await
        .unwrap();
    let path = format!(
        "/v1/tenants/acme/audit/events/stream?after={}",
        head["size"]
    );
    let mut stream = api.admin(Method::GET, &path, None).await.bytes_stream();
    let call = async |amount: u64| {
        let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": amount } });
        let request = api
            .http
            .post(format!("{}/v1/tool-call", cluster.edge_url))
            .bearer_auth(&token);
        request.json(&body).send().await.unwrap()
    };
    assert_eq!(call(1).await.status(), 200);
    assert_eq!(call(101).await.status(), 403);
    let mut seen = String::new();
    let followed = tokio::time::timeout(PATIENCE, async {
        while !["\"authorized\"", "\"completed\"", "\"refused\""]
            .iter()
            .all(|kind| seen.contains(kind))
        {
            seen.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
    });
    followed
        .await
        .unwrap_or_else(|_| panic!("the stream had only {seen}"));
    assert!(
        !seen.contains("\"amount\":101"),
        "an argument's value is in the audit"
    );
    let search = async |query: &str| -> Vec<Value> {
        let path = format!("/v1/tenants/acme/audit/events?{query}");
        let page: Value = api
            .admin(Method::GET, &path, None)
            .await
            .json()
            .await
            .unwrap();
        page["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["event"].clone())
            .collect()
    };
    let refused = search("kind=refused&reason=argument_not_in_intent&tool=worker/work").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["arg_names"], json!(["id", "amount"]));
    assert!(
        refused[0]["args_digest"]
            .as_str()
            .unwrap()
            .starts_with("hmac-sha256:")
    );
    // The control that decided is a filter, too.
    let by_control = "kind=refused&tool=worker/work&control=";
    assert_eq!(search(&format!("{by_control}intent")).await, refused);
    assert_eq!(search(&format!("{by_control}budget")).await.len(), 0);
    let decision = refused[0]["decision_id"].as_str().unwrap();
    assert_eq!(search(&format!("decision_id={decision}")).await, refused);
    // Control's own events come on another lane, in their own time.
    let minted = |event: &Value| event["admin"]["action"] == "token.mint";
    let arrived = tokio::time::timeout(PATIENCE, async {
        while !search("kind=admin").await.iter().any(minted) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    arrived
        .await
        .expect("the event of the token is in the chain");
    assert!(
        search(&format!("from={}", in_secs(60).unwrap()))
            .await
            .is_empty()
    );
    let report: Value = api
        .admin(Method::GET, "/v1/tenants/acme/audit/verify", None)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&report["findings"], &report["open_calls"]),
        (&json!([]), &json!(0))
    );

    // Somebody with the database's owner rewrites an entry: it shows.
    let sql = "alter table ledger.entries disable trigger append_only; \
               update ledger.entries set body = convert_to(replace(convert_from(body, 'UTF8'), 'refused', 'skipped'), 'UTF8') \
               where tenant = 'acme' and kind = 'refused'; \
               alter table ledger.entries enable trigger append_only;";
    cluster.postgres.execute("proctor", sql).await.unwrap();
    let report: Value = api
        .admin(Method::GET, "/v1/tenants/acme/audit/verify", None)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(report["findings"][0]["kind"], "hash", "{report}");
    cluster.stop().await;
}
