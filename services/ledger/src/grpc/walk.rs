//! Walking a chain in the database, against its head and its checkpoints, and what was made of it.

use crate::memory::Replay;
use crate::merkle::Frontier;
use crate::store::hash32;
use crate::verify::{Finding, Walk};
use crate::{LedgerError, State};
use proctor_model::TenantId;
use proctor_model::audit::EntryHash;
use proctor_proto::v1;
use std::collections::VecDeque;

/// Entries that are read at a time.
const PAGE: i64 = 1_000;

pub(super) async fn verify(
    state: &State,
    tenant: &TenantId,
) -> Result<v1::VerifyResponse, LedgerError> {
    // What is appended while we walk is of no concern.
    let mut tx = state.store.snapshot(tenant).await?;
    let head = tx.head().await?;
    let archived = tx.archived().await?;
    let mut walk = if archived > 0 {
        let nodes = crate::merkle::subtrees(0, archived);
        let hashes = tx.nodes(nodes.iter().copied()).await?;
        let left: Option<Vec<_>> = nodes.iter().map(|node| hashes.get(node).copied()).collect();
        let tree = left.and_then(|left| Frontier::new(archived, left));
        let last = tx.leaf(archived).await?;
        Walk::after(tree.ok_or(LedgerError::Damaged)?, last)
    } else {
        Walk::new()
    };
    let mut memory = Replay::start(state, &mut tx, archived > 0).await?;
    let (mut after, mut sealed) = (archived, 0);
    let mut checkpoints = VecDeque::new();
    let mut read_to = archived.saturating_sub(1);
    while after < head.seq {
        let page = tx.rows(after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for row in page.iter().filter(|row| row.stored.seq <= head.seq) {
            let stored = &row.stored;
            if checkpoints.is_empty() && read_to < head.seq {
                let next = tx.checkpoints_between(read_to + 1, head.seq, PAGE).await?;
                read_to = match next.last() {
                    Some(last) if next.len() as i64 == PAGE => last.size,
                    _ => head.seq,
                };
                checkpoints.extend(next);
            }
            if let Some(entry) = walk.entry(stored.seq, &stored.hash, &stored.body) {
                if !row.is_found_by(&entry.event) {
                    walk.columns(stored.seq);
                }
                memory.entry(&entry);
            }
            after = stored.seq;
            // One whose entry is missing is passed over: that is found as a gap.
            while checkpoints
                .front()
                .is_some_and(|next: &crate::store::seals::StoredCheckpoint| next.size <= after)
            {
                if let Some(next) = checkpoints.pop_front() {
                    sealed = next.size;
                    if next.size == after {
                        walk.checkpoint(&next.root);
                    }
                }
            }
        }
    }
    let report = walk.end(head.seq, head.hash);
    let (set_back, unsigned) = memory.compare(&mut tx).await?;
    let findings = report.findings.into_iter().chain(set_back);
    let alarms = report.alarms.into_iter().chain(unsigned);
    Ok(v1::VerifyResponse {
        entries: report.entries,
        head_hash: report.head.as_bytes().to_vec(),
        findings: findings.map(finding).collect(),
        open_calls: report.open_calls,
        alarms: alarms.map(finding).collect(),
        sealed,
        archived,
    })
}

fn finding(finding: Finding) -> v1::Finding {
    v1::Finding {
        seq: finding.seq,
        kind: finding.kind.as_str().to_owned(),
        message: finding.kind.message().to_owned(),
    }
}

impl crate::store::TenantTx {
    /// Hash of an entry whose body may be archived, from the tiles.
    async fn leaf(&mut self, seq: u64) -> Result<EntryHash, LedgerError> {
        let node = crate::merkle::Node {
            level: 0,
            index: seq.saturating_sub(1),
        };
        let hashes = self.nodes(std::iter::once(node)).await?;
        let hash = hashes.get(&node).ok_or(LedgerError::Damaged)?;
        hash32(hash.to_vec())
    }
}
