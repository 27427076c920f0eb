//! Every method of MCP that does something, tried in every way that is not a request: nothing reaches the tool server. And
//! lists that are paged past what is hidden, and tools that have another name than when they were approved.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_loadtest::acme;
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all};
use proctor_loadtest::mcp::{Client, Era, LEGACY, MODERN, meta};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server of the stateless revision.
#[derive(Clone)]
struct Server {
    /// Names and descriptions of its tools.
    tools: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    /// How often it did something.
    did: Arc<AtomicUsize>,
}

/// A name that a prompt may have, and no entry of a catalogue.
const UNNAMEABLE: &str = "Write a \u{1b}[31mreview";

const TOOLS: [(&str, &str); 2] = [("plain", "Does a thing"), ("other", "Does another")];

async fn serve(State(server): State<Server>, Json(request): Json<Value>) -> Response {
    let text = json!({ "type": "text", "text": "done" });
    let did = |result: Value| {
        server.did.fetch_add(1, Ordering::SeqCst);
        result
    };
    let result = match request["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": [MODERN], "capabilities": {} }),
        "tools/list" => {
            let tools = server.tools.lock().unwrap().clone().into_iter();
            let tools = tools.map(|(name, description)| {
                json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
            });
            json!({ "tools": tools.collect::<Vec<_>>() })
        }
        "resources/list" => json!({ "resources": [{ "uri": "docs://open", "name": "open" }] }),
        "resources/templates/list" => {
            json!({ "resourceTemplates": [{ "uriTemplate": "docs://pub/{id}", "name": "page" }] })
        }
        "prompts/list" => json!({ "prompts": [{ "name": "review" }, { "name": UNNAMEABLE }] }),
        "tools/call" => did(json!({ "content": [text] })),
        "resources/read" => {
            did(json!({ "contents": [{ "uri": request["params"]["uri"], "text": "done" }] }))
        }
        "prompts/get" => did(json!({ "messages": [{ "role": "user", "content": text }] })),
        "completion/complete" => did(json!({ "completion": { "values": ["done"] } })),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

struct System {
    cluster: Cluster,
    server: Server,
    url: String,
}

impl System {
    async fn start() -> Self {
        Self::start_with(json!({ "intent": "when_declared" })).await
    }

