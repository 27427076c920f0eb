use super::*;
use crate::budget::{Meter, Scope, Window};
use crate::catalogue::Verb;
use crate::config::PolicyMode;
use crate::content::ContentFinding;
use crate::ids::{DecisionId, EventId};
use crate::reason::{Control, Reason};
use crate::signed::{Signer, Verifier};
use crate::time::Timestamp;
use uuid::Uuid;

fn event(edge_seq: u64, edge_prev: EntryHash) -> AuditEvent {
    let id = EventId::from(Uuid::from_u128(u128::from(edge_seq)));
    let at = Timestamp::from_secs(1_700_000_000);
    let mut event = AuditEvent::new(
        "acme".parse().unwrap(),
        "edge_1".parse().unwrap(),
        id,
        at,
        Kind::Refused,
    );
    event.edge_seq = edge_seq;
    event.edge_prev = edge_prev;
    event.reason = Some(Reason::TokenExpired);
    event
}

#[test]
fn the_canonical_bytes_are_golden() {
    let bytes = event(1, EntryHash::ZERO).to_canonical().unwrap();
    let zeros = "0".repeat(64);
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        format!(
            r#"{{"edge":"edge_1","edge_prev":"{zeros}","edge_seq":1,"event_id":"00000000-0000-0000-0000-000000000001","kind":"refused","reason":"token_expired","tenant":"acme","time":"2023-11-14T22:13:20Z","v":"proctor.audit/1"}}"#
        )
    );
    assert_eq!(
        AuditEvent::from_canonical(&bytes).unwrap(),
        event(1, EntryHash::ZERO)
    );
    let entry = Entry {
        seq: 9,
        prev: EntryHash::of(b"x"),
        event: event(1, EntryHash::ZERO),
    };
    assert_eq!(
        Entry::from_canonical(&entry.to_canonical().unwrap()).unwrap(),
        entry
    );
    let spaced = String::from_utf8(bytes).unwrap().replace(':', ": ");
    assert!(AuditEvent::from_canonical(spaced.as_bytes()).is_err());
}

/// One that can't be read back would stop its edge and its ledger.
#[test]
fn figures_beyond_what_json_holds_are_cut_down() {
    let mut event = event(1, EntryHash::ZERO);
    event.usage = Some(EventUsage {
        input_tokens: u64::MAX,
        output_tokens: 1 << 60,
        estimated: false,
    });
    event.budget = vec![EventBudget {
        scope: Scope::Tenant,
        id: String::new(),
        meter: Meter::Cost,
        window: Window::Lifetime,
        units: u64::MAX,
    }];
    let back = AuditEvent::from_canonical(&event.to_canonical().unwrap()).unwrap();
    let usage = back.usage.unwrap();
    let most = crate::budget::UNITS_MAX;
    let figures = [
        usage.input_tokens,
        usage.output_tokens,
        back.budget[0].units,
    ];
    assert_eq!(figures, [most; 3]);
}

#[test]
fn a_batch_opens_only_whole_and_in_order() {
    let signer = Signer::from_seed(&[1; 32]).unwrap();
    let keys = Verifier::new([&signer.public_key()]).unwrap();
    let first = event(1, EntryHash::ZERO).to_canonical().unwrap();
    let second = event(2, EntryHash::of(&first)).to_canonical().unwrap();
    let seal = |events: &[&Vec<u8>], last| {
        Batch::seal(
            "acme".parse().unwrap(),
            "edge_1".parse().unwrap(),
            String::new(),
            events,
            last,
            &signer,
        )
        .unwrap()
    };
    assert_eq!(seal(&[&first, &second], 2).open(&keys).unwrap().len(), 2);
    let wire = serde_json::to_vec(&seal(&[&first, &second], 2)).unwrap();
    assert_eq!(
        serde_json::from_slice::<Batch>(&wire)
            .unwrap()
            .open(&keys)
            .unwrap()[1]
            .text
            .as_bytes(),
        &second[..]
    );
    assert!(seal(&[&second, &first], 1).open(&keys).is_err());
    assert!(seal(&[&first, &second], 3).open(&keys).is_err());
    let mut cut = seal(&[&first, &second], 2);
    cut.events.pop();
    assert!(cut.open(&keys).is_err());
    let other = Verifier::new([&Signer::from_seed(&[2; 32]).unwrap().public_key()]).unwrap();
    assert!(seal(&[&first], 1).open(&other).is_err());
}

