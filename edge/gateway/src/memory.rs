//! How memory items stand, as the ledger says, and what this edge wrote since.
//!
//! The ledger is asked over NATS; its answer is signed, and the records in it are checked one by one. An item about which
//! nothing can be learned in time is one that nobody signed, and nothing is written to it. An answer is believed for
//! [`FRESH`]; what this edge wrote itself counts at once, whether the ledger has it already or not.

mod ask;
mod fold;

use crate::feed::Assigned;
use crate::identity::Identity;
use arc_swap::ArcSwap;
use ask::Ledger;
use fold::{Known, Own, Peak, fold};
use moka::Entry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use proctor_engine::Facts;
use proctor_engine::memory::{MemoryView, Writing};
use proctor_model::audit::canonical;
use proctor_model::limits::MEMORY_BYTES_MAX;
use proctor_model::memory::{
    Ask, ItemId, ItemQuestion, MemoryAnswer, MemoryRecord, RecordHash, SCHEMA, SignedRecord, Writer,
};
use proctor_model::{Reason, TenantId, Timestamp, ToolRef};
use proctor_runtime::{Clock, Random};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the ledger's word on an item is taken for the present.
const FRESH: Duration = Duration::from_secs(1);
/// How long all that one call asks for may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Items of which the ledger's word is kept.
const KNOWN_MAX: u64 = 100_000;
/// Items of which this edge keeps how far they had come.
const PEAKS_MAX: u64 = 200_000;
/// Items of which this edge keeps what it wrote itself, and for how long: until the ledger has it for certain.
const OWN_MAX: u64 = 100_000;
const OWN_LIFE: Duration = Duration::from_secs(900);
/// Records of one item that this edge keeps of its own.
const OWN_RECORDS_MAX: usize = 64;

type Key = (TenantId, ItemId);

/// An edge's view of all its tenants' memory.
pub(crate) struct Memory {
    identity: Arc<Identity>,
    ledger: Ledger,
    clock: Clock,
    known: Cache<Key, Arc<Known>>,
    /// How far each item was by the ledger's own word: one that says less later was set back.
    peaks: Cache<Key, Peak>,
    own: Cache<Key, Arc<Mutex<Vec<Own>>>>,
}

impl Memory {
    pub(crate) fn new(
        identity: Arc<Identity>,
        assigned: Arc<ArcSwap<Assigned>>,
        nats: async_nats::Client,
        random: Random,
        clock: Clock,
    ) -> Self {
        Self {
            ledger: Ledger::new(Arc::clone(&identity), assigned, nats, random),
            identity,
            clock,
            known: Cache::builder()
                .max_capacity(KNOWN_MAX)
                .time_to_live(FRESH)
                .build(),
            peaks: Cache::builder()
                .max_capacity(PEAKS_MAX)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            own: Cache::builder()
                .max_capacity(OWN_MAX)
                // What was just written is wanted, however often others are asked for.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(OWN_LIFE)
                .build(),
        }
    }

    /// How these items stand. What can't be learned in time is missing.
    pub(crate) async fn view(&self, tenant: &TenantId, questions: Vec<ItemQuestion>) -> MemoryView {
        let items: Vec<ItemId> = questions.iter().map(|question| question.item).collect();
        let learned = self.learn(tenant, questions).await;
        let mut view = MemoryView::new();
        for item in items {
            // Without the ledger's word, what this edge wrote may have been replaced by another.
            let Some(known) = learned.get(&item) else {
                continue;
            };
            // Looking makes no entry: nobody pushes others' writes out by asking for items that nobody wrote.
            let stands = match self.own.get(&(tenant.clone(), item)) {
                Some(own) => {
                    let own = own.lock().unwrap_or_else(PoisonError::into_inner);
                    fold(known, &own)
                }
                None => fold(known, &[]),
            };
            view.insert(item, stands.view);
        }
        view
    }

    /// Signs what a permitted call writes. Until the call is recorded this is only known here.
    ///
    /// # Errors
    /// If the history of an item can't be had: its next version is not known.
    pub(crate) async fn sign(
        &self,
        facts: &Facts,
        writing: &Writing,
        now: Timestamp,
    ) -> Result<Vec<SignedRecord>, Reason> {
        let tool = facts.tool.as_ref().ok_or(Reason::Internal)?;
        let tool = ToolRef {
            server: tool.server.clone(),
            name: tool.name.clone(),
        };
        let mut records = Vec::with_capacity(writing.drafts.len());
        let signed = self.sign_each(facts, &tool, writing, now, &mut records);
        match signed.await {
            Ok(()) => Ok(records),
            Err(reason) => {
                // Nothing of it will be written.
                self.forget(&records);
                Err(reason)
            }
        }
    }

    async fn sign_each(
        &self,
        facts: &Facts,
        tool: &ToolRef,
        writing: &Writing,
        now: Timestamp,
        records: &mut Vec<SignedRecord>,
    ) -> Result<(), Reason> {
        let tenant = &facts.tenant;
        let ask = |draft: &proctor_engine::memory::Draft| ItemQuestion {
            item: draft.item,
            facts: Vec::new(),
        };
        let questions = writing.drafts.iter().map(ask).collect();
        let learned = self.learn(tenant, questions).await;
        let mut bytes = 0_usize;
        for draft in &writing.drafts {
            let known = learned.get(&draft.item).ok_or(Reason::MemoryUnavailable)?;
            let own = self.own(tenant, draft.item);
            // Held until the record is among them: two writes at once get two numbers.
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            let before = fold(known, &own);
            let record = MemoryRecord {
                v: SCHEMA.to_owned(),
                tenant: tenant.clone(),
                store: draft.store.clone(),
                kind: draft.kind.clone(),
                item: draft.item,
                version: before.version.saturating_add(1),
                prev: before.head,
                change: draft.change,
                facts: draft.facts.clone(),
                writer: writer(facts),
                tool: tool.clone(),
                parents: writing.parents.clone(),
                exposed: writing.exposed,
                time: now,
                edge: self.identity.edge.clone(),
                decision_id: facts.decision_id,
            };
            let hash = record.hash().map_err(|_| Reason::Internal)?;
            let signed = SignedRecord::sign(record, &self.identity.signer);
            let signed = signed.map_err(|_| Reason::Internal)?;
            bytes = bytes.saturating_add(canonical(&signed).map_err(|_| Reason::Internal)?.len());
            if bytes > MEMORY_BYTES_MAX {
                return Err(Reason::MemoryTooMany);
            }
            if own.len() >= OWN_RECORDS_MAX {
                own.remove(0);
            }
            own.push(Own::new(hash, &signed.record));
            records.push(signed);
        }
        Ok(())
    }

