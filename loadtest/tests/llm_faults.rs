//! Providers that hang, or break off, after they have the prompt: the agent hears which of it, the prompt is not sent to
//! them again, and another model is asked only while the agent has nothing of an answer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "llm_faults/provider.rs"]
mod provider;

use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{allow_all, in_secs};
use proctor_loadtest::provider::{PROVIDER_KEY, Provider};
use provider::{BEGUN, MODELS, Rude};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const AGENT: &str = "client";
/// Nothing here takes longer, on however busy a machine.
const WAIT: Duration = Duration::from_secs(60);
/// Until an answer is there, or a stream begins: long enough for those that do answer.
const TIMEOUT_MS: &str = "5000";
/// The longest pause in a stream: also until one that is to break off is told so by who has read how it begins.
const IDLE_MS: &str = "5000";

struct System {
    cluster: Cluster,
    rude: Rude,
    sound: Provider,
    http: reqwest::Client,
    token: String,
}

impl System {
    /// The rude provider as `alone`, and as `helped` by `sound/echo`; so is `keeps`, which may do things by itself.
    async fn start() -> Self {
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let mut system = Self {
            cluster: Cluster::start(options).await.unwrap(),
            rude: Rude::start().await,
            sound: Provider::start(Duration::ZERO).await.unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: String::new(),
        };
        let cluster = &system.cluster;
        let hosts: Vec<&str> = [&system.rude.url, &system.sound.url]
            .into_iter()
            .filter_map(|url| url.strip_prefix("http://"))
            .chain(["127.0.0.1"])
            .collect();
        let secret = json!({ "hosts": hosts, "value": PROVIDER_KEY });
        let agent = format!("agents/{AGENT}");
        for (path, body) in [("secrets/key", secret), (agent.as_str(), json!({}))] {
            cluster.acme(Method::PUT, path, Some(body)).await.unwrap();
        }
        allow_all(cluster).await.unwrap();
        system
            .register("sound", &system.sound.url, &["echo"], &[])
            .await;
        let idle = ["--idle-timeout-ms", IDLE_MS];
        system
            .register("alone", &system.rude.url, &MODELS, &idle)
            .await;
        let helped = [&idle[..], &["--fail-over", "sound/echo"]].concat();
        let keeps = [&helped[..], &["--hosted"]].concat();
        system
            .register("keeps", &system.rude.url, &MODELS, &keeps)
            .await;
        system
            .register("helped", &system.rude.url, &MODELS, &helped)
            .await;
        system.token = system.minted().await;
        system
    }

    async fn register(&self, id: &str, url: &str, models: &[&str], more: &[&str]) {
        let url = format!("{url}/v1");
        let mut command = Command::new(proctor_binary().unwrap());
        command.args(["llm", "put", id, "--dialect", "openai", "--url", &url]);
        command.args(["--secret", "key", "--private-addresses"]);
        command.args(["--timeout-ms", TIMEOUT_MS]).args(more);
        for model in models {
            command.args(["--model", model]);
        }
        let status = command
            .env("PROCTOR_API_URL", &self.cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", self.cluster.admin_key())
            .stdout(Stdio::null())
            .status();
        assert!(status.await.unwrap().success());
    }

    async fn minted(&self) -> String {
        let until = format!("time < {}", in_secs(3600).unwrap());
        let body = json!({ "agent": AGENT, "caveats": [until, "tool in llm/*"] });
        let minted = self.cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        let question =
            json!({ "model": "sound", "messages": [{ "role": "user", "content": "x" }] });
        let tool = "llm/helped/sound";
        let allowed = self.cluster.wait_allowed(&token, AGENT, tool, question);
        allowed.await.unwrap();
        token
    }

    async fn ask(&self, provider: &str, model: &str, stream: bool) -> Response {
        self.send(provider, model, &prompt(model, stream)).await
    }

    async fn send(&self, provider: &str, model: &str, prompt: &Value) -> Response {
        let url = format!(
            "{}/v1/llm/{provider}/chat/completions",
            self.cluster.edge_url
        );
        let request = self.http.post(url).bearer_auth(&self.token);
        let sent = request.json(prompt).send();
        let answer = tokio::time::timeout(WAIT, sent).await;
        answer
            .unwrap_or_else(|_| panic!("{model}: no answer"))
            .unwrap()
    }

    /// Asks, and gives the reason of the refusal.
    async fn reason(&self, provider: &str, model: &str, stream: bool) -> String {
        let answer = self.ask(provider, model, stream).await;
        let answer: Value = answer.json().await.unwrap();
        let reason = answer["error"]["data"]["reason"].as_str();
        reason
            .unwrap_or_else(|| panic!("{model}: {answer}"))
            .to_owned()
    }

    /// So many events of this kind about a model, once they are in the chain; more, if there are more.
    async fn events(&self, kind: &str, model: &str, count: usize) -> Vec<Value> {
        let path = format!("audit/events?limit=500&kind={kind}");
        let started = Instant::now();
        loop {
            let page = self.cluster.acme(Method::GET, &path, None).await.unwrap();
            let entries = page["entries"].as_array().cloned().unwrap_or_default();
            let events = entries.iter().map(|entry| entry["event"].clone());
            let of: Vec<Value> = events
                .filter(|event| event["tool"]["name"] == model)
                .collect();
            if of.len() >= count {
                return of;
            }
            assert!(started.elapsed() < WAIT, "{kind} of {model}: {page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn prompt(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello there" }] })
}

