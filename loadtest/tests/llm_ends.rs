//! A prompt lives no longer than the right to it, before its answer begins and in the middle of a stream: the end of its token,
//! a revocation, an agent that is disabled and an edge that hears no news cut it. (Kill switches: `llm.rs`.)

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "llm_faults/provider.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod provider;

use proctor_loadtest::acme::mint;
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all};
use proctor_loadtest::oracle;
use proctor_loadtest::provider::PROVIDER_KEY;
use provider::Rude;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::task::JoinHandle;

/// How long a prompt may take to end: it is authorized anew each second.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the token that expires is good: long enough to begin prompts on a slow machine.
const LIFE_S: u64 = 20;
/// How old the last news of an edge may be where it is to have none: more than a busy machine keeps it from some.
const STALE_S: u64 = 10;
/// Longer than all of a test: the provider's silence ends nothing here.
const SILENCE_MS: &str = "240000";

struct System {
    cluster: Cluster,
    rude: Rude,
    http: reqwest::Client,
}

/// What is under way: a prompt that is not answered, and a stream that has begun.
struct UnderWay {
    waiting: JoinHandle<Response>,
    stream: Response,
}

impl System {
    async fn start(settings: Value) -> Self {
        let options = Options {
            settings,
            ..Options::default()
        };
        let system = Self {
            cluster: Cluster::start(options).await.unwrap(),
            rude: Rude::start().await,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let cluster = &system.cluster;
        let host = system.rude.url.strip_prefix("http://").unwrap();
        let secret = json!({ "hosts": [host, "127.0.0.1"], "value": PROVIDER_KEY });
        let agent = format!("agents/{AGENT}");
        for (path, body) in [("secrets/key", secret), (agent.as_str(), json!({}))] {
            cluster.acme(Method::PUT, path, Some(body)).await.unwrap();
        }
        allow_all(cluster).await.unwrap();
        let mut put = Command::new(proctor_binary().unwrap());
        let url = format!("{}/v1", system.rude.url);
        put.args(["llm", "put", "rude", "--dialect", "openai", "--url", &url])
            .args(["--secret", "key", "--private-addresses"])
            .args(["--timeout-ms", SILENCE_MS, "--idle-timeout-ms", SILENCE_MS])
            .args(["--model", "mute", "--model", "stalls"])
            .env("PROCTOR_API_URL", &cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", cluster.admin_key())
            .stdout(Stdio::null());
        assert!(put.status().await.unwrap().success());
        system
    }

    async fn token(&self, secs: u64) -> String {
        let token = mint(&self.cluster, secs, &["tool in llm/*"]).await.unwrap();
        let allowed =
            self.cluster
                .wait_allowed(&token, AGENT, "llm/rude/mute", prompt("mute", false));
        allowed.await.unwrap();
        token
    }

    fn ask(&self, token: &str, model: &str, stream: bool) -> JoinHandle<Response> {
        let url = format!("{}/v1/llm/rude/chat/completions", self.cluster.edge_url);
        let request = self.http.post(url).bearer_auth(token);
        let sent = request.json(&prompt(model, stream)).send();
        tokio::spawn(async move { sent.await.unwrap() })
    }

    async fn begin(&self, token: &str) -> UnderWay {
        let arrived = self.rude.arrived("mute");
        let waiting = self.ask(token, "mute", false);
        let mut stream = self.ask(token, "stalls", true).await.unwrap();
        assert_eq!(stream.status(), 200);
        assert!(stream.chunk().await.unwrap().is_some());
        let started = Instant::now();
        while self.rude.arrived("mute") == arrived {
            assert!(started.elapsed() < PATIENCE, "the prompt does not arrive");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        UnderWay { waiting, stream }
    }
}

impl UnderWay {
    /// Waits until both are cut; each is told the reason in the provider's words.
    async fn cut(self, reason: &str) {
        let Self {
            waiting,
            mut stream,
        } = self;
        let cut = async {
            let told: Value = waiting.await.unwrap().json().await.unwrap();
            assert_eq!(told["error"]["data"]["reason"], reason, "{told}");
            let mut rest = String::new();
            while let Some(chunk) = stream.chunk().await.unwrap() {
                rest.push_str(&String::from_utf8_lossy(&chunk));
            }
            let last = rest.rsplit("data: ").next().unwrap();
            assert!(last.contains(reason), "{reason}: {rest}");
        };
        let cut = tokio::time::timeout(PATIENCE, cut).await;
        cut.unwrap_or_else(|_| panic!("{reason}: it goes on"));
    }
}

fn prompt(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello there" }] })
}

/// Each has the outcome of a call that was cut.
async fn cancelled(cluster: &Cluster, count: usize) {
    oracle::settled(cluster, Duration::from_secs(30))
        .await
        .unwrap();
    let events = oracle::events(cluster).await.unwrap();
    let cancelled = events.iter().filter(|event| event["kind"] == "cancelled");
    assert_eq!(cancelled.count(), count, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_under_way_ends_with_the_right_to_it() {
    let system = System::start(json!({ "intent": "when_declared" })).await;
    let cluster = &system.cluster;
    // Once the edge has heard of all that was put: the short one lives already while it is asked whether it is allowed.
    system.token(3600).await;
    let short = system.token(LIFE_S).await;
    system.begin(&short).await.cut("token_expired").await;

    let (one, other) = (system.token(3600).await, system.token(3600).await);
    let (revoked, mut stays) = (system.begin(&one).await, system.begin(&other).await);
    let revoke = Some(json!({ "token": one }));
    cluster
        .acme(Method::POST, "revocations", revoke)
        .await
        .unwrap();
    revoked.cut("token_revoked").await;
    // Others' prompts go on: what is still held of the stream's words is all that may come.
    let ended = async { while stays.stream.chunk().await.unwrap().is_some() {} };
    let ended = tokio::time::timeout(Duration::from_secs(2), ended).await;
    assert!(ended.is_err() && !stays.waiting.is_finished());

    let agent = format!("agents/{AGENT}");
    let disabled = Some(json!({ "status": "disabled" }));
    cluster.acme(Method::PUT, &agent, disabled).await.unwrap();
    stays.cut("agent_disabled").await;
    cancelled(cluster, 6).await;
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_under_way_ends_where_there_is_no_news() {
    let settings = json!({ "intent": "when_declared", "max_staleness_s": STALE_S });
    let system = System::start(settings).await;
    let token = system.token(3600).await;
    let under_way = system.begin(&token).await;
    system.cluster.nats.kill9().await;
    under_way.cut("stale_config").await;
    system.cluster.nats.restart().await.unwrap();
    cancelled(&system.cluster, 2).await;
    system.cluster.stop().await;
}
