use super::*;
use crate::world::Revocations;
use proctor_model::config::{TokenKey, TokenKeys};
use proctor_model::{AgentId, KeyId, KeyThumbprint, ToolRef};
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashSet;

fn secret(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

fn key(kid: &str, first: u8) -> TokenKey {
    TokenKey {
        kid: kid.parse::<KeyId>().unwrap(),
        key: secret(first),
        not_after: None,
    }
}

fn ring() -> KeyRing {
    let keys = TokenKeys {
        keys: vec![key("k1", 0), key("k2", 7)],
        digest_key: [0; 32],
        secrets: Vec::new(),
    };
    KeyRing::new("acme".parse().unwrap(), &keys)
}

fn caveats(texts: &[&str]) -> Vec<Caveat> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn minted(texts: &[&str]) -> Token {
    let request = MintRequest {
        tenant: "acme".parse().unwrap(),
        agent: "copilot".parse::<AgentId>().unwrap(),
        caveats: caveats(texts),
    };
    let iat = Timestamp::from_secs(1_700_000_000);
    mint(&request, &key("k1", 0), [0; 16], iat).unwrap()
}

const NEEDED: [&str; 2] = ["time < 2026-11-23T21:00:00Z", "tool in files/*"];

#[test]
fn vectors_of_another_implementation() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let vector: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let text = vector["token"].as_str().unwrap();
        let got = Token::parse(text).and_then(|token| Ok((verify(&token, &ring())?, token)));
        match (vector["reason"].as_str(), got) {
            (Some(reason), Err(error)) => assert_eq!(Reason::from(&error).code(), reason, "{name}"),
            (None, Ok((verified, token))) => {
                assert_eq!(json!(token.caveats()), vector["caveats"], "{name}");
                let ids = json!(verified.revocation_ids());
                assert_eq!(ids, vector["revocation_ids"], "{name}");
                assert_eq!(token.to_text(), text, "{name}");
                assert_eq!(Some(&token.id()), verified.id(), "{name}");
                assert!(token.inspect().problems.is_empty(), "{name}");
            }
            (expected, got) => panic!("{name}: expected {expected:?}, got {got:?}"),
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen} vectors");
}

