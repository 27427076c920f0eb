//! A provider that fails again and again is left alone for a while: by this tenant, not by others; a model that stands in
//! is asked at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{allow_all_of, in_secs};
use proctor_loadtest::provider::{PROVIDER_KEY, Provider};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const AGENT: &str = "client";
/// Faults in a row that a provider may have (`edge/gateway/src/upstream/breaker.rs`).
const FAULTS_MAX: usize = 8;
/// The first time it is left alone for a second, which one prompt may take on a slow machine; and twice as long after each trial
/// that fails. After so many it is for eight.
const TRIALS: usize = 3;
/// Nothing here takes longer, on however busy a machine.
const WAIT: Duration = Duration::from_secs(60);

struct System {
    cluster: Cluster,
    provider: Provider,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let system = Self {
            cluster: Cluster::start(options).await.unwrap(),
            provider: Provider::start(Duration::ZERO).await.unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let zoo = json!({ "tenant": "zoo", "settings": { "intent": "when_declared" } });
        let made = system.cluster.api(Method::POST, "/v1/tenants", Some(zoo));
        made.await.unwrap();
        let both = json!({ "tenants": ["acme", "zoo"] });
        let edge = format!("/v1/edges/{}", system.cluster.edge_id());
        let assigned = system.cluster.api(Method::PUT, &edge, Some(both));
        assigned.await.unwrap();
        system
    }

    /// A tenant with three providers, all of them the same stand-in, and a token for their models.
    async fn tenant(&self, tenant: &str) -> String {
        let put = async |path: &str, body: Value| {
            let path = format!("/v1/tenants/{tenant}/{path}");
            let put = self.cluster.api(Method::PUT, &path, Some(body)).await;
            put.unwrap();
        };
        let host = self.provider.url.strip_prefix("http://").unwrap();
        let secret = json!({ "hosts": [host, "127.0.0.1"], "value": PROVIDER_KEY });
        put("secrets/key", secret).await;
        put(&format!("agents/{AGENT}"), json!({})).await;
        allow_all_of(&self.cluster, tenant).await.unwrap();
        let stands_in = ["--fail-over", "sound/echo"];
        for (id, models, more) in [
            ("sound", &["echo"][..], &[][..]),
            ("alone", &["echo", "broken", "wrong", "cut"], &[]),
            ("helped", &["broken"], &stands_in),
        ] {
            self.register(tenant, id, models, more).await;
        }
        let caveats = [
            format!("time < {}", in_secs(3600).unwrap()),
            "tool in llm/*".to_owned(),
        ];
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let tokens = format!("/v1/tenants/{tenant}/tokens");
        let minted = self.cluster.api(Method::POST, &tokens, Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        let prompt = json!({ "model": "broken", "messages": [{ "role": "user", "content": "x" }] });
        let allowed = self
            .cluster
            .wait_allowed(&token, AGENT, "llm/helped/broken", prompt);
        allowed.await.unwrap();
        token
    }

    async fn register(&self, tenant: &str, id: &str, models: &[&str], more: &[&str]) {
        let url = format!("{}/v1", self.provider.url);
        let mut command = Command::new(proctor_binary().unwrap());
        command.args(["llm", "put", id, "--dialect", "openai", "--url", &url]);
        command.args(["--secret", "key", "--private-addresses"]);
        command.args(more);
        for model in models {
            command.args(["--model", model]);
        }
        let status = command
            .env("PROCTOR_API_URL", &self.cluster.api_url)
            .env("PROCTOR_TENANT", tenant)
            .env("PROCTOR_ADMIN_KEY", self.cluster.admin_key())
            .stdout(Stdio::null())
            .status();
        assert!(status.await.unwrap().success());
    }

    async fn ask(&self, token: &str, provider: &str, model: &str, stream: bool) -> Response {
        let url = format!(
            "{}/v1/llm/{provider}/chat/completions",
            self.cluster.edge_url
        );
        let prompt = json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello there" }] });
        let request = self.http.post(url).bearer_auth(token).json(&prompt);
        request.send().await.unwrap()
    }

    /// The reason of a refusal; none if the provider answered.
    async fn reason(&self, token: &str, provider: &str, model: &str) -> Option<String> {
        let answer = self.ask(token, provider, model, false).await;
        let answer: Value = answer.json().await.unwrap();
        let reason = answer["error"]["data"]["reason"].as_str();
        reason.map(str::to_owned)
    }

    /// How often the provider was asked for a model.
    fn asked(&self, model: &str) -> usize {
        let asked = self.provider.asked();
        asked
            .iter()
            .filter(|asked| asked.json()["model"] == model)
            .count()
    }

    /// Asks until the provider is tried again.
    async fn comes_back(&self, token: &str) {
        let started = Instant::now();
        while self.reason(token, "alone", "echo").await.is_some() {
            assert!(started.elapsed() < WAIT);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks `broken` until the provider has failed so often that it is left alone for long; each answer is looked at.
    async fn fails_for_long(&self, token: &str, provider: &str, good: impl Fn(&Response)) {
        let started = Instant::now();
        while self.asked("broken") < FAULTS_MAX + TRIALS {
            good(&self.ask(token, provider, "broken", false).await);
            assert!(started.elapsed() < WAIT);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_again_and_again_is_left_alone_by_this_tenant() {
    let system = System::start().await;
    let (acme, zoo) = (system.tenant("acme").await, system.tenant("zoo").await);
    let open = Some("circuit_open".to_owned());

    // What a prompt does wrong is not the provider's fault.
    for _ in 0..2 * FAULTS_MAX {
        assert_eq!(
            system.ask(&acme, "alone", "wrong", false).await.status(),
            400
        );
    }
    for _ in 0..FAULTS_MAX {
        assert_eq!(
            system.ask(&acme, "alone", "broken", false).await.status(),
            500
        );
    }
    let refused = |answer: &Response| assert!([500, 503].contains(&answer.status().as_u16()));
    system.fails_for_long(&acme, "alone", refused).await;
    let refused = system.ask(&acme, "alone", "broken", false).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(
        system.reason(&acme, "alone", "echo").await,
        open,
        "all its models"
    );
    let sent = system.asked("broken");
    assert_eq!(sent, FAULTS_MAX + TRIALS, "nothing was sent");
    // The same address, as another provider and for another tenant.
    assert_eq!(system.reason(&acme, "sound", "echo").await, None);
    assert_eq!(system.reason(&zoo, "alone", "echo").await, None);
    system.comes_back(&acme).await;

    // Streams that break off are faults, though each began well. Who asks too late, when the second is over, begins anew.
    let started = Instant::now();
    loop {
        for _ in 0..FAULTS_MAX {
            let broken = system.ask(&acme, "alone", "cut", true).await;
            assert_eq!(broken.status(), 200);
            let text = broken.text().await.unwrap();
            assert!(text.contains("upstream_unavailable"), "{text}");
        }
        if system.reason(&acme, "alone", "echo").await == open {
            break;
        }
        assert!(started.elapsed() < WAIT, "it is asked still");
    }
    system.comes_back(&acme).await;
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_stands_in_while_the_provider_is_left_alone() {
    let system = System::start().await;
    let token = system.tenant("acme").await;
    let stands_in = |answer: &Response| {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-proctor-model"], "sound/echo");
    };
    system.fails_for_long(&token, "helped", stands_in).await;
    let before = system.asked("echo");
    for _ in 0..3 {
        stands_in(&system.ask(&token, "helped", "broken", false).await);
    }
    assert_eq!(system.asked("broken"), FAULTS_MAX + TRIALS);
    assert_eq!(system.asked("echo"), before + 3);
    system.cluster.stop().await;
}
