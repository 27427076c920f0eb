//! Caveats from any text, one a line: each reads back as it was written, and a token that was minted or narrowed with
//! them verifies, whoever narrowed it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::limits::CAVEAT_BYTES_MAX;
use proctor_engine::token::{Caveat, KeyRing, MintRequest, Token, attenuate, mint, verify};
use proctor_model::Timestamp;
use proctor_model::config::{TokenKey, TokenKeys};
use std::sync::LazyLock;

static KEYS: LazyLock<TokenKeys> = LazyLock::new(|| TokenKeys {
    keys: vec![TokenKey {
        kid: "k1".parse().expect("an id"),
        key: [7; 32],
        not_after: None,
    }],
    digest_key: [0; 32],
    secrets: Vec::new(),
});

fn minted(caveats: Vec<Caveat>) -> Option<Token> {
    let request = MintRequest {
        tenant: "acme".parse().expect("an id"),
        agent: "copilot".parse().expect("an id"),
        caveats,
    };
    let at = Timestamp::from_secs(1_763_000_000);
    mint(&request, &KEYS.keys[0], [3; 16], at).ok()
}

fuzz_target!(|text: &str| {
    let base = ["time < 2026-11-23T21:00:00Z", "tool in files/*"];
    let base: Vec<Caveat> = base.map(|text| text.parse().expect("a caveat")).into();
    let mut caveats = Vec::new();
    for line in text.lines() {
        if let Ok(caveat) = Caveat::from_bytes(line.as_bytes()) {
            // A number may be written longer than it came.
            let written = caveat.to_string();
            if written.len() <= CAVEAT_BYTES_MAX {
                let again = Caveat::from_bytes(written.as_bytes());
                assert_eq!(again.as_ref(), Ok(&caveat), "{written:?}");
            }
            caveats.push(caveat);
        }
    }
    let bare = minted(base.clone()).expect("a token");
    let narrowed = attenuate(&bare, &caveats);
    let whole = minted([base, caveats].concat());
    assert_eq!(
        narrowed.as_ref().ok(),
        whole.as_ref(),
        "narrowed and minted"
    );
    if let Some(token) = whole {
        let keys = KeyRing::new("acme".parse().expect("an id"), &KEYS);
        let read = Token::parse(&token.to_text()).expect("a token that was minted");
        assert_eq!(read, token);
        let verified = verify(&read, &keys).expect("a token that was minted");
        assert_eq!(verified.revocation_ids().len(), token.caveats().len() + 1);
    }
});
