//! The newest numbers ever seen, on disk, so that a restart can't be used to play back older news.
//!
//! A file is one line of JSON and the CRC-32 of it: a digit that flips would else be a lower number. What does not fit its
//! sum is no number at all, and no news is taken until somebody has looked.

use super::Refused;
use proctor_model::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Numbers {
    pub(super) assignment: u64,
    pub(super) config: u64,
    pub(super) keys: u64,
    pub(super) revocation: u64,
    pub(super) kill: u64,
}

/// The numbers of one tenant (or of the assignment).
pub(super) struct Seen {
    path: PathBuf,
    numbers: Numbers,
}

impl Seen {
    pub(super) fn load(dir: &Path, name: &str) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{name}.json"));
        let numbers = match std::fs::read(&path) {
            Ok(bytes) => read(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Numbers::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, numbers })
    }

    /// Whether a number is at least the one seen before; nothing is written.
    pub(super) fn check(
        &mut self,
        pick: impl Fn(&mut Numbers) -> &mut u64,
        number: u64,
    ) -> Result<(), Refused> {
        match number < *pick(&mut self.numbers) {
            true => Err(Refused::Older),
            false => Ok(()),
        }
    }

    /// Takes a number that is at least the one seen before; a higher one is on disk when this returns.
    pub(super) fn raise(
        &mut self,
        pick: impl Fn(&mut Numbers) -> &mut u64,
        number: u64,
    ) -> Result<(), Refused> {
        let seen = *pick(&mut self.numbers);
        if number < seen {
            return Err(Refused::Older);
        }
        if number > seen {
            *pick(&mut self.numbers) = number;
            Self::save(&self.path, &self.numbers)?;
        }
        Ok(())
    }

    fn save(path: &Path, numbers: &Numbers) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec(numbers)?;
        let sum = sum(&bytes);
        bytes.push(b'\n');
        bytes.extend(sum.as_bytes());
        replace(path, &bytes)
    }
}

fn sum(line: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(line))
}

fn read(bytes: &[u8]) -> std::io::Result<Numbers> {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    match parts.next() {
        Some(found) if found != sum(line).as_bytes() => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "the file is not as it was written",
        )),
        // A file of before has no sum: it gets one with the next number.
        Some(_) | None => Ok(serde_json::from_slice(line)?),
    }
}

/// Writes a file so that there is always either the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent()
        .map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

const ASSIGNMENT: &str = "assignment.jws";

/// Keeps the assignment as it was signed.
pub(super) fn keep(dir: &Path, payload: &str) -> std::io::Result<()> {
    let path = dir.join(ASSIGNMENT);
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == payload) {
        return Ok(());
    }
    replace(&path, payload.as_bytes())
}

/// The assignment that was kept.
pub(super) fn recall(dir: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(dir.join(ASSIGNMENT)) {
        Ok(payload) => Ok(Some(payload)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the name of such a file begins and ends with, around the tenant's.
const CERTIFICATE: (&str, &str) = ("certificate-", ".jws");

/// Keeps the certificate under which a tenant's events go that this edge serves no more: what is left to send of them must not
/// depend on the edge going on until it is sent.
pub(super) fn keep_certificate(
    dir: &Path,
    tenant: &TenantId,
    certificate: &str,
) -> std::io::Result<()> {
    let (before, behind) = CERTIFICATE;
    let path = dir.join(format!("{before}{tenant}{behind}"));
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == certificate) {
        return Ok(());
    }
    replace(&path, certificate.as_bytes())
}

/// The certificates that were kept.
pub(super) fn certificates(dir: &Path) -> std::io::Result<HashMap<TenantId, String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let (before, behind) = CERTIFICATE;
    let mut kept = HashMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let tenant = name.to_str().and_then(|name| {
            name.strip_prefix(before)?
                .strip_suffix(behind)?
                .parse()
                .ok()
        });
        if let Some(tenant) = tenant {
            kept.insert(tenant, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn older(dir: &Path, number: u64) -> Result<(), Refused> {
        Seen::load(dir, "tenant-acme")?.check(|seen| &mut seen.config, number)
    }

    #[test]
    fn a_byte_that_is_not_as_it_was_lets_nothing_older_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Seen::load(dir.path(), "tenant-acme").unwrap();
        seen.raise(|seen| &mut seen.config, 170).unwrap();
        seen.raise(|seen| &mut seen.kill, 3).unwrap();
        assert!(matches!(older(dir.path(), 169), Err(Refused::Older)));
        older(dir.path(), 170).unwrap();
        let path = dir.path().join("tenant-acme.json");
        let good = std::fs::read(&path).unwrap();
        for (at, byte) in good.iter().enumerate() {
            for other in (0..=u8::MAX).filter(|other| other != byte) {
                let mut bytes = good.clone();
                bytes[at] = other;
                assert!(read(&bytes).is_err(), "byte {at}: {other}");
            }
        }
        let mut bytes = good.clone();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(older(dir.path(), 171), Err(Refused::Disk(_))));
        std::fs::write(&path, good).unwrap();
        older(dir.path(), 171).unwrap();
    }

    #[test]
    fn a_file_without_a_sum_is_read_and_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenant-acme.json");
        std::fs::write(&path, r#"{"assignment":0,"config":17,"keys":2}"#).unwrap();
        assert!(matches!(older(dir.path(), 16), Err(Refused::Older)));
        let mut seen = Seen::load(dir.path(), "tenant-acme").unwrap();
        seen.raise(|seen| &mut seen.config, 18).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.contains(&b'\n'));
        assert_eq!(read(&bytes).unwrap().keys, 2);
        assert!(matches!(older(dir.path(), 17), Err(Refused::Older)));
    }
}
