//! The members of an entry without parsing all of it: offline verification is mostly this and hashing. Pure.
//!
//! Entries are canonical JSON (RFC 8785): one object, keys in order, no space. What is not is refused as far as it
//! matters here; what a value holds beyond that is of no concern, for its bytes are what was sealed.

use crate::merkle::Hash;
use proctor_model::audit::{EntryHash, members};
use uuid::Uuid;

/// What an entry says of its place on chain and lane, and what it opens or closes.
#[derive(Clone, Debug)]
pub(crate) struct Scanned<'e> {
    pub(crate) tenant: &'e str,
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) edge: &'e str,
    pub(crate) edge_seq: u64,
    pub(crate) edge_prev: Hash,
    pub(crate) event_id: Uuid,
    pub(crate) kind: &'e str,
    pub(crate) of: Option<Uuid>,
    /// The value of `sealed`, as text.
    pub(crate) sealed: Option<&'e str>,
}

/// Reads an entry; puts its edge form (the entry without `prev` and `seq`) into `edge_form`. `None` if it is none.
pub(crate) fn scan<'e>(entry: &'e [u8], edge_form: &mut Vec<u8>) -> Option<Scanned<'e>> {
    let mut found = Found::default();
    members(entry, edge_form, |key, value| found.take(key, value))?;
    found.whole()
}

#[derive(Default)]
struct Found<'e> {
    version: bool,
    tenant: Option<&'e str>,
    seq: Option<u64>,
    prev: Option<Hash>,
    edge: Option<&'e str>,
    edge_seq: Option<u64>,
    edge_prev: Option<Hash>,
    event_id: Option<Uuid>,
    kind: Option<&'e str>,
    of: Option<Uuid>,
    sealed: Option<&'e str>,
}

impl<'e> Found<'e> {
    /// `None` if the value is not what this member has.
    fn take(&mut self, key: &str, value: &'e str) -> Option<()> {
        match key {
            "v" => self.version = plain(value)? == proctor_model::audit::SCHEMA,
            "tenant" => self.tenant = Some(plain(value)?),
            "seq" => self.seq = Some(number(value)?),
            "prev" => self.prev = Some(hash(value)?),
            "edge" => self.edge = Some(plain(value)?),
            "edge_seq" => self.edge_seq = Some(number(value)?),
            "edge_prev" => self.edge_prev = Some(hash(value)?),
            "event_id" => self.event_id = Some(uuid(value)?),
            "kind" => self.kind = Some(plain(value)?),
            "of" => self.of = Some(uuid(value)?),
            "sealed" => self.sealed = Some(value),
            _ => {}
        }
        Some(())
    }

    fn whole(self) -> Option<Scanned<'e>> {
        Some(Scanned {
            tenant: self.tenant.filter(|_| self.version)?,
            seq: self.seq?,
            prev: self.prev?,
            edge: self.edge?,
            edge_seq: self.edge_seq?,
            edge_prev: self.edge_prev?,
            event_id: self.event_id?,
            kind: self.kind?,
            of: self.of,
            sealed: self.sealed,
        })
    }
}

/// A string without escapes.
fn plain(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains(['"', '\\'])).then_some(text)
}

fn number(value: &str) -> Option<u64> {
    let digits =
        value.bytes().all(|b| b.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
    digits.then(|| value.parse().ok()).flatten()
}

fn hash(value: &str) -> Option<Hash> {
    let text = plain(value)?;
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    let hash: EntryHash = lower.then(|| text.parse().ok()).flatten()?;
    Some(*hash.as_bytes())
}

fn uuid(value: &str) -> Option<Uuid> {
    Uuid::try_parse(plain(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::Timestamp;
    use proctor_model::audit::{AuditEvent, Entry, EventAdmin, Kind};
    use proctor_model::ids::EventId;

    fn entry() -> Entry {
        let id = EventId::from(Uuid::from_u128(5));
        let at = Timestamp::from_secs(1_700_000_000);
        let (tenant, edge) = ("acme".parse().unwrap(), "edge_a".parse().unwrap());
        let mut event = AuditEvent::new(tenant, edge, id, at, Kind::Completed);
        event.of = Some(EventId::from(Uuid::from_u128(4)));
        event.edge_seq = 7;
        event.arg_names = vec!["\",\"prev\":\"x\u{0}\\".into(), "seq".into()];
        event.admin = Some(EventAdmin {
            action: "{\"seq\":1}".into(),
            object: "o".into(),
            principal: "p".into(),
        });
        Entry {
            seq: 12,
            prev: EntryHash::of(b"before"),
            event,
        }
    }

    #[test]
    fn it_reads_what_the_full_parser_reads() {
        let entry = entry();
        let (body, mut edge_form) = (entry.to_canonical().unwrap(), Vec::new());
        let scanned = scan(&body, &mut edge_form).unwrap();
        assert_eq!(edge_form, entry.event.to_canonical().unwrap());
        assert_eq!((scanned.seq, scanned.edge_seq), (12, 7));
        assert_eq!(&scanned.prev, entry.prev.as_bytes());
        assert_eq!((scanned.tenant, scanned.edge), ("acme", "edge_a"));
        assert_eq!(scanned.of, Some(Uuid::from_u128(4)));
        assert_eq!(scanned.kind, "completed");
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let body = String::from_utf8(entry().to_canonical().unwrap()).unwrap();
        let mut buffer = Vec::new();
        for (from, to) in [
            ("{\"admin", " {\"admin"),
            ("\"edge_seq\":7", "\"edge_seq\":07"),
            ("\"edge_seq\":7", "\"edge_seq\": 7"),
            ("\"edge_seq\":7", "\"edge_seq\":-7"),
            ("\"edge_seq\":7", "\"edge_seq\":7,\"edge_seq\":8"),
            ("\"edge_seq\":7", "\"zz\":1,\"edge_seq\":7"),
            ("\"seq\":12,", ""),
            ("proctor.audit/1", "proctor.audit/2"),
            ("\"tenant\":\"acme\"", "\"tenant\":\"ac\\u006de\""),
        ] {
            assert!(body.contains(from));
            let bad = body.replacen(from, to, 1);
            assert!(
                scan(bad.as_bytes(), &mut buffer).is_none(),
                "{from} to {to}"
            );
        }
        for cut in 0..body.len() {
            assert!(
                scan(&body.as_bytes()[..cut], &mut buffer).is_none(),
                "{cut}"
            );
        }
    }
}
