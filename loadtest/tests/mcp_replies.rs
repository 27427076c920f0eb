//! What a client replies to a server's questions leaves the tenant as arguments do: only what was asked, nothing that the
//! content rules hold back, and no words by the way of declarations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, in_secs};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// A credential that the standard rules let nobody send out.
const CREDENTIAL: &str = "AKIAQWERTYUIOP234567";
const SECRET: &str = "payroll-of-march";

/// What the server was told with each call.
type Told = Arc<watch::Sender<Vec<Value>>>;

/// A server of the stateless revision that asks before it answers.
async fn stateless(State(told): State<Told>, Json(request): Json<Value>) -> Response {
    let params = &request["params"];
    let result = match request["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }),
        "tools/list" => {
            json!({ "tools": [{ "name": "ask", "inputSchema": { "type": "object" } }] })
        }
        "tools/call" => {
            told.send_modify(|told| told.push(params.clone()));
            match params["inputResponses"].is_object() {
                true => json!({ "content": [{ "type": "text", "text": "done" }] }),
                false => {
                    json!({ "resultType": "input_required", "inputRequests": { "q": question() } })
                }
            }
        }
        _ => return no_such_method(&request),
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// One of the older revisions: it asks on the stream of the call, and waits for the reply to come as a message.
async fn stateful(State(told): State<Told>, Json(request): Json<Value>) -> Response {
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "x", "version": "1" },
        }),
        "tools/list" => {
            json!({ "tools": [{ "name": "ask", "inputSchema": { "type": "object" } }] })
        }
        "prompts/list" => json!({ "prompts": [{ "name": "p" }] }),
        "tools/call" => {
            let done = json!({ "content": [{ "type": "text", "text": "done" }] });
            return asks(&told, &request["id"], &done);
        }
        "completion/complete" => {
            let done = json!({ "completion": { "values": ["done"] } });
            return asks(&told, &request["id"], &done);
        }
        "" => {
            told.send_modify(|told| told.push(request));
            return axum::http::StatusCode::ACCEPTED.into_response();
        }
        "notifications/initialized" => return axum::http::StatusCode::ACCEPTED.into_response(),
        _ => return no_such_method(&request),
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

fn asks(told: &Told, id: &Value, done: &Value) -> Response {
    let mut asked = question();
    asked["jsonrpc"] = "2.0".into();
    asked["id"] = 1.into();
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": done });
    let (mut told, before) = (told.subscribe(), told.borrow().len());
    let answered = async move {
        told.wait_for(|told| told.len() > before).await.unwrap();
        answer
    };
    let event = |message: &Value| Ok::<_, std::io::Error>(format!("data: {message}\n\n"));
    let first = futures::stream::iter([event(&asked)]);
    let rest = futures::stream::once(async move { event(&answered.await) });
    let body = axum::body::Body::from_stream(futures::StreamExt::chain(first, rest));
    ([("content-type", "text/event-stream")], body).into_response()
}

fn question() -> Value {
    json!({ "method": "elicitation/create", "params": {
        "message": "Your name?", "requestedSchema": { "type": "object" },
    } })
}

fn no_such_method(request: &Value) -> Response {
    let error = json!({ "code": -32601, "message": "no such method" });
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })).into_response()
}

