//! The newest numbers ever seen, on disk, so that a restart can't be used to play back older news.

use super::Refused;
use serde::{Deserialize, Serialize};
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
            Ok(bytes) => serde_json::from_slice(&bytes)?,
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
        replace(path, &serde_json::to_vec(numbers)?)
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
