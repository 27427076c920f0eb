//! Checkpoints, notes, keys and proofs from any text: each has one spelling, none is believed that nobody signed, none that was
//! signed is lost, and no proof shows what is not so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_ledger::checkpoint::{Checkpoint, Note, VerifierKey, open};
use proctor_ledger::merkle::{Hash, extends, includes};
use proctor_ledger::tile::{Resource, index_path};
use proctor_ledger::witness::{Answer, Watcher, request};
use proctor_model::signed::Signer;
use std::sync::LazyLock;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed(&[7; 32]).expect("a seed"));
static WATCHER: LazyLock<Watcher> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join("proctor-fuzz-witness");
    let key = VerifierKey::of("fuzz/audit/acme", &SIGNER).text();
    Watcher::open(&dir, "witness", &[key]).expect("a witness")
});

fn texts(text: &str) {
    let key = VerifierKey::of("", &SIGNER);
    assert!(open(text, std::slice::from_ref(&key)).is_err(), "nobody signed it");
    let believed = WATCHER.add_checkpoint(text, 1_763_000_000);
    assert!(!matches!(believed, Answer::Cosigned(_)), "nobody signed it");
    let asked = WATCHER.add_checkpoint(&request(0, &[], text), 1_763_000_000);
    assert!(!matches!(asked, Answer::Cosigned(_)), "nobody signed it");
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert!(text.starts_with(&checkpoint.text()));
        let signed = checkpoint.sign(&[&SIGNER], 1_763_000_000);
        // A name that no note can have is no log's.
        if Note::parse(&signed).is_ok() && !checkpoint.origin.contains(' ') {
            let (again, signed) = open(&signed, &[key]).expect("what we signed");
            assert_eq!(again, checkpoint);
            assert_eq!((signed.logs.len(), signed.time_s()), (1, Some(1_763_000_000)));
        }
    }
    if let Ok(key) = VerifierKey::parse(text, "log") {
        assert_eq!(VerifierKey::parse(&key.text(), "").as_ref(), Ok(&key));
        assert_eq!(VerifierKey::parse(&key.cosigner_text(), ""), Ok(key));
    }
    match Resource::parse(text) {
        Some(Resource::Entries(index, width)) => {
            let part = if width == 256 { String::new() } else { format!(".p/{width}") };
            assert_eq!(format!("entries/{}{part}", index_path(index)), text);
        }
        Some(Resource::Tile(tile, width)) => {
            let part = if width == 256 { String::new() } else { format!(".p/{width}") };
            let path = index_path(tile.index);
            assert_eq!(format!("{}/{path}{part}", tile.level), text);
        }
        None => {}
    }
}

fuzz_target!(|input: (u64, u64, &[u8])| {
    let (one, other, bytes) = input;
    let (proof, _) = bytes.as_chunks::<32>();
    let (root, leaf): (Hash, Hash) = ([1; 32], [2; 32]);
    assert!(!includes(one, other, &leaf, proof, &root));
    assert!(!extends((one, &leaf), (other, &root), proof));
    if let Ok(text) = std::str::from_utf8(bytes) {
        texts(text);
    }
});
