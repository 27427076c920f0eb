//! Asking the ledger: signed questions over NATS, signed answers back.

use super::fold::Known;
use crate::feed::Assigned;
use crate::identity::Identity;
use arc_swap::ArcSwap;
use proctor_model::TenantId;
use proctor_model::config::EdgeCertificate;
use proctor_model::limits::{QUESTION_FACTS_MAX, QUESTION_ITEMS_MAX};
use proctor_model::memory::{
    Ask, ItemId, ItemQuestion, MemoryAnswer, MemoryQuestion, MemoryRecord, RecordHash,
    SignedQuestion,
};
use proctor_runtime::{Random, subjects};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(1);
/// How long to wait before what got no answer is asked once more: the caller's patience ends that.
const PAUSE: Duration = Duration::from_millis(50);
/// Most questions that one call leads to.
const QUESTIONS_MAX: usize = 512;

pub(super) struct Ledger {
    identity: Arc<Identity>,
    assigned: Arc<ArcSwap<Assigned>>,
    nats: async_nats::Client,
    random: Random,
}

impl Ledger {
    pub(super) fn new(
        identity: Arc<Identity>,
        assigned: Arc<ArcSwap<Assigned>>,
        nats: async_nats::Client,
        random: Random,
    ) -> Self {
        Self {
            identity,
            assigned,
            nats,
            random,
        }
    }

    /// Learns how items stand, and tells each as soon as all that was asked of it is known.
    pub(super) async fn states(
        &self,
        tenant: &TenantId,
        questions: &[ItemQuestion],
        now: Duration,
        mut tell: impl FnMut(ItemId, Known),
    ) {
        let mut pending = portions(questions);
        let mut open: HashMap<ItemId, usize> = HashMap::new();
        for question in pending.iter().flatten() {
            let parts = open.entry(question.item).or_default();
            *parts = parts.saturating_add(1);
        }
        let mut learned: HashMap<ItemId, Known> = HashMap::new();
        for _ in 0..QUESTIONS_MAX {
            let Some(portion) = pending.pop_front() else {
                return;
            };
            let asked = self.ask(tenant, Ask::State, portion.clone());
            let answered = match tokio::time::timeout(ANSWER, asked).await {
                Ok(Some(answered)) => answered,
                Ok(None) | Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    pending.push_back(portion);
                    continue;
                }
            };
            let (answer, records) = answered;
            if answer.items.is_empty() {
                // Too much for one answer: in two halves, then.
                pending.extend(halves(portion, &mut open));
                continue;
            }
            let records: HashMap<RecordHash, &MemoryRecord> = answer
                .items
                .iter()
                .flat_map(|item| &item.records)
                .filter_map(|signed| {
                    let hash = signed.record.hash().ok()?;
                    records.contains(&hash).then_some((hash, &signed.record))
                })
                .collect();
            for (question, state) in portion.iter().zip(&answer.items) {
                if state.item != question.item {
                    continue;
                }
                let known = Known::new(now, state, &question.facts, &records);
                match learned.get_mut(&question.item) {
                    Some(before) => before.join(known),
                    None => drop(learned.insert(question.item, known)),
                }
                let left = open.entry(question.item).or_default();
                *left = left.saturating_sub(1);
                if *left == 0
                    && let Some(known) = learned.remove(&question.item)
                {
                    tell(question.item, known);
                }
            }
        }
    }

    /// One question. The answer, if it is the ledger's to this question, with the hashes of the records in it that are
    /// an edge's own, of this tenant.
    pub(super) async fn ask(
        &self,
        tenant: &TenantId,
        ask: Ask,
        items: Vec<ItemQuestion>,
    ) -> Option<(MemoryAnswer, Vec<RecordHash>)> {
        let nonce = hex::encode(self.random.array::<16>().ok()?);
        let question = MemoryQuestion {
            v: 1,
            tenant: tenant.clone(),
            edge: self.identity.edge.clone(),
            nonce: nonce.clone(),
            ask,
            items,
        };
        let assigned = self.assigned.load_full();
        let certificate = assigned.certificates.get(tenant);
        let certificate = certificate.unwrap_or(&self.identity.certificate).clone();
        let signed = SignedQuestion::sign(question, certificate, &self.identity.signer).ok()?;
        let payload = serde_json::to_vec(&signed).ok()?;
        let reply = self
            .nats
            .request(subjects::memory(tenant), payload.into())
            .await
            .ok()?;
        let text = std::str::from_utf8(&reply.payload).ok()?;
        let answer: MemoryAnswer = assigned.ledgers.verify(text).ok()?;
        if answer.tenant != *tenant || answer.nonce != nonce {
            return None;
        }
        let good = self.good(tenant, &answer);
        Some((answer, good))
    }

    /// Records that verify, by themselves.
    fn good(&self, tenant: &TenantId, answer: &MemoryAnswer) -> Vec<RecordHash> {
        let certificates: Vec<EdgeCertificate> = answer
            .certificates
            .iter()
            .filter_map(|text| self.identity.platform.verify(text).ok())
            .collect();
        let verified = |signed: &proctor_model::memory::SignedRecord| {
            let own = |certificate: &&EdgeCertificate| certificate.edge == signed.record.edge;
            let mut candidates = certificates.iter().filter(own);
            candidates.find_map(|certificate| signed.verify_with(certificate).ok())
        };
        let records = answer.items.iter().flat_map(|item| &item.records);
        records
            .filter(|signed| signed.record.tenant == *tenant)
            .filter_map(verified)
            .collect()
    }
}

