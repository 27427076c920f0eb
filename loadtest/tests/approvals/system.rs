//! An installation with two edges, a tool whose large amounts need a person, and an approver.

use nix::sys::signal::Signal;
use proctor_loadtest::cluster::{Cluster, Options, Role};
use proctor_loadtest::load::{AGENT, allow_all, in_secs, register};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A value that may stand nowhere but in the call, the tool server and the approver's own answer.
pub(crate) const VALUE: &str = "order-of-mallory-7731";

/// How long anything here may take, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct System {
    pub(crate) cluster: Cluster,
    pub(crate) upstream: Upstream,
    pub(crate) second: Role,
    pub(crate) urls: [String; 2],
    pub(crate) approver: String,
    pub(crate) http: reqwest::Client,
}

impl System {
    pub(crate) async fn start(settings: Value) -> Self {
        let options = Options {
            settings,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        cluster
            .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
            .await
            .unwrap();
        register(&cluster, &upstream).await.unwrap();
        allow_all(&cluster).await.unwrap();
        let (second, url) = cluster.another_edge().await.unwrap();
        Self {
            urls: [cluster.edge_url.clone(), url],
            approver: cluster.key("approver").await.unwrap(),
            cluster,
            upstream,
            second,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// An intent that asks a person for amounts over 100, and a token for it; `rest` are further members.
    pub(crate) async fn token(&self, rest: Value, caveats: &[String]) -> String {
        let mut declaration = json!({
            "agent": AGENT, "goal": "Do the work", "expires_in_s": 600,
            "actions": [{
                "tool": "worker/work", "args": { "properties": { "amount": { "maximum": 100 } } }, "on_violation": "escalate",
            }],
        });
        let members = declaration.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        let intent = self
            .cluster
            .acme(Method::POST, "intents", Some(declaration))
            .await
            .unwrap();
        let mut all = vec![
            format!("time < {}", in_secs(600).unwrap()),
            "tool in worker/*".to_owned(),
            format!("intent = {}", intent["id"].as_str().unwrap()),
        ];
        all.extend_from_slice(caveats);
        let body = json!({ "agent": AGENT, "caveats": all });
        let minted = self.cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        for url in &self.urls {
            self.becomes(url, &token, json!({ "id": "1", "amount": 1 }), "allowed")
                .await;
        }
        token
    }

    pub(crate) async fn send(
        &self,
        url: &str,
        token: &str,
        arguments: Value,
        approval: Option<&str>,
    ) -> Value {
        let mut body = json!({ "tool": "worker/work", "arguments": arguments });
        if let Some(approval) = approval {
            body["_meta"] = json!({ "dev.proctor/approval": approval });
        }
        let request = self.http.post(format!("{url}/v1/tool-call"));
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// The reason, or `allowed`.
    pub(crate) async fn call(
        &self,
        url: &str,
        token: &str,
        arguments: Value,
        approval: Option<&str>,
    ) -> String {
        let answer = self.send(url, token, arguments, approval).await;
        reason(&answer)
    }

    /// The same, once control has answered: an edge waits for it some seconds, in which it may not come to the last of many
    /// questions.
    pub(crate) async fn answered(
        &self,
        url: &str,
        token: &str,
        arguments: Value,
        approval: &str,
    ) -> String {
        let started = Instant::now();
        loop {
            let told = self
                .call(url, token, arguments.clone(), Some(approval))
                .await;
            if told != "approval_unavailable" {
                return told;
            }
            assert!(started.elapsed() < PATIENCE, "control does not answer");
        }
    }

    pub(crate) async fn becomes(&self, url: &str, token: &str, arguments: Value, wanted: &str) {
        let started = Instant::now();
        loop {
            let last = self.call(url, token, arguments.clone(), None).await;
            if last == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{last}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a call that has to be escalated; the approval's id.
    pub(crate) async fn escalate(&self, url: &str, token: &str, arguments: Value) -> String {
        let answer = self.send(url, token, arguments, None).await;
        assert_eq!(reason(&answer), "approval_required", "{answer}");
        let data = &answer["error"]["data"];
        let id = data["approval_id"].as_str().unwrap().to_owned();
        assert_eq!(answer["error"]["code"], -32019);
        assert_eq!(data["control"], "approval");
        assert!(data["expires_at"].is_string());
        assert_eq!(
            data["retry_with"],
            json!({ "_meta": { "dev.proctor/approval": id } })
        );
        id
    }

    pub(crate) async fn decide(&self, key: &str, id: &str, verdict: &str) -> Result<Value, String> {
        let path = format!("/v1/tenants/acme/approvals/{id}/{verdict}");
        let body = Some(json!({ "comment": "looked at it" }));
        let decided = self.cluster.api_as(key, Method::POST, &path, body).await;
        decided.map_err(|error| error.to_string())
    }

    /// Waits until an approval has expired; as an approver sees it then.
    pub(crate) async fn expired(&self, id: &str) -> Value {
        let path = format!("/v1/tenants/acme/approvals/{id}");
        let started = Instant::now();
        loop {
            let seen = self
                .cluster
                .api_as(&self.approver, Method::GET, &path, None);
            let seen = seen.await.unwrap();
            if seen["state"] == "expired" {
                return seen;
            }
            assert!(started.elapsed() < PATIENCE, "{seen}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The newest entries of the chain, as many as these tests make.
    pub(crate) async fn events(&self) -> Value {
        let path = "audit/events?limit=500";
        self.cluster.acme(Method::GET, path, None).await.unwrap()
    }

    pub(crate) fn executed(&self, amount: u64) -> usize {
        let all = self.upstream.journal.all();
        all.iter()
            .filter(|call| call.arguments["amount"] == amount)
            .count()
    }

    pub(crate) async fn stop(mut self) {
        self.second.end(Signal::SIGTERM).await.unwrap();
        self.cluster.stop().await;
    }
}

pub(crate) fn reason(answer: &Value) -> String {
    let reason = answer["error"]["data"]["reason"].as_str();
    reason.unwrap_or("allowed").to_owned()
}
