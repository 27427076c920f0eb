//! A long-lived stream lives no longer than the right to it: the token's end and each kill switch end it, in both families of
//! revisions. (Revocation: `mcp_channels.rs`.)

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "list_changed/system.rs"]
mod system;

use proctor_loadtest::load::AGENT;
use proctor_loadtest::mcp::{Client, Era, Stream};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use system::{System, tool};

/// How long a stream may take to end: it is authorized anew each second.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the token that expires is good: long enough to open streams on a slow machine.
const LIFE_S: u64 = 12;

async fn system() -> System {
    let system = System::start().await;
    system.server("s", vec![tool("a", "One")]).await;
    system
}

async fn streams(client: &Client) -> Vec<(Era, Stream)> {
    let mut streams = Vec::new();
    for era in Era::ALL {
        streams.push((era, client.stream(era).await.unwrap()));
    }
    streams
}

/// Waits until each of them is over, and nothing but the reason was on it.
async fn over(streams: Vec<(Era, Stream)>, reason: &str) {
    for (era, stream) in streams {
        let rest = stream.rest(PATIENCE).await;
        let rest = rest.unwrap_or_else(|error| panic!("{era:?}, {reason}: {error:#}"));
        let reasons: Vec<&Value> = rest
            .iter()
            .map(|message| &message["error"]["data"]["reason"])
            .collect();
        match era {
            // There is no request on that stream that could be answered.
            Era::Legacy => assert!(rest.is_empty(), "{rest:?}"),
            Era::Modern => assert_eq!(reasons, [reason], "{rest:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let system = system().await;
    let long = system.token(3600, &["tool in s/*"], "s/a").await;
    let short = system.token(LIFE_S, &["tool in s/*"], "s/a").await;
    let expires = streams(&system.client("s", &short)).await;
    let stays = streams(&system.client("s", &long)).await;
    over(expires, "token_expired").await;
    // Others' streams go on.
    for (era, stream) in stays {
        let rest = stream.rest(Duration::from_secs(2)).await;
        assert!(rest.is_err(), "{era:?}: {rest:?}");
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_each_kill_switch() {
    let system = system().await;
    let token = system.token(3600, &["tool in s/*"], "s/a").await;
    let client = system.client("s", &token);
    let of_tenant = "/v1/tenants/acme/kill-switches";
    let agent = json!({ "scope": "agent", "object": AGENT });
    for (path, switch, reason) in [
        (of_tenant, agent, "killed_agent"),
        (of_tenant, json!({ "scope": "tenant" }), "killed_tenant"),
        ("/v1/kill-switch", json!({}), "killed_platform"),
    ] {
        let open = streams(&client).await;
        let (cluster, body) = (&system.cluster, Some(switch.clone()));
        cluster.api(Method::POST, path, body).await.unwrap();
        over(open, reason).await;
        // Nor does another one begin.
        for era in Era::ALL {
            assert!(client.stream(era).await.is_err(), "{era:?}: {reason}");
        }
        let (method, path, body) = match reason {
            "killed_platform" => (Method::DELETE, path.to_owned(), None),
            _ => (Method::POST, format!("{path}/release"), Some(switch)),
        };
        cluster.api(method, &path, body).await.unwrap();
        let allowed = cluster.wait_allowed(&token, AGENT, "s/a", json!({}));
        allowed.await.expect("released");
    }
    system.cluster.stop().await;
}
