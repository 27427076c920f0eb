//! Upstreams over TLS that have an authority of their own and want a client certificate: good calls pass, over HTTP/2; a
//! server that can't be believed, or that does not believe us, is not called.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::extract::State;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use proctor_loadtest::acme;
use proctor_loadtest::cluster::Cluster;
use proctor_loadtest::load::{AGENT, digest};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

const WAIT: Duration = Duration::from_secs(60);

/// An authority.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            certificate,
        }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A client's certificate and key, as they are kept in a secret.
    fn client(&self) -> String {
        let (certificate, key) = self.issue("edge.example");
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }
}

/// What the server saw.
#[derive(Clone, Default)]
struct Seen {
    /// The HTTP version of each request.
    requests: Arc<Mutex<Vec<Version>>>,
    /// Why handshakes came to nothing.
    refused: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Waits until a handshake failed for this reason.
    async fn refuses(&self, why: &str) {
        let started = Instant::now();
        loop {
            let refused = self.refused.lock().unwrap().clone();
            if refused.iter().any(|refused| refused.contains(why)) {
                return;
            }
            assert!(started.elapsed() < WAIT, "{why}: {refused:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn tool() -> Value {
    json!({ "name": "work", "description": "Works", "inputSchema": { "type": "object" } })
}

async fn work(State(seen): State<Seen>, version: Version) -> Response {
    seen.requests.lock().unwrap().push(version);
    Json(json!({ "done": true })).into_response()
}

async fn mcp(State(seen): State<Seen>, version: Version, Json(request): Json<Value>) -> Response {
    seen.requests.lock().unwrap().push(version);
    let id = &request["id"];
    let result = match request["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "x", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [tool()] }),
        Some("tools/call") => json!({
            "content": [{ "type": "text", "text": "done" }], "structuredContent": { "done": true },
        }),
        _ if id.is_null() => return StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
}

/// What a client's certificate is to a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    ShowOne,
    MayShowOne,
}

/// Takes TLS with a certificate of this authority, and believes those of clients that it signed.
fn acceptor(authority: &Authority, clients: Clients) -> TlsAcceptor {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let verifier = match clients {
        Clients::ShowOne => verifier,
        Clients::MayShowOne => verifier.allow_unauthenticated(),
    };
    let (certificate, key) = authority.issue("127.0.0.1");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Gives tokens to whoever asks: its port, and which of those who asked showed a certificate.
async fn issue_tokens(authority: &Authority) -> (u16, Arc<Mutex<Vec<bool>>>) {
    let acceptor = acceptor(authority, Clients::MayShowOne);
    let token = json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 3600 });
    let give = async move || Json(token);
    let router = Router::new().route("/token", axum::routing::post(give));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shown = Arc::<Mutex<Vec<bool>>>::default();
    let noted = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let certificates = stream.get_ref().1.peer_certificates();
            noted.lock().unwrap().push(certificates.is_some());
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                // The client may leave as it likes.
                drop(
                    builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
    (port, shown)
}

/// A server that wants a certificate of this authority; its port.
async fn serve(authority: &Authority, seen: &Seen) -> u16 {
    let acceptor = acceptor(authority, Clients::ShowOne);
    let router = Router::new()
        .route("/work", axum::routing::get(work))
        .route("/mcp", axum::routing::post(mcp))
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = Arc::clone(&seen.refused);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            let refused = Arc::clone(&refused);
            tokio::spawn(async move {
                let stream = match acceptor.accept(stream).await {
                    Ok(stream) => TokioIo::new(stream),
                    Err(error) => return refused.lock().unwrap().push(error.to_string()),
                };
                let service = TowerToHyperService::new(router);
                let builder = Builder::new(TokioExecutor::new());
                // The client may leave as it likes.
                drop(builder.serve_connection(stream, service).await);
            });
        }
    });
    port
}