/// An event with all of its members, their texts from `texts`, their figures from `figures`.
fn full(texts: &[String], figures: &[u64]) -> AuditEvent {
    let (mut texts, mut figures) = (texts.iter().cycle(), figures.iter().cycle());
    let mut text = || texts.next().unwrap().clone();
    let mut figure = || *figures.next().unwrap();
    let mut event = event(1, EntryHash::ZERO);
    event.of = Some(EventId::from(Uuid::from_u128(7)));
    event.effect = Some(Effect::Allow);
    event.control = Some(Control::Policy);
    event.mode = Some(PolicyMode::Monitor);
    event.delegation = vec![text(), text()];
    event.intent = Some(EventIntent {
        action: Some(3),
        id: "int_1".parse().unwrap(),
    });
    event.tool = Some(EventTool {
        name: "send_money".parse().unwrap(),
        server: "bank".parse().unwrap(),
        verb: Some(Verb::Financial),
    });
    event.args_digest = Some(text());
    event.arg_names = vec![text(), text()];
    event.origins = [(text(), vec![text()]), (text(), Vec::new())].into();
    event.policy = vec![EventPolicy {
        effect: text(),
        id: text(),
        mode: PolicyMode::Enforce,
        rules: vec![text()],
        version: 3,
    }];
    event.content = vec![ContentFinding {
        action: crate::content::ContentAction::Redact,
        class: text(),
        count: 2,
        direction: crate::content::Direction::Outbound,
    }];
    event.config_version = Some(figure());
    event.budget = vec![EventBudget {
        id: text(),
        meter: Meter::Cost,
        scope: Scope::Tenant,
        units: figure(),
        window: Window::Lifetime,
    }];
    event.upstream = Some(EventUpstream {
        latency_us: figure(),
        status: text(),
    });
    event.result = Some(EventResult {
        bytes: figure(),
        digest: Some(text()),
        rows: Some(figure()),
    });
    event.usage = Some(EventUsage {
        estimated: true,
        input_tokens: figure(),
        output_tokens: figure(),
    });
    event.admin = Some(EventAdmin {
        action: text(),
        object: text(),
        principal: text(),
    });
    event.lane = Some(EventLane {
        edge: "edge_2".parse().unwrap(),
        edge_seq: figure(),
        fault: LaneFault::LaneGap,
        proof: Some(Box::new(LaneHead {
            edge_hash: EntryHash::of(b"other"),
            edge_seq: figure(),
            kid: "key_1".parse().unwrap(),
            signature: text(),
        })),
    });
    event.sealed = Some(EventSeal {
        root: EntryHash::of(b"root"),
        size: figure(),
        tenant: "acme".parse().unwrap(),
    });
    event.task = Some(EventTask {
        of: DecisionId::from(Uuid::from_u128(8)),
        request: text(),
    });
    event.trace_id = Some(text());
    event.timings_us = [
        ("policy".to_owned(), figure()),
        ("budget".to_owned(), figure()),
    ]
    .into();
    event.verdicts = [
        ("policy".to_owned(), EventVerdict::Passed),
        ("budget".to_owned(), EventVerdict::Refused),
    ]
    .into();
    event
}

