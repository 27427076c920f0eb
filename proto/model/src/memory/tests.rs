use super::*;
use uuid::Uuid;

#[test]
fn a_state_without_doubts_has_the_form_of_before() {
    let fact = FactState {
        digest: FactDigest::from_bytes([3; 32]),
        live: true,
        version: 1,
        record: RecordHash::ZERO,
        doubt: 0,
    };
    let text = serde_json::to_string(&fact).unwrap();
    assert!(!text.contains("doubt"), "{text}");
    assert_eq!(serde_json::from_str::<FactState>(&text).unwrap(), fact);
    let doubted = FactState { doubt: 2, ..fact };
    let text = serde_json::to_string(&doubted).unwrap();
    assert_eq!(serde_json::from_str::<FactState>(&text).unwrap(), doubted);
}

fn record() -> MemoryRecord {
    MemoryRecord {
        v: SCHEMA.into(),
        tenant: "acme".parse().unwrap(),
        store: "notes".parse().unwrap(),
        kind: "entity".into(),
        item: ItemId::from_bytes([1; 32]),
        version: 2,
        prev: RecordHash::from_bytes([2; 32]),
        change: MemoryChange::Add,
        facts: vec![Fact {
            digest: FactDigest::from_bytes([3; 32]),
            origins: vec!["trusted".into()],
            trust: MemoryTrust::Verified,
            proved: Some(Proved::Whole),
        }],
        writer: Writer {
            agent: "copilot".parse().unwrap(),
            user: Some("alice@acme.example".parse().unwrap()),
            session: Some("s-1".parse().unwrap()),
            delegation: Vec::new(),
            token_id: None,
            intent_id: None,
        },
        tool: "notes/add".parse().unwrap(),
        parents: vec![RecordHash::from_bytes([4; 32])],
        exposed: false,
        time: Timestamp::from_secs(1_700_000_000),
        edge: "edge_1".parse().unwrap(),
        decision_id: Uuid::nil().into(),
    }
}

fn certificate(platform: &Signer, edge: &Signer, name: &str, tenant: &str) -> String {
    platform
        .sign(&EdgeCertificate {
            edge: name.parse().unwrap(),
            signing_key: edge.public_key().key,
            sealing_key: String::new(),
            region: "local".parse().unwrap(),
            tenants: vec![tenant.parse().unwrap()],
            issued_at: Timestamp::from_secs(1_700_000_000),
        })
        .unwrap()
}

#[test]
fn the_canonical_record_its_hash_and_its_signature_are_golden() {
    let (one, two, three, four) = (
        "01".repeat(32),
        "02".repeat(32),
        "03".repeat(32),
        "04".repeat(32),
    );
    let golden = format!(
        r#"proctor-memory-v1|{{"change":"add","decision_id":"00000000-0000-0000-0000-000000000000","edge":"edge_1","exposed":false,"facts":[{{"digest":"{three}","origins":["trusted"],"proved":"whole","trust":"verified"}}],"item":"{one}","kind":"entity","parents":["{four}"],"prev":"{two}","store":"notes","tenant":"acme","time":"2023-11-14T22:13:20Z","tool":"notes/add","v":"proctor.memory/1","version":2,"writer":{{"agent":"copilot","session":"s-1","user":"alice@acme.example"}}}}"#
    );
    let record = record();
    assert_eq!(
        String::from_utf8(record.message().unwrap()).unwrap(),
        golden
    );
    assert_eq!(
        record.hash().unwrap().to_string(),
        "5f3f1314e0a08eeb3106b9fbd808158414f72559367febd31e8c833795328a50"
    );
    let signed = SignedRecord::sign(record, &Signer::from_seed(&[5; 32]).unwrap()).unwrap();
    assert_eq!(
        signed.signature,
        "b58GEZ1eS78JaBNX588d5-hZN0rh3Rlxe3O2P9F6qOGfwTGh83txIifPwVhRX2pdx26NrNhgrOP6Q3WFBsrbCg"
    );
}

