//! Claims of identity providers from any JSON: whom they give is one that the issuer's document names, and for no longer than
//! it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::CompiledIssuer;
use proctor_engine::json::{Limits, parse};
use proctor_model::Timestamp;
use serde_json::{Value, json};
use std::sync::LazyLock;

static ISSUERS: LazyLock<[CompiledIssuer; 2]> = LazyLock::new(|| {
    let issuer = |agent: Value, scopes: Value| {
        let document = json!({
            "id": "corp", "issuer": "https://login.example", "audience": "https://edge.example",
            "keys": {"kind": "fetched", "jwks_uri": "https://login.example/keys"},
            "agent": agent, "scopes": scopes, "tools": ["files/*"], "ttl_max_s": 600,
        });
        let document = serde_json::from_value(document).expect("an issuer");
        CompiledIssuer::compile(&document).expect("an issuer")
    };
    [
        issuer(json!({"kind": "fixed", "id": "copilot"}), json!([])),
        issuer(
            json!({"kind": "claim", "claim": "azp", "map": {"cursor": "coder"}}),
            json!(["tools", "read"]),
        ),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Object(claims)) = parse(bytes, &Limits::default()) else {
        return;
    };
    let now = Timestamp::from_secs(1_763_000_000);
    for (issuer, agent) in ISSUERS.iter().zip(["copilot", "coder"]) {
        let Ok(login) = issuer.judge(Some("at+jwt"), &claims, now) else {
            continue;
        };
        assert!(issuer.made(&claims) && issuer.is_for_us(&claims));
        assert_eq!(login.agent.as_str(), agent);
        assert!(login.expires_at > now && login.expires_at <= now.plus_secs(600));
        assert!(claims["exp"].as_f64().is_some_and(|exp| exp > 1_763_000_000.0));
        assert!(issuer.judge(Some("logout+jwt"), &claims, now).is_err());
        let late = login.expires_at.plus_secs(600 + 1);
        assert_eq!(issuer.judge(None, &claims, now).ok(), Some(login));
        if claims["exp"].as_f64().is_some_and(|exp| exp < 1_763_000_600.0) {
            assert!(issuer.judge(None, &claims, late).is_err(), "it is over");
        }
    }
});
