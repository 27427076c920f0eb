//! Bits that flip on the edge's disk.

use crate::cluster::Cluster;
use crate::load::mix;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};

/// What the edge says of a file that is not as it was written.
const NAMED: &str = "is damaged";

/// A file of the spool, as it was when the edge was killed.
struct Kept {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Flips one bit in the spool; the edge must not come up with it as if nothing were, unless the bit is in what was never
/// promised, and say why. Then starts it with the spool as it was.
pub(super) async fn flip(seed: u64, round: u64, cluster: &mut Cluster) -> anyhow::Result<()> {
    let kept = kept(&cluster.spool_dir())?;
    let index = usize::try_from(mix(seed, 100 + round))? % kept.len().max(1);
    let hit = kept.get(index).context("the spool has files")?;
    let at = usize::try_from(mix(seed, 200 + round))? % hit.bytes.len();
    let mut flipped = hit.bytes.clone();
    if let Some(byte) = flipped.get_mut(at) {
        *byte ^= 1 << (mix(seed, 300 + round) % 8);
    }
    std::fs::write(&hit.path, flipped)?;
    let place = format!("byte {at} of {}", hit.path.display());
    match cluster.start_edge().await {
        Ok(()) => {
            ensure!(
                !is_promised(&kept, &hit.path, at),
                "it started with a flipped bit in {place}"
            );
            // It does not matter: the oracle will find everything.
            return Ok(());
        }
        Err(error) => {
            let said = format!("{error:#}");
            ensure!(said.contains(NAMED), "a flipped bit in {place}: {said}");
        }
    }
    // Its files are as they were before.
    for file in &kept {
        std::fs::write(&file.path, &file.bytes)?;
    }
    cluster.start_edge().await
}

/// All files of the spool that hold something.
fn kept(spool: &Path) -> anyhow::Result<Vec<Kept>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(spool)? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = std::fs::read(&path)?;
            files.push(Kept { path, bytes });
        }
    }
    files.retain(|file| !file.bytes.is_empty());
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Whether the edge needs the byte: it does not need the room that it keeps, nor what it had just begun to write behind
/// what the mark says of the newest segment.
fn is_promised(kept: &[Kept], path: &Path, at: usize) -> bool {
    let is = |path: &Path, name: &str| path.file_name().is_some_and(|file| file == name);
    if is(path, "reserve") {
        return false;
    }
    let mark = kept.iter().find(|file| is(&file.path, "synced"));
    let number = |from: usize| {
        let bytes = mark?.bytes.get(from..from + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let (Some(segment), Some(bytes)) = (number(0), number(8)) else {
        return true;
    };
    let newest = is(path, &format!("{segment:012}.spool"));
    !newest || u64::try_from(at).is_ok_and(|at| at < bytes)
}
