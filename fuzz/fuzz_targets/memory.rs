//! Signed memory records and questions from any bytes: they read back as written, verify only with the signature of the edge
//! that they name, and a record that says anything else has another hash and does not verify.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_model::Timestamp;
use proctor_model::config::EdgeCertificate;
use proctor_model::memory::{SCHEMA, SignedQuestion, SignedRecord};
use proctor_model::signed::{Signer, Verifier};
use std::sync::LazyLock;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed(&[7; 32]).expect("a seed"));

fn certificate(signed: &SignedRecord) -> EdgeCertificate {
    serde_json::from_value(serde_json::json!({
        "edge": signed.record.edge,
        "tenants": [signed.record.tenant],
        "signing_key": SIGNER.public_key().key,
        "sealing_key": "",
        "region": "local",
        "issued_at": Timestamp::from_secs(0),
    }))
    .expect("a certificate")
}

fn check(signed: SignedRecord, at: u16, byte: u8) {
    let edge = certificate(&signed);
    assert!(
        signed.verify_with(&edge).is_err(),
        "the edge did not sign it"
    );
    let Ok(ours) = SignedRecord::sign(signed.record, &SIGNER) else {
        return;
    };
    if ours.record.v != SCHEMA {
        assert!(ours.verify_with(&edge).is_err(), "another form");
        return;
    }
    let hash = ours.verify_with(&edge).expect("what the edge signed");
    assert_eq!(hash, ours.record.hash().expect("a hash"));
    let mut text = serde_json::to_vec(&ours).expect("a record");
    let again: SignedRecord = serde_json::from_slice(&text).expect("what was written");
    assert_eq!(again, ours);
    let mut next = ours.record.clone();
    next.version ^= 1;
    assert_ne!(next.hash().ok(), Some(hash), "two versions have one hash");
    let at = usize::from(at) % text.len();
    text[at] = byte;
    if let Ok(changed) = serde_json::from_slice::<SignedRecord>(&text)
        && changed.record != ours.record
    {
        assert!(
            changed.verify_with(&certificate(&changed)).is_err(),
            "changed"
        );
        assert_ne!(changed.record.hash().ok(), Some(hash));
    }
}

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (at, byte, bytes) = input;
    if let Ok(signed) = serde_json::from_slice::<SignedRecord>(bytes) {
        check(signed, at, byte);
    }
    if let Ok(question) = serde_json::from_slice::<SignedQuestion>(bytes) {
        let written = serde_json::to_vec(&question).expect("a question");
        let again: SignedQuestion = serde_json::from_slice(&written).expect("what was written");
        assert_eq!(again, question);
        assert!(question.open(&Verifier::default()).is_err(), "nobody asks");
    }
});
