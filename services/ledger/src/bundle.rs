//! Bundles: a stretch of a chain with all that an outsider needs to check it, in one file. Pure.
//!
//! The first line is a [`Header`], each further line the exact bytes of an entry. The header holds signed checkpoints and
//! the hashes of the subtrees left and right of the stretch: with the entries between them they give the signed root.
//! `docs/audit-format.md` describes it for those who write a verifier of their own.

mod fault;
mod verify;

pub use fault::{Fault, Finding};
pub use verify::{Known, Report, Trust, verify};

use crate::merkle::{Hash, Node, subtrees};
use serde::{Deserialize, Serialize};

/// Version of the format, member `bundle` of the header.
pub const FORMAT: &str = "proctor.audit-bundle/1";
/// Longest line that is read, in bytes: an entry, or a header with many checkpoints.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The first line of a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub bundle: String,
    /// Whose chain.
    pub tenant: String,
    /// Number of the first entry of the stretch, from 1.
    pub first: u64,
    /// Number of its last entry.
    pub last: u64,
    /// Size of the tree that the stretch is shown to be in: that of the last checkpoint.
    pub size: u64,
    /// Hashes of the complete subtrees before the stretch, the largest first, hex.
    pub left: Vec<String>,
    /// Hashes of the complete subtrees behind the stretch, from left to right, hex.
    pub right: Vec<String>,
    /// Signed checkpoints: those within the stretch, and the one of `size`; by size.
    pub checkpoints: Vec<String>,
    /// The log's keys as the log itself tells them. Whoever verifies has to know them from elsewhere.
    pub keys: Vec<String>,
}

impl Header {
    /// The subtrees that `left` and `right` are of.
    #[must_use]
    pub fn around(first: u64, last: u64, size: u64) -> (Vec<Node>, Vec<Node>) {
        (subtrees(0, first.saturating_sub(1)), subtrees(last, size))
    }

    /// Whether the root of a tree of this size can be told from the bundle.
    pub(crate) fn reaches(&self, size: u64) -> bool {
        size == self.size || (self.first.saturating_sub(1)..=self.last).contains(&size)
    }

    /// The line, newline included.
    ///
    /// # Errors
    /// If it can't be written as JSON (it always can).
    pub fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Hashes as the header has them.
#[must_use]
pub fn hex_all(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}
