//! The tamper drill: what somebody could do to a log, done to a copy, and what the offline check has to say. Pure.
//!
//! The copy is sealed anew with a key that exists for the drill only, so that also the holder of the ledger's key can be
//! played. Three attackers: the *administrator* writes what he likes into the database but can't sign; *an edge* records
//! what it likes on its own lane, past a ledger that takes it; the *key holder* signs what he likes. Against him the bundle alone can't do everything: where an earlier or later checkpoint that
//! somebody else kept (an auditor, a witness, a WORM file) is needed, the case says so.

use crate::bundle::{FORMAT, Fault, Header, hex_all};
use crate::checkpoint::{Checkpoint, VerifierKey, origin};
use crate::merkle::{Frontier, Hash};
use proctor_model::audit::{AuditError, AuditEvent, Entry, EntryHash, EventSeal, Kind};
use proctor_model::ids::EventId;
use proctor_model::signed::Signer;
use proctor_model::{EdgeId, TenantId, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Fewest entries that the drill can do something to.
pub const ENTRIES_MIN: usize = 12;

/// One thing that is done to the copy.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, also that of its file.
    pub name: &'static str,
    /// Who can do that: `nobody` (the sound copy), `administrator`, `an edge`, `key holder`.
    pub who: &'static str,
    /// The bundles that whoever verifies is given.
    pub bundles: Vec<Vec<u8>>,
    /// A checkpoint that he has from elsewhere; `None`: the bundle alone has to show it.
    pub checkpoint: Option<String>,
    /// What the check has to find; `None`: that all is sound.
    pub fault: Option<Fault>,
}

/// Why there is no drill.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Too few entries, or all of one edge.
    #[error(
        "the drill needs a chain from its first entry, with at least {ENTRIES_MIN} entries of two edges"
    )]
    TooSmall,
    /// An entry that can't be read.
    #[error("an entry")]
    Entry(#[from] AuditError),
    /// A header that can't be written.
    #[error("a header")]
    Header(#[from] serde_json::Error),
}

struct Drill<'s> {
    signer: &'s Signer,
    tenant: TenantId,
}

/// When the copy was sealed, in seconds since 1970: any time will do.
const SEALED_S: u64 = 1_700_000_000;
const DEPLOYMENT: &str = "drill";

/// All cases, for a chain's entries from the first one on. `signer` plays the ledger's key.
///
/// # Errors
/// If the chain is too small.
pub fn cases(bodies: &[Vec<u8>], signer: &Signer) -> Result<Vec<Case>, DrillError> {
    let parse = |body: &Vec<u8>| Entry::from_canonical(body).map(|entry| entry.event);
    let events: Vec<AuditEvent> = bodies.iter().map(parse).collect::<Result<_, _>>()?;
    let first = events.first().ok_or(DrillError::TooSmall)?;
    let mut edges: BTreeMap<&EdgeId, usize> = BTreeMap::new();
    for event in &events {
        *edges.entry(&event.edge).or_default() += 1;
    }
    // The one with the most events: there is something behind what is dropped of it.
    let edge = edges.iter().max_by_key(|(_, count)| **count);
    let edge = edge
        .map(|(edge, _)| (*edge).clone())
        .ok_or(DrillError::TooSmall)?;
    if events.len() < ENTRIES_MIN || edges.len() < 2 {
        return Err(DrillError::TooSmall);
    }
    let drill = Drill {
        signer,
        tenant: first.tenant.clone(),
    };
    let sound = chain(&events)?;
    let mut cases = drill.administrator(&sound, &events, &edge)?;
    cases.extend(drill.key_holder(&sound, &events, &edge)?);
    cases.extend(drill.edge(&events, &edge)?);
    cases.push(drill.tenant_dropped(&sound)?);
    cases.push(drill.regrown(&sound, &events)?);
    Ok(cases)
}

/// Events as a chain with fresh numbers and hashes.
fn chain(events: &[AuditEvent]) -> Result<Vec<Vec<u8>>, AuditError> {
    let mut prev = EntryHash::ZERO;
    let mut bodies = Vec::with_capacity(events.len());
    for (seq, event) in (1..).zip(events) {
        let event = event.clone();
        let body = Entry { seq, prev, event }.to_canonical()?;
        prev = EntryHash::of(&body);
        bodies.push(body);
    }
    Ok(bodies)
}

