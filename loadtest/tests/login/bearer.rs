//! Clients of MCP that send the identity provider's access token itself.

use crate::identity::{Key, Provider, now, unsigned};
use crate::npm;
use crate::system::{AUDIENCE, Answer, PATIENCE, System, answer, issuer};
use futures::future::join_all;
use proctor_loadtest::mcp::{Client, LEGACY};
use proctor_loadtest::oracle;
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// The edge is known by the address that it listens on.
const PUBLIC: &str = "public_url = \"http://127.0.0.1:EDGE_PORT\"\n";
const METADATA: &str = "/.well-known/oauth-protected-resource/v1/mcp";

fn client(system: &System, token: &str) -> Client {
    Client::new(&system.url("/v1/mcp"), token).unwrap()
}

fn sign(system: &System, more: &Value) -> String {
    system.sign(&system.provider.claims(AUDIENCE, more))
}

/// Shows a token until the answer is for this reason: news travel by themselves.
async fn becomes(system: &System, token: &str, reason: &str) -> Answer {
    let (started, bearer) = (Instant::now(), format!("Bearer {token}"));
    loop {
        let answer = system.mcp(&bearer, "worker__work", None).await;
        if answer.reason() == reason {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A message in a session.
async fn in_session(client: &Client, session: &str, method: &str, params: Value) -> Answer {
    let message = json!({ "jsonrpc": "2.0", "id": 2, "method": method, "params": params });
    answer(client.legacy(LEGACY, Some(session), &message)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_takes_an_access_token_as_what_it_is_exchanged_for() {
    let system = System::start_with(PUBLIC).await;
    let subject = sign(&system, &json!({}));
    let bearer = format!("Bearer {subject}");
    // Many at once are one exchange.
    let calls = (0..8).map(|_| system.mcp(&bearer, "worker__work", None));
    for called in join_all(calls).await {
        assert_eq!(called.reason(), "allowed", "{}", called.body);
    }
    let token_id = one_exchange(&system).await;
    let next = next_in_its_session(&system, &subject).await;
    steps_up(&system, &subject).await;
    refused(&system).await;
    bound_ones(&system).await;
    stays_revoked(&system, &subject, &token_id).await;

    // Where it is not wanted, it has to be exchanged by its client.
    let off = issuer(&system.provider, &json!({ "mcp_bearer": false }));
    let put = system.cluster.acme(Method::PUT, "issuers/corp", Some(off));
    put.await.unwrap();
    becomes(&system, &next, "login_issuer_unknown").await;
    let given = system.exchange(&next, &[]).await;
    assert_eq!(given.status, StatusCode::OK, "{}", given.body);
    let on = issuer(&system.provider, &json!({}));
    let put = system.cluster.acme(Method::PUT, "issuers/corp", Some(on));
    put.await.unwrap();
    becomes(&system, &next, "allowed").await;
    // Nobody trusts the provider any more.
    let delete = system.cluster.acme(Method::DELETE, "issuers/corp", None);
    delete.await.unwrap();
    let over = becomes(&system, &next, "login_issuer_unknown").await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);

    let all = json!(system.events("").await).to_string();
    assert!(!all.contains("eyJ") && !all.contains("pct_"));
    system.cluster.stop().await;
}

/// What was called with is what was exchanged, once; returns its id.
async fn one_exchange(system: &System) -> Value {
    let settled = oracle::settled(&system.cluster, Duration::from_secs(20));
    settled.await.unwrap();
    let called = system.events("kind=authorized").await;
    let token_id = &called[0]["token_id"];
    assert_eq!(called.len(), 8);
    assert!(called.iter().all(|event| event["token_id"] == *token_id));
    let admin = system.events("kind=admin").await;
    let exchanged = |event: &&Value| {
        event["admin"]["action"] == "token.exchange" && event["admin"]["object"] == *token_id
    };
    let exchanged: Vec<_> = admin.iter().filter(exchanged).collect();
    assert_eq!(exchanged.len(), 1, "{exchanged:?}");
    assert_eq!(exchanged[0]["user"], "alice@acme.example");
    assert_eq!(
        exchanged[0]["admin"]["principal"],
        "corp/alice@acme.example"
    );
    token_id.clone()
}

/// The next access token of the same user and client goes on with the session; nobody else's does. Returns that next one.
async fn next_in_its_session(system: &System, subject: &str) -> String {
    let (session, _) = client(system, subject).initialize(LEGACY).await.unwrap();
    let next = sign(system, &json!({ "iat": now() - 1, "exp": now() + 500 }));
    for token in [subject, &next] {
        let client = client(system, token);
        let listed = in_session(&client, &session, "tools/list", json!({})).await;
        let tools = listed.body["result"]["tools"].as_array();
        let tools = tools.unwrap_or_else(|| panic!("{}", listed.body));
        assert_eq!(tools.len(), 1, "{}", listed.body);
        assert_eq!(tools[0]["name"], "worker__work");
    }
    let bob = client(system, &sign(system, &json!({ "sub": "bob@acme.example" })));
    let foreign = in_session(&bob, &session, "tools/list", json!({})).await;
    let got = (foreign.status, foreign.reason());
    assert_eq!(got, (StatusCode::NOT_FOUND, "unknown_session"));
    next
}

async fn steps_up(system: &System, subject: &str) {
    let metadata = format!("resource_metadata=\"{}\"", system.url(METADATA));
    let asks_for_more = |refused: &Answer, status: StatusCode, scope: &str| {
        let got = (refused.status, refused.reason());
        assert_eq!(got, (status, "tool_not_in_token"), "{}", refused.body);
        for part in [
            "Bearer ",
            "error=\"insufficient_scope\"",
            &format!("scope=\"{scope}\""),
            &metadata,
        ] {
            let challenge = refused.challenge();
            assert!(challenge.contains(part), "{part}: {challenge}");
        }
    };
    let danger = || json!({ "name": "worker__danger", "arguments": { "id": "1", "amount": 1 } });
    let bearer = format!("Bearer {subject}");
    let modern = system.mcp(&bearer, "worker__danger", None).await;
    // The provider knows no tools, and a login without its scope would give nothing at all.
    asks_for_more(&modern, StatusCode::FORBIDDEN, "mcp:tools");
    let given = system.exchange(subject, &[]).await;
    let token = given.body["access_token"].as_str().unwrap();
    // Who holds a capability token did not log in here, and reads the body of a 200.
    for (token, status, scope) in [
        (subject, StatusCode::FORBIDDEN, "mcp:tools"),
        (token, StatusCode::OK, "worker/danger"),
    ] {
        let client = client(system, token);
        let (session, _) = client.initialize(LEGACY).await.unwrap();
        let legacy = in_session(&client, &session, "tools/call", danger()).await;
        asks_for_more(&legacy, status, scope);
    }
}

/// What is wrong is 401 in both families, and says where another one comes from.
async fn refused(system: &System) {
    let document = system.http.get(system.url(METADATA));
    let document = answer(document).await.body;
    let servers = &document["authorization_servers"];
    assert_eq!(*servers, json!([system.provider.url]), "{document}");
    assert_eq!(document["scopes_supported"], json!(["mcp:tools"]));

    let (plain, stranger) = (json!({}), Key::rsa("one"));
    let foreign = Provider::start(&[&stranger]).await;
    let metadata = format!("resource_metadata=\"{}\"", system.url(METADATA));
    for (what, token, reason) in [
        (
            "another audience",
            sign(system, &json!({ "aud": "https://other.example" })),
            "login_wrong_audience",
        ),
        (
            "a foreign issuer",
            stranger.sign(&plain, &foreign.claims(AUDIENCE, &plain)),
            "login_issuer_unknown",
        ),
        (
            "a foreign key",
            stranger.sign(&plain, &system.provider.claims(AUDIENCE, &plain)),
            "login_token_invalid",
        ),
        (
            "no signature",
            unsigned(&system.provider.claims(AUDIENCE, &plain)),
            "login_token_invalid",
        ),
        (
            "over",
            sign(system, &json!({ "exp": now() - 1 })),
            "login_token_expired",
        ),
        (
            "older than one is good",
            sign(system, &json!({ "iat": now() - 3_700 })),
            "login_token_expired",
        ),
        (
            "of no age",
            sign(system, &json!({ "iat": null })),
            "login_token_invalid",
        ),
        (
            "no scope",
            sign(system, &json!({ "scope": "openid" })),
            "login_not_admitted",
        ),
        (
            "bound to a certificate",
            sign(system, &json!({ "cnf": { "x5t#S256": "x" } })),
            "login_token_invalid",
        ),
        ("nonsense", "a.b.c".to_owned(), "login_token_invalid"),
    ] {
        let bearer = format!("Bearer {token}");
        let modern = system.mcp(&bearer, "worker__work", None).await;
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        let legacy = client(system, &token).legacy(LEGACY, None, &ping);
        for refused in [modern, answer(legacy).await] {
            let got = (refused.status, refused.reason());
            assert_eq!(got, (StatusCode::UNAUTHORIZED, reason), "{what}");
            assert_eq!(refused.body["jsonrpc"], "2.0", "{what}");
            for part in ["error=\"invalid_token\"", &metadata] {
                let challenge = refused.challenge();
                assert!(challenge.contains(part), "{what}: {challenge}");
            }
            assert!(!refused.body.to_string().contains("eyJ"), "{what}");
        }
    }
}

/// An access token that its provider bound to a key needs a proof of it each time, and to be exchanged.
async fn bound_ones(system: &System) {
    let (owner, thief, url) = (Key::ec("c"), Key::ec("t"), system.url("/v1/mcp"));
    let bound = sign(system, &json!({ "cnf": { "jkt": owner.thumbprint() } }));
    let plain = sign(system, &json!({}));
    let proof = |key: &Key, token: &str, jti: &str| key.proof("POST", &url, Some(token), jti);
    let dpop = |token: &str| format!("DPoP {token}");
    for (what, authorization, proof, reason) in [
        (
            "as it has to be",
            dpop(&bound),
            Some(proof(&owner, &bound, "1")),
            "allowed",
        ),
        (
            "used before",
            dpop(&bound),
            Some(proof(&owner, &bound, "1")),
            "proof_invalid",
        ),
        (
            "another key's",
            dpop(&bound),
            Some(proof(&thief, &bound, "2")),
            "proof_invalid",
        ),
        ("none", dpop(&bound), None, "proof_missing"),
        (
            "a bearer's",
            format!("Bearer {bound}"),
            None,
            "proof_missing",
        ),
        (
            "bound to nothing",
            dpop(&plain),
            Some(proof(&owner, &plain, "3")),
            "proof_invalid",
        ),
    ] {
        let answer = system
            .mcp(&authorization, "worker__work", proof.as_deref())
            .await;
        assert_eq!(answer.reason(), reason, "{what}: {}", answer.body);
        if reason != "allowed" {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
            let challenge = answer.headers[WWW_AUTHENTICATE].to_str().unwrap();
            assert!(challenge.starts_with("DPoP "), "{what}: {challenge}");
        }
    }
    let at = system.url("/v1/token");
    for (key, jti, reason) in [
        (None, "4", "proof_missing"),
        (Some(&thief), "5", "proof_invalid"),
    ] {
        let proof = key.map(|key| key.proof("POST", &at, None, jti));
        let refused = system.exchange_with(&bound, &[], proof.as_deref()).await;
        assert_eq!(refused.reason(), reason, "{}", refused.body);
    }
    let own = owner.proof("POST", &at, None, "6");
    let given = system.exchange_with(&bound, &[], Some(&own)).await;
    assert_eq!(given.body["token_type"], "DPoP", "{}", given.body);
}

/// What was revoked stays so, also where it would have to be exchanged anew.
async fn stays_revoked(system: &System, subject: &str, token_id: &Value) {
    let revoke = json!({ "revocation_id": token_id });
    let revoked = system
        .cluster
        .acme(Method::POST, "revocations", Some(revoke));
    revoked.await.unwrap();
    let refused = becomes(system, subject, "token_revoked").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    // Another document, with which the edge has to know all logins anew; and a token by which it shows that it has come.
    let shorter = issuer(&system.provider, &json!({ "ttl_max_s": 1_800 }));
    let old = sign(system, &json!({ "iat": now() - 2_000 }));
    becomes(system, &old, "allowed").await;
    let put = system
        .cluster
        .acme(Method::PUT, "issuers/corp", Some(shorter));
    put.await.unwrap();
    becomes(system, &old, "login_token_expired").await;
    let bearer = format!("Bearer {subject}");
    let refused = system.mcp(&bearer, "worker__work", None).await;
    let got = (refused.status, refused.reason());
    assert_eq!(got, (StatusCode::UNAUTHORIZED, "token_revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_log_in_by_themselves() {
    if !npm::install().await {
        return;
    }
    let system = System::start_with(PUBLIC).await;
    // Their access tokens are for the resource that the edge says it is.
    let resource = system.url("/v1/mcp");
    let trusted = issuer(&system.provider, &json!({ "audience": resource }));
    let put = system
        .cluster
        .acme(Method::PUT, "issuers/mcp", Some(trusted));
    put.await.unwrap();
    let claims = system.provider.claims(&resource, &json!({}));
    system.becomes_good(&system.sign(&claims)).await;
    for (generation, mode, version) in [
        ("1", "legacy", "2025-11-25"),
        ("2", "legacy", "2025-11-25"),
        ("2", "auto", "2026-07-28"),
    ] {
        let who = format!("client {generation}.x, {mode}");
        let mut command = Command::new("node");
        command.arg(npm::here().join("login.mjs"));
        let out = npm::succeeds(command.args([&resource, generation, mode])).await;
        let told: Value =
            serde_json::from_str(out.trim()).unwrap_or_else(|_| panic!("{who}: {out}"));
        assert_eq!(told["version"], version, "{who}: {told}");
        assert_ne!(told["before"], "connected", "{who}: {told}");
        assert_eq!(told["tools"], json!(["worker__work"]), "{who}: {told}");
        for call in ["call", "again"] {
            let done = &told[call]["structuredContent"]["done"];
            assert_eq!(*done, "1", "{who}, {call}: {told}");
        }
        assert!(told["refused"].is_string(), "{who}: {told}");
        // What to ask for was in the edge's metadata, and in its refusal: never a tool, of which the provider knows nothing.
        for scope in told["scopes"].as_array().unwrap() {
            assert_eq!(*scope, "mcp:tools", "{who}: {told}");
        }
    }
    let executed = system.upstream.journal.all();
    assert!(executed.iter().all(|call| call.tool == "work"));
    assert_eq!(executed.len(), 6);
    system.cluster.stop().await;
}
