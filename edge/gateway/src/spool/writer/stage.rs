//! From submissions to bytes: numbered, chained and charged as they will be when the bytes are durable.

use super::{Group, Staged, Staging, Writer};
use crate::spool::segment;
use crate::spool::state::LaneEnd;
use crate::spool::{Entry, NotRecorded, Submission};
use proctor_engine::Charge;
use proctor_model::audit::{AuditEvent, EntryHash};
use std::sync::atomic::Ordering;

impl Writer {
    /// What of these can be written, as it will be; who waits for the rest is answered.
    pub(super) fn stage(&self, submissions: Vec<Submission>) -> Group {
        let mut group = Group::default();
        let forked = self.shared.forked.load(Ordering::Acquire);
        let damaged = self.shared.damaged.load(Ordering::Acquire);
        let used = self.backlog().bytes();
        for submission in submissions {
            let Submission {
                entry,
                charges,
                reply,
            } = submission;
            let full = damaged
                || used.saturating_add(u64::try_from(group.buffer.len()).unwrap_or(0))
                    > self.bytes_max;
            let staged = if forked || (full && !entry.is_owed()) {
                Err(NotRecorded::Unavailable)
            } else {
                self.stage_one(&mut group, entry, &charges)
            };
            match (staged, reply) {
                (Ok(entry), reply) => group.staged.push(Staged {
                    entry,
                    charges,
                    reply,
                }),
                (Err(why), Some(reply)) => crate::spool::answer(reply, Err(why)),
                // The ledger has another lane than this one, or the outcome has no canonical form. It is not owed: it would
                // never go. Its call stays open in the state, and so in the snapshots, with all that it has drawn: the
                // next start gives it the outcome `unknown`.
                (Err(_), None) => group.lost = group.lost.saturating_add(1),
            }
        }
        group
    }

    fn stage_one(
        &self,
        group: &mut Group,
        entry: Entry,
        charges: &[Charge],
    ) -> Result<Staging, NotRecorded> {
        let tenant = entry.tenant();
        // What has happened only corrects what was drawn: it is never refused.
        match entry.is_owed() {
            true => group.drawn.note(tenant, charges),
            false => self
                .state
                .draw(tenant, charges, &mut group.drawn)
                .map_err(NotRecorded::Exhausted)?,
        }
        match entry {
            Entry::Event(event) => self.stage_event(group, event, charges),
            Entry::Charges(tenant) => {
                match segment::put_charges(&mut group.buffer, &tenant, charges) {
                    Ok(()) => Ok(Staging::Charges(tenant)),
                    Err(_) => {
                        group.drawn.undo(&tenant, charges);
                        Err(NotRecorded::Unavailable)
                    }
                }
            }
        }
    }

    fn stage_event(
        &self,
        group: &mut Group,
        mut event: Box<AuditEvent>,
        charges: &[Charge],
    ) -> Result<Staging, NotRecorded> {
        let before = group
            .ends
            .get(&event.tenant)
            .copied()
            .unwrap_or_else(|| self.state.end(&event.tenant));
        (event.edge_seq, event.edge_prev) = (before.seq.saturating_add(1), before.hash);
        let undrawn = |group: &mut Group| {
            group.drawn.undo(&event.tenant, charges);
            NotRecorded::Unavailable
        };
        let Ok(bytes) = event.to_canonical() else {
            return Err(undrawn(group));
        };
        let Ok(at) = segment::put_event(&mut group.buffer, charges, &bytes) else {
            return Err(undrawn(group));
        };
        let end = LaneEnd {
            seq: event.edge_seq,
            hash: EntryHash::of(&bytes),
        };
        group.ends.insert(event.tenant.clone(), end);
        Ok(Staging::Event {
            event,
            end,
            at,
            length: bytes.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Shared;
    use crate::spool::disk::Disk;
    use proctor_model::audit::Kind;
    use proctor_model::{EventId, Timestamp};
    use proctor_runtime::Clock;
    use std::sync::Arc;
    use uuid::Uuid;

    fn outcome() -> Submission {
        let event = AuditEvent::new(
            "acme".parse().unwrap(),
            "edge_1".parse().unwrap(),
            EventId::from(Uuid::from_u128(1)),
            Timestamp::from_secs(1_700_000_000),
            Kind::Completed,
        );
        Submission {
            entry: Entry::Event(Box::new(event)),
            charges: Vec::new(),
            reply: None,
        }
    }

    #[test]
    fn an_outcome_that_can_not_be_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().to_owned());
        let shared = Arc::<Shared>::default();
        let writer = Writer::open(disk, 1 << 20, Clock::system(), Arc::clone(&shared)).unwrap();
        let group = writer.stage(vec![outcome()]);
        assert_eq!((group.lost, group.staged.len()), (0, 1));
        shared.forked.store(true, Ordering::Release);
        let group = writer.stage(vec![outcome(), outcome()]);
        assert_eq!((group.lost, group.staged.len()), (2, 0));
    }
}