    /// The call was made, and its tool says that all went well: what was there before is replaced.
    pub(crate) fn confirm(&self, records: &[SignedRecord]) {
        self.each_own(records, |own, hash| {
            for one in own.iter_mut().filter(|own| own.hash == hash) {
                one.confirmed = true;
            }
        });
    }

    /// The call was not recorded, and so never made.
    pub(crate) fn forget(&self, records: &[SignedRecord]) {
        self.each_own(records, |own, hash| own.retain(|own| own.hash != hash));
    }

    /// All records of an item that the ledger has, and those that they come from.
    ///
    /// # Errors
    /// If the ledger does not answer.
    pub(crate) async fn lineage(
        &self,
        tenant: &TenantId,
        item: ItemId,
    ) -> Result<MemoryAnswer, Reason> {
        let question = ItemQuestion {
            item,
            facts: Vec::new(),
        };
        let asked = self.ledger.ask(tenant, Ask::Lineage, vec![question]);
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        answer
            .ok()
            .flatten()
            .map(|(answer, _)| answer)
            .ok_or(Reason::MemoryUnavailable)
    }

    fn each_own(&self, records: &[SignedRecord], change: impl Fn(&mut Vec<Own>, RecordHash)) {
        for signed in records {
            let own = self.own(&signed.record.tenant, signed.record.item);
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(hash) = signed.record.hash() {
                change(&mut own, hash);
            }
        }
    }

    fn own(&self, tenant: &TenantId, item: ItemId) -> Arc<Mutex<Vec<Own>>> {
        self.own.get_with((tenant.clone(), item), Arc::default)
    }

    /// What the ledger says of these items: what it said a moment ago, else it is asked.
    async fn learn(
        &self,
        tenant: &TenantId,
        questions: Vec<ItemQuestion>,
    ) -> HashMap<ItemId, Arc<Known>> {
        let now = self.clock.monotonic();
        let mut learned = HashMap::new();
        let mut asked = Vec::new();
        for question in questions {
            let known = self.known.get(&(tenant.clone(), question.item));
            match known.filter(|known| known.answers(&question.facts, now, FRESH)) {
                Some(known) => drop(learned.insert(question.item, known)),
                None => asked.push(question),
            }
        }
        if asked.is_empty() {
            return learned;
        }
        let telling = async {
            let behind = self.tell(tenant, &asked, now, &mut learned).await;
            // Of two answers the older may come later: it is asked once more.
            let again: Vec<ItemQuestion> = asked
                .iter()
                .filter(|question| behind.contains(&question.item))
                .cloned()
                .collect();
            if !again.is_empty() {
                let behind = self.tell(tenant, &again, now, &mut learned).await;
                let count = u64::try_from(behind.len()).unwrap_or(0);
                if count > 0 {
                    tracing::error!(%tenant, items = count, "the ledger's word on memory items is older than what it said before: they were set back");
                    metrics::counter!("proctor_edge_memory_set_back_total").increment(count);
                }
            }
        };
        if tokio::time::timeout(PATIENCE, telling).await.is_err() {
            tracing::warn!(%tenant, "the ledger does not say in time how memory stands");
            metrics::counter!("proctor_edge_memory_unanswered_total").increment(1);
        }
        learned
    }

    /// Asks the ledger; the items of which it now says less than before.
    async fn tell(
        &self,
        tenant: &TenantId,
        asked: &[ItemQuestion],
        now: Duration,
        learned: &mut HashMap<ItemId, Arc<Known>>,
    ) -> HashSet<ItemId> {
        let mut behind = HashSet::new();
        let telling = self.ledger.states(tenant, asked, now, |item, mut known| {
            let key = (tenant.clone(), item);
            // Looking makes no entry: nobody pushes others' out by asking for items that nobody wrote.
            let peak = match known.is_known() {
                false => self.peaks.get(&key).unwrap_or_default(),
                true => {
                    let peaks = self.peaks.entry(key.clone());
                    let raise = |before: Option<Entry<Key, Peak>>| {
                        known.raised(before.map(Entry::into_value).unwrap_or_default())
                    };
                    peaks.and_upsert_with(raise).into_value()
                }
            };
            if !known.reaches(peak) {
                behind.insert(item);
                return;
            }
            known.doubt_as(peak);
            let known = Arc::new(known);
            self.known.insert(key, Arc::clone(&known));
            learned.insert(item, known);
        });
        telling.await;
        behind
    }
}

fn writer(facts: &Facts) -> Writer {
    Writer {
        agent: facts.agent.clone(),
        user: facts.user.clone(),
        session: facts.session.clone(),
        delegation: facts.delegation.clone(),
        token_id: facts.token_id.clone(),
        intent_id: facts.intent.as_ref().map(|intent| intent.id.clone()),
    }
}