#[test]
fn a_record_verifies_by_itself_and_nothing_of_it_may_change() {
    let platform = Signer::from_seed(&[1; 32]).unwrap();
    let edge = Signer::from_seed(&[5; 32]).unwrap();
    let trusted = Verifier::new([&platform.public_key()]).unwrap();
    let good = certificate(&platform, &edge, "edge_1", "acme");
    let signed = SignedRecord::sign(record(), &edge).unwrap();
    assert_eq!(
        signed.verify(&good, &trusted).unwrap(),
        record().hash().unwrap()
    );

    // Another tenant's edge, another edge of the tenant, and a platform that we don't know.
    let foreign = certificate(&platform, &edge, "edge_1", "globex");
    assert!(matches!(
        signed.verify(&foreign, &trusted),
        Err(MemoryError::Foreign)
    ));
    let other = certificate(&platform, &edge, "edge_2", "acme");
    assert!(matches!(
        signed.verify(&other, &trusted),
        Err(MemoryError::Foreign)
    ));
    let self_made = certificate(&edge, &edge, "edge_1", "acme");
    assert!(matches!(
        signed.verify(&self_made, &trusted),
        Err(MemoryError::Signature(_))
    ));

    // Every member of the record is under the signature.
    let text = serde_json::to_value(&signed).unwrap();
    let members: Vec<String> = text["record"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for member in members {
        let mut altered = text.clone();
        let value = &mut altered["record"][&member];
        *value = match member.as_str() {
            "version" => 3.into(),
            "exposed" => true.into(),
            "facts" | "parents" => serde_json::json!([]),
            "writer" => serde_json::json!({ "agent": "other" }),
            "item" | "prev" => "09".repeat(32).into(),
            "change" => "set".into(),
            "time" => "2024-01-01T00:00:00Z".into(),
            "tool" => "notes/set".into(),
            "decision_id" => "00000000-0000-0000-0000-000000000001".into(),
            _ => "other".into(),
        };
        let altered: SignedRecord = serde_json::from_value(altered).unwrap();
        assert!(altered.verify(&good, &trusted).is_err(), "{member}");
    }
}

#[test]
fn no_two_versions_have_one_hash() {
    let version = |version: u64| MemoryRecord {
        version,
        ..record()
    };
    assert!(version(UNITS_MAX).hash().is_ok());
    assert_ne!(
        version(UNITS_MAX).hash().unwrap(),
        version(UNITS_MAX - 1).hash().unwrap()
    );
    // Canonical JSON writes 2^53 for both of these.
    let signer = Signer::from_seed(&[1; 32]).unwrap();
    for beyond in [UNITS_MAX + 1, UNITS_MAX + 2, u64::MAX] {
        assert!(version(beyond).hash().is_err());
        assert!(SignedRecord::sign(version(beyond), &signer).is_err());
    }
}

#[test]
fn only_an_edge_of_the_tenant_may_ask() {
    let platform = Signer::from_seed(&[1; 32]).unwrap();
    let edge = Signer::from_seed(&[5; 32]).unwrap();
    let trusted = Verifier::new([&platform.public_key()]).unwrap();
    let question = MemoryQuestion {
        v: 1,
        tenant: "acme".parse().unwrap(),
        edge: "edge_1".parse().unwrap(),
        nonce: "00".repeat(16),
        ask: Ask::State,
        items: Vec::new(),
    };
    let ask =
        |certificate: String| SignedQuestion::sign(question.clone(), certificate, &edge).unwrap();
    let good = ask(certificate(&platform, &edge, "edge_1", "acme"));
    assert_eq!(good.clone().open(&trusted).unwrap(), question);
    assert!(
        ask(certificate(&platform, &edge, "edge_1", "globex"))
            .open(&trusted)
            .is_err()
    );
    let mut altered = good;
    altered.question.nonce = "11".repeat(16);
    assert!(altered.open(&trusted).is_err());
}

#[test]
fn digests_have_one_spelling() {
    assert!("0A".repeat(32).parse::<ItemId>().is_err());
    assert!("0a".repeat(31).parse::<ItemId>().is_err());
    assert_eq!(
        "0a".repeat(32).parse::<ItemId>().unwrap().as_bytes(),
        &[10; 32]
    );
}