struct System {
    cluster: Cluster,
    token: String,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let cluster = acme::start().await.unwrap();
        let token = acme::mint(&cluster, 600, &["tool in */work"]).await;
        let token = token.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            cluster,
            token,
            http,
        }
    }

    async fn secret(&self, name: &str, hosts: &[&str], value: &str) {
        let (path, body) = (
            format!("secrets/{name}"),
            json!({ "hosts": hosts, "value": value }),
        );
        let put = self.cluster.acme(Method::PUT, &path, Some(body)).await;
        put.unwrap();
    }

    async fn register(&self, server: &str, upstream: Value) {
        let mut entry = json!({
            "definition": { "name": "work", "description": "Works", "input_schema": { "type": "object" } },
            "definition_digest": digest(&tool()),
        });
        if upstream["kind"] == "http" {
            entry["http"] = json!({ "method": "GET", "path": "/work" });
        }
        let document = json!({ "upstream": upstream, "tools": [entry] });
        let path = format!("tool-servers/{server}");
        let put = self.cluster.acme(Method::PUT, &path, Some(document)).await;
        put.unwrap();
        let tool = format!("{server}/work");
        let allowed = self
            .cluster
            .wait_allowed(&self.token, AGENT, &tool, json!({}));
        allowed.await.unwrap();
    }

    async fn call(&self, server: &str) -> Value {
        let body = json!({ "tool": format!("{server}/work"), "arguments": {} });
        let request = self
            .http
            .post(format!("{}/v1/tool-call", self.cluster.edge_url))
            .bearer_auth(&self.token)
            .json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The secret reaches the edge on a way of its own.
    async fn until_done(&self, server: &str) {
        let started = Instant::now();
        loop {
            let answer = self.call(server).await;
            if answer["result"]["structuredContent"]["done"] == true {
                return;
            }
            assert!(started.elapsed() < WAIT, "{server}: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_decide_on_both_sides() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let seen = Seen::default();
    let host = format!("127.0.0.1:{}", serve(&ours, &seen).await);
    let system = System::start().await;
    system.secret("client", &[&host], &ours.client()).await;
    system.secret("stranger", &[&host], &others.client()).await;
    let ca = ours.certificate.pem();
    let mcp = json!({
        "kind": "mcp-http", "url": format!("https://{host}/mcp"),
        "tls": { "ca": ca, "client_certificate": "client" },
    });
    system.register("mcp", mcp).await;
    for (server, tls) in [
        ("api", json!({ "ca": ca, "client_certificate": "client" })),
        ("public", json!({ "client_certificate": "client" })),
        (
            "other",
            json!({ "ca": others.certificate.pem(), "client_certificate": "client" }),
        ),
        ("bare", json!({ "ca": ca })),
        (
            "stranger",
            json!({ "ca": ca, "client_certificate": "stranger" }),
        ),
        ("gone", json!({ "ca": ca, "client_certificate": "nothing" })),
    ] {
        let upstream = json!({
            "kind": "http", "url": format!("https://{host}"), "tls": tls, "private_addresses": true,
        });
        system.register(server, upstream).await;
    }

    for server in ["mcp", "api"] {
        system.until_done(server).await;
    }
    let versions = seen.requests.lock().unwrap().clone();
    assert!(
        versions.iter().all(|version| *version == Version::HTTP_2),
        "{versions:?}"
    );
    // Two that do not believe the server, two that the server does not believe.
    for (server, why) in [
        ("public", "fatal alert"),
        ("other", "fatal alert"),
        ("bare", "peer sent no certificates"),
        ("stranger", "UnknownIssuer"),
    ] {
        seen.refused.lock().unwrap().clear();
        let answer = system.call(server).await;
        assert_eq!(
            answer["error"]["data"]["reason"], "upstream_unavailable",
            "{server}: {answer}"
        );
        seen.refuses(why).await;
    }
    let answer = system.call("gone").await;
    assert_eq!(
        answer["error"]["data"]["reason"], "upstream_credential",
        "{answer}"
    );
    // The authority may be that of who gives tokens, too; the certificate is for the upstream alone.
    let (port, shown) = issue_tokens(&ours).await;
    let issuer = format!("127.0.0.1:{port}");
    system.secret("edge", &[&host, &issuer], "s3cret").await;
    let granted = json!({
        "kind": "http", "url": format!("https://{host}"), "private_addresses": true,
        "tls": { "ca": ca, "client_certificate": "client" },
        "auth": {
            "kind": "oauth-client-credentials", "client_id": "edge", "secret": "edge",
            "token_url": format!("https://{issuer}/token"),
        },
    });
    system.register("granted", granted).await;
    system.until_done("granted").await;
    let shown = shown.lock().unwrap().clone();
    assert!(!shown.is_empty() && !shown.contains(&true), "{shown:?}");
    // Who may be called still is, and over the connection that there is.
    let before = seen.requests();
    system.until_done("api").await;
    assert!(seen.requests() > before);
    proctor_loadtest::oracle::settled(&system.cluster, Duration::from_secs(20))
        .await
        .unwrap();
    system.cluster.stop().await;
}
