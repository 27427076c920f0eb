//! Audit bundles: nothing that was not sealed is sound; each stretch of a sound chain is; and one with any bytes changed is
//! not, or says the same as before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_ledger::bundle::{FORMAT, Header, Report, Trust, hex_all, verify};
use proctor_ledger::checkpoint::{Checkpoint, VerifierKey, origin};
use proctor_ledger::merkle::{Frontier, Hash, Node};
use proctor_model::audit::{AuditEvent, Entry, EntryHash, Kind};
use proctor_model::ids::EventId;
use proctor_model::signed::Signer;
use proctor_model::{Timestamp, audit::LaneEvent};
use std::sync::LazyLock;
use uuid::Uuid;

const ENTRIES: u64 = 7;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed(&[7; 32]).expect("a seed"));
static TRUST: LazyLock<Trust> = LazyLock::new(|| Trust {
    keys: vec![VerifierKey::of("", &SIGNER)],
    ..Trust::default()
});
/// A chain that two edges wrote.
static CHAIN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (mut lanes, mut prev, mut chain) = ([(0, EntryHash::ZERO); 2], EntryHash::ZERO, vec![]);
    for n in 1..=ENTRIES {
        let lane = usize::from(n % 3 == 0);
        let id = |n: u64| EventId::from(Uuid::from_u128(n.into()));
        let kinds = [Kind::Authorized, Kind::Completed, Kind::Refused];
        let mut event = AuditEvent::new(
            "acme".parse().expect("an id"),
            format!("edge_{lane}").parse().expect("an id"),
            id(n),
            Timestamp::from_secs(1_763_000_000),
            kinds[lane + usize::from(n % 2 == 0)],
        );
        event.of = (event.kind == Kind::Completed).then(|| id(n - 1));
        (event.edge_seq, event.edge_prev) = (lanes[lane].0 + 1, lanes[lane].1);
        let event = LaneEvent::write(event).expect("an event");
        lanes[lane] = (event.event.edge_seq, event.hash);
        let entry = event.entry(n, &prev).expect("an entry");
        assert!(Entry::from_canonical(&entry).is_ok());
        prev = EntryHash::of(&entry);
        chain.push(entry);
    }
    chain
});

fn hash_of(node: Node, leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    let first = node.index << node.level;
    for at in first..first + (1 << node.level) {
        tree.push(leaves[usize::try_from(at).expect("a few")]);
    }
    tree.root()
}

/// A stretch of the chain, sealed.
fn bundle(chain: &[Vec<u8>], first: u64, last: u64) -> Vec<u8> {
    let hash = |entry: &Vec<u8>| *EntryHash::of(entry).as_bytes();
    let leaves: Vec<Hash> = chain.iter().map(hash).collect();
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    let checkpoint = Checkpoint {
        origin: origin("fuzz", "acme"),
        size: tree.size(),
        root: tree.root(),
    };
    let hashes = |nodes: Vec<Node>| -> Vec<Hash> {
        nodes
            .into_iter()
            .map(|node| hash_of(node, &leaves))
            .collect()
    };
    let (left, right) = Header::around(first, last, tree.size());
    let header = Header {
        bundle: FORMAT.into(),
        tenant: "acme".into(),
        first,
        last,
        size: tree.size(),
        left: hex_all(&hashes(left)),
        right: hex_all(&hashes(right)),
        checkpoints: vec![checkpoint.sign(&[&SIGNER], 1_763_000_001)],
        keys: vec![],
    };
    let mut bundle = header.line().expect("a header");
    let stretch = usize::try_from(first - 1).expect("a few")..usize::try_from(last).expect("a few");
    for entry in &chain[stretch] {
        bundle.extend_from_slice(entry);
        bundle.push(b'\n');
    }
    bundle
}

fn judged(bundle: &[u8]) -> Option<Report> {
    verify(bundle, &TRUST).expect("bytes can be read").ok()
}

fn says(report: &Report) -> (&str, u64, u64, u64, Hash, u64) {
    let Report { first, last, .. } = *report;
    (
        &report.tenant,
        first,
        last,
        report.size,
        report.root,
        report.open_calls,
    )
}

/// The bytes with others at some places.
fn changed(bytes: &[u8], changes: &[(u16, u8)]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for (at, byte) in changes {
        match changed.get_mut(usize::from(*at)) {
            Some(place) => *place = *byte,
            None => changed.push(*byte),
        }
    }
    changed
}

/// What stands behind the header.
fn entries(bundle: &[u8]) -> Option<&[u8]> {
    let header = bundle.iter().position(|byte| *byte == b'\n')?;
    bundle.get(header..)
}

fuzz_target!(|input: (u8, u8, u16, Vec<(u16, u8)>, &[u8])| {
    let (first, last, cut, changes, raw) = input;
    assert!(judged(raw).is_none(), "nobody sealed it");
    let first = u64::from(first) % (ENTRIES + 1) + 1;
    let last = (first - 1 + u64::from(last) % (ENTRIES + 1)).min(ENTRIES);
    let whole = bundle(&CHAIN, first, last);
    let sound = judged(&whole).expect("a stretch of a sound chain");
    let mut other = changed(&whole, &changes);
    other.truncate(other.len().saturating_sub(cut.into()));
    if let Some(report) = judged(&other) {
        assert_eq!(says(&report), says(&sound), "it was changed");
        assert_eq!(entries(&other), entries(&whole), "an entry was changed");
    }
    // Entries of any form, sealed as they are: a verdict, whatever it is.
    let lines = changed(&CHAIN.join(&b'\n'), &changes);
    let lines = lines.split(|byte| *byte == b'\n').chain([raw]);
    let lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    for lines in [lines.as_slice(), &lines[..lines.len() - 1]] {
        let size = u64::try_from(lines.len()).expect("a few");
        if let Some(report) = judged(&bundle(lines, 1, size)) {
            assert_eq!((report.first, report.last, report.size), (1, size, size));
            let later = judged(&bundle(lines, size.div_ceil(2), size));
            assert!(later.is_some(), "a stretch of a sound chain");
        }
    }
});
