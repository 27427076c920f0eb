//! A spool file: a mark, then records. `length (4) ‖ CRC-32 of the payload (4) ‖ payload`, little endian.
//!
//! The first record of a segment is a snapshot of the state at its start, so that a segment never needs an older one
//! to be understood. A record's payload is a tag byte and:
//!
//! * `S`: the snapshot as JSON;
//! * `E`: length (4) of the charges, the charges as JSON, then the event's canonical bytes;
//! * `C`: a tenant and charges without an event, as JSON.

use super::disk::{Disk, DiskFile};
use super::state::Snapshot;
use proctor_engine::Charge;
use proctor_model::TenantId;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const MARK: &[u8; 16] = b"proctor-spool-1\n";
/// Largest record, in bytes: a snapshot with its counts. Bounds what a broken length can make us read.
const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;
const HEADER: usize = 8;

fn name(number: u64) -> String {
    format!("{number:012}.spool")
}

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

/// Numbers of the segments in a directory, in order.
pub(super) fn list(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".spool"));
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Kept on disk so that there is room for one more snapshot when the disk is full.
pub(super) const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 256 * 1024;

/// Keeps room for a segment. If there is none, there will be another time.
pub(super) fn keep_reserve(disk: &Disk) {
    if disk.path(RESERVE).exists() {
        return;
    }
    let kept = disk.create(RESERVE).and_then(|file| {
        // Written, not only sized: a hole takes no room.
        file.write_at(&vec![0x50; RESERVE_BYTES], 0)?;
        file.sync()
    });
    if kept.is_err() {
        let _ = disk.remove(RESERVE);
    }
}

/// Gives the room back; says whether there was any.
pub(super) fn use_reserve(disk: &Disk) -> bool {
    disk.remove(RESERVE).is_ok()
}

/// Makes a segment that begins with a snapshot; it is durable when this returns, its name in the directory too.
pub(super) fn create(
    disk: &Disk,
    number: u64,
    snapshot: &Snapshot,
) -> std::io::Result<(DiskFile, u64)> {
    let name = name(number);
    let result = disk.create(&name).and_then(|file| {
        let mut bytes = MARK.to_vec();
        put_snapshot(&mut bytes, snapshot)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.sync()?;
        Ok((file, u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
    });
    if result.is_err() {
        // Half a segment is of no use; if it can't even be removed, reading skips it.
        let _ = disk.remove(&name);
    }
    result
}

/// Makes all of a segment durable.
pub(super) fn sync(disk: &Disk, number: u64) -> std::io::Result<()> {
    disk.open(&name(number))?.sync()
}

pub(super) fn remove(disk: &Disk, number: u64) -> std::io::Result<()> {
    disk.remove(&name(number))
}

fn put(
    buffer: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let start = buffer.len();
    buffer.extend([0; HEADER]);
    let put = fill(buffer).and_then(|()| seal(buffer, start));
    if put.is_err() {
        // Half a record would hide all that come behind it.
        buffer.truncate(start);
    }
    put
}

/// Writes the header of the record that begins here and is the last.
fn seal(buffer: &mut [u8], start: usize) -> std::io::Result<()> {
    let payload = buffer.get(start + HEADER..).unwrap_or_default();
    let length = u32::try_from(payload.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    let crc = crc32fast::hash(payload);
    if let Some(header) = buffer.get_mut(start..start + HEADER) {
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&crc.to_le_bytes());
    }
    Ok(())
}

fn put_snapshot(buffer: &mut Vec<u8>, snapshot: &Snapshot) -> std::io::Result<()> {
    put(buffer, |buffer| {
        buffer.push(b'S');
        Ok(serde_json::to_writer(buffer, snapshot)?)
    })
}

/// Appends an event record to a buffer; returns where in the buffer the event's bytes begin.
pub(super) fn put_event(
    buffer: &mut Vec<u8>,
    charges: &[Charge],
    event: &[u8],
) -> std::io::Result<usize> {
    let mut at = 0;
    put(buffer, |buffer| {
        let charges = if charges.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(charges)?
        };
        let length = u32::try_from(charges.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        buffer.push(b'E');
        buffer.extend(length.to_le_bytes());
        buffer.extend(charges);
        at = buffer.len();
        buffer.extend(event);
        Ok(())
    })?;
    Ok(at)
}

/// Appends a record of charges alone to a buffer.
pub(super) fn put_charges(
    buffer: &mut Vec<u8>,
    tenant: &TenantId,
    charges: &[Charge],
) -> std::io::Result<()> {
    put(buffer, |buffer| {
        buffer.push(b'C');
        Ok(serde_json::to_writer(buffer, &(tenant, charges))?)
    })
}

/// A record as read.
pub(super) enum Record {
    Snapshot(Box<Snapshot>),
    Event {
        charges: Vec<Charge>,
        event: Vec<u8>,
        offset: u64,
    },
    Charges(TenantId, Vec<Charge>),
}

/// What a segment holds up to its first broken record.
pub(super) struct Contents {
    pub(super) records: Vec<Record>,
    /// How many bytes these take, from the start of the file.
    pub(super) good: u64,
    /// Whether nothing followed that could not be read.
    pub(super) whole: bool,
}

/// Reads a segment. What follows a record that is not as it was written is not looked at: it was never synced, or the
/// segment is damaged ([`Contents::good`] and the mark tell).
pub(super) fn read(path: &Path) -> std::io::Result<Contents> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let mut contents = Contents {
        records: Vec::new(),
        good: 0,
        whole: false,
    };
    let Some(mut rest) = bytes.strip_prefix(MARK) else {
        return Ok(contents);
    };
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let Some((payload, after)) = split(rest) else {
            return Ok(contents);
        };
        let Some(record) = parse(payload, offset + HEADER) else {
            return Ok(contents);
        };
        contents.records.push(record);
        contents.good = u64::try_from(bytes.len() - after.len()).unwrap_or(0);
        rest = after;
    }
    contents.whole = true;
    Ok(contents)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (payload, after) = rest.split_at_checked(length.min(RECORD_BYTES_MAX))?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*crc)).then_some((payload, after))
}

fn parse(payload: &[u8], offset: usize) -> Option<Record> {
    let (tag, body) = payload.split_first()?;
    match tag {
        b'S' => Some(Record::Snapshot(serde_json::from_slice(body).ok()?)),
        b'E' => {
            let (length, rest) = number(body)?;
            let (charges, event) = rest.split_at_checked(length)?;
            let charges = if charges.is_empty() {
                Vec::new()
            } else {
                serde_json::from_slice(charges).ok()?
            };
            let offset = u64::try_from(offset + 1 + 4 + length).ok()?;
            Some(Record::Event {
                charges,
                event: event.to_vec(),
                offset,
            })
        }
        b'C' => {
            let (tenant, charges) = serde_json::from_slice(body).ok()?;
            Some(Record::Charges(tenant, charges))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_fails_leaves_nothing_behind() {
        let mut buffer = Vec::new();
        put_event(&mut buffer, &[], b"{}").unwrap();
        let before = buffer.clone();
        let failed = put(&mut buffer, |buffer| {
            buffer.push(b'E');
            Err(std::io::ErrorKind::InvalidData.into())
        });
        assert!(failed.is_err());
        assert_eq!(buffer, before);
    }
}