/// The rest of a stream.
async fn rest(mut answer: Response, came: &mut String) {
    let reading = async {
        while let Some(chunk) = answer.chunk().await.unwrap() {
            came.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    let read = tokio::time::timeout(WAIT, reading).await;
    read.unwrap_or_else(|_| panic!("the stream does not end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_was_read_is_not_sent_again() {
    let system = System::start().await;
    for (model, stream, reason) in [
        ("mute", false, "output_timeout"),
        ("mute", true, "output_timeout"),
        ("resets", false, "upstream_unavailable"),
        ("resets", true, "upstream_unavailable"),
        ("half", false, "upstream_unavailable"),
        ("garbage", false, "output_invalid"),
    ] {
        // There is an open connection in the pool: one that is reset is no reason to send again what was read.
        let sound = system.ask("alone", "sound", false).await;
        assert_eq!(sound.status(), 200);
        sound.bytes().await.unwrap();
        let before = system.rude.arrived(model);
        let told = system.reason("alone", model, stream).await;
        assert_eq!(told, reason, "{model}, stream: {stream}");
        assert_eq!(system.rude.arrived(model), before + 1, "{model}");
    }
    // What was sent and not answered is neither done nor failed.
    for (model, kind, reason) in [
        ("mute", "unknown", "output_timeout"),
        ("resets", "unknown", "upstream_unavailable"),
        ("half", "unknown", "upstream_unavailable"),
        ("garbage", "withheld", "output_invalid"),
    ] {
        let (arrived, named) = (system.rude.arrived(model), format!("alone/{model}"));
        let authorized = system.events("authorized", &named, arrived).await;
        assert_eq!(authorized.len(), arrived, "{model}");
        let ended = system.events(kind, &named, arrived).await;
        assert_eq!(ended.len(), arrived, "{model}");
        for event in ended {
            assert_eq!(event["reason"], reason, "{model}: {event}");
        }
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_would_do_by_itself_is_asked_of_none_that_stands_in() {
    let system = System::start().await;
    let mut hosted = prompt("resets", false);
    let answer = system.send("keeps", "resets", &hosted).await;
    assert_eq!(answer.headers()["x-proctor-model"], "sound/echo");
    let before = (system.rude.arrived("resets"), system.sound.asked().len());
    hosted["tools"] = json!([{ "type": "web_search" }]);
    let answer = system.send("keeps", "resets", &hosted).await;
    let told: Value = answer.json().await.unwrap();
    let reason = &told["error"]["data"]["reason"];
    assert_eq!(reason, "upstream_unavailable", "{told}");
    let after = (system.rude.arrived("resets"), system.sound.asked().len());
    assert_eq!(after, (before.0 + 1, before.1));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_is_asked_before_there_is_an_answer_and_not_after() {
    let system = System::start().await;
    for (model, stream) in [
        ("mute", false),
        ("mute", true),
        ("resets", false),
        ("resets", true),
        ("half", false),
    ] {
        let before = (system.rude.arrived(model), system.sound.asked().len());
        let answer = system.ask("helped", model, stream).await;
        assert_eq!(answer.status(), 200, "{model}");
        assert_eq!(answer.headers()["x-proctor-model"], "sound/echo", "{model}");
        let mut came = String::new();
        rest(answer, &mut came).await;
        assert!(!came.contains("upstream_unavailable"), "{model}: {came}");
        let after = (system.rude.arrived(model), system.sound.asked().len());
        assert_eq!(after, (before.0 + 1, before.1 + 1), "{model}: once each");
    }

    // Something came, if no answer: nobody knows what was made of the prompt by now.
    let asked = system.sound.asked().len();
    let told = system.reason("helped", "garbage", false).await;
    assert_eq!(told, "output_invalid");
    for (model, reason) in [
        ("stalls", "output_timeout"),
        ("breaks", "upstream_unavailable"),
    ] {
        let mut answer = system.ask("helped", model, true).await;
        assert_eq!(answer.status(), 200, "{model}");
        let named = format!("helped/{model}");
        assert_eq!(answer.headers()["x-proctor-model"], named.as_str());
        let mut came = String::new();
        while !came.contains("\"role\"") {
            let chunk = tokio::time::timeout(WAIT, answer.chunk()).await.unwrap();
            let chunk = chunk.unwrap().unwrap_or_else(|| panic!("{model}: {came}"));
            came.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        if model == "breaks" {
            system.rude.go_on();
        }
        rest(answer, &mut came).await;
        let last = came.rsplit("data: ").next().unwrap();
        assert!(last.contains(reason), "{model}: {came}");
        // Of the words, only those that came, and those once: no other model went on with them.
        assert!(came.contains(&BEGUN[..20]), "{model}: {came}");
        assert!(!came.contains("hello there"), "{model}: {came}");
        assert_eq!(system.rude.arrived(model), 1, "{model}");
        let ended = system.events("unknown", &named, 1).await;
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert_eq!(ended[0]["reason"], reason, "{ended:?}");
    }
    assert_eq!(system.sound.asked().len(), asked, "no other was asked");
    system.cluster.stop().await;
}
