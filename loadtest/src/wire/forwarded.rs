//! D17: the call that is forwarded is the call that was decided: a tool server's own view of the arguments, byte for byte in
//! canonical form, for arguments of every shape and spelling, whatever the server reads them with.

mod readers;

use crate::acme;
use crate::cluster::Cluster;
use crate::load::AGENT;
use anyhow::{Context, anyhow, bail, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use readers::{Case, agree};
use reqwest::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Those that went through are read by other parsers so many at a time.
const AT_A_TIME: usize = 2_000;

/// How long the token is good: a million calls, one after the other, take their time.
const TOKEN_S: u64 = 24 * 3600;

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls that are made.
    pub calls: usize,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Calls that were forwarded as they were decided.
    pub forwarded: usize,
    /// Calls that were refused: a key twice, a key that can't be told from another, a control character in a key.
    pub refused: usize,
    /// Who read the same in what was sent and in what came.
    pub readers: Vec<&'static str>,
}

/// Runs it.
///
/// # Errors
/// If a call is forwarded otherwise than it was decided, or a refused one is.
pub async fn run(plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let cluster = acme::start().await?;
    let report = Box::pin(all(&cluster, plan, seed)).await;
    cluster.stop().await;
    let report = report?;
    ensure!(
        report.forwarded > plan.calls / 4 && report.refused > 0,
        "nothing odd was among them, or hardly anything else: {report:?}"
    );
    Ok(report)
}

async fn all(cluster: &Cluster, plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let came = Came::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let router = axum::Router::new()
        .route("/mcp", axum::routing::post(serve))
        .with_state(Arc::clone(&came));
    tokio::spawn(async move { axum::serve(listener, router).await });
    acme::import(cluster, "s", &url).await?;
    let client = Client {
        http: reqwest::Client::builder().no_proxy().build()?,
        url: format!("{}/v1/tool-call", cluster.edge_url),
        token: acme::mint(cluster, TOKEN_S, &["tool in s/*"]).await?,
        came,
    };
    cluster
        .wait_allowed(&client.token, AGENT, "s/take", json!({}))
        .await?;
    let (mut runner, texts) = (runner(seed), object(spelled()).boxed());
    let (mut report, mut cases) = (
        Report {
            forwarded: 0,
            refused: 0,
            readers: Vec::new(),
        },
        Vec::new(),
    );
    for number in 1..=plan.calls {
        let sent = texts.new_tree(&mut runner);
        let sent = sent.map_err(|reason| anyhow!("{reason}"))?.current();
        match client.call(&sent).await? {
            Some(case) => {
                report.forwarded = report.forwarded.saturating_add(1);
                cases.push(case);
            }
            None => report.refused = report.refused.saturating_add(1),
        }
        if cases.len() == AT_A_TIME || number == plan.calls {
            report.readers = agree(&cases, cluster.dir.path())?;
            cases.clear();
        }
    }
    Ok(report)
}

/// The text of each `tools/call` that came to the server, as it came.
type Came = Arc<Mutex<Vec<String>>>;

struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    came: Came,
}

impl Client {
    /// Calls the tool with these arguments; what came of it at the server, if it was not refused.
    async fn call(&self, arguments: &str) -> anyhow::Result<Option<Case>> {
        let sent = format!("{{\"arguments\":{arguments},\"tool\":\"s/take\"}}");
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json");
        let response = request.body(sent.clone()).send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        let came = std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner));
        if !answer["result"].is_object() {
            ensure!(answer["error"]["data"]["reason"].is_string(), "{answer}");
            ensure!(came.is_empty(), "refused, and forwarded: {arguments}");
            return Ok(None);
        }
        ensure!(status == StatusCode::OK, "{answer}");
        let [request] = came.as_slice() else {
            bail!("forwarded {} times: {arguments}", came.len());
        };
        ensure!(
            received(request)? == canonical(arguments)?,
            "{arguments} became {request}"
        );
        Ok(Some(Case {
            sent,
            came: request.clone(),
        }))
    }
}

async fn serve(State(came): State<Came>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match request["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }),
        "tools/list" => {
            let tool = json!({ "name": "take", "inputSchema": { "type": "object" } });
            json!({ "tools": [tool] })
        }
        "tools/call" => {
            let text = String::from_utf8_lossy(&body).into_owned();
            came.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text);
            json!({ "content": [{ "type": "text", "text": "taken" }] })
        }
        _ => json!({}),
    };
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    for (byte, of_seed) in bytes.iter_mut().zip(seed.to_le_bytes()) {
        *byte = of_seed;
    }
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(ProptestConfig::default(), random)
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
            .prop_map(|value| json!(value).to_string()),
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
        any::<String>().prop_map(|text| json!(text).to_string()),
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

fn canonical(text: &str) -> anyhow::Result<Vec<u8>> {
    let value: Value = serde_json::from_str(text)?;
    Ok(serde_json_canonicalizer::to_vec(&value)?)
}

/// What the server got as arguments, in canonical form.
fn received(request: &str) -> anyhow::Result<Vec<u8>> {
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
    let request: Request<'_> = serde_json::from_str(request).context("what came")?;
    canonical(request.params.arguments.get())
}
