//! What a tool says that a call cost is charged: the catalogue says where it says so, the price list what the rest costs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use proctor_loadtest::cluster::Options;
use proctor_loadtest::fleet::Fleet;
use proctor_loadtest::load::{AGENT, allow_all, digest, in_secs};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What an edge tells the ledger may have to be sent again, the fourth time half a minute after the first.
const WAIT: Duration = Duration::from_secs(90);
/// By the price list: each call, and what is reserved for one whose cost is not known yet.
const PER_CALL: u64 = 100;
const RESERVED: u64 = 1_000;
const LIMIT: u64 = 10_000;

fn tool() -> Value {
    json!({ "name": "ask", "description": "Answers", "inputSchema": { "type": "object" } })
}

/// A tool server whose tool says as its cost what it was asked to say.
async fn answer(Json(request): Json<Value>) -> Response {
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "x", "version": "1" },
        }),
        "tools/list" => json!({ "tools": [tool()] }),
        "tools/call" => {
            let mut content = json!({ "answer": "done" });
            if let Some(cost) = request["params"]["arguments"].get("cost") {
                content["usage"] = json!({ "cost": cost });
            }
            json!({ "content": [{ "type": "text", "text": "done" }], "structuredContent": content })
        }
        "server/discover" => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

struct System {
    fleet: Fleet,
    token: String,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let fleet = Fleet::start_with(1, 1, options, None).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/mcp", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut system = Self {
            fleet,
            token: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        system.prepare(&url).await;
        system
    }

    async fn put(&self, path: &str, body: Value) {
        let put = self.fleet.cluster.acme(Method::PUT, path, Some(body)).await;
        put.unwrap();
    }

    /// The policy comes last: an edge that allows the call knows limit, tool and price.
    async fn prepare(&mut self, url: &str) {
        let rule =
            json!({ "scope": "tenant", "meter": "cost", "window": "lifetime", "limit": LIMIT });
        self.put("budgets/limits", json!({ "rules": [rule] })).await;
        self.put(&format!("agents/{AGENT}"), json!({})).await;
        let definition = json!({ "name": "ask", "description": "Answers", "input_schema": { "type": "object" } });
        let entry = json!({
            "definition": definition, "definition_digest": digest(&tool()),
            "meters": { "cost": "/usage/cost" },
        });
        let server = json!({ "upstream": { "kind": "mcp-http", "url": url }, "tools": [entry] });
        self.put("tool-servers/oracle", server).await;
        let price = json!({ "per_call": PER_CALL, "reserve_cost": RESERVED });
        let prices = json!({ "currency": "EUR", "tools": { "oracle/ask": price } });
        self.put("budgets/prices", prices).await;
        let cluster = &self.fleet.cluster;
        allow_all(cluster).await.unwrap();
        let until = format!("time < {}", in_secs(3600).unwrap());
        let body = json!({ "agent": AGENT, "caveats": [until, "tool in oracle/*"] });
        let minted = cluster.acme(Method::POST, "tokens", Some(body)).await;
        self.token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        cluster
            .wait_allowed(&self.token, AGENT, "oracle/ask", json!({}))
            .await
            .unwrap();
    }

    async fn ask(&self, arguments: Value) -> Value {
        let body = json!({ "tool": "oracle/ask", "arguments": arguments });
        let url = format!("{}/v1/tool-call", self.fleet.cluster.edge_url);
        let sent = self.http.post(url).bearer_auth(&self.token).json(&body);
        sent.send().await.unwrap().json().await.unwrap()
    }

    /// Waits until so much is spent, by the admin API, and no edge holds any of it.
    async fn spent(&self, units: u64) {
        let started = Instant::now();
        loop {
            let accounts = self.fleet.usage("tenant").await.unwrap();
            let account = accounts.first().cloned().unwrap_or_default();
            if account["spent"] == units && account["leased"] == 0 {
                assert_eq!(account["meter"], "cost", "{account}");
                return;
            }
            assert!(started.elapsed() < WAIT, "{units}: {account}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Events of a kind in the chain, oldest first.
    async fn events(&self, kind: &str) -> Vec<Value> {
        let path = format!("audit/events?limit=500&kind={kind}");
        let page = self.fleet.cluster.acme(Method::GET, &path, None).await;
        let page = page.unwrap();
        let entries = page["entries"].as_array().unwrap().iter().rev();
        entries.map(|entry| entry["event"].clone()).collect()
    }

    /// The version of the configuration from which on the prices are in force.
    async fn priced_from(&self) -> u64 {
        let events = self.events("admin").await;
        let put = events
            .iter()
            .find(|event| event["admin"]["action"] == "prices.put");
        let object = put.unwrap()["admin"]["object"].as_str().unwrap();
        let (version, config) = object.split_once(" from config ").unwrap();
        assert!(version.starts_with("version "), "{object}");
        config.parse().unwrap()
    }

    /// The event of a call that was refused with this reason, once it is in the chain.
    async fn refused_for(&self, reason: &str) -> Value {
        let started = Instant::now();
        loop {
            let events = self.events("refused").await;
            if let Some(event) = events.iter().find(|event| event["reason"] == reason) {
                return event.clone();
            }
            assert!(started.elapsed() < WAIT, "{events:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the chain says that calls came to, oldest first.
    async fn recorded(&self) -> Vec<u64> {
        let cost = |event: &Value| {
            let parts = event["budget"].as_array().unwrap().clone();
            let part = parts.into_iter().find(|part| part["meter"] == "cost");
            part.unwrap()["units"].as_u64().unwrap()
        };
        self.events("completed").await.iter().map(cost).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_costs_what_its_tool_says_and_its_price() {
    let system = System::start().await;
    let calls = [
        (json!({ "cost": 250 }), PER_CALL + 250),
        (json!({ "cost": 0 }), PER_CALL),
        // Rounded up.
        (json!({ "cost": 12.3 }), PER_CALL + 13),
        // What says no figure that can be charged costs what was reserved: to leave it out must not be cheaper.
        (json!({}), PER_CALL + RESERVED),
        (json!({ "cost": -5 }), PER_CALL + RESERVED),
        (json!({ "cost": "none" }), PER_CALL + RESERVED),
        // More than was reserved.
        (json!({ "cost": 2_500 }), PER_CALL + 2_500),
    ];
    let mut spent = 0;
    for (arguments, cost) in &calls {
        let answer = system.ask(arguments.clone()).await;
        assert!(answer.get("result").is_some(), "{arguments}: {answer}");
        spent += cost;
        system.spent(spent).await;
    }
    // More than is left: it is spent, and charged; the next call is refused.
    let last = LIMIT - spent + 1;
    let answer = system.ask(json!({ "cost": last })).await;
    assert!(answer.get("result").is_some(), "{answer}");
    spent += PER_CALL + last;
    system.spent(spent).await;
    assert!(spent > LIMIT);
    let refused = system.ask(json!({ "cost": 1 })).await;
    assert_eq!(
        refused["error"]["data"]["reason"], "budget_exhausted",
        "{refused}"
    );

    let mut expected: Vec<u64> = calls.iter().map(|(_, cost)| *cost).collect();
    expected.push(PER_CALL + last);
    let started = Instant::now();
    loop {
        let recorded = system.recorded().await;
        if recorded == expected {
            break;
        }
        assert!(started.elapsed() < WAIT, "{recorded:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // All that was asked before the lease had passed, and the event says which control refused.
    let event = system.refused_for("budget_exhausted").await;
    assert_eq!(event["control"], "budget", "{event}");
    for (control, verdict) in [("capability", "passed"), ("budget", "refused")] {
        assert_eq!(event["verdicts"][control], verdict, "{event}");
    }
    // The chain tells by which prices they were charged.
    let priced_from = system.priced_from().await;
    for event in system.events("authorized").await {
        let config = event["config_version"].as_u64().unwrap();
        assert!(config >= priced_from, "{priced_from}: {event}");
    }
    system.fleet.stop().await;
}
