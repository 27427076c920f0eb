//! What a power cut may leave.
//!
//! What was synced is there. Of the rest: which files there are is how it was after some change to the directory since it was
//! synced, as in every journal. What is in them has no order: each sector has any of its versions since the file was synced,
//! and the file ends anywhere between what was synced and what was written, with zeros where nothing arrived.

use super::trace::{Change, Trace};
use crate::spool::segment::RESERVE;
use std::collections::BTreeMap;
use std::path::Path;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What becomes of what was not synced.
#[derive(Debug)]
pub(in crate::spool) enum Fate {
    /// All changes to the directory survive, and nothing that was written to files.
    Names,
    /// Chance has it.
    Chance(u64),
}

/// A write: where, and what.
type Write<'c> = (usize, &'c [u8]);

impl Trace {
    /// Puts into `dir` what a power cut after so many changes leaves. Syncs that `lie`, by their number, did nothing.
    pub(in crate::spool) fn image(
        &self,
        cut: usize,
        lie: &dyn Fn(usize) -> bool,
        fate: &mut Fate,
        dir: &Path,
    ) {
        let log = self.log();
        let changes = &log.changes[..cut];
        for (name, file) in names(changes, lie, fate) {
            // Of that only the room counts.
            let bytes = match name == RESERVE {
                true => Vec::new(),
                false => contents(changes, file, lie, fate),
            };
            std::fs::write(dir.join(name), bytes).unwrap();
        }
    }
}

/// How many changes the last such sync covers.
fn synced(
    changes: &[Change],
    lie: &dyn Fn(usize) -> bool,
    is_sync: impl Fn(&Change) -> bool,
) -> usize {
    let mut numbers = (0..changes.len()).rev();
    let last = numbers.find(|number| is_sync(&changes[*number]) && !lie(*number));
    last.map_or(0, |number| number + 1)
}

/// Which files there are.
fn names(
    changes: &[Change],
    lie: &dyn Fn(usize) -> bool,
    fate: &mut Fate,
) -> BTreeMap<String, usize> {
    let synced = synced(changes, lie, |change| matches!(change, Change::SyncNames));
    let is_name = |change: &&Change| {
        matches!(
            change,
            Change::Create { .. } | Change::Remove { .. } | Change::Rename { .. }
        )
    };
    let (before, after) = changes.split_at(synced);
    let left = match fate {
        Fate::Names => usize::MAX,
        Fate::Chance(_) => fate.below(after.iter().filter(is_name).count() + 1),
    };
    let mut names = BTreeMap::new();
    let after = after.iter().filter(is_name).take(left);
    for change in before.iter().chain(after) {
        match change {
            Change::Create { name, file } => {
                names.insert(name.clone(), *file);
            }
            Change::Remove { name } => {
                names.remove(name);
            }
            Change::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Change::SyncNames | Change::Write { .. } | Change::Sync { .. } => {}
        }
    }
    names
}

/// What is in one of them.
fn contents(
    changes: &[Change],
    file: usize,
    lie: &dyn Fn(usize) -> bool,
    fate: &mut Fate,
) -> Vec<u8> {
    let is_sync = |change: &Change| matches!(change, Change::Sync { file: of } if *of == file);
    let (before, after) = changes.split_at(synced(changes, lie, is_sync));
    let bytes = written(Vec::new(), &writes(before, file));
    fate.survives(bytes, &writes(after, file))
}

fn writes(changes: &[Change], of: usize) -> Vec<Write<'_>> {
    let write = |change| match change {
        &Change::Write {
            file,
            at,
            ref bytes,
        } if file == of => Some((at, bytes.as_slice())),
        _ => None,
    };
    changes.iter().filter_map(write).collect()
}

fn written(mut file: Vec<u8>, writes: &[Write<'_>]) -> Vec<u8> {
    for (at, bytes) in writes {
        let end = at + bytes.len();
        file.resize(file.len().max(end), 0);
        file[*at..end].copy_from_slice(bytes);
    }
    file
}

impl Fate {
    /// What is in a file of which so much was synced.
    fn survives(&mut self, synced: Vec<u8>, writes: &[Write<'_>]) -> Vec<u8> {
        match self {
            Self::Names => synced,
            Self::Chance(_) => match self.below(4) {
                0 => synced,
                1 => written(synced, writes),
                2 => {
                    let some = self.below(writes.len() + 1);
                    written(synced, &writes[..some])
                }
                _ => self.torn(synced, writes),
            },
        }
    }

    fn torn(&mut self, synced: Vec<u8>, writes: &[Write<'_>]) -> Vec<u8> {
        let whole = written(synced.clone(), writes).len();
        let length = synced.len() + self.below(whole - synced.len() + 1);
        let mut torn = synced;
        torn.resize(whole, 0);
        for start in (0..whole).step_by(SECTOR) {
            let within = |(at, bytes): &Write<'_>| {
                let (from, to) = (start.max(*at), (start + SECTOR).min(at + bytes.len()));
                (from < to).then_some((from, to))
            };
            let versions = writes.iter().filter(|write| within(write).is_some());
            let arrived = self.below(versions.count() + 1);
            let versions = writes
                .iter()
                .filter_map(|write| Some((write, within(write)?)));
            for ((at, bytes), (from, to)) in versions.take(arrived) {
                torn[from..to].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        torn.truncate(length);
        torn
    }

    /// Less than so many.
    fn below(&mut self, many: usize) -> usize {
        let Self::Chance(state) = self else {
            return 0;
        };
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        usize::try_from(mix(*state) % u64::try_from(many).unwrap()).unwrap()
    }
}

/// Scatters numbers, as splitmix64 does.
pub(in crate::spool) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
