//! Capability tokens from any bytes, and a good one with any bytes changed: each has one spelling only, and nobody makes
//! one that verifies without the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::token::{KeyRing, MintRequest, Token, inspect, verify};
use proctor_model::Timestamp;
use proctor_model::config::{TokenKey, TokenKeys};
use std::sync::LazyLock;

static MINTED: LazyLock<(KeyRing, Token)> = LazyLock::new(|| {
    let key = TokenKey {
        kid: "k1".parse().expect("an id"),
        key: [7; 32],
        not_after: None,
    };
    let keys = TokenKeys {
        keys: vec![key],
        digest_key: [0; 32],
        secrets: Vec::new(),
    };
    let keys = KeyRing::new("acme".parse().expect("an id"), &keys);
    let caveats = [
        "time < 2026-11-23T21:00:00Z",
        "tool in files/*",
        "depth <= 1",
    ];
    let request = MintRequest {
        tenant: "acme".parse().expect("an id"),
        agent: "copilot".parse().expect("an id"),
        caveats: caveats
            .map(|caveat| caveat.parse().expect("a caveat"))
            .into(),
    };
    let token = keys.mint(&request, [3; 16], Timestamp::from_secs(1_763_000_000));
    (keys, token.expect("a token"))
});

fn check(bytes: &[u8]) {
    let (keys, minted) = &*MINTED;
    let Ok(token) = Token::from_bytes(bytes) else {
        return;
    };
    assert_eq!(token.to_bytes(), bytes);
    let text = token.to_text();
    assert_eq!(Token::parse(&text).as_ref(), Ok(&token));
    assert!(inspect(&text).is_ok());
    assert!(token == *minted || verify(&token, keys).is_err(), "forged");
}

fuzz_target!(|input: (Vec<(u16, u8)>, &[u8])| {
    let (changes, bytes) = input;
    check(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(token) = Token::parse(text)
    {
        assert_eq!(token.to_text(), text);
    }
    let mut changed = MINTED.1.to_bytes();
    for (at, byte) in changes {
        match changed.get_mut(usize::from(at)) {
            Some(place) => *place = byte,
            None => changed.push(byte),
        }
    }
    check(&changed);
});