struct System {
    cluster: Cluster,
    told: Told,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let cluster = Cluster::start(Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        })
        .await
        .unwrap();
        let told = Told::new(watch::Sender::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/new", axum::routing::post(stateless))
            .route("/old", axum::routing::post(stateful))
            .with_state(Arc::clone(&told));
        tokio::spawn(async move { axum::serve(listener, router).await });
        for name in ["new", "old"] {
            let mut import = tokio::process::Command::new(proctor_binary().unwrap());
            import
                .args(["server", "import", name, "--url", &format!("{url}/{name}")])
                .env("PROCTOR_API_URL", &cluster.api_url)
                .env("PROCTOR_TENANT", "acme")
                .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
            assert!(import.status().await.unwrap().success());
        }
        allow_all(&cluster).await.unwrap();
        cluster
            .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
            .await
            .unwrap();
        Self {
            cluster,
            told,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn token(&self, caveats: &[String]) -> String {
        let mut all = vec![
            format!("time < {}", in_secs(3600).unwrap()),
            "tool in */ask,old/prompt:p".to_owned(),
        ];
        all.extend_from_slice(caveats);
        let body = json!({ "agent": AGENT, "caveats": all });
        let minted = self.cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        let arguments = json!({ "a": 1 });
        for server in ["new", "old"] {
            let tool = format!("{server}/ask");
            self.cluster
                .wait_allowed(&token, AGENT, &tool, arguments.clone())
                .await
                .unwrap();
        }
        token
    }

    /// A call of a server's `ask`, with more members in its parameters.
    async fn ask(&self, server: &str, token: &str, arguments: Value, more: Value) -> Value {
        let mut params = json!({ "name": "ask", "arguments": arguments, "_meta": meta() });
        let mut more = more.as_object().unwrap().clone();
        let meta = more.remove("_meta").unwrap_or(json!({}));
        let own = params["_meta"].as_object_mut().unwrap();
        own.extend(meta.as_object().unwrap().clone());
        params.as_object_mut().unwrap().extend(more);
        let request = self.request(server, token, "tools/call", &params);
        let response = request.header("mcp-name", "ask").send().await;
        response.unwrap().json().await.unwrap()
    }

    fn request(
        &self,
        server: &str,
        token: &str,
        method: &str,
        params: &Value,
    ) -> reqwest::RequestBuilder {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.http
            .post(format!("{}/v1/mcp/{server}", self.cluster.edge_url))
            .bearer_auth(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method)
            .json(&body)
    }

    /// Asks, and gives the state that goes with the question.
    async fn state(&self, server: &str, token: &str) -> Value {
        let asked = self.ask(server, token, json!({ "a": 1 }), json!({})).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        asked["result"]["requestState"].clone()
    }

    fn told(&self) -> Vec<Value> {
        self.told.send_replace(Vec::new())
    }
}

/// Of a client that can be asked.
fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
    })
}

fn reason(answer: &Value) -> &str {
    answer["error"]["data"]["reason"].as_str().unwrap_or("none")
}

