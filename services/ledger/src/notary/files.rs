//! One file for each checkpoint, on storage that may let nothing be rewritten, renamed or removed.
//!
//! A file is made under its own name and only if there is none: `<size, 20 digits>.checkpoint`. One that a crash left half
//! written can't be told by its name; so whoever goes on behind it reads it, and writes the checkpoint once more as
//! `<size>.1.checkpoint` (`.2`, …) where it is not whole. Nothing is ever written over.

use crate::checkpoint::{Checkpoint, Note};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How often one checkpoint is begun at most, over all crashes and full disks.
const FILES_PER_SIZE_MAX: u32 = 1_000;

/// A checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{} holds another checkpoint of this size: the log was rewritten, or the directory is another log's", .0.display())]
    Another(PathBuf),
    #[error("a checkpoint has too many files, all of them half written")]
    Begun,
}

/// What a file with a checkpoint's name holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// This checkpoint, signed by the log.
    Whole,
    /// Nothing that could be told from a part of it.
    Half,
    /// A checkpoint, and not this one.
    Another,
}

fn name(size: u64, number: u32) -> String {
    match number {
        0 => format!("{size:020}.checkpoint"),
        number => format!("{size:020}.{number}.checkpoint"),
    }
}

/// The size in a file's name.
fn size_of(name: &str) -> Option<u64> {
    let name = name.strip_suffix(".checkpoint")?;
    let size = name.split_once('.').map_or(name, |(size, _)| size);
    size.parse().ok()
}

/// The greatest size that has a file, whole or not; 0 if none has.
pub(super) fn newest(dir: &Path) -> std::io::Result<u64> {
    let mut newest = 0;
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        newest = newest.max(name.to_str().and_then(size_of).unwrap_or(0));
    }
    Ok(newest)
}

/// Writes a checkpoint's file, unless there is one that is whole.
pub(super) fn write(dir: &Path, size: u64, note: &str) -> Result<(), FileError> {
    for number in 0..FILES_PER_SIZE_MAX {
        let path = dir.join(name(size, number));
        match create(&path, note) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return Ok(made?),
        }
        match judge(&std::fs::read(&path)?, note) {
            Kept::Whole => return Ok(()),
            Kept::Another => return Err(FileError::Another(path)),
            Kept::Half => {
                tracing::warn!(path = %path.display(), "a checkpoint's file is half written; it gets another one");
                metrics::counter!("proctor_ledger_checkpoint_files_half_total").increment(1);
            }
        }
    }
    Err(FileError::Begun)
}

/// Makes a file that was not there, and waits until it is on disk.
fn create(path: &Path, note: &str) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    let written = file
        .write_all(note.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Ours alone, and not whole: where the storage lets it go, there is no more to be told apart later.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// A note in a file may lack cosignatures that came later, but nothing that the log itself signed.
fn judge(kept: &[u8], note: &str) -> Kept {
    let Ok(kept) = std::str::from_utf8(kept) else {
        return Kept::Half;
    };
    let (Ok(kept), Ok(note)) = (Note::parse(kept), Note::parse(note)) else {
        return Kept::Half;
    };
    if kept.text != note.text {
        return Kept::Another;
    }
    match Checkpoint::parse(note.text) {
        Ok(Checkpoint { origin, .. }) if kept.lines_of(&origin) == note.lines_of(&origin) => {
            Kept::Whole
        }
        _ => Kept::Half,
    }
}

#[cfg(test)]
mod tests;
