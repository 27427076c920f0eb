//! An installation whose tenant trusts an identity provider, and what clients ask of it.

use crate::authorize;
use crate::identity::{Key, Provider};
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{AGENT, allow_all, register};
use proctor_loadtest::upstream::Upstream;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long news may travel, on however busy a machine. A provider is asked for its keys every ten seconds at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const AUDIENCE: &str = "https://edge.example";
pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(crate) struct System {
    pub(crate) cluster: Cluster,
    pub(crate) upstream: Upstream,
    pub(crate) provider: Provider,
    pub(crate) key: Arc<Key>,
    pub(crate) http: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn reason(&self) -> &str {
        let body = &self.body;
        let data = body.pointer("/error/data").or_else(|| body.get("data"));
        let reason = data.and_then(|data| data["reason"].as_str());
        reason.unwrap_or(match body["result"].is_object() {
            true => "allowed",
            false => "none",
        })
    }

    pub(crate) fn challenge(&self) -> &str {
        let header = self.headers.get("www-authenticate");
        header.map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn issuer(provider: &Provider, more: &Value) -> Value {
    let mut issuer = json!({
        "issuer": provider.url, "audience": AUDIENCE, "algorithms": ["RS256", "ES256"],
        "keys": { "kind": "fetched", "jwks_uri": format!("{}/keys", provider.url), "private_addresses": true },
        "scopes": ["mcp:tools"], "tools": ["worker/work"],
        "agent": { "kind": "claim", "claim": "azp", "map": { "cursor": AGENT } },
    });
    let members = issuer.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    issuer
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With these lines among the edge's settings.
    pub(crate) async fn start_with(edge_settings: &str) -> Self {
        let cluster = Cluster::start(Options {
            settings: json!({ "intent": "when_declared" }),
            edge_settings: edge_settings.to_owned(),
            ..Options::default()
        })
        .await
        .unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        let agent = format!("agents/{AGENT}");
        let put = cluster.acme(Method::PUT, &agent, Some(json!({}))).await;
        put.unwrap();
        register(&cluster, &upstream).await.unwrap();
        allow_all(&cluster).await.unwrap();
        let key = Arc::new(Key::rsa("one"));
        let more = |url: &str| authorize::router(url, Arc::clone(&key));
        let provider = Provider::start_with(&[&key], more).await;
        let trusted = issuer(&provider, &json!({}));
        let put = cluster
            .acme(Method::PUT, "issuers/corp", Some(trusted))
            .await;
        put.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let system = Self {
            cluster,
            upstream,
            provider,
            key,
            http,
        };
        // News of the issuer travels like all news.
        let claims = system.provider.claims(AUDIENCE, &json!({}));
        system.becomes_good(&system.sign(&claims)).await;
        system
    }

    /// Waits until a token is taken.
    pub(crate) async fn becomes_good(&self, subject: &str) -> Value {
        let good = |answer: &Answer| answer.status == StatusCode::OK;
        self.until(|| subject.to_owned(), good).await.body
    }

    /// Exchanges tokens until the answer is the one that is waited for: news travel by themselves, and nothing here is told when
    /// they have arrived.
    pub(crate) async fn until(
        &self,
        subject: impl Fn() -> String,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.exchange(&subject(), &[]).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{}", answer.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.key.sign(&json!({ "typ": "at+jwt" }), claims)
    }

    pub(crate) async fn exchange(&self, subject: &str, more: &[(&str, &str)]) -> Answer {
        self.exchange_with(subject, more, None).await
    }

    pub(crate) async fn exchange_with(
        &self,
        subject: &str,
        more: &[(&str, &str)],
        proof: Option<&str>,
    ) -> Answer {
        let mut form = vec![
            ("grant_type", GRANT),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
        ];
        form.extend_from_slice(more);
        let body: Vec<String> = form
            .iter()
            .map(|(name, value)| {
                let plain = value.replace('%', "%25").replace(' ', "+");
                format!("{name}={}", plain.replace('&', "%26").replace('/', "%2F"))
            })
            .collect();
        let mut request = self
            .http
            .post(self.url("/v1/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        answer(request).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.cluster.edge_url)
    }

    /// A call as a client of MCP 2026-07-28 makes it.
    pub(crate) async fn mcp(&self, authorization: &str, tool: &str, proof: Option<&str>) -> Answer {
        let params = json!({ "name": tool, "arguments": { "id": "1", "amount": 1 }, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let mut request = self
            .http
            .post(self.url("/v1/mcp"))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .header("authorization", authorization)
            .json(&body);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        answer(request).await
    }

    pub(crate) async fn call(
        &self,
        authorization: &str,
        tool: &str,
        proof: Option<&str>,
    ) -> Answer {
        let body = json!({ "tool": tool, "arguments": { "id": "1", "amount": 1 } });
        let request = self.http.post(self.url("/v1/tool-call")).json(&body);
        let mut request = request.header("authorization", authorization);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        answer(request).await
    }

    pub(crate) async fn events(&self, query: &str) -> Vec<Value> {
        let path = format!("audit/events?limit=1000&{query}");
        let page = self.cluster.acme(Method::GET, &path, None).await.unwrap();
        let entries = page["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["event"].clone()).collect()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer {
        status,
        headers,
        body: response.json().await.unwrap(),
    }
}
