//! Signed documents from any text: nothing verifies that was not signed. What was signed reads back as the same, as that kind
//! of document only, and not after any change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_model::approval::{ApprovalAnswer, ApprovalRequest, ApprovalUse};
use proctor_model::audit::Receipt;
use proctor_model::config::{
    Assignment, EdgeCertificate, EdgeProof, Heartbeat, Revocation, SealedKeys, TenantConfig,
};
use proctor_model::intent::Intent;
use proctor_model::kill::KillSwitches;
use proctor_model::memory::MemoryAnswer;
use proctor_model::sighting::Sighting;
use proctor_model::signed::{Document, Signer, Verifier};
use std::sync::LazyLock;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed(&[7; 32]).expect("a seed"));
static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new([&SIGNER.public_key()]).expect("a key"));

fn check<D: Document>(text: &str, at: u16, bits: u8) {
    assert!(VERIFIER.verify::<D>(text).is_err(), "nobody signed it");
    let Ok(document) = serde_json::from_str::<D>(text) else {
        return;
    };
    let Ok(signed) = SIGNER.sign(&document) else {
        return;
    };
    let again: D = VERIFIER.verify(&signed).expect("what we signed");
    let written = |document: &D| serde_json::to_string(document).expect("a document");
    assert_eq!(written(&again), written(&document));
    let mut changed = signed.clone().into_bytes();
    let at = usize::from(at) % changed.len();
    changed[at] ^= bits;
    if let Ok(changed) = String::from_utf8(changed)
        && changed != signed
    {
        assert!(VERIFIER.verify::<D>(&changed).is_err(), "it was changed");
    }
    let other = match D::TYP == Receipt::TYP {
        true => VERIFIER.verify::<Heartbeat>(&signed).is_err(),
        false => VERIFIER.verify::<Receipt>(&signed).is_err(),
    };
    assert!(other, "it passes for another kind");
}

fuzz_target!(|input: (u16, u8, &str)| {
    let (at, bits, text) = input;
    check::<TenantConfig>(text, at, bits);
    check::<SealedKeys>(text, at, bits);
    check::<Intent>(text, at, bits);
    check::<Revocation>(text, at, bits);
    check::<Heartbeat>(text, at, bits);
    check::<EdgeCertificate>(text, at, bits);
    check::<EdgeProof>(text, at, bits);
    check::<Assignment>(text, at, bits);
    check::<Receipt>(text, at, bits);
    check::<KillSwitches>(text, at, bits);
    check::<ApprovalRequest>(text, at, bits);
    check::<ApprovalUse>(text, at, bits);
    check::<ApprovalAnswer>(text, at, bits);
    check::<MemoryAnswer>(text, at, bits);
    check::<Sighting>(text, at, bits);
});