fn named(name: &str) -> Value {
    json!({ "action": "accept", "content": { "name": name } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_to_what_was_asked_and_passes_the_content_rules() {
    let system = System::start().await;
    let token = system.token(&[]).await;
    system.told();

    // Nobody asked: nothing goes to the server.
    let unasked = json!({ "inputResponses": { "q": named(SECRET) } });
    let answer = system.ask("new", &token, json!({ "a": 1 }), unasked).await;
    assert_eq!(reason(&answer), "state_refused", "{answer}");
    let levelled = json!({ "_meta": { "io.modelcontextprotocol/logLevel": SECRET } });
    let answer = system.ask("new", &token, json!({ "a": 1 }), levelled).await;
    assert_eq!(reason(&answer), "invalid_params", "{answer}");
    assert!(system.told().is_empty());

    // A declaration is written anew.
    let declared = json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": {
        "elicitation": { "form": { "x": SECRET } }, "roots": { "x": SECRET }, "x": { "y": SECRET },
    } } });
    let answer = system.ask("new", &token, json!({ "a": 1 }), declared).await;
    let told = json!(system.told());
    assert!(!told.to_string().contains(SECRET), "{told}");
    let capabilities = &told[0]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(
        *capabilities,
        json!({ "elicitation": { "form": {} }, "roots": {} })
    );

    // Of the replies only those that were asked for.
    let replies = json!({
        "requestState": answer["result"]["requestState"],
        "inputResponses": { "q": named("Ann"), "x": named(SECRET) },
    });
    let answer = system.ask("new", &token, json!({ "a": 1 }), replies).await;
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    let told = system.told();
    assert_eq!(told[0]["inputResponses"], json!({ "q": named("Ann") }));

    // And nothing in them that may not leave, whichever revision the server speaks.
    let replies = async |server: &str| {
        json!({
            "requestState": system.state(server, &token).await,
            "inputResponses": { "q": named(CREDENTIAL), "question": named(CREDENTIAL) },
        })
    };
    let blocked = replies("new").await;
    system.told();
    let answer = system.ask("new", &token, json!({ "a": 1 }), blocked).await;
    assert_eq!(reason(&answer), "content_blocked", "{answer}");
    assert!(system.told().is_empty());
    let blocked = replies("old").await;
    let answer = system.ask("old", &token, json!({ "a": 1 }), blocked).await;
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    let told = json!(system.told());
    assert_eq!(told[0]["error"]["message"], "this reply is not passed on");
    assert!(!told.to_string().contains(CREDENTIAL), "{told}");

    // Where there is no result that asks, the server hears that nobody answers, and goes on.
    let params = json!({
        "ref": { "type": "ref/prompt", "name": "p" }, "argument": { "name": "x", "value": "y" }, "_meta": meta(),
    });
    let completed = system.request("old", &token, "completion/complete", &params);
    let completed: Value = completed.send().await.unwrap().json().await.unwrap();
    let values = &completed["result"]["completion"]["values"];
    assert_eq!(*values, json!(["done"]), "{completed}");
    let told = json!(system.told());
    assert_eq!(told[0]["error"]["message"], "a completion asks nothing");
    proctor_loadtest::oracle::settled(&system.cluster, std::time::Duration::from_secs(20))
        .await
        .unwrap();
    let page = system
        .cluster
        .acme(Method::GET, "audit/events?limit=200", None)
        .await
        .unwrap();
    assert!(!page.to_string().contains(CREDENTIAL));
    let entries = page["entries"].as_array().unwrap().iter();
    let counted = entries.filter(|entry| {
        let content = entry["event"]["content"].as_array();
        content.is_some_and(|found| found.iter().any(|found| found["action"] == "block"))
    });
    assert_eq!(counted.count(), 2, "{page}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_goes_on_after_its_servers_question() {
    let system = System::start().await;
    let approver = system.cluster.key("approver").await.unwrap();
    let action = |server: &str| {
        json!({
            "tool": format!("{server}/ask"), "on_violation": "escalate",
            "args": { "properties": { "a": { "maximum": 100 } } },
        })
    };
    let intent = json!({
        "agent": AGENT, "goal": "Do the work", "expires_in_s": 600,
        "actions": [action("new"), action("old")],
    });
    let intent = system
        .cluster
        .acme(Method::POST, "intents", Some(intent))
        .await
        .unwrap();
    let caveat = format!("intent = {}", intent["id"].as_str().unwrap());
    let token = system.token(&[caveat]).await;
    for server in ["new", "old"] {
        let arguments = json!({ "a": 801 });
        let waits = system
            .ask(server, &token, arguments.clone(), json!({}))
            .await;
        assert_eq!(reason(&waits), "approval_required", "{waits}");
        let id = waits["error"]["data"]["approval_id"].as_str().unwrap();
        let path = format!("/v1/tenants/acme/approvals/{id}/approve");
        let comment = Some(json!({ "comment": "looked at it" }));
        system
            .cluster
            .api_as(&approver, Method::POST, &path, comment)
            .await
            .unwrap();
        let approved = json!({ "_meta": { "dev.proctor/approval": id } });
        let asked = system
            .ask(server, &token, arguments.clone(), approved.clone())
            .await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        let mut replies = approved.clone();
        replies["requestState"] = asked["result"]["requestState"].clone();
        replies["inputResponses"] = json!({ "q": named("Ann"), "question": named("Ann") });
        let done = system
            .ask(server, &token, arguments.clone(), replies.clone())
            .await;
        assert_eq!(done["result"]["content"][0]["text"], "done", "{done}");
        // The approval was for this call: it is used, for a new one and for a state that is played back.
        for again in [approved, replies] {
            let again = system.ask(server, &token, arguments.clone(), again).await;
            assert_eq!(reason(&again), "approval_used", "{again}");
        }
    }
    system.cluster.stop().await;
}

