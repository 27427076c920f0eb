//! Audit entries and events from any bytes: what is taken has one spelling, the quick reader of members sees what the full
//! one does, and ledger form and edge form are made of each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_model::audit::{AuditEvent, Batch, Entry, EntryHash, LaneEvent, canonical, members};
use proctor_model::signed::Verifier;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let (mut edge_form, mut keys) = (Vec::new(), Vec::new());
    let quick = members(bytes, &mut edge_form, |key, value| {
        keys.push(key);
        (!value.is_empty()).then_some(())
    });
    if quick.is_some() {
        assert!(keys.is_sorted());
        assert!(edge_form.len() <= bytes.len());
    }
    if let Ok(entry) = Entry::from_canonical(bytes) {
        assert!(quick.is_some(), "the quick reader does not see it");
        assert_eq!(entry.to_canonical().expect("an entry"), bytes);
        let value: Value = serde_json::from_slice(bytes).expect("JSON");
        assert_eq!(canonical(&value).expect("JSON"), bytes, "not RFC 8785");
        assert_eq!(entry.event.to_canonical().expect("an event"), edge_form);
    }
    if let Ok(event) = AuditEvent::from_canonical(bytes) {
        let event = LaneEvent::write(event).expect("an event");
        assert_eq!(event.text.as_bytes(), bytes);
        let stored = event.entry(7, &EntryHash::ZERO).expect("an entry");
        let entry = Entry::from_canonical(&stored).expect("what was stored");
        assert_eq!((entry.seq, entry.event), (7, event.event));
    }
    // One that is not canonical is, once it was written.
    if let Ok(event) = serde_json::from_slice::<AuditEvent>(bytes)
        && event.v == proctor_model::audit::SCHEMA
        && event.memory.is_none()
    {
        let written = event.to_canonical().expect("an event");
        assert!(AuditEvent::from_canonical(&written).is_ok());
    }
    if let Ok(batch) = serde_json::from_slice::<Batch>(bytes) {
        assert!(
            batch.open(&Verifier::default()).is_err(),
            "nobody signed it"
        );
    }
});