#[test]
fn verdicts_are_words_and_events_without_them_are_read_as_before() {
    let zeros = "0".repeat(64);
    let text = |more: &str| {
        format!(
            r#"{{"edge":"edge_1","edge_prev":"{zeros}","edge_seq":1,"event_id":"00000000-0000-0000-0000-000000000001","kind":"refused","reason":"token_expired","tenant":"acme","time":"2023-11-14T22:13:20Z","timings_us":{{"capability":3}},"v":"proctor.audit/1"{more}}}"#
        )
    };
    let before = AuditEvent::from_canonical(text("").as_bytes()).unwrap();
    assert!(before.verdicts.is_empty());
    let more = r#","verdicts":{"capability":"passed","intent":"escalated","policy":"refused"}"#;
    let now = AuditEvent::from_canonical(text(more).as_bytes()).unwrap();
    let refused: Vec<_> = now.verdicts.into_iter().collect();
    let of = |control: &str, verdict| (control.to_owned(), verdict);
    assert_eq!(
        refused,
        [
            of("capability", EventVerdict::Passed),
            of("intent", EventVerdict::Escalated),
            of("policy", EventVerdict::Refused),
        ]
    );
    for bad in [
        r#","verdicts":{}"#,
        r#","verdicts":{"policy":"perhaps"}"#,
        r#","verdicts":{"policy":"passed","intent":"passed"}"#,
    ] {
        assert!(
            AuditEvent::from_canonical(text(bad).as_bytes()).is_err(),
            "{bad}"
        );
    }
}

proptest::proptest! {
    /// Whoever checks our bytes sorts them as RFC 8785 says, and reads numbers as it says.
    #[test]
    fn both_forms_are_canonical(
        texts in proptest::collection::vec(proptest::prelude::any::<String>(), 1..40),
        figures in proptest::collection::vec(proptest::prelude::any::<u64>(), 1..12),
        seq in 0..=crate::budget::UNITS_MAX,
    ) {
        let event = full(&texts, &figures);
        let bytes = event.to_canonical().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(canonical(&value).unwrap(), bytes);
        let read = AuditEvent::from_canonical(&bytes).unwrap();
        assert_eq!(read.to_canonical().unwrap(), bytes);

        let entry = Entry { seq, prev: EntryHash::of(&bytes), event: read };
        let stored = entry.to_canonical().unwrap();
        let mut value: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        assert_eq!(canonical(&value).unwrap(), stored);
        assert_eq!(Entry::from_canonical(&stored).unwrap(), entry);
        assert_eq!(value["seq"], seq);
        let cut = value.as_object_mut().unwrap();
        cut.remove("seq");
        cut.remove("prev");
        assert_eq!(canonical(&value).unwrap(), bytes);
    }
}

#[test]
fn what_is_not_canonical_is_no_entry() {
    let entry = Entry {
        seq: 9,
        prev: EntryHash::of(b"x"),
        event: event(1, EntryHash::ZERO),
    };
    let stored = String::from_utf8(entry.to_canonical().unwrap()).unwrap();
    let prev = format!(r#","prev":"{}""#, entry.prev);
    for (from, to) in [
        (r#","seq":9"#, ""),
        (r#","seq":9"#, r#","seq":09"#),
        (r#","seq":9"#, r#","seq":9.0"#),
        (r#","seq":9"#, r#","seq":"9""#),
        (r#","seq":9"#, r#","seq":9,"seq":9"#),
        (r#","seq":9"#, r#", "seq":9"#),
        (&prev, ""),
        (&prev, &prev.to_uppercase().replace("PREV", "prev")),
        (&prev, &prev.replace('"', "")),
        (r#""kind":"refused""#, r#""kind":"ref\u0075sed""#),
        (r#""edge_seq":1"#, r#""edge_seq":1e0"#),
        (r#"{"edge""#, r#"{"zz":1,"edge""#),
    ] {
        assert!(stored.contains(from), "{from}");
        let bad = stored.replacen(from, to, 1);
        assert!(Entry::from_canonical(bad.as_bytes()).is_err(), "{bad}");
    }
    for cut in 0..stored.len() {
        assert!(Entry::from_canonical(&stored.as_bytes()[..cut]).is_err());
    }
}