/// Another agent did it. Changes nothing else.
fn edited(event: &AuditEvent) -> AuditEvent {
    let mut event = event.clone();
    event.agent = "nobody".parse().ok();
    event
}

fn alone(
    name: &'static str,
    who: &'static str,
    bundle: Vec<u8>,
    fault: impl Into<Option<Fault>>,
) -> Case {
    Case {
        name,
        who,
        bundles: vec![bundle],
        checkpoint: None,
        fault: fault.into(),
    }
}

impl Drill<'_> {
    /// What can be done without the key: the checkpoints stay what they were.
    fn administrator(
        &self,
        sound: &[Vec<u8>],
        events: &[AuditEvent],
        edge: &EdgeId,
    ) -> Result<Vec<Case>, DrillError> {
        let who = "administrator";
        let header = self.header(sound, &self.notes(sound))?;
        let with = |bodies: &[Vec<u8>]| text(&header, bodies);
        let (half, count) = (events.len() / 2, events.len());
        let mut cases = vec![alone("sound", "nobody", with(sound), None)];
        let mut edit = sound.to_vec();
        let entry = Entry::from_canonical(&sound[half])?;
        edit[half] = Entry {
            event: edited(&entry.event),
            ..entry
        }
        .to_canonical()?;
        // An edited event of an edge breaks that edge's lane, too; which of the two comes first depends on the chain.
        cases.push(alone("edit", who, with(&edit), Fault::Link));
        cases.push(alone(
            "delete-tail",
            who,
            with(&sound[..count - 3]),
            Fault::Length,
        ));
        cases.push(alone("delete-head", who, with(&sound[3..]), Fault::Number));
        let mut middle = sound.to_vec();
        middle.remove(half);
        cases.push(alone("delete-middle", who, with(&middle), Fault::Number));
        let mut swapped = sound.to_vec();
        swapped.swap(half, half + 1);
        cases.push(alone("swap", who, with(&swapped), Fault::Number));
        let mut inserted = sound.to_vec();
        inserted.insert(half, sound[half - 1].clone());
        cases.push(alone("insert", who, with(&inserted), Fault::Number));
        // With fresh numbers and hashes, only the signed root tells.
        let mut invented = events.to_vec();
        let mut event = edited(&events[half]);
        (event.edge, event.edge_seq) = (
            "edge_invented".parse().map_err(|_| DrillError::TooSmall)?,
            1,
        );
        (event.edge_prev, event.event_id) = (EntryHash::ZERO, EventId::from(Uuid::from_u128(7)));
        invented.insert(half, event);
        invented.pop();
        let invented = with(&chain(&invented)?);
        cases.push(alone("insert-and-renumber", who, invented, Fault::Root));
        // An edit at the end of its edge's lane leaves the
        // lanes sound as well.
        let last = events.iter().rposition(|event| event.edge == *edge);
        let mut rewritten = events.to_vec();
        if let Some(event) = last.and_then(|last| rewritten.get_mut(last)) {
            *event = edited(event);
        }
        cases.push(alone(
            "rewrite",
            who,
            with(&chain(&rewritten)?),
            Fault::Root,
        ));
        let rest: Vec<_> = without_one(events, edge);
        let header = Header {
            last: header.last - 1,
            right: hex_all(
                &[[0; 32]; 64][..Header::around(1, header.last - 1, header.size).1.len()],
            ),
            ..header.clone()
        };
        let dropped = text(&header, &chain(&rest)?);
        cases.push(alone(
            "drop-one-event-of-an-edge",
            who,
            dropped,
            Fault::LaneGap,
        ));
        Ok(cases)
    }

    /// What can be done with the key: every checkpoint is signed anew.
    fn key_holder(
        &self,
        sound: &[Vec<u8>],
        events: &[AuditEvent],
        edge: &EdgeId,
    ) -> Result<Vec<Case>, DrillError> {
        let who = "key holder";
        let half = &sound[..events.len() / 2];
        let before = events.len() - 2;
        let (early, late) = (self.note(&sound[..before]), self.note(sound));
        let signed = |bodies: &[Vec<u8>]| self.bundle(bodies);
        let mut cases = Vec::new();
        // What the bundle alone shows even against the key holder: the edges' own chains.
        let rest = chain(&without_one(events, edge))?;
        cases.push(alone(
            "drop-one-event-and-sign",
            who,
            signed(&rest)?,
            Fault::LaneGap,
        ));
        let mut changed = events.to_vec();
        if let Some(event) = changed.iter_mut().find(|event| event.edge == *edge) {
            *event = edited(event);
        }
        cases.push(alone(
            "edit-and-sign",
            who,
            signed(&chain(&changed)?)?,
            Fault::LaneFork,
        ));
        // What it does not: an edge is gone altogether, or the state is an old one.
        let others: Vec<_> = events
            .iter()
            .filter(|event| event.edge != *edge)
            .cloned()
            .collect();
        let forged = |name, bundle, checkpoint: &str, fault| Case {
            checkpoint: Some(checkpoint.to_owned()),
            ..alone(name, who, bundle, fault)
        };
        let mut padded = others.clone();
        let lane = padded.last().cloned();
        while padded.len() < before
            && let Some(last) = padded
                .iter()
                .rev()
                .find(|event| Some(&event.edge) == lane.as_ref().map(|lane| &lane.edge))
        {
            // Something of that length has to stand there: the other edge's events go on.
            let mut next = following(last)?;
            next.event_id = EventId::from(Uuid::from_u128(padded.len() as u128));
            padded.push(next);
        }
        let gone = signed(&chain(&padded)?)?;
        cases.push(forged(
            "drop-an-edge-and-sign",
            gone,
            &early,
            Fault::History,
        ));
        let mut all = events.to_vec();
        renew(&mut all)?;
        let renewed = signed(&chain(&all)?)?;
        cases.push(forged("rewrite-and-sign", renewed, &early, Fault::History));
        let backup = signed(half)?;
        // Its checkpoint is a true one: whoever has an old copy of the database can do that, without any key.
        let backup = forged("restore-backup", backup, &late, Fault::Old);
        cases.push(Case {
            who: "administrator",
            ..backup
        });
        let cut = signed(&sound[..sound.len() - 3])?;
        cases.push(forged("delete-tail-and-sign", cut, &late, Fault::Old));
        Ok(cases)
    }

    /// What an edge can do that records what it likes.
    fn edge(&self, events: &[AuditEvent], edge: &EdgeId) -> Result<Vec<Case>, DrillError> {
        let who = "an edge";
        let Some(last) = events.iter().rfind(|event| event.edge == *edge) else {
            return Ok(Vec::new());
        };
        let with = |event: AuditEvent| {
            self.bundle(&chain(&[events, std::slice::from_ref(&event)].concat())?)
        };
        let repeated = with(following(last)?)?;
        let other = Drill {
            signer: self.signer,
            tenant: "drill-other".parse().map_err(|_| DrillError::TooSmall)?,
        };
        // What it says of another tenant's log means nothing: only the ledger's lane of the platform names logs.
        let mut seal = following(last)?;
        (seal.event_id, seal.kind) = (EventId::from(Uuid::from_u128(1)), Kind::Sealed);
        seal.sealed = Some(EventSeal {
            tenant: other.tenant.clone(),
            size: 1_000_000_000,
            root: EntryHash::ZERO,
        });
        let mut stranger = last.clone();
        stranger.tenant = other.tenant.clone();
        (stranger.edge_seq, stranger.edge_prev) = (1, EntryHash::ZERO);
        let bundles = vec![with(seal)?, other.bundle(&chain(&[stranger])?)?];
        Ok(vec![
            alone("repeat-an-event", who, repeated, Fault::Double),
            Case {
                bundles,
                ..alone("seal-for-another-tenant", who, Vec::new(), None)
            },
        ])
    }

    /// The platform's chain names a tenant whose log is not there.
    fn tenant_dropped(&self, sound: &[Vec<u8>]) -> Result<Case, DrillError> {
        let other: TenantId = "drill-other".parse().map_err(|_| DrillError::TooSmall)?;
        let platform = self.platform(&[(&self.tenant, sound), (&other, sound)])?;
        let bundles = vec![platform, self.bundle(sound)?];
        Ok(Case {
            bundles,
            ..alone(
                "drop-tenant",
                "key holder",
                Vec::new(),
                Fault::TenantMissing,
            )
        })
    }

    /// A log was cut, went on in another way, and was named anew by the platform's chain, which named it before as well.
    fn regrown(&self, sound: &[Vec<u8>], events: &[AuditEvent]) -> Result<Case, DrillError> {
        let mut all = events.to_vec();
        renew(&mut all)?;
        let regrown = chain(&all)?;
        let half = &sound[..sound.len() / 2];
        let platform = self.platform(&[(&self.tenant, half), (&self.tenant, &regrown)])?;
        let bundles = vec![platform, self.bundle(&regrown)?];
        Ok(Case {
            bundles,
            ..alone("cut-and-regrow", "key holder", Vec::new(), Fault::History)
        })
    }

    /// The platform's chain, as it names these logs one after the other.
    fn platform(&self, logs: &[(&TenantId, &[Vec<u8>])]) -> Result<Vec<u8>, DrillError> {
        let platform = Drill {
            signer: self.signer,
            tenant: TenantId::platform(),
        };
        let mut prev = EntryHash::ZERO;
        let mut events = Vec::new();
        for (seq, (tenant, bodies)) in (1..).zip(logs) {
            let id = EventId::from(Uuid::from_u128(u128::from(seq)));
            let at = Timestamp::from_secs(i64::try_from(SEALED_S).unwrap_or(0));
            let mut event =
                AuditEvent::new(TenantId::platform(), EdgeId::ledger(), id, at, Kind::Sealed);
            event.sealed = Some(EventSeal {
                tenant: (*tenant).clone(),
                size: bodies.len() as u64,
                root: EntryHash::from_bytes(tree(bodies).root()),
            });
            (event.edge_seq, event.edge_prev) = (seq, prev);
            prev = EntryHash::of(&event.to_canonical()?);
            events.push(event);
        }
        platform.bundle(&chain(&events)?)
    }

    fn note(&self, bodies: &[Vec<u8>]) -> String {
        let tree = tree(bodies);
        let checkpoint = Checkpoint {
            origin: origin(DEPLOYMENT, self.tenant.as_str()),
            size: tree.size(),
            root: tree.root(),
        };
        checkpoint.sign(&[self.signer], SEALED_S)
    }

    /// The checkpoint of the whole.
    fn notes(&self, bodies: &[Vec<u8>]) -> Vec<String> {
        vec![self.note(bodies)]
    }

    fn header(&self, bodies: &[Vec<u8>], notes: &[String]) -> Result<Header, DrillError> {
        let last = bodies.len() as u64;
        Ok(Header {
            bundle: FORMAT.into(),
            tenant: self.tenant.to_string(),
            first: 1,
            last,
            size: last,
            left: Vec::new(),
            right: Vec::new(),
            checkpoints: notes.to_vec(),
            keys: vec![
                VerifierKey::of(&origin(DEPLOYMENT, self.tenant.as_str()), self.signer).text(),
            ],
        })
    }

    /// A bundle as the holder of the key makes it.
    fn bundle(&self, bodies: &[Vec<u8>]) -> Result<Vec<u8>, DrillError> {
        let header = self.header(bodies, &self.notes(bodies))?;
        Ok(text(&header, bodies))
    }
}

