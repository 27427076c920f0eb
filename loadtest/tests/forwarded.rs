//! D17: the call that is forwarded is the call that was decided: a tool server's own view of the arguments, byte for byte in
//! canonical form, for arguments of every shape and spelling, whatever the server reads them with.
//!
//! `PROCTOR_FORWARDED_CASES` and `PROCTOR_FORWARDED_SEED` say how many calls are made, and which.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it ran"
)]

#[path = "forwarded/readers.rs"]
mod readers;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, in_secs};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use readers::{Case, agree};
use reqwest::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Calls that are made, if nothing else is said.
const CALLS: u64 = 2_000;
/// Those that went through are read by other parsers so many at a time.
const AT_A_TIME: usize = 2_000;

/// A number that the environment may set.
fn set(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(ProptestConfig::default(), random)
}

/// The text of each `tools/call` that came to the server, as it came.
type Came = Arc<Mutex<Vec<String>>>;

async fn serve(State(came): State<Came>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let result = match request["method"].as_str().unwrap() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }),
        "tools/list" => {
            let tool = json!({ "name": "take", "inputSchema": { "type": "object" } });
            json!({ "tools": [tool] })
        }
        "tools/call" => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            came.lock().unwrap().push(text);
            json!({ "content": [{ "type": "text", "text": "taken" }] })
        }
        _ => json!({}),
    };
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// JSON texts, spelled in the ways that parsers are known to differ about.
fn spelled() -> impl Strategy<Value = String> {
    let scalars = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| value.to_string()),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(|value| value.to_string()),
        prop::sample::select(vec![
            "1e3",
            "1E+2",
            "-0",
            "1.0",
            "0.1e1",
            "1e-7",
            "123456789.125"
        ])
        .prop_map(str::to_owned),
        any::<f64>()
            .prop_filter("JSON has no others", |value| value.is_finite())
            .prop_map(|value| serde_json::to_string(&value).unwrap()),
        strings(),
    ];
    scalars.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|elements| format!("[ {} ]", elements.join(" ,\t"))),
            object(inner),
        ]
    })
}

/// Strings with escapes where none are needed, and none where they could be.
fn strings() -> impl Strategy<Value = String> {
    let escaped = |text: String| {
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
        format!("\"{}\"", units.collect::<String>())
    };
    prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<String>().prop_map(escaped),
        prop::sample::select(vec![
            r#""\/\b\f\n\r\t""#,
            r#""\ud83d\ude00""#,
            "\"\u{2028}\"",
            "\"Ａ\u{200b}é\""
        ])
        .prop_map(str::to_owned),
    ]
}

fn object(values: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let members = prop::collection::vec((strings(), values), 0..5);
    members.prop_map(|members| {
        let members = members
            .iter()
            .map(|(key, value)| format!("{key}\n:{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
    })
}

fn canonical(text: &str) -> Vec<u8> {
    let value: Value = serde_json::from_str(text).unwrap();
    serde_json_canonicalizer::to_vec(&value).unwrap()
}

/// What the server got as arguments, in canonical form.
fn arguments(request: &str) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        arguments: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    let request: Request<'_> = serde_json::from_str(request).unwrap();
    canonical(request.params.arguments.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_is_what_is_forwarded() {
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await
    .unwrap();
    let came = Came::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new()
        .route("/mcp", axum::routing::post(serve))
        .with_state(Arc::clone(&came));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut import = tokio::process::Command::new(proctor_binary().unwrap());
    import
        .args(["server", "import", "s", "--url", &url])
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
    assert!(import.status().await.unwrap().success());
    allow_all(&cluster).await.unwrap();
    let agent = format!("agents/{AGENT}");
    cluster
        .acme(Method::PUT, &agent, Some(json!({})))
        .await
        .unwrap();
    let caveats = [
        format!("time < {}", in_secs(3600).unwrap()),
        "tool in s/*".into(),
    ];
    let minted = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(minted)).await;
    let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
    cluster
        .wait_allowed(&token, AGENT, "s/take", json!({}))
        .await
        .unwrap();

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let calls = set("PROCTOR_FORWARDED_CASES", CALLS);
    let seed = set("PROCTOR_FORWARDED_SEED", 1);
    println!("{calls} calls, seed {seed}");
    let mut runner = runner(seed);
    let strategy = object(spelled());
    let (mut done, mut refused, mut cases) = (0, 0, Vec::new());
    for number in 1..=calls {
        let sent = strategy.new_tree(&mut runner).unwrap().current();
        let body = format!("{{\"arguments\":{sent},\"tool\":\"s/take\"}}");
        came.lock().unwrap().clear();
        let answer = http
            .post(format!("{}/v1/tool-call", cluster.edge_url))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        let (status, answer) = (answer.status(), answer.json::<Value>().await.unwrap());
        let came = came.lock().unwrap().clone();
        if answer["result"].is_object() {
            assert_eq!(status, StatusCode::OK, "{answer}");
            let [request] = came.as_slice() else {
                panic!("forwarded {} times: {sent}", came.len());
            };
            assert_eq!(arguments(request), canonical(&sent), "{sent}");
            cases.push(Case {
                sent: body,
                came: request.clone(),
            });
            done += 1;
        } else {
            // A key twice, a key that can't be told from another, a control character in a key: refused, for a reason.
            assert!(answer["error"]["data"]["reason"].is_string(), "{answer}");
            assert!(came.is_empty(), "refused, and forwarded: {sent}");
            refused += 1;
        }
        if cases.len() == AT_A_TIME || number == calls {
            let readers = agree(&cases, cluster.dir.path());
            println!("{} read the same by serde and {readers:?}", cases.len());
            cases.clear();
        }
    }
    println!("{done} forwarded as they were decided, {refused} refused");
    assert!(done > calls / 4, "{done} of {calls} were forwarded");
    assert!(refused > 0, "nothing odd was among them");
    cluster.stop().await;
}
