//! How far the newest segment was promised: what tells a torn end, which nobody relies on, from damage to evidence.
//!
//! Written in place after each sync, before anybody is told that an event is durable. That is not synced itself: after a
//! power cut the mark may be an older one, and then it promises less than is true, never more. What a segment begins with is
//! synced ([`Mark::begin`]), before an older segment is let go of: else the removal could survive the cut, and the mark that
//! names what was removed as well.

use super::disk::{Disk, DiskFile};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const NAME: &str = "synced";
/// What becomes the mark when it is whole.
const NEW: &str = "synced.new";
/// `segment (8) ‖ bytes (8) ‖ CRC-32 of both (4)`, little endian.
const BYTES: usize = 20;

/// Up to where a segment is known to be synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Synced {
    pub(super) segment: u64,
    pub(super) bytes: u64,
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Mark(DiskFile);

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

impl Mark {
    /// The file as it is; where there is none, or an empty one, one that promises nothing.
    pub(super) fn open(disk: &Disk) -> std::io::Result<Self> {
        let length = std::fs::metadata(disk.path(NAME)).map_or(0, |meta| meta.len());
        if length == 0 {
            // Of a start that did not come this far.
            let _ = disk.remove(NEW);
            // From now on it keeps its length and lies in one sector: what is written over it is there or is not.
            let file = disk.create(NEW)?;
            file.write_at(&encode(Synced::default()), 0)?;
            file.sync()?;
            disk.rename(NEW, NAME)?;
            disk.sync()?;
        }
        disk.open(NAME).map(Self)
    }

    /// For a new segment: it survives a power cut.
    pub(super) fn begin(&self, synced: Synced) -> std::io::Result<()> {
        self.set(synced)?;
        self.0.sync()
    }

    pub(super) fn set(&self, synced: Synced) -> std::io::Result<()> {
        self.0.write_at(&encode(synced), 0)
    }
}

/// What it says; nothing, if nothing was promised yet.
///
/// # Errors
/// If it can't be read, or is not as it was written (`InvalidData`).
pub(super) fn read(dir: &Path) -> std::io::Result<Synced> {
    let mut bytes = Vec::new();
    match File::open(path(dir)) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    match bytes.is_empty() {
        true => Ok(Synced::default()),
        false => decode(&bytes).ok_or_else(|| std::io::ErrorKind::InvalidData.into()),
    }
}

fn encode(synced: Synced) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&synced.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&synced.bytes.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Synced> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let synced = Synced {
        segment: u64::from_le_bytes(*bytes.first_chunk()?),
        bytes: u64::from_le_bytes(*bytes[8..].first_chunk()?),
    };
    (encode(synced) == *bytes).then_some(synced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_last_set_and_no_bit_of_it_flips_unseen() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().to_owned());
        assert_eq!(read(dir.path()).unwrap(), Synced::default());
        let mark = Mark::open(&disk).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Synced::default());
        let last = Synced {
            segment: 7,
            bytes: 123_456,
        };
        for synced in [Synced::default(), last] {
            mark.begin(synced).unwrap();
            assert_eq!(read(dir.path()).unwrap(), synced);
        }
        let good = std::fs::read(path(dir.path())).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(path(dir.path()), bad).unwrap();
            assert!(read(dir.path()).is_err(), "bit {bit}");
        }
        std::fs::write(path(dir.path()), &good[..BYTES - 1]).unwrap();
        assert!(read(dir.path()).is_err());
        // As a power cut left it that came before it was ever synced.
        std::fs::write(path(dir.path()), b"").unwrap();
        let mark = Mark::open(&disk).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Synced::default());
        mark.set(last).unwrap();
        drop(mark);
        drop(Mark::open(&disk).unwrap());
        assert_eq!(read(dir.path()).unwrap(), last, "it is left as it is");
    }
}