#[test]
fn what_we_mint_is_what_pymacaroons_mints() {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/vectors/02-all-caveats.json")).unwrap();
    let texts: Vec<&str> = vector["caveats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c.as_str().unwrap())
        .collect();
    assert_eq!(minted(&texts).to_text(), vector["token"].as_str().unwrap());
}

#[test]
fn minting_refuses_what_could_not_be_used() {
    let mint_with = |caveats| {
        let request = MintRequest {
            tenant: "acme".parse().unwrap(),
            agent: "copilot".parse().unwrap(),
            caveats,
        };
        mint(&request, &key("k1", 0), [1; 16], Timestamp::from_secs(1))
    };
    assert!(matches!(mint_with(vec![]), Err(TokenError::Incomplete(_))));
    assert!(matches!(
        mint_with(caveats(&NEEDED[..1])),
        Err(TokenError::Incomplete(_))
    ));
    assert!("cnf = abc".parse::<Caveat>().is_err());
    let deep = ["depth <= 0", "delegate = a"];
    assert_eq!(
        attenuate(&minted(&NEEDED), &caveats(&deep)),
        Err(TokenError::TooDeep)
    );
    let glob = Caveat::ToolIn(vec![]);
    assert!(attenuate(&minted(&NEEDED), &[glob]).is_err());
}

#[test]
fn a_token_is_bound_to_one_key_or_good_for_nothing() {
    let keys = ["A", "B"].map(|first| first.repeat(43));
    let [a, b]: [KeyThumbprint; 2] = keys.map(|key| key.parse().unwrap());
    let bound = |to: &[&KeyThumbprint]| {
        let caveats: Vec<_> = to.iter().map(|key| Caveat::Cnf((*key).clone())).collect();
        let token = attenuate(&minted(&NEEDED), &caveats).unwrap();
        let token = verify(&token, &ring()).unwrap();
        (
            token.is_bound(),
            token.is_bound_to(&a),
            token.is_bound_to(&b),
        )
    };
    assert_eq!(bound(&[]), (false, false, false));
    assert_eq!(bound(&[&a]), (true, true, false));
    assert_eq!(bound(&[&a, &a]), (true, true, false));
    assert_eq!(bound(&[&a, &b]), (true, false, false));
}

#[test]
fn only_who_mints_a_token_pins_it_to_an_edge() {
    let pinned = |token: &Token| verify(token, &ring()).unwrap().is_pinned();
    let [time, tools] = NEEDED;
    assert!(!pinned(&minted(&NEEDED)));
    assert!(pinned(&minted(&["edge = edge_1", time, tools])));
    assert!(pinned(&minted(&[time, "edge = edge_1", tools])));
    // What a holder could have appended.
    assert!(!pinned(&minted(&[time, tools, "edge = edge_1"])));
    let appended = attenuate(&minted(&NEEDED), &caveats(&["edge = edge_1"]));
    assert!(!pinned(&appended.unwrap()));
    let narrowed = attenuate(
        &minted(&["edge = edge_1", time, tools]),
        &caveats(&["calls <= 1"]),
    );
    assert!(pinned(&narrowed.unwrap()));
}

#[test]
fn standing_and_call_checks() {
    let edge = "edge_1".parse().unwrap();
    let region = "eu-west".parse().unwrap();
    let now: Timestamp = "2026-11-23T20:59:59.999999Z".parse().unwrap();
    let standing = |extra: &[&str], now: Timestamp, revoked: &dyn Revocations| {
        let token = attenuate(&minted(&NEEDED), &caveats(extra)).unwrap();
        verify(&token, &ring())
            .unwrap()
            .check_standing(now, &region, &edge, revoked)
    };
    let none = HashSet::new();
    for (extra, expect) in [
        (&[][..], Ok(())),
        (&["time < 2026-01-01T00:00:00Z"], Err(Reason::TokenExpired)),
        (
            &["time >= 2026-11-24T00:00:00Z"],
            Err(Reason::TokenNotYetValid),
        ),
        (&["time < 2027-01-01T00:00:00Z"], Ok(())),
        (&["agent = copilot"], Ok(())),
        (&["agent = other"], Err(Reason::TokenWrongContext)),
        (
            &["session = a", "session = b"],
            Err(Reason::TokenWrongContext),
        ),
        (&["session = a", "session = a"], Ok(())),
        (&["region in eu-west,us-east"], Ok(())),
        (&["region in us-east"], Err(Reason::TokenWrongPlace)),
        (
            &["edge = edge_1", "edge = edge_2"],
            Err(Reason::TokenWrongPlace),
        ),
    ] {
        assert_eq!(standing(extra, now, &none), expect, "{extra:?}");
    }
    let end = NEEDED[0].strip_prefix("time < ").unwrap().parse().unwrap();
    assert_eq!(standing(&[], end, &none), Err(Reason::TokenExpired));

    // Revoking any prefix kills the token, revoking a child leaves the parent.
    let parent = minted(&NEEDED);
    let child = attenuate(&parent, &caveats(&["calls <= 3"])).unwrap();
    let ids = verify(&child, &ring()).unwrap().revocation_ids().to_vec();
    assert_eq!(ids.len(), 4);
    for id in &ids {
        let revoked = HashSet::from([id.clone()]);
        assert_eq!(
            standing(&["calls <= 3"], now, &revoked),
            Err(Reason::TokenRevoked)
        );
    }
    assert_eq!(standing(&[], now, &HashSet::from([child.id()])), Ok(()));
}

#[test]
fn a_login_is_of_its_line_and_revoked_by_its_own_prefixes() {
    let token = verify(&minted(&NEEDED), &ring()).unwrap();
    let own = token.revocation_ids().first().cloned();
    assert_eq!((token.root().cloned(), token.is_of_login()), (own, false));
    let line = super::login_line(&[7; 32], "alice");
    let login = token
        .clone()
        .of_login(line.clone(), "alice".parse().unwrap());
    assert_eq!(
        (login.root(), login.is_of_login()),
        (Some(&line), true),
        "whatever its own root is"
    );
    assert_eq!(login.revocation_ids(), token.revocation_ids());
    assert_eq!(login.id(), token.revocation_ids().first());
    let user = login.login_user().map(ToString::to_string);
    assert_eq!((user.as_deref(), token.login_user()), (Some("alice"), None));
}

#[test]
fn a_nonce_says_who_logged_in_to_whoever_asks_about_them() {
    let nonce = super::nonce_of(&[7; 32], [1; 8], "alice@acme.example");
    assert!(nonce.starts_with(&[1; 8]));
    assert!(super::is_nonce_of(&[7; 32], &nonce, "Alice@ACME.example"));
    for (digest_key, nonce, user) in [
        (7, nonce, "bob@acme.example"),
        (8, nonce, "alice@acme.example"),
        (7, [1; 16], "alice@acme.example"),
    ] {
        assert!(!super::is_nonce_of(&[digest_key; 32], &nonce, user));
    }
}

#[test]
fn an_access_token_has_one_nonce_in_a_tenant() {
    let nonce = super::login_nonce(&[7; 32], "a.b.c");
    assert_eq!(
        nonce,
        super::login_nonce(&[7; 32], "a.b.C"),
        "another writing of its signature"
    );
    assert_ne!(nonce, super::login_nonce(&[7; 32], "a.B.c"));
    assert_eq!(nonce, super::login_nonce(&[7; 32], "a.b.c"));
    for (digest_key, text) in [(8, "a.b.c"), (7, "a.c.c")] {
        assert_ne!(nonce, super::login_nonce(&[digest_key; 32], text));
    }
}

#[test]
fn argument_caveats() {
    let tool: ToolRef = "bank/send_money".parse().unwrap();
    for (caveat, arguments, expect) in [
        (
            "arg bank/send_money /amount <= 100",
            json!({"amount": 100}),
            true,
        ),
        (
            "arg bank/send_money /amount <= 100",
            json!({"amount": 100.01}),
            false,
        ),
        (
            "arg bank/send_money /amount <= 100",
            json!({"amount": "5"}),
            false,
        ),
        ("arg bank/send_money /amount <= 100", json!({}), false),
        (
            "arg bank/send_money /amount >= 1",
            json!({"amount": 1.0}),
            true,
        ),
        ("arg bank/* /to = \"a\"", json!({"to": "a"}), true),
        ("arg bank/* /to = \"a\"", json!({"to": ["a"]}), false),
        ("arg mail/* /to = \"a\"", json!({"to": "b"}), true),
        ("arg bank/* /n in [1,null,true]", json!({"n": 1.0}), true),
        ("arg bank/* /n in [1,null,true]", json!({"n": null}), true),
        ("arg bank/* /n in [1,null,true]", json!({"n": false}), false),
        (
            "arg bank/* /a/0/b~1c matches ^x",
            json!({"a": [{"b/c": "xy"}]}),
            true,
        ),
        ("arg bank/* /a matches ^x$", json!({"a": "x\ny"}), false),
    ] {
        let Caveat::Arg(arg) = caveat.parse().unwrap() else {
            panic!("{caveat}");
        };
        assert_eq!(
            arg.allows(&tool, &arguments),
            expect,
            "{caveat} {arguments}"
        );
    }
}

#[test]
fn retired_keys_verify_until_their_end() {
    let end = Timestamp::from_secs(1_750_000_000);
    let mut retired = key("k1", 0);
    retired.not_after = Some(end);
    let keys = TokenKeys {
        keys: vec![retired],
        digest_key: [0; 32],
        secrets: Vec::new(),
    };
    let ring = KeyRing::new("acme".parse().unwrap(), &keys);
    let token = verify(&minted(&NEEDED), &ring).unwrap();
    let at = |now| {
        let (region, edge) = ("r".parse().unwrap(), "e".parse().unwrap());
        token.check_standing(now, &region, &edge, &HashSet::new())
    };
    assert_eq!(at(end.plus_secs(-1)), Ok(()));
    assert_eq!(at(end), Err(Reason::TokenUnknownKey));
}

fn any_caveat() -> impl Strategy<Value = String> {
    let glob = "[a-c*]{1,3}/[a-c*]{1,3}";
    prop_oneof![
        (0_i64..4_000_000_000).prop_map(|s| format!("time < {}", Timestamp::from_secs(s))),
        (0_i64..4_000_000_000).prop_map(|s| format!("time >= {}", Timestamp::from_secs(s))),
        prop::collection::vec(glob, 1..3).prop_map(|globs| format!("tool in {}", globs.join(","))),
        glob.prop_map(|glob| format!("tool not in {glob}")),
        "session = [a-c]".prop_map(String::from),
        "agent = (copilot|other)".prop_map(String::from),
        "verb in (read|write|read,write)".prop_map(String::from),
        "edge = (e|f)".prop_map(String::from),
        "region in (r|s|r,s)".prop_map(String::from),
        "calls <= [1-9]".prop_map(String::from),
        "arg [a-c*]/[a-c*] /x (<=|>=|=) [0-9]".prop_map(String::from),
        "arg [a-c*]/[a-c*] /x matches [a-c]".prop_map(String::from),
        "arg [a-c*]/[a-c*] /x in \\[[0-9],\"[a-c]\"\\]".prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn attenuation_never_widens(
        first in prop::collection::vec(any_caveat(), 0..4),
        second in prop::collection::vec(any_caveat(), 1..4),
        now in 0_i64..4_000_000_000,
        tool in "[a-c]{1,2}/[a-c]{1,2}",
        x in prop_oneof![(0..10).prop_map(serde_json::Value::from), "[a-c]".prop_map(serde_json::Value::from)],
    ) {
        let texts = |list: &[String]| caveats(&list.iter().map(String::as_str).collect::<Vec<_>>());
        let mut all = texts(&first);
        all.extend(caveats(&["time < 2090-01-01T00:00:00Z", "tool in */*"]));
        let request = MintRequest { tenant: "acme".parse().unwrap(), agent: "copilot".parse().unwrap(), caveats: all };
        let parent = mint(&request, &key("k2", 7), [9; 16], Timestamp::from_secs(5)).unwrap();
        let child = attenuate(&parent, &texts(&second)).unwrap();
        let tool: ToolRef = tool.parse().unwrap();
        let arguments = json!({"x": x});
        let (region, edge) = ("r".parse().unwrap(), "e".parse().unwrap());
        let allows = |token: &Token| {
            let token = verify(token, &ring()).unwrap();
            let verb = proctor_model::catalogue::Verb::Read;
            token.check_standing(Timestamp::from_secs(now), &region, &edge, &HashSet::new()).is_ok()
                && token.check_tool(&tool, verb).is_ok()
                && token.check_arguments(&tool, &arguments).is_ok()
        };
        prop_assert!(allows(&parent) || !allows(&child));
        prop_assert!(verify(&parent, &ring()).unwrap().ceilings().count() <= verify(&child, &ring()).unwrap().ceilings().count());
    }

    #[test]
    fn any_flipped_bit_is_refused(bit in 0_usize..8 * 400) {
        let token = minted(&["time < 2026-11-23T21:00:00Z", "tool in files/*", "arg files/* /path matches ^/a/", "calls <= 3"]);
        let mut bytes = token.to_bytes();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let got = Token::from_bytes(&bytes).and_then(|token| verify(&token, &ring()));
        prop_assert!(got.is_err());
    }

    #[test]
    fn caveats_round_trip(text in any_caveat()) {
        let caveat: Caveat = text.parse().unwrap();
        prop_assert_eq!(caveat.to_string().parse::<Caveat>().unwrap(), caveat);
    }

    #[test]
    fn anything_else_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[ -~]{0,60}") {
        let _ = Token::from_bytes(&bytes);
        let _ = Token::parse(&text);
        if let Ok(caveat) = text.parse::<Caveat>() {
            prop_assert_eq!(caveat.to_string().parse::<Caveat>().unwrap(), caveat);
        }
    }
}
