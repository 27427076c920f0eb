//! The Merkle tree over a chain (RFC 6962, section 2): roots, inclusion and consistency. Pure.
//!
//! The leaves are the entries' hashes, which are RFC 6962 leaf hashes already. A [`Node`] is a complete subtree; the
//! hash of any range of leaves is folded from complete ones, so that proofs can be made from stored tiles.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// A hash of the tree.
pub type Hash = [u8; 32];

/// Hash of two subtrees side by side: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// Root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

/// A complete subtree: the leaves `index << level` up to `(index + 1) << level`, exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// Its height: it has 2^level leaves.
    pub level: u8,
    /// Its number among those of its height, from the left.
    pub index: u64,
}

/// The fewest complete subtrees that the leaves `start..end` consist of, from the left.
#[must_use]
pub fn subtrees(start: u64, end: u64) -> Vec<Node> {
    let (mut at, mut nodes) = (start, Vec::new());
    while at < end {
        let fits = (end - at).ilog2();
        let level = at.trailing_zeros().min(fits);
        nodes.push(Node {
            level: u8::try_from(level).unwrap_or(63),
            index: at >> level,
        });
        at += 1 << level;
    }
    nodes
}

/// The right edge of a growing tree: its complete subtrees, the largest first. All that is needed to append and to
/// know the root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// Of a tree of this size from its subtrees; `None` if that is not as many as a tree of this size has.
    #[must_use]
    pub fn new(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        let whole = usize::try_from(size.count_ones()).ok() == Some(nodes.len());
        whole.then_some(Self { size, nodes })
    }

    /// The same from their bytes, one after the other.
    #[must_use]
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (nodes, rest) = bytes.as_chunks::<32>();
        if rest.is_empty() {
            Self::new(size, nodes.to_vec())
        } else {
            None
        }
    }

    /// The subtrees' bytes, one after the other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.concat()
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.join(0, leaf);
    }

    /// Appends a complete subtree; false, and nothing done, if one of its height can't stand here.
    #[must_use]
    pub fn push_subtree(&mut self, level: u8, hash: Hash) -> bool {
        let fits = level < 63 && self.size.trailing_zeros() >= u32::from(level);
        let room = self.size.checked_add(1 << level.min(62)).is_some();
        if fits && room {
            self.join(level, hash);
        }
        fits && room
    }

    fn join(&mut self, level: u8, mut hash: Hash) {
        let mut height = level;
        while (self.size >> height) & 1 == 1 {
            let Some(left) = self.nodes.pop() else { break };
            hash = parent(&left, &hash);
            height += 1;
        }
        self.nodes.push(hash);
        self.size += 1 << level;
    }

    /// The root of the tree so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.nodes).unwrap_or_else(empty_root)
    }
}

/// Hash of a range from its subtrees, the largest first.
fn fold(nodes: &[Hash]) -> Option<Hash> {
    let (last, before) = nodes.split_last()?;
    Some(
        before
            .iter()
            .rev()
            .fold(*last, |right, left| parent(left, &right)),
    )
}

/// A proof as ranges of leaves whose hashes make it up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    ranges: Vec<(u64, u64)>,
}

impl Plan {
    /// RFC 6962, 2.1.1: that the leaf `index` (from 0) is in the tree of this size. `None` if it is not that large.
    #[must_use]
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut start, mut end, mut ranges) = (0, size, Vec::new());
        while end - start > 1 {
            let split = start + split(end - start);
            if index < split {
                ranges.push((split, end));
                end = split;
            } else {
                ranges.push((start, split));
                start = split;
            }
        }
        ranges.reverse();
        Some(Self { ranges })
    }

    /// RFC 6962, 2.1.2: that the tree of `old` leaves is the beginning of the one of `new` leaves. `None` if `old` is
    /// the larger one.
    #[must_use]
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old > new {
            return None;
        }
        if old == 0 || old == new {
            return Some(Self::default());
        }
        let (mut start, mut end, mut ranges) = (0, new, Vec::new());
        // Down to the subtree that ends where the old tree does.
        while end != old {
            let split = start + split(end - start);
            if old <= split {
                ranges.push((split, end));
                end = split;
            } else {
                ranges.push((start, split));
                start = split;
            }
        }
        // From the first leaf on it is the old root itself, which whoever checks knows.
        if start != 0 {
            ranges.push((start, end));
        }
        ranges.reverse();
        Some(Self { ranges })
    }

    /// The complete subtrees whose hashes are needed.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.ranges
            .iter()
            .flat_map(|(start, end)| subtrees(*start, *end))
    }

    /// How many hashes the proof has.
    #[must_use]
    pub fn hashes(&self) -> usize {
        self.ranges.len()
    }

    /// The proof; `None` if a hash is missing.
    #[must_use]
    pub fn proof(&self, hashes: &HashMap<Node, Hash>) -> Option<Vec<Hash>> {
        let range = |(start, end): &(u64, u64)| {
            let nodes: Option<Vec<Hash>> = subtrees(*start, *end)
                .iter()
                .map(|node| hashes.get(node).copied())
                .collect();
            fold(&nodes?)
        };
        self.ranges.iter().map(range).collect()
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Whether a proof shows that `leaf` is number `index` (from 0) of the tree with this size and root (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = parent(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = parent(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether a proof shows that the old tree is the beginning of the new one (RFC 9162, 2.1.4.2).
#[must_use]
pub fn extends(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size > new_size {
        return false;
    }
    let mut steps = proof.iter();
    let first = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        steps.next()
    };
    let Some(first) = first else { return false };
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut was, mut is) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            was = parent(step, &was);
            is = parent(step, &is);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            is = parent(&is, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && was == *old_root && is == *new_root
}

#[cfg(test)]
mod tests;