/// Questions in portions that one answer can hold.
fn portions(questions: &[ItemQuestion]) -> VecDeque<Vec<ItemQuestion>> {
    let mut portions = VecDeque::new();
    let (mut portion, mut facts) = (Vec::new(), 0_usize);
    let parts = questions.iter().flat_map(|question| {
        let none = question.facts.is_empty().then(|| ItemQuestion {
            item: question.item,
            facts: Vec::new(),
        });
        let some = question.facts.chunks(QUESTION_FACTS_MAX);
        none.into_iter().chain(some.map(|facts| ItemQuestion {
            item: question.item,
            facts: facts.to_vec(),
        }))
    });
    for part in parts {
        let more = facts.saturating_add(part.facts.len());
        if more > QUESTION_FACTS_MAX || portion.len() >= QUESTION_ITEMS_MAX {
            portions.push_back(std::mem::take(&mut portion));
            facts = 0;
        }
        facts = facts.saturating_add(part.facts.len());
        portion.push(part);
    }
    if !portion.is_empty() {
        portions.push_back(portion);
    }
    portions
}

/// A portion in two; `open` counts the parts of each item.
fn halves(
    mut portion: Vec<ItemQuestion>,
    open: &mut HashMap<ItemId, usize>,
) -> Vec<Vec<ItemQuestion>> {
    match portion.as_mut_slice() {
        [] => Vec::new(),
        // One fact is as small as it gets: nothing more can be learned.
        [only] if only.facts.len() < 2 => Vec::new(),
        [only] => {
            let rest = only.facts.split_off(only.facts.len() / 2);
            let other = ItemQuestion {
                item: only.item,
                facts: rest,
            };
            let parts = open.entry(other.item).or_default();
            *parts = parts.saturating_add(1);
            vec![portion, vec![other]]
        }
        _ => {
            let rest = portion.split_off(portion.len() / 2);
            vec![portion, rest]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::memory::FactDigest;

    fn question(n: u8, facts: u8) -> ItemQuestion {
        ItemQuestion {
            item: ItemId::from_bytes([n; 32]),
            facts: (0..facts)
                .map(|n| FactDigest::from_bytes([n; 32]))
                .collect(),
        }
    }

    #[test]
    fn questions_are_cut_to_what_an_answer_can_hold() {
        let questions: Vec<_> = (0..100)
            .map(|n| question(n, 3))
            .chain([question(200, 255)])
            .collect();
        let cut = portions(&questions);
        let facts = |portion: &[ItemQuestion]| portion.iter().map(|q| q.facts.len()).sum::<usize>();
        assert!(
            cut.iter()
                .all(|portion| portion.len() <= QUESTION_ITEMS_MAX)
        );
        assert!(
            cut.iter()
                .all(|portion| facts(portion) <= QUESTION_FACTS_MAX)
        );
        assert_eq!(cut.iter().map(|portion| facts(portion)).sum::<usize>(), 555);
        assert_eq!(portions(&[question(1, 0)]).len(), 1);
    }

    #[test]
    fn what_is_too_much_is_halved_down_to_one_fact() {
        let mut open = HashMap::from([(ItemId::from_bytes([1; 32]), 1)]);
        let two = halves(vec![question(1, 4)], &mut open);
        assert_eq!((two.len(), open[&ItemId::from_bytes([1; 32])]), (2, 2));
        assert!(halves(vec![question(1, 1)], &mut open).is_empty());
    }
}
