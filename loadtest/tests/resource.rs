//! An edge behind a name: where tokens come from (RFC 9728), and which web pages and names may speak to it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const CONSOLE: &str = "https://console.example";
const METADATA: &str = "/.well-known/oauth-protected-resource";

struct Edge {
    cluster: Cluster,
    http: reqwest::Client,
}

impl Edge {
    async fn start() -> Self {
        let settings = "public_url = \"https://edge.example\"\n\
            allowed_origins = [\"https://console.example\"]\n\
            authorization_servers = [\"https://login.example/realm\", \"https://login.example\"]\n";
        let cluster = Cluster::start(Options {
            edge_settings: settings.to_owned(),
            ..Options::default()
        })
        .await
        .unwrap();
        Self {
            cluster,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, String) {
        let url = format!("{}{path}", self.cluster.edge_url);
        let mut request = self.http.request(method.clone(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == Method::POST {
            let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
            request = request.json(&ping);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, response.text().await.unwrap())
    }

    async fn document(&self, path: &str) -> Value {
        let (status, _, text) = self.ask(Method::GET, path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_is_told_where_tokens_come_from() {
    let edge = Edge::start().await;
    for path in ["/v1/mcp", "/v1/mcp/files", "/v1/tool-call"] {
        let document = edge.document(&format!("{METADATA}{path}")).await;
        assert_eq!(document["resource"], format!("https://edge.example{path}"));
        // As they are configured: a client compares them with what their own documents say.
        let servers = json!(["https://login.example/realm", "https://login.example"]);
        assert_eq!(document["authorization_servers"], servers, "{document}");
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    let whole = edge.document(METADATA).await;
    assert_eq!(whole["resource"], "https://edge.example/");
    let (status, ..) = edge
        .ask(Method::GET, &format!("{METADATA}/v1/other"), &[])
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    for (authorization, error) in [
        (None, None),
        (Some("Bearer pct_forged"), Some("error=\"invalid_token\"")),
    ] {
        let headers: Vec<_> = authorization
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        let (status, headers, text) = edge.ask(Method::POST, "/v1/mcp", &headers).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["jsonrpc"], "2.0", "a client of MCP reads why: {text}");
        let challenge = header(&headers, "www-authenticate");
        let metadata = format!("resource_metadata=\"https://edge.example{METADATA}/v1/mcp\"");
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains(&metadata), "{challenge}");
        assert_eq!(
            challenge.contains("error="),
            error.is_some(),
            "who shows nothing did nothing wrong: {challenge}"
        );
        assert!(challenge.contains(error.unwrap_or("")), "{challenge}");
    }
    edge.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_names_that_nobody_named_are_refused() {
    let edge = Edge::start().await;
    let preflight = |origin: &'static str| {
        [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name,mcp-param-region,x-evil",
            ),
        ]
    };
    let (status, headers, _) = edge
        .ask(Method::OPTIONS, "/v1/mcp", &preflight(CONSOLE))
        .await;
    assert!(status.is_success(), "{status}");
    assert_eq!(header(&headers, "access-control-allow-origin"), CONSOLE);
    let allowed = header(&headers, "access-control-allow-headers").to_ascii_lowercase();
    for name in [
        "authorization",
        "content-type",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "mcp-param-region",
        "traceparent",
        "x-api-key",
        "x-proctor-approval",
    ] {
        assert!(
            allowed.split(',').any(|one| one.trim() == name),
            "{allowed}"
        );
    }
    assert!(!allowed.contains("evil"), "{allowed}");
    let methods = header(&headers, "access-control-allow-methods");
    assert!(methods.contains("POST"), "{methods}");

    // The page reads the refusal, and where tokens come from.
    let (status, headers, _) = edge
        .ask(Method::POST, "/v1/mcp", &[("origin", CONSOLE)])
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(header(&headers, "access-control-allow-origin"), CONSOLE);
    let exposed = header(&headers, "access-control-expose-headers").to_ascii_lowercase();
    for name in ["www-authenticate", "mcp-session-id", "x-proctor-decision"] {
        assert!(
            exposed.split(',').any(|one| one.trim() == name),
            "{exposed}"
        );
    }

    for origin in [
        "https://evil.example",
        "http://console.example",
        "https://console.example:444",
        "https://console.example.evil.example",
        "null",
    ] {
        let attempts = [
            edge.ask(Method::OPTIONS, "/v1/mcp", &preflight(origin))
                .await,
            edge.ask(Method::POST, "/v1/mcp", &[("origin", origin)])
                .await,
        ];
        for (status, headers, text) in attempts {
            assert_eq!(status, StatusCode::FORBIDDEN, "{origin}: {text}");
            let allowed = header(&headers, "access-control-allow-origin");
            assert_eq!(allowed, "", "{origin}");
        }
    }

    // By its public name and from the machine itself it is known: what is missing then is a token.
    for (host, expected) in [
        ("edge.example", StatusCode::UNAUTHORIZED),
        ("localhost", StatusCode::UNAUTHORIZED),
        ("evil.example", StatusCode::FORBIDDEN),
        ("edge.example.evil.example", StatusCode::FORBIDDEN),
        ("10.0.0.1", StatusCode::FORBIDDEN),
    ] {
        let (status, _, text) = edge.ask(Method::POST, "/v1/mcp", &[("host", host)]).await;
        assert_eq!(status, expected, "{host}: {text}");
    }
    edge.cluster.stop().await;
}
