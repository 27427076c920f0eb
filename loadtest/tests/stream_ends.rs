//! A long-lived stream lives no longer than the right to it: the token's end and each kill switch end it, in both families of
//! revisions. (Revocation: `mcp_channels.rs`.) So does a call: the end of its token, a revocation and an agent that is disabled cut
//! one that is under way, and what is read of it. (Kill switches: `kill.rs`.)

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "list_changed/system.rs"]
mod system;

use nix::sys::signal::Signal;
use proctor_loadtest::load::{AGENT, attenuate, in_secs};
use proctor_loadtest::mcp::{Client, Era, LEGACY, Stream};
use proctor_loadtest::oracle;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use system::{System, tool};

/// How long a stream may take to end: it is authorized anew each second.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the token that expires is good: long enough to open streams on a slow machine.
const LIFE_S: u64 = 12;

async fn system() -> System {
    let system = System::start().await;
    let tools = vec![tool("a", "One"), tool("endless", "Never done")];
    system.server("s", tools).await;
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
async fn an_edge_that_stops_does_not_wait_for_streams_of_news() {
    let mut system = system().await;
    let token = system.token(3600, &["tool in s/*"], "s/a").await;
    let open = streams(&system.client("s", &token)).await;
    let began = Instant::now();
    system.cluster.edge.end(Signal::SIGTERM).await.unwrap();
    // It waits ten seconds for what is under way.
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    for (era, stream) in open {
        let rest = stream.rest(PATIENCE).await;
        assert!(rest.is_ok_and(|rest| rest.is_empty()), "{era:?}");
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

/// A call that says that it goes on and never answers, of each family of revisions.
async fn calls(client: &Client) -> Vec<(Era, Stream)> {
    let mut calls = Vec::new();
    for era in Era::ALL {
        let session = client.session(era).await.unwrap();
        let call = client.streamed(
            session.as_deref(),
            "tools/call",
            json!({ "name": "endless" }),
        );
        calls.push((era, call.await.unwrap()));
    }
    calls
}

fn is_progress(message: &Value) -> bool {
    message["method"] == "notifications/progress"
}

/// Waits until each call is cut: the reason is its answer, and nothing but progress came before.
async fn cut(calls: Vec<(Era, Stream)>, reason: &str) {
    for (era, call) in calls {
        let rest = call.rest(PATIENCE).await;
        let mut rest = rest.unwrap_or_else(|error| panic!("{era:?}, {reason}: {error:#}"));
        let last = rest.pop().unwrap_or_default();
        let told = &last["error"]["data"]["reason"];
        assert_eq!(*told, reason, "{era:?}: {last}");
        assert!(!rest.is_empty() && rest.iter().all(is_progress), "{rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_ends_with_the_right_to_it() {
    let system = system().await;
    let long = system.token(3600, &["tool in s/*"], "s/a").await;
    let other = system.token(3600, &["tool in s/*"], "s/a").await;
    let short = system.token(LIFE_S, &["tool in s/*"], "s/a").await;
    let expires = calls(&system.client("s", &short)).await;
    cut(expires, "token_expired").await;

    let (revoked, mut stays) = (
        calls(&system.client("s", &long)).await,
        calls(&system.client("s", &other)).await,
    );
    let revoke = Some(json!({ "token": long }));
    let cluster = &system.cluster;
    cluster
        .acme(Method::POST, "revocations", revoke)
        .await
        .unwrap();
    cut(revoked, "token_revoked").await;
    // Others' calls go on.
    for (era, call) in &mut stays {
        let message = call.message(PATIENCE).await.unwrap();
        assert!(is_progress(&message), "{era:?}: {message}");
    }

    let agent = format!("agents/{AGENT}");
    let disabled = Some(json!({ "status": "disabled" }));
    cluster.acme(Method::PUT, &agent, disabled).await.unwrap();
    cut(stays, "agent_disabled").await;

    // Each has an outcome, as other calls that were cut.
    oracle::settled(cluster, PATIENCE).await.unwrap();
    let events = oracle::events(cluster).await.unwrap();
    let cancelled = events.iter().filter(|event| event["kind"] == "cancelled");
    assert_eq!(cancelled.count(), 6, "{events:?}");
    system.cluster.stop().await;
}

/// Takes the only stream of a session up from its beginning, once the edge has noticed that nobody reads it any more.
async fn resume(client: &Client, session: &str) -> Stream {
    let started = Instant::now();
    loop {
        match client.resume(session, "1-0").await {
            Ok(stream) => return stream,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_taken_up_again_ends_with_its_readers_right() {
    let system = system().await;
    let token = system.token(3600, &["tool in s/*"], "s/a").await;
    let client = system.client("s", &token);
    let (session, _) = client.initialize(LEGACY).await.unwrap();
    let call = client.streamed(Some(&session), "tools/call", json!({ "name": "endless" }));
    drop(call.await.unwrap());
    let caveat = format!("time < {}", in_secs(LIFE_S).unwrap());
    let short = attenuate(&token, &caveat).await.unwrap();
    let read = resume(&system.client("s", &short), &session).await;
    let read = read.rest(PATIENCE).await.unwrap();
    assert!(!read.is_empty() && read.iter().all(is_progress), "{read:?}");
    // The call is another token's, and not cut by that.
    let mut again = resume(&client, &session).await;
    let message = again.message(PATIENCE).await.unwrap();
    assert!(is_progress(&message), "{message}");
    system.cluster.stop().await;
}
