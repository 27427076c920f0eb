//! Access tokens that edges get for themselves, by client credentials and in exchange for a stored token: asked for once,
//! kept, renewed, shown to the tool server; the agent's own token goes nowhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proctor_loadtest::acme;
use proctor_loadtest::cluster::Cluster;
use proctor_loadtest::load::{AGENT, digest};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);
/// Not what it is when it is form-encoded.
const CLIENT: &str = "edge client";
const CLIENT_SECRET: &str = "s3cr:t/of the edge";
const SUBJECT: &str = "stored+token/of=the.service";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A token is not used in its last ten seconds: this one lives for a second.
const SHORT: u64 = 11;

/// A token server, and a tool server that takes its tokens.
#[derive(Clone)]
struct Issuer(Arc<Mutex<Book>>);

struct Book {
    /// The form that each request has to have.
    form: Vec<(String, String)>,
    /// Refuses whatever it is asked.
    refuses: bool,
    /// Seconds that the next token lives.
    life: u64,
    /// How many tokens it gave.
    issued: usize,
    /// The one token that is good.
    good: Option<String>,
    /// Requests to the tool server.
    calls: usize,
    /// All that the two were told.
    told: Vec<String>,
}

impl Issuer {
    fn new(form: &[(&str, &str)]) -> Self {
        let form = form
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Self(Arc::new(Mutex::new(Book {
            form: form.collect(),
            refuses: false,
            life: 3600,
            issued: 0,
            good: None,
            calls: 0,
            told: Vec::new(),
        })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    fn withdraw(&self) {
        self.book().good = None;
    }
}

async fn grant(State(issuer): State<Issuer>, headers: HeaderMap, body: String) -> Response {
    let mut book = issuer.book();
    book.told.push(format!("{headers:?} {body}"));
    let url = reqwest::Url::parse(&format!("http://localhost/?{body}")).unwrap();
    let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let client = STANDARD.encode("edge+client:s3cr%3At%2Fof+the+edge");
    let known = headers.get(header::AUTHORIZATION);
    let known = known.is_some_and(|value| value.to_str().unwrap() == format!("Basic {client}"));
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    if book.refuses || !known {
        let error = json!({ "error": "invalid_client" });
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    if !is_form || form != book.form {
        let error = json!({ "error": "invalid_request" });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    book.issued += 1;
    let token = format!("token-{}", book.issued);
    book.good = Some(token.clone());
    Json(json!({
        "access_token": token, "token_type": "Bearer", "expires_in": book.life,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }))
    .into_response()
}

async fn work(State(issuer): State<Issuer>, headers: HeaderMap, body: String) -> Response {
    let mut book = issuer.book();
    book.calls += 1;
    book.told.push(format!("{headers:?} {body}"));
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match shown.is_some() && shown == book.good.as_deref() {
        true => Json(json!({ "done": true })).into_response(),
        false => (StatusCode::UNAUTHORIZED, "who are you?").into_response(),
    }
}

/// Serves it; its host and port.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    host
}

struct Hosts {
    issuer: String,
    tools: String,
}

async fn start(issuer: &Issuer) -> Hosts {
    let token = Router::new().route("/token", axum::routing::post(grant));
    let tools = Router::new().route("/work", axum::routing::get(work));
    Hosts {
        issuer: serve(token.with_state(issuer.clone())).await,
        tools: serve(tools.with_state(issuer.clone())).await,
    }
}

/// A tool server's document.
fn document(hosts: &Hosts, auth: &Value) -> Value {
    let tool =
        json!({ "name": "work", "description": "Works", "inputSchema": { "type": "object" } });
    let definition =
        json!({ "name": "work", "description": "Works", "input_schema": { "type": "object" } });
    json!({
        "upstream": {
            "kind": "http", "url": format!("http://{}", hosts.tools),
            "auth": auth, "private_addresses": true,
        },
        "tools": [{
            "definition": definition, "definition_digest": digest(&tool),
            "http": { "method": "GET", "path": "/work" },
        }],
    })
}

struct System {
    cluster: Cluster,
    token: String,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let cluster = acme::start().await.unwrap();
        let tools = ["tool in credentials/*,exchange/*"];
        let token = acme::mint(&cluster, 600, &tools).await.unwrap();
        Self {
            cluster,
            token,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn secret(&self, name: &str, hosts: &[&str], value: &str) {
        let body = json!({ "hosts": hosts, "value": value });
        let path = format!("secrets/{name}");
        let put = self.cluster.acme(Method::PUT, &path, Some(body));
        put.await.unwrap();
    }

    async fn register(&self, server: &str, document: Value) {
        let path = format!("tool-servers/{server}");
        let put = self.cluster.acme(Method::PUT, &path, Some(document));
        put.await.unwrap();
        let tool = format!("{server}/work");
        let allowed = self
            .cluster
            .wait_allowed(&self.token, AGENT, &tool, json!({}));
        allowed.await.unwrap();
    }

    async fn call(&self, server: &str) -> Value {
        let body = json!({ "tool": format!("{server}/work"), "arguments": {} });
        let request = self
            .http
            .post(format!("{}/v1/tool-call", self.cluster.edge_url))
            .bearer_auth(&self.token)
            .json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Calls until it answers like this.
    async fn until(&self, server: &str, what: &str, holds: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        loop {
            let answer = self.call(server).await;
            if holds(&answer) {
                return;
            }
            assert!(started.elapsed() < WAIT, "{what}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One token for many calls; another when it is not taken any more, and when it is over.
    async fn a_token_is_kept_and_renewed(&self, server: &str, issuer: &Issuer) {
        // The secrets reach the edge on a way of their own.
        self.until(server, "a first token", is_done).await;
        for _ in 0..5 {
            assert!(is_done(&self.call(server).await));
        }
        assert_eq!(issuer.book().issued, 1, "{server}: one for all calls");

        issuer.withdraw();
        let refused = self.call(server).await;
        assert_eq!(refused["result"]["isError"], true, "{refused}");
        let calls = futures::future::join_all((0..10).map(|_| self.call(server))).await;
        for answer in calls {
            assert!(is_done(&answer), "{server}: {answer}");
        }
        assert_eq!(issuer.book().issued, 2, "{server}: one for all who wait");

        issuer.withdraw();
        issuer.book().life = SHORT;
        let refused = self.call(server).await;
        assert_eq!(refused["result"]["isError"], true, "{refused}");
        let started = Instant::now();
        while issuer.book().issued < 5 {
            let answer = self.call(server).await;
            assert!(is_done(&answer), "{server}: renewed in time: {answer}");
            assert!(started.elapsed() < WAIT, "{server}: it is not renewed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Without a token nothing is sent; and it recovers.
    async fn no_token_no_call(&self, server: &str, issuer: &Issuer) {
        issuer.book().refuses = true;
        self.until(server, "the last token is over", is_refused)
            .await;
        let calls = issuer.book().calls;
        let answer = self.call(server).await;
        assert!(is_refused(&answer), "{server}: {answer}");
        assert_eq!(issuer.book().calls, calls, "{server}: it was sent");
        issuer.book().refuses = false;
        let answer = self.call(server).await;
        assert!(is_done(&answer), "{server}: {answer}");
    }
}

fn is_done(answer: &Value) -> bool {
    answer["result"]["structuredContent"]["done"] == true
}

fn is_refused(answer: &Value) -> bool {
    answer["error"]["data"]["reason"] == "upstream_credential"
}

fn credentials(hosts: &Hosts) -> Value {
    json!({
        "kind": "oauth-client-credentials", "token_url": format!("http://{}/token", hosts.issuer),
        "client_id": CLIENT, "secret": "client", "scope": "crm.read", "resource": "https://crm.example/",
    })
}

fn exchange(hosts: &Hosts) -> Value {
    json!({
        "kind": "oauth-token-exchange", "token_url": format!("http://{}/token", hosts.issuer),
        "client_id": CLIENT, "secret": "client-2", "subject_token": "subject", "subject_token_type": JWT,
        "audience": "crm", "scope": "crm.read",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_become_a_token_that_is_kept_and_renewed() {
    let issuer = Issuer::new(&[
        ("grant_type", "client_credentials"),
        ("scope", "crm.read"),
        ("resource", "https://crm.example/"),
    ]);
    let hosts = start(&issuer).await;
    let system = System::start().await;
    let both = [hosts.issuer.as_str(), hosts.tools.as_str()];
    system.secret("client", &both, CLIENT_SECRET).await;
    let auth = credentials(&hosts);
    system
        .register("credentials", document(&hosts, &auth))
        .await;

    system
        .a_token_is_kept_and_renewed("credentials", &issuer)
        .await;
    system.no_token_no_call("credentials", &issuer).await;
    // A secret that is not for the tool server: nor is what it is good for.
    system.secret("client", &both[..1], CLIENT_SECRET).await;
    system
        .until("credentials", "not for that host", is_refused)
        .await;
    ends(system, &issuer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_token_is_exchanged_for_one_that_is_kept_and_renewed() {
    let issuer = Issuer::new(&[
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", SUBJECT),
        ("subject_token_type", JWT),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("audience", "crm"),
        ("scope", "crm.read"),
    ]);
    let hosts = start(&issuer).await;
    let system = System::start().await;
    let both = [hosts.issuer.as_str(), hosts.tools.as_str()];
    system.secret("client-2", &both, CLIENT_SECRET).await;
    system.secret("subject", &both, SUBJECT).await;
    let auth = exchange(&hosts);
    system.register("exchange", document(&hosts, &auth)).await;

    system
        .a_token_is_kept_and_renewed("exchange", &issuer)
        .await;
    system.no_token_no_call("exchange", &issuer).await;
    system.secret("subject", &both[..1], SUBJECT).await;
    system
        .until("exchange", "not for that host", is_refused)
        .await;

    // What no edge could ask for is not taken in the first place.
    for (member, wrong) in [
        ("client_id", Value::Null),
        ("client_id", json!("")),
        ("subject_token_type", json!("jwt")),
        ("token_url", json!("ftp://login.example/token")),
    ] {
        let mut auth = exchange(&hosts);
        auth[member] = wrong;
        let put = Some(document(&hosts, &auth));
        let put = system.cluster.acme(Method::PUT, "tool-servers/wrong", put);
        let refused = put.await.unwrap_err().to_string();
        assert!(refused.contains(&format!("auth.{member}")), "{refused}");
    }
    ends(system, &issuer).await;
}

/// Whatever was sent, the agent's token was not in it.
async fn ends(system: System, issuer: &Issuer) {
    let told = std::mem::take(&mut issuer.book().told);
    assert!(told.len() > 10);
    for told in told {
        assert!(!told.contains(&system.token), "the agent's token: {told}");
    }
    proctor_loadtest::oracle::settled(&system.cluster, Duration::from_secs(20))
        .await
        .unwrap();
    system.cluster.stop().await;
}
