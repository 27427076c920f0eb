//! What is whole is left alone, what is half written gets another file, and nothing is written over.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::checkpoint::cosign;
use proctor_model::signed::Signer;

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32]).unwrap()
}

fn checkpoint(size: u64, root: u8) -> Checkpoint {
    Checkpoint {
        origin: "test/audit/acme".into(),
        size,
        root: [root; 32],
    }
}

/// Signed with two keys, as while a new one takes over.
fn note(size: u64, root: u8) -> String {
    checkpoint(size, root).sign(&[&signer(1), &signer(2)], 1_700_000_000)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn names_tell_sizes() {
    assert_eq!(name(7, 0), "00000000000000000007.checkpoint");
    assert_eq!(name(7, 2), "00000000000000000007.2.checkpoint");
    for number in [0, 1, 999] {
        for size in [1, 7, u64::MAX] {
            assert_eq!(size_of(&name(size, number)), Some(size));
        }
    }
    for other in [
        "00000000000000000007.partial",
        "x.checkpoint",
        "checkpoint",
        "",
    ] {
        assert_eq!(size_of(other), None, "{other}");
    }
}

#[test]
fn each_checkpoint_gets_one_file() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(newest(dir.path()).unwrap(), 0);
    for size in [3, 12] {
        for _ in 0..2 {
            write(dir.path(), size, &note(size, 1)).unwrap();
        }
    }
    assert_eq!(newest(dir.path()).unwrap(), 12);
    assert_eq!(names(dir.path()), [name(3, 0), name(12, 0)]);
    let kept = std::fs::read_to_string(dir.path().join(name(12, 0))).unwrap();
    assert_eq!(kept, note(12, 1));
    // Cosignatures that come later make no second file.
    let witness = cosign(
        "witness.example/w",
        &signer(3),
        &checkpoint(12, 1).text(),
        1_700_000_001,
    );
    let cosigned = note(12, 1) + &witness;
    write(dir.path(), 12, &cosigned).unwrap();
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn a_half_written_file_stays_and_gets_a_whole_one_beside_it() {
    let whole = note(12, 1);
    for length in 0..whole.len() {
        assert_eq!(
            judge(&whole.as_bytes()[..length], &whole),
            Kept::Half,
            "{length}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let half = &whole.as_bytes()[..whole.len() / 2];
    std::fs::write(dir.path().join(name(12, 0)), half).unwrap();
    std::fs::write(dir.path().join(name(12, 1)), b"").unwrap();
    assert_eq!(newest(dir.path()).unwrap(), 12);
    for _ in 0..2 {
        write(dir.path(), 12, &whole).unwrap();
        let kept = |number| std::fs::read(dir.path().join(name(12, number))).unwrap();
        assert_eq!(kept(0), half);
        assert_eq!(kept(1), b"");
        assert_eq!(kept(2), whole.as_bytes());
        assert_eq!(names(dir.path()).len(), 3);
    }
}

#[test]
fn another_checkpoint_of_the_same_size_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 12, &note(12, 1)).unwrap();
    let rewritten = write(dir.path(), 12, &note(12, 2));
    assert!(
        matches!(rewritten, Err(FileError::Another(_))),
        "{rewritten:?}"
    );
    let kept = std::fs::read_to_string(dir.path().join(name(12, 0))).unwrap();
    assert_eq!((kept, names(dir.path()).len()), (note(12, 1), 1));
}