fn tree(bodies: &[Vec<u8>]) -> Frontier {
    let mut tree = Frontier::default();
    for body in bodies {
        let leaf: Hash = *EntryHash::of(body).as_bytes();
        tree.push(leaf);
    }
    tree
}

/// The same event once more, as the next one of its edge.
fn following(last: &AuditEvent) -> Result<AuditEvent, AuditError> {
    let mut next = last.clone();
    next.edge_seq += 1;
    next.edge_prev = EntryHash::of(&last.to_canonical()?);
    Ok(next)
}

/// Without the first event of an edge that has another one behind it.
fn without_one(events: &[AuditEvent], edge: &EdgeId) -> Vec<AuditEvent> {
    let mut rest = events.to_vec();
    if let Some(at) = rest.iter().position(|event| event.edge == *edge) {
        rest.remove(at);
    }
    rest
}

/// The whole history retold: every lane chained anew after its first event was changed.
fn renew(events: &mut [AuditEvent]) -> Result<(), AuditError> {
    let mut lanes: BTreeMap<EdgeId, EntryHash> = BTreeMap::new();
    for event in events {
        *event = edited(event);
        event.edge_prev = lanes.get(&event.edge).copied().unwrap_or(EntryHash::ZERO);
        lanes.insert(event.edge.clone(), EntryHash::of(&event.to_canonical()?));
    }
    Ok(())
}

fn text(header: &Header, bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut text = header.line().unwrap_or_default();
    for body in bodies {
        text.extend_from_slice(body);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests;
