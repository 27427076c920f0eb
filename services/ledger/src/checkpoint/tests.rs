//! Notes of other implementations, and what must not be believed.

use super::*;

/// The key and a signed tree head of Go's checksum database, as its documentation prints them
/// (golang.org/x/mod/sumdb; go.dev/design/25530-sumdb).
const SUMDB_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
/// The example of golang.org/x/mod/sumdb/note.
const NOTE_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: "test/audit/acme".into(),
        size: 12,
        root: [7; 32],
    }
}

#[test]
fn the_note_of_gos_documentation_verifies() {
    let key = VerifierKey::parse(NOTE_KEY, "").unwrap();
    assert_eq!(key.text(), NOTE_KEY);
    let signed = Note::parse(NOTE)
        .unwrap()
        .signed(std::slice::from_ref(&key))
        .unwrap();
    assert_eq!(signed.logs.as_slice(), std::slice::from_ref(&key));
    let altered = NOTE.replace("think", "thank");
    let altered = Note::parse(&altered).unwrap();
    assert_eq!(altered.signed(&[key]), Err(CheckpointError::Signature));
    assert_eq!(VerifierKey::parse(SUMDB_KEY, "").unwrap().text(), SUMDB_KEY);
}

#[test]
fn a_checkpoint_tells_its_log_its_time_and_its_keys() {
    let (old, new) = (signer(1), signer(2));
    let note = checkpoint().sign(&[&new, &old], 1_700_000_000);
    for trusted in [&old, &new] {
        for name in ["", "test/audit/acme"] {
            let key = VerifierKey::of(name, trusted);
            let (read, signed) = open(&note, &[key]).unwrap();
            assert_eq!((read, signed.time_s()), (checkpoint(), Some(1_700_000_000)));
            assert_eq!(signed.logs.len(), 1);
        }
    }
    assert!(note.starts_with("test/audit/acme\n12\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n\u{2014} test/audit/acme "));
    let stranger = VerifierKey::of("", &signer(3));
    assert_eq!(open(&note, &[stranger]), Err(CheckpointError::Unsigned));
    let elsewhere = VerifierKey::of("test/audit/other", &new);
    assert_eq!(open(&note, &[elsewhere]), Err(CheckpointError::Unsigned));
}

#[test]
fn a_witness_cosigns_under_its_own_name() {
    let witness = signer(9);
    let text = checkpoint().text();
    let note =
        checkpoint().sign(&[&signer(1)], 5) + &cosign("witness.example/w1", &witness, &text, 77);
    let key = VerifierKey::of("witness.example/w1", &witness);
    let (_, signed) = open(&note, std::slice::from_ref(&key)).unwrap();
    assert_eq!(
        (signed.logs, signed.cosigned),
        (vec![], vec![(key.clone(), 77)])
    );
    // The time is signed too.
    let line = note.lines().last().unwrap();
    let mut bytes = B64.decode(line.rsplit_once(' ').unwrap().1).unwrap();
    bytes[11] ^= 1;
    let forged = note.replace(line.rsplit_once(' ').unwrap().1, &B64.encode(bytes));
    assert_eq!(open(&forged, &[key]), Err(CheckpointError::Signature));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let key = VerifierKey::of("", &signer(1));
    let note = checkpoint().sign(&[&signer(1)], 5);
    for (from, to) in [
        ("\n12\n", "\n012\n"),
        ("\n12\n", "\n+12\n"),
        ("\n12\n", "\n-1\n"),
        ("\n12\n", "\n99999999999999999999\n"),
        ("BwcH", "BwcH*"),
        ("\n\n", "\n"),
        ("test/audit/acme\n12", "\n12"),
        ("\u{2014} ", "- "),
        ("acme\n12", "acme\r\n12"),
    ] {
        let bad = note.replacen(from, to, 1);
        assert!(
            open(&bad, std::slice::from_ref(&key)).is_err(),
            "{from:?} to {to:?}"
        );
    }
    for (from, to) in [("\n12\n", "\n13\n"), ("BwcH", "CwcH")] {
        let bad = note.replacen(from, to, 1);
        assert_eq!(
            open(&bad, std::slice::from_ref(&key)),
            Err(CheckpointError::Signature)
        );
    }
    for bad in ["", "\n\n", "a\n\nb", &note[..note.len() - 1]] {
        assert_eq!(
            open(bad, std::slice::from_ref(&key)),
            Err(CheckpointError::Form)
        );
    }
    for bad in [
        "",
        "x",
        "a+b+c",
        &SUMDB_KEY.replace("033d", "033e"),
        &SUMDB_KEY[..60],
    ] {
        assert_eq!(
            VerifierKey::parse(bad, ""),
            Err(CheckpointError::Key),
            "{bad}"
        );
    }
}
