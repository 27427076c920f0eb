//! Offline verification of a million entries on one core, and how long a proof is.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails by panicking, and says what it measured"
)]

use proctor_ledger::bundle::{FORMAT, Header, Trust, verify};
use proctor_ledger::checkpoint::{Checkpoint, VerifierKey, origin};
use proctor_ledger::merkle::{Frontier, Plan};
use proctor_model::audit::{AuditEvent, Effect, Entry, EntryHash, EventTool, Kind};
use proctor_model::ids::EventId;
use proctor_model::signed::Signer;
use proctor_model::{Reason, Timestamp};
use std::time::Instant;
use uuid::Uuid;

const ENTRIES: u64 = 1_000_000;
const SEAL: u64 = 1_000;

/// Entries as they are in life: some 700 bytes, of three edges.
fn event(n: u64, lane: &mut (u64, EntryHash)) -> AuditEvent {
    let edge = format!("edge_{}", n % 3);
    let at = Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(n).unwrap() * 250);
    let id = EventId::from(Uuid::from_u128(u128::from(n) << 64));
    let mut event = AuditEvent::new(
        "acme".parse().unwrap(),
        edge.parse().unwrap(),
        id,
        at,
        Kind::Refused,
    );
    (event.edge_seq, event.edge_prev) = (lane.0 + 1, lane.1);
    event.effect = Some(Effect::Deny);
    event.reason = Some(Reason::TokenExpired);
    event.agent = Some("finance-copilot".parse().unwrap());
    event.session = Some("s-91f2".parse().unwrap());
    event.tool = Some(EventTool {
        server: "bank".parse().unwrap(),
        name: "send_money".parse().unwrap(),
        verb: None,
    });
    event.args_digest = Some(format!("hmac:{:064x}", n));
    event.arg_names = vec!["amount".into(), "recipient".into(), "subject".into()];
    event.trace_id = Some(format!("{n:032x}"));
    event.config_version = Some(12);
    event.timings_us = [("capability", 2), ("intent", 5), ("policy", 9)]
        .map(|(control, time)| (control.to_owned(), time))
        .into();
    *lane = (
        event.edge_seq,
        EntryHash::of(&event.to_canonical().unwrap()),
    );
    event
}

fn main() {
    let signer = Signer::from_seed(&[1; 32]).unwrap();
    let name = origin("bench", "acme");
    let (mut tree, mut prev, mut lanes) = (
        Frontier::default(),
        EntryHash::ZERO,
        [(0, EntryHash::ZERO); 3],
    );
    let (mut lines, mut checkpoints) = (Vec::new(), Vec::new());
    for n in 0..ENTRIES {
        let event = event(n, &mut lanes[usize::try_from(n % 3).unwrap()]);
        let body = Entry {
            seq: n + 1,
            prev,
            event,
        }
        .to_canonical()
        .unwrap();
        prev = EntryHash::of(&body);
        tree.push(*prev.as_bytes());
        lines.extend_from_slice(&body);
        lines.push(b'\n');
        if (n + 1) % SEAL == 0 {
            let checkpoint = Checkpoint {
                origin: name.clone(),
                size: tree.size(),
                root: tree.root(),
            };
            checkpoints.push(checkpoint.sign(&[&signer], 1_700_000_000 + n / SEAL));
        }
    }
    let header = Header {
        bundle: FORMAT.into(),
        tenant: "acme".into(),
        first: 1,
        last: ENTRIES,
        size: ENTRIES,
        left: Vec::new(),
        right: Vec::new(),
        checkpoints,
        keys: Vec::new(),
    };
    let bundle = [header.line().unwrap(), lines].concat();
    let trust = Trust {
        keys: vec![VerifierKey::of("", &signer)],
        ..Trust::default()
    };
    for _ in 0..3 {
        let started = Instant::now();
        let report = verify(bundle.as_slice(), &trust).unwrap().unwrap();
        let elapsed = started.elapsed();
        assert_eq!((report.last, report.root), (ENTRIES, tree.root()));
        println!(
            "{ENTRIES} entries, {} bytes each: {elapsed:.2?}, {:.0} entries/s",
            bundle.len() as u64 / ENTRIES,
            ENTRIES as f64 / elapsed.as_secs_f64()
        );
    }
    let longest = (0..ENTRIES)
        .step_by(997)
        .map(|index| {
            let plan = Plan::inclusion(index, ENTRIES).unwrap();
            plan.hashes()
        })
        .max();
    println!("longest inclusion proof: {} hashes", longest.unwrap_or(0));
}
