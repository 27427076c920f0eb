//! Each tampering is found, and nothing else is.

use super::*;
use crate::bundle::{Known, Trust, verify};

fn events(count: usize) -> Vec<AuditEvent> {
    let mut lanes: BTreeMap<&str, (u64, EntryHash)> = BTreeMap::new();
    let event = |n: usize| {
        let edge = ["edge_a", "edge_b", "edge_a"][n % 3];
        let (seq, prev) = lanes.get(edge).copied().unwrap_or((0, EntryHash::ZERO));
        let id = EventId::from(Uuid::from_u128(n as u128 + 1000));
        let at = Timestamp::from_secs(1_700_000_000);
        let (tenant, id_of_edge) = ("acme".parse().unwrap(), edge.parse().unwrap());
        let mut event = AuditEvent::new(tenant, id_of_edge, id, at, Kind::Refused);
        (event.edge_seq, event.edge_prev) = (seq + 1, prev);
        lanes.insert(
            edge,
            (seq + 1, EntryHash::of(&event.to_canonical().unwrap())),
        );
        event
    };
    (0..count).map(event).collect()
}

/// As the command does it: first the platform's bundle, then the others with what it says of them.
fn check(case: &Case, key: &VerifierKey) -> Option<Fault> {
    let mut trust = Trust {
        keys: vec![key.clone()],
        ..Trust::default()
    };
    if let Some(note) = &case.checkpoint {
        trust.remember(note).unwrap();
    }
    let (mut named, mut seen): (BTreeMap<String, Known>, Vec<String>) = Default::default();
    for bundle in &case.bundles {
        match verify(bundle.as_slice(), &trust).unwrap() {
            Ok(mut report) => {
                if let Some(double) = report.doubles.first() {
                    return Some(double.fault);
                }
                trust.known.extend(report.tenants.values().cloned());
                trust.seals.append(&mut report.seals);
                named.extend(report.tenants);
                seen.push(report.tenant);
            }
            Err(finding) => return Some(finding.fault),
        }
    }
    let missing = named.keys().any(|tenant| !seen.contains(tenant));
    missing.then_some(Fault::TenantMissing)
}

#[test]
fn each_tampering_is_named_and_the_sound_copy_is_sound() {
    let signer = Signer::from_seed(&[5; 32]).unwrap();
    let key = VerifierKey::of("", &signer);
    for count in [12, 13, 64, 257] {
        let bodies = chain(&events(count)).unwrap();
        for case in cases(&bodies, &signer).unwrap() {
            assert_eq!(check(&case, &key), case.fault, "{} of {count}", case.name);
            // Where a checkpoint from elsewhere is said to be needed, the bundle alone says nothing.
            if case.checkpoint.is_some() {
                let without = Case {
                    checkpoint: None,
                    ..case.clone()
                };
                assert_eq!(check(&without, &key), None, "{} of {count}", case.name);
            }
        }
    }
    let stranger = VerifierKey::of("", &Signer::from_seed(&[6; 32]).unwrap());
    let sound = cases(&chain(&events(12)).unwrap(), &signer)
        .unwrap()
        .remove(0);
    assert_eq!(check(&sound, &stranger), Some(Fault::Checkpoint));
}

#[test]
fn every_byte_of_a_bundle_counts() {
    let signer = Signer::from_seed(&[5; 32]).unwrap();
    let trust = Trust {
        keys: vec![VerifierKey::of("", &signer)],
        ..Trust::default()
    };
    let sound = cases(&chain(&events(12)).unwrap(), &signer)
        .unwrap()
        .remove(0);
    let bundle = sound.bundles[0].clone();
    let header = bundle.iter().position(|byte| *byte == b'\n').unwrap();
    for at in header..bundle.len() {
        let mut flipped = bundle.clone();
        flipped[at] ^= 1;
        assert!(
            verify(flipped.as_slice(), &trust).unwrap().is_err(),
            "byte {at}"
        );
        assert!(
            verify(&bundle[..at], &trust).unwrap().is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn any_stretch_of_a_chain_is_shown_to_be_of_it() {
    let signer = Signer::from_seed(&[5; 32]).unwrap();
    let drill = Drill {
        signer: &signer,
        tenant: "acme".parse().unwrap(),
    };
    let bodies = chain(&events(41)).unwrap();
    let leaves: Vec<Hash> = bodies
        .iter()
        .map(|body| *EntryHash::of(body).as_bytes())
        .collect();
    let node = |node: &crate::merkle::Node| {
        let start = usize::try_from(node.index << node.level).unwrap();
        let mut tree = Frontier::default();
        leaves[start..start + (1 << node.level)]
            .iter()
            .for_each(|leaf| tree.push(*leaf));
        hex::encode(tree.root())
    };
    let trust = Trust {
        keys: vec![VerifierKey::of("", &signer)],
        ..Trust::default()
    };
    for first in 1..=41u64 {
        for last in first..=41 {
            let (left, right) = Header::around(first, last, 41);
            let whole = drill.header(&bodies, &[drill.note(&bodies)]).unwrap();
            let header = Header {
                first,
                last,
                left: left.iter().map(node).collect(),
                right: right.iter().map(node).collect(),
                ..whole
            };
            let (from, to) = (
                usize::try_from(first).unwrap() - 1,
                usize::try_from(last).unwrap(),
            );
            let bundle = text(&header, &bodies[from..to]);
            let report = verify(bundle.as_slice(), &trust).unwrap().unwrap();
            assert_eq!((report.first, report.last, report.size), (first, last, 41));
            let mut edited = bodies[from..to].to_vec();
            edited[0] = String::from_utf8(edited[0].clone())
                .unwrap()
                .replace("refused", "unknown")
                .into_bytes();
            assert!(
                verify(text(&header, &edited).as_slice(), &trust)
                    .unwrap()
                    .is_err()
            );
        }
    }
}
