//! Logging in: an identity provider's access token is exchanged at the edge; what is bound to a key needs a proof of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "login/approvals.rs"]
mod approvals;
#[path = "login/authorize.rs"]
mod authorize;
#[path = "login/bearer.rs"]
mod bearer;
#[path = "login/identity.rs"]
mod identity;
#[path = "clients/npm.rs"]
mod npm;
#[path = "login/system.rs"]
mod system;

use identity::{Key, Provider, now, signed_with_public, unsigned};
use proctor_loadtest::load::{AGENT, in_secs};
use proctor_loadtest::oracle;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use system::{ACCESS_TOKEN, AUDIENCE, System, answer, issuer};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_what_its_issuer_may_give_and_nothing_else_does() {
    let system = System::start().await;
    let claims = |more: Value| system.provider.claims(AUDIENCE, &more);

    // Exchanged, and used.
    let given = system.exchange(&system.sign(&claims(json!({}))), &[]).await;
    assert_eq!(given.headers["cache-control"], "no-store");
    let body = &given.body;
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN, "{body}");
    assert_eq!(body["token_type"], "Bearer");
    let lives = body["expires_in"].as_i64().unwrap();
    assert!(
        (590..=600).contains(&lives),
        "no longer than what it was exchanged for: {lives}"
    );
    let token = body["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let called = system.mcp(&bearer, "worker__work", None).await;
    assert_eq!(called.reason(), "allowed", "{}", called.body);
    assert_eq!(system.upstream.journal.all().len(), 1);

    // What it does not cover is said in a header, in each dialect.
    let lacking = "Bearer realm=\"proctor\", error=\"insufficient_scope\", scope=\"worker/danger\"";
    let refused = system.mcp(&bearer, "worker__danger", None).await;
    assert_eq!(
        (refused.status, refused.reason()),
        (StatusCode::FORBIDDEN, "tool_not_in_token")
    );
    assert_eq!(refused.challenge(), lacking);
    let refused = system.call(&bearer, "worker/danger", None).await;
    assert_eq!(
        (refused.status, refused.reason()),
        (StatusCode::FORBIDDEN, "tool_not_in_token")
    );
    assert_eq!(refused.challenge(), lacking);
    let allowed = system.call(&bearer, "worker/work", None).await;
    assert_eq!((allowed.reason(), allowed.challenge()), ("allowed", ""));

    // Narrowed by the client itself; never widened.
    let subject = system.sign(&claims(json!({})));
    for (scope, reason) in [
        ("worker/*", "allowed"),
        ("worker/danger", "tool_not_in_token"),
    ] {
        let given = system
            .exchange(&subject, &[("scope", scope), ("audience", "acme")])
            .await;
        assert_eq!(given.body["scope"], scope, "{}", given.body);
        let token = format!("Bearer {}", given.body["access_token"].as_str().unwrap());
        let called = system.call(&token, "worker/work", None).await;
        assert_eq!(called.reason(), reason, "{scope}");
    }

    // Refused, each in its words.
    let stranger = Key::rsa("one");
    let foreign = Provider::start(&[&stranger]).await;
    let plain = json!({});
    let before = system.provider.asked();
    for (what, subject, error, reason) in [
        (
            "another audience",
            system.sign(&claims(json!({ "aud": "https://other.example" }))),
            "invalid_request",
            "login_wrong_audience",
        ),
        (
            "no audience",
            system.sign(&claims(json!({ "aud": null }))),
            "invalid_request",
            "login_wrong_audience",
        ),
        (
            "over",
            system.sign(&claims(json!({ "exp": now() - 1 }))),
            "invalid_request",
            "login_token_expired",
        ),
        (
            "without end",
            system.sign(&claims(json!({ "exp": null }))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "not yet",
            system.sign(&claims(json!({ "nbf": now() + 120 }))),
            "invalid_request",
            "login_token_expired",
        ),
        (
            "a foreign issuer",
            stranger.sign(&plain, &foreign.claims(AUDIENCE, &plain)),
            "invalid_target",
            "login_issuer_unknown",
        ),
        (
            "a foreign key",
            stranger.sign(&plain, &claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "an unknown key",
            Key::rsa("two").sign(&plain, &claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "a key of another kind",
            Key::ec("one").sign(&plain, &claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "a secret",
            signed_with_public(&system.key, &claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "no signature",
            unsigned(&claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "another type",
            system
                .key
                .sign(&json!({ "typ": "logout+jwt" }), &claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "an extension",
            system
                .key
                .sign(&json!({ "crit": ["x"] }), &claims(json!({}))),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "no scope",
            system.sign(&claims(json!({ "scope": "openid" }))),
            "invalid_request",
            "login_not_admitted",
        ),
        (
            "another client",
            system.sign(&claims(json!({ "azp": "other" }))),
            "invalid_request",
            "login_not_admitted",
        ),
        (
            "no user",
            system.sign(&claims(json!({ "sub": null }))),
            "invalid_request",
            "login_not_admitted",
        ),
        (
            "no token",
            "x".to_owned(),
            "invalid_request",
            "login_token_invalid",
        ),
        (
            "a capability token",
            token.clone(),
            "invalid_request",
            "login_token_invalid",
        ),
    ] {
        let refused = system.exchange(&subject, &[]).await;
        let got = (
            refused.status,
            refused.body["error"].as_str().unwrap(),
            refused.reason(),
        );
        assert_eq!(got, (StatusCode::BAD_REQUEST, error, reason), "{what}");
        assert_eq!(refused.headers["cache-control"], "no-store", "{what}");
        assert!(
            !refused.body.to_string().contains("eyJ"),
            "{what}: {}",
            refused.body
        );
    }
    assert!(
        system.provider.asked() - before <= 5,
        "made-up keys are not asked for each time"
    );
    for tenant in ["zoo", "nobody"] {
        let refused = system.exchange(&subject, &[("audience", tenant)]).await;
        let got = (refused.body["error"].as_str().unwrap(), refused.reason());
        assert_eq!(got, ("invalid_target", "login_issuer_unknown"), "{tenant}");
    }
    let refused = system.exchange(&subject, &[("actor_token", "x")]).await;
    assert_eq!(refused.body["error"], "invalid_request");
    // Outside MCP an access token is no capability token.
    let refused = system
        .call(&format!("Bearer {subject}"), "worker/work", None)
        .await;
    assert_eq!(
        (refused.status, refused.reason()),
        (StatusCode::UNAUTHORIZED, "token_malformed")
    );

    // Another tenant, that trusts the same provider for another audience; its tokens are not this one's.
    let api = async |method: Method, path: &str, body: Value| {
        system.cluster.api(method, path, Some(body)).await
    };
    let zoo = json!({ "tenant": "zoo", "settings": { "intent": "when_declared" } });
    api(Method::POST, "/v1/tenants", zoo).await.unwrap();
    let path = format!("/v1/tenants/zoo/agents/{AGENT}");
    api(Method::PUT, &path, json!({})).await.unwrap();
    let trusted = issuer(
        &system.provider,
        &json!({ "audience": "https://zoo.example" }),
    );
    api(Method::PUT, "/v1/tenants/zoo/issuers/corp", trusted)
        .await
        .unwrap();
    let path = format!("/v1/edges/{}", system.cluster.edge_id());
    api(Method::PUT, &path, json!({ "tenants": ["acme", "zoo"] }))
        .await
        .unwrap();
    let theirs = system.provider.claims("https://zoo.example", &json!({}));
    let given = system.becomes_good(&system.sign(&theirs)).await;
    let theirs = format!("Bearer {}", given["access_token"].as_str().unwrap());
    let refused = system.call(&theirs, "worker/work", None).await;
    assert_ne!(
        refused.reason(),
        "allowed",
        "it is zoo's, who has no such tool"
    );
    let refused = system.exchange(&subject, &[("audience", "zoo")]).await;
    let got = (refused.body["error"].as_str().unwrap(), refused.reason());
    assert_eq!(got, ("invalid_request", "login_wrong_audience"));

    // A new key of the provider's is found, an old one is not believed once it is gone.
    let two = Key::ec("two");
    system.provider.show(&[&two]);
    system
        .becomes_good(&two.sign(&json!({}), &claims(json!({}))))
        .await;
    let refused = system.exchange(&subject, &[]).await;
    assert_eq!(refused.reason(), "login_token_invalid");

    // Who is disabled gets nothing, whatever the provider says.
    let disabled = json!({ "status": "disabled" });
    let path = format!("agents/{AGENT}");
    system
        .cluster
        .acme(Method::PUT, &path, Some(disabled))
        .await
        .unwrap();
    let subject = || two.sign(&json!({}), &claims(json!({})));
    system
        .until(subject, |answer| answer.reason() == "agent_disabled")
        .await;

    // In the chain: who got which token, and what was refused; no token in it.
    oracle::settled(&system.cluster, Duration::from_secs(20))
        .await
        .unwrap();
    let admin = system.events("kind=admin").await;
    let exchanged = |event: &&Value| event["admin"]["action"] == "token.exchange";
    let first = admin
        .iter()
        .find(exchanged)
        .expect("the login is in the chain");
    assert_eq!(first["user"], "alice@acme.example", "{first}");
    assert_eq!(first["agent"], AGENT);
    assert_eq!(first["admin"]["principal"], "corp/alice@acme.example");
    assert_eq!(first["admin"]["object"], first["token_id"]);
    for reason in [
        "login_wrong_audience",
        "login_token_expired",
        "login_token_invalid",
        "login_not_admitted",
    ] {
        let query = format!("kind=refused&reason={reason}");
        assert!(!system.events(&query).await.is_empty(), "{reason}");
    }
    let all = json!(system.events("").await).to_string();
    assert!(!all.contains("eyJ") && !all.contains("pct_"));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_key_needs_a_proof_of_it_each_time() {
    let system = System::start().await;
    let client = Key::ec("c");
    let (token_url, call_url) = (system.url("/v1/token"), system.url("/v1/tool-call"));
    let subject = system.sign(&system.provider.claims(AUDIENCE, &json!({})));

    // Bound at the exchange.
    let proof = client.proof("POST", &token_url, None, "x1");
    let given = system.exchange_with(&subject, &[], Some(&proof)).await;
    assert_eq!(given.body["token_type"], "DPoP", "{}", given.body);
    let token = given.body["access_token"].as_str().unwrap().to_owned();
    let again = system.exchange_with(&subject, &[], Some(&proof)).await;
    let got = (again.status, again.body["error"].as_str().unwrap());
    assert_eq!(
        got,
        (StatusCode::BAD_REQUEST, "invalid_dpop_proof"),
        "{}",
        again.body
    );

    let dpop = format!("DPoP {token}");
    let good = |jti: &str| client.proof("POST", &call_url, Some(&token), jti);
    let called = system.call(&dpop, "worker/work", Some(&good("1"))).await;
    assert_eq!(called.reason(), "allowed", "{}", called.body);
    let mcp = client.proof("POST", &system.url("/v1/mcp"), Some(&token), "2");
    let called = system.mcp(&dpop, "worker__work", Some(&mcp)).await;
    assert_eq!(called.reason(), "allowed", "{}", called.body);

    let other = Key::ed("c");
    let elsewhere = |url: &str, jti: &str| client.proof("POST", url, Some(&token), jti);
    for (what, authorization, proof, reason) in [
        ("none", &dpop, None, "proof_missing"),
        ("used before", &dpop, Some(good("1")), "proof_invalid"),
        (
            "another path",
            &dpop,
            Some(elsewhere(&system.url("/v1/mcp"), "3")),
            "proof_invalid",
        ),
        (
            "another host",
            &dpop,
            Some(elsewhere("http://evil.example/v1/tool-call", "4")),
            "proof_invalid",
        ),
        (
            "another method",
            &dpop,
            Some(client.proof("GET", &call_url, Some(&token), "5")),
            "proof_invalid",
        ),
        (
            "another key",
            &dpop,
            Some(other.proof("POST", &call_url, Some(&token), "6")),
            "proof_invalid",
        ),
        (
            "another token",
            &dpop,
            Some(client.proof("POST", &call_url, Some("pct_x"), "7")),
            "proof_invalid",
        ),
        (
            "no token",
            &dpop,
            Some(client.proof("POST", &call_url, None, "8")),
            "proof_invalid",
        ),
        (
            "a mere bearer's",
            &format!("Bearer {token}"),
            None,
            "proof_missing",
        ),
        (
            "a bearer's",
            &format!("Bearer {token}"),
            Some(good("9")),
            "proof_missing",
        ),
        ("nonsense", &dpop, Some("x".to_owned()), "proof_invalid"),
    ] {
        let refused = system
            .call(authorization, "worker/work", proof.as_deref())
            .await;
        let got = (refused.status, refused.reason());
        assert_eq!(got, (StatusCode::UNAUTHORIZED, reason), "{what}");
        let challenge = refused.challenge();
        assert!(
            challenge.starts_with("DPoP ") && challenge.contains("error=\"invalid_dpop_proof\""),
            "{what}: {challenge}"
        );
    }
    let refused = system
        .mcp(&format!("Bearer {token}"), "worker__work", None)
        .await;
    assert_eq!(
        (refused.status, refused.reason()),
        (StatusCode::UNAUTHORIZED, "proof_missing")
    );

    // Minted by an operator with the caveat, whatever kind of key; and bound to two keys: good with neither.
    let mint = async |keys: &[&Key]| {
        let mut caveats = vec![
            format!("time < {}", in_secs(600).unwrap()),
            "tool in worker/*".to_owned(),
        ];
        caveats.extend(keys.iter().map(|key| format!("cnf = {}", key.thumbprint())));
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let minted = system
            .cluster
            .acme(Method::POST, "tokens", Some(body))
            .await
            .unwrap();
        minted["token"].as_str().unwrap().to_owned()
    };
    for (at, key) in [Key::rsa("c"), Key::ec("c"), Key::ed("c")]
        .iter()
        .enumerate()
    {
        let token = mint(&[key]).await;
        let proof = key.proof("POST", &call_url, Some(&token), &format!("m{at}"));
        let called = system
            .call(&format!("DPoP {token}"), "worker/work", Some(&proof))
            .await;
        assert_eq!(called.reason(), "allowed", "{}", called.body);
    }
    let token = mint(&[&client, &other]).await;
    for key in [&client, &other] {
        let proof = key.proof("POST", &call_url, Some(&token), "both");
        let refused = system
            .call(&format!("DPoP {token}"), "worker/work", Some(&proof))
            .await;
        assert_eq!(refused.reason(), "proof_invalid");
    }
    // One that is bound to nothing is a bearer's, and says so.
    let token = mint(&[]).await;
    let proof = client.proof("POST", &call_url, Some(&token), "n");
    let refused = system
        .call(&format!("DPoP {token}"), "worker/work", Some(&proof))
        .await;
    assert_eq!(refused.reason(), "proof_invalid");
    let called = system
        .call(&format!("Bearer {token}"), "worker/work", None)
        .await;
    assert_eq!(called.reason(), "allowed");
    // Twice in one request is none.
    let request = system.http.post(&call_url).header("authorization", &dpop);
    let request = request
        .header("dpop", good("10"))
        .header("dpop", good("11"));
    let refused = answer(request.json(&json!({}))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);

    // An issuer may ask for proofs.
    let asks = issuer(&system.provider, &json!({ "proof_required": true }));
    system
        .cluster
        .acme(Method::PUT, "issuers/corp", Some(asks))
        .await
        .unwrap();
    let refused = system
        .until(
            || subject.clone(),
            |answer| answer.reason() == "proof_missing",
        )
        .await;
    assert_eq!(refused.body["error"], "invalid_dpop_proof");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_to_trust_is_for_a_tenants_administrators() {
    let system = System::start().await;
    let cluster = &system.cluster;
    let path = "/v1/tenants/acme/issuers/other";
    let inline = json!({ "kind": "inline", "jwks": { "keys": [system.key.jwk()] } });
    let good = issuer(
        &system.provider,
        &json!({ "audience": "https://b.example", "keys": inline }),
    );
    for (role, may) in [
        ("viewer", false),
        ("operator", false),
        ("policy-admin", false),
        ("tenant-admin", true),
    ] {
        let key = cluster.key(role).await.unwrap();
        let put = cluster
            .api_as(&key, Method::PUT, path, Some(good.clone()))
            .await;
        assert_eq!(put.is_ok(), may, "{role}: {put:?}");
    }
    let claims = system.provider.claims("https://b.example", &json!({}));
    system.becomes_good(&system.sign(&claims)).await;
    let listed = cluster.acme(Method::GET, "issuers", None).await.unwrap();
    assert_eq!(listed["issuers"][1]["id"], "other", "{listed}");

    let admin = cluster.key("tenant-admin").await.unwrap();
    let keys = |uri: &str, private: bool| json!({ "kind": "fetched", "jwks_uri": uri, "private_addresses": private });
    for (what, bad) in [
        (
            "plain http",
            json!({ "keys": keys("http://login.example/keys", false) }),
        ),
        (
            "the edges' own network",
            json!({ "keys": keys("https://10.0.0.1/keys", true) }),
        ),
        ("a secret's algorithm", json!({ "algorithms": ["HS256"] })),
        ("no algorithm", json!({ "algorithms": ["none"] })),
        (
            "a private key",
            json!({ "keys": { "kind": "inline", "jwks": { "keys": [{ "kty": "EC", "d": "AA" }] } } }),
        ),
        ("no tools", json!({ "tools": [] })),
        ("no caveat", json!({ "caveats": ["colour = red"] })),
        ("a week", json!({ "ttl_max_s": 604_800 })),
        ("the other's audience", json!({ "audience": AUDIENCE })),
        ("an unknown member", json!({ "trust": "everything" })),
    ] {
        let mut document = good.clone();
        let members = document.as_object_mut().unwrap();
        members.extend(bad.as_object().unwrap().clone());
        let put = cluster
            .api_as(&admin, Method::PUT, path, Some(document))
            .await;
        assert!(put.is_err(), "{what}");
    }
    cluster
        .api_as(&admin, Method::DELETE, path, None)
        .await
        .unwrap();
    system
        .until(
            || system.sign(&claims),
            |answer| answer.status != StatusCode::OK,
        )
        .await;
    system.cluster.stop().await;
}