/// Refuses every call of a session but the first, and each after something untrusted was read.
const GUARD: &str = r#"package proctor.policy

import rego.v1

default decision := {"effect": "allow", "reasons": []}

decision := {"effect": "deny", "reasons": grounds} if count(grounds) > 0

grounds contains "second" if input.history.calls > 0

grounds contains "untrusted" if input.history.untrusted_reads > 0
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_on_is_not_in_its_own_way() {
    let system = System::start().await;
    let policy = json!({ "modules": [{ "name": "guard.rego", "source": GUARD }] });
    let put = system
        .cluster
        .acme(Method::PUT, "policies/guard", Some(policy));
    let version = put.await.unwrap()["version"].clone();
    let path = format!("policies/guard/versions/{version}/activate");
    let mode = Some(json!({ "mode": "enforce" }));
    system
        .cluster
        .acme(Method::POST, &path, mode)
        .await
        .unwrap();
    let call = async |server: &str, token: &str, more: Value| {
        system.ask(server, token, json!({ "a": 1 }), more).await
    };
    // Until the guard is in force.
    let other = system.token(&[]).await;
    let started = std::time::Instant::now();
    while reason(&call("new", &other, json!({})).await) != "policy_denied" {
        assert!(started.elapsed() < std::time::Duration::from_secs(60));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for server in ["new", "old"] {
        let token = system.token(&[]).await;
        let asked = call(server, &token, json!({})).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        let replies = json!({
            "requestState": asked["result"]["requestState"],
            "inputResponses": { "q": named("Ann"), "question": named("Ann") },
        });
        let done = call(server, &token, replies).await;
        assert_eq!(done["result"]["content"][0]["text"], "done", "{done}");
        let second = call(server, &token, json!({})).await;
        assert_eq!(reason(&second), "policy_denied", "{second}");
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_an_intent_what_is_replied_needs_an_origin() {
    const KNOWN: &str = "GB29NWBK60161331926819";
    const EVIL: &str = "DE89370400440532013000";
    let system = System::start().await;
    let action = |server: &str| json!({ "tool": format!("{server}/ask") });
    let intent = json!({
        "agent": AGENT, "goal": format!("Pay the rent to {KNOWN}, with a = 1"), "expires_in_s": 600,
        "actions": [action("new"), action("old")],
    });
    let intent = system.cluster.acme(Method::POST, "intents", Some(intent));
    let intent = intent.await.unwrap();
    let caveat = format!("intent = {}", intent["id"].as_str().unwrap());
    let token = system.token(&[caveat]).await;
    let reply = async |server: &str, iban: &str| {
        let filled = json!({ "action": "accept", "content": { "iban": iban } });
        let replies = json!({
            "requestState": system.state(server, &token).await,
            "inputResponses": { "q": filled, "question": filled },
        });
        system.told();
        let answer = system.ask(server, &token, json!({ "a": 1 }), replies);
        (answer.await, json!(system.told()))
    };
    for server in ["new", "old"] {
        let (answer, told) = reply(server, KNOWN).await;
        assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
        assert!(told.to_string().contains(KNOWN), "{told}");
    }
    let (answer, told) = reply("new", EVIL).await;
    assert_eq!(reason(&answer), "origin_not_accepted", "{answer}");
    assert_eq!(told, json!([]));
    let (_, told) = reply("old", EVIL).await;
    assert_eq!(told[0]["error"]["message"], "this reply is not passed on");
    assert!(!told.to_string().contains(EVIL), "{told}");
    system.cluster.stop().await;
}