    async fn start_with(settings: Value) -> Self {
        let cluster = Cluster::start(Options {
            settings,
            ..Options::default()
        })
        .await
        .unwrap();
        let agent = format!("agents/{AGENT}");
        let put = cluster.acme(Method::PUT, &agent, Some(json!({})));
        put.await.unwrap();
        allow_all(&cluster).await.unwrap();
        let server = Server {
            tools: Arc::new(Mutex::new(TOOLS.to_vec())),
            did: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/mcp", axum::routing::post(serve))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        acme::import(&cluster, "s", &url).await.unwrap();
        Self {
            cluster,
            server,
            url,
        }
    }

    /// A client with a token for these tools.
    async fn client(&self, tools: &str) -> Client {
        let tools = format!("tool in {tools}");
        let token = acme::mint(&self.cluster, 3600, &[&tools]).await.unwrap();
        self.cluster
            .wait_allowed(&token, AGENT, "s/plain", json!({}))
            .await
            .unwrap();
        Client::new(&format!("{}/v1/mcp/s", self.cluster.edge_url), &token).unwrap()
    }

    fn did(&self) -> usize {
        self.server.did.load(Ordering::SeqCst)
    }
}

/// The methods that reach a tool server, with good parameters.
fn methods() -> [(&'static str, Value); 4] {
    let of = json!({ "type": "ref/prompt", "name": "review" });
    let argument = json!({ "name": "language", "value": "d" });
    [
        ("tools/call", json!({ "name": "plain" })),
        ("resources/read", json!({ "uri": "docs://open" })),
        ("prompts/get", json!({ "name": "review" })),
        (
            "completion/complete",
            json!({ "ref": of, "argument": argument }),
        ),
    ]
}

/// What is sent instead of a good request, and what it is refused for; `None` if it is taken, and nothing happens.
fn attempts(good: &Value) -> Vec<(&'static str, String, Option<&'static str>)> {
    let with = |member: &str, value: Value| {
        let mut request = good.clone();
        request[member] = value;
        request.to_string()
    };
    let without = |member: &str| {
        let mut request = good.clone();
        request.as_object_mut().unwrap().remove(member);
        request.to_string()
    };
    let before = |member: &str| format!("{{{member},{}", &good.to_string()[1..]);
    let invalid = Some("invalid_request");
    vec![
        ("a notification", without("id"), None),
        ("a batch", json!([good]).to_string(), invalid),
        ("a batch of two", json!([good, good]).to_string(), invalid),
        ("a batch of none", "[]".to_owned(), invalid),
        ("no id", with("id", Value::Null), invalid),
        ("an object as id", with("id", json!({})), invalid),
        ("a fraction as id", with("id", json!(1.5)), invalid),
        ("no version", without("jsonrpc"), invalid),
        ("another version", with("jsonrpc", json!("1.0")), invalid),
        ("a result beside", with("result", json!({})), invalid),
        ("a member more", with("more", json!(1)), invalid),
        (
            "parameters in a list",
            with("params", json!([1])),
            Some("invalid_params"),
        ),
        (
            "a number that is not kept",
            with("params", json!({ "user": 1_234_567_890_123_456_789_u64 })),
            Some("unsafe_number"),
        ),
        (
            "two methods",
            before(r#""method":"ping""#),
            Some("duplicate_key"),
        ),
        (
            "two spellings of the method",
            before(r#""Method":"ping""#),
            Some("ambiguous_key"),
        ),
    ]
}

/// Of these, what can't be told from a batch, or has no id that an answer could have.
const NAMELESS: [&str; 6] = [
    "a batch",
    "a batch of two",
    "a batch of none",
    "no id",
    "an object as id",
    "a fraction as id",
];

/// A good request and its text, in a session where there is one.
fn request(
    client: &Client,
    session: Option<&str>,
    method: &str,
    params: &Value,
) -> (RequestBuilder, Value) {
    let mut body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    match session {
        Some(session) => (client.legacy(LEGACY, Some(session), &body), body),
        None => {
            body["params"]["_meta"] = meta();
            (client.modern(method, params.clone()), body)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_request_does_anything() {
    let system = System::start().await;
    let client = system.client("s/*").await;
    for era in Era::ALL {
        let session = client.session(era).await.unwrap();
        let session = session.as_deref();
        for (method, params) in methods() {
            let before = system.did();
            let (sent, good) = request(&client, session, method, &params);
            let answer: Value = sent.send().await.unwrap().json().await.unwrap();
            assert!(
                answer["result"].is_object(),
                "{era:?} {method}: the good one: {answer}"
            );
            assert_eq!(system.did(), before + 1, "{era:?} {method}: the good one");

            for (attempt, text, reason) in attempts(&good) {
                let (sent, _) = request(&client, session, method, &params);
                let response = sent.body(text).send().await.unwrap();
                let status = response.status();
                let answer = response.text().await.unwrap();
                let told: Value = serde_json::from_str(&answer).unwrap_or_default();
                let what = format!("{era:?} {method}: {attempt}: {status} {answer}");
                match reason {
                    None => assert_eq!(status, StatusCode::ACCEPTED, "{what}"),
                    Some(reason) => assert_eq!(told["error"]["data"]["reason"], reason, "{what}"),
                }
                // Who asked waits for an answer by this id.
                let told = (told["id"].as_u64(), status);
                match (reason, NAMELESS.contains(&attempt), era) {
                    (None, ..) => {}
                    (_, true, _) => assert_eq!(told, (None, StatusCode::BAD_REQUEST), "{what}"),
                    (_, _, Era::Modern) => {
                        assert_eq!(told, (Some(7), StatusCode::BAD_REQUEST), "{what}");
                    }
                    (_, _, Era::Legacy) => {
                        assert_eq!(told, (Some(7), StatusCode::OK), "{what}");
                    }
                }
                assert_eq!(system.did(), before + 1, "{what}");
            }
        }

        // A reply to what nobody asked.
        let before = system.did();
        let reply = json!({ "jsonrpc": "2.0", "id": 1, "result": { "action": "accept" } });
        let (sent, _) = request(&client, session, "tools/call", &json!({ "name": "plain" }));
        let status = sent.json(&reply).send().await.unwrap().status();
        let expected = match era {
            Era::Legacy => StatusCode::ACCEPTED,
            Era::Modern => StatusCode::BAD_REQUEST,
        };
        assert_eq!((status, system.did()), (expected, before), "{era:?}");
    }

    // Headers that name something harmless, and a body that does not.
    let before = system.did();
    for (method, params) in methods() {
        let (_, good) = request(&client, None, method, &params);
        for said in ["tools/list", "server/discover", "ping"] {
            let sent = client.modern(said, params.clone()).json(&good);
            let response = sent.send().await.unwrap();
            assert_eq!(
                response.status(),
                StatusCode::BAD_REQUEST,
                "{method} as {said}"
            );
            let answer: Value = response.json().await.unwrap();
            let reason = &answer["error"]["data"]["reason"];
            assert_eq!(*reason, "header_mismatch", "{method} as {said}: {answer}");
        }
    }
    assert_eq!(system.did(), before);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_call_is_refused_by_a_result() {
    let settings = json!({ "intent": "when_declared", "denials": "tool_result" });
    let system = System::start_with(settings).await;
    let client = system.client("s/p*").await;
    for era in Era::ALL {
        for (method, mut params) in methods() {
            if method == "tools/call" {
                params["name"] = "other".into();
            }
            let answer = client.ask(era, method, params).await.unwrap();
            let told = match method {
                "tools/call" => {
                    assert_eq!(answer["result"]["isError"], true, "{era:?}: {answer}");
                    &answer["result"]["structuredContent"]
                }
                // Its results have no place for it: a client would take it for a broken one.
                _ => &answer["error"]["data"],
            };
            assert_eq!(
                told["reason"], "tool_not_in_token",
                "{era:?} {method}: {answer}"
            );
        }
    }
    assert_eq!(system.did(), 0);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_a_list_shows_what_is_hidden() {
    let system = System::start().await;
    let (all, some) = (system.client("s/*").await, system.client("s/p*").await);
    for era in Era::ALL {
        for (method, member, of_all, of_some) in [
            ("tools/list", "tools", 2, 1),
            ("resources/list", "resources", 1, 0),
            ("resources/templates/list", "resourceTemplates", 1, 0),
            ("prompts/list", "prompts", 1, 0),
        ] {
            // Names before all others, of a server that is not there, and of what is hidden.
            for after in ["a/a", "s/a", "s/other"] {
                let params = json!({ "cursor": URL_SAFE_NO_PAD.encode(after) });
                let answer = some.ask(era, method, params).await.unwrap();
                let shown = answer["result"][member].as_array();
                let shown = shown.unwrap_or_else(|| panic!("{method} after {after}: {answer}"));
                assert!(shown.len() <= of_some, "{method} after {after}: {answer}");
            }
            for (client, count) in [(&all, of_all), (&some, of_some)] {
                let answer = client.ask(era, method, json!({})).await.unwrap();
                let shown = answer["result"][member].as_array().unwrap();
                assert_eq!(shown.len(), count, "{era:?} {method}: {answer}");
            }
        }
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_have_no_name_here_is_told_to_operators() {
    let system = System::start().await;
    system.client("s/*").await;
    let drift = async || {
        let told = system
            .cluster
            .acme(Method::GET, "tool-servers/s/drift", None);
        told.await.unwrap()
    };
    let started = Instant::now();
    let left_out = loop {
        let told = drift().await;
        if told["left_out"][0].is_object() {
            break told["left_out"].clone();
        }
        assert!(started.elapsed() < Duration::from_secs(90), "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(left_out.as_array().unwrap().len(), 1, "{left_out}");
    assert_eq!(left_out[0]["list"], "prompts/list", "{left_out}");
    assert_eq!(left_out[0]["name"], UNNAMEABLE, "{left_out}");
    // The commands say it as well, and a terminal is not obeyed.
    let line = "left out: \"Write a \\u{1b}[31mreview\" of prompts/list: not a valid tool name";
    let import = ["server", "import", "again", "--url", &system.url];
    for arguments in [&import[..], &["server", "drift", "s"]] {
        let output = tokio::process::Command::new(proctor_binary().unwrap())
            .args(arguments)
            .env("PROCTOR_API_URL", &system.cluster.api_url)
            .env("PROCTOR_ADMIN_KEY", system.cluster.admin_key())
            .env("PROCTOR_TENANT", "acme")
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(line), "{arguments:?}: {said}");
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_not_called_by_a_name_that_it_did_not_have() {
    let system = System::start().await;
    let client = system.client("s/*").await;
    let shown = async || -> Vec<String> {
        let answer = client.ask(Era::Modern, "tools/list", json!({})).await;
        let answer = answer.unwrap();
        let tools = answer["result"]["tools"].as_array().unwrap().iter();
        tools
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(shown().await, ["other", "plain"]);
    let [(plain, does), (other, does_another)] = TOOLS;
    for (how, tools, held) in [
        // One is there under another name: its own is held back, the new one nobody approved.
        (
            "renamed",
            vec![("fresh", does), (other, does_another)],
            vec![(plain, "definition_changed"), ("fresh", "unknown_tool")],
        ),
        // Two have changed places.
        (
            "swapped",
            vec![(plain, does_another), (other, does)],
            vec![
                (plain, "definition_changed"),
                (other, "definition_changed"),
                ("fresh", "unknown_tool"),
            ],
        ),
    ] {
        *system.server.tools.lock().unwrap() = tools;
        let gone = |names: &[String]| {
            names
                .iter()
                .all(|name| held.iter().all(|(held, _)| held != name))
        };
        let started = Instant::now();
        // The edge compares every fifteen seconds.
        loop {
            let names = shown().await;
            if gone(&names) {
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(90),
                "{how}: {names:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let before = system.did();
        for era in Era::ALL {
            for (name, reason) in &held {
                let call = json!({ "name": name });
                let answer = client.ask(era, "tools/call", call).await.unwrap();
                let told = &answer["error"]["data"]["reason"];
                assert_eq!(*told, *reason, "{how}, {era:?} {name}: {answer}");
            }
        }
        assert_eq!(system.did(), before, "{how}");
    }
    system.cluster.stop().await;
}
