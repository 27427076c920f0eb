//! Memory on its way through: signed before a call is recorded, looked up when an answer is judged.

use super::Gateway;
use super::answer::Ended;
use super::dialogue::Exchange;
use crate::spool::Recorded;
use proctor_engine::memory::{MemoryKey, MemoryView, find};
use proctor_engine::{Answer, Channel, Permit};
use proctor_model::Reason;
use proctor_model::catalogue::MemoryUse;
use proctor_model::memory::EventMemory;

impl Gateway {
    /// What the permitted call writes to memory, signed: it becomes durable with the call's own event.
    pub(super) async fn sign_memory(&self, permit: &Permit) -> Result<Option<EventMemory>, Reason> {
        let Some(writing) = permit.memory().filter(|writing| !writing.drafts.is_empty()) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let records = self.memory.sign(permit.facts(), writing, now).await?;
        Ok(Some(EventMemory {
            records,
            ..EventMemory::default()
        }))
    }

    /// How the memory in an answer stands.
    pub(super) async fn recall(&self, exchange: &Exchange<'_>, answer: &Answer) -> MemoryView {
        let Exchange {
            recorded,
            caller,
            loaded,
            ..
        } = exchange;
        let permit = recorded.permit();
        let tool = loaded.tenant.catalogue().get(permit.tool());
        let tool = tool.filter(|tool| tool.entry().memory == Some(MemoryUse::Read));
        let (Some(tool), Some(keys), Channel::Result) =
            (tool, caller.tenant.keys(), answer.channel)
        else {
            return MemoryView::default();
        };
        let key = MemoryKey::new(&keys.digest_key);
        let questions = find(tool, permit.arguments(), &answer.body, &key).questions();
        self.memory.view(&caller.tenant.id, questions).await
    }

    /// What was written replaces what was there before, if the tool says that all went well. Else nobody knows: what was there
    /// stands as untrusted.
    pub(super) fn note_written(&self, recorded: &Recorded, ended: &Ended) -> Option<EventMemory> {
        let records = recorded.memory();
        let went_well =
            matches!(ended, Ended::Released(release) if release.findings().status == "ok");
        if !went_well || records.is_empty() {
            return None;
        }
        self.memory.confirm(records);
        Some(EventMemory {
            written: u64::try_from(records.len()).ok(),
            ..EventMemory::default()
        })
    }
}
