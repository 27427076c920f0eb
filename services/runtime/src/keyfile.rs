//! Keys in files: made on first use, readable by their owner alone.
//!
//! A key file is one line: `proctor-key-v1 {kind} {64 hexadecimal digits}`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use proctor_model::signed::Signer;
use zeroize::{Zeroize, Zeroizing};

use crate::random::Random;
use crate::seal::Opener;

const VERSION: &str = "proctor-key-v1";

/// What a key is for. A file of one kind is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Seed of an Ed25519 signing key.
    Ed25519,
    /// X25519 private key.
    X25519,
    /// 32 random bytes for symmetric use.
    Symmetric,
}

impl KeyKind {
    fn word(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::X25519 => "x25519",
            Self::Symmetric => "symmetric",
        }
    }
}

/// A key file cannot be used. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot {action} key file {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Group or others can read or write it.
    #[error("key file {} is open to others; its mode must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Not a key file of this kind.
    #[error("{} is not a {expected} key file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The kind that was wanted.
        expected: &'static str,
    },
}

/// The key in `path`, made there if there is no such file.
///
/// Of several processes that do this at once, all get the key of the one that was first. When the
/// function returns, the key is on disk.
///
/// # Errors
/// A file that is exposed, damaged, of another kind, or cannot be read or written.
pub fn load_or_create(path: &Path, kind: KeyKind) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    if let Some(key) = load_if_exists(path, kind)? {
        return Ok(key);
    }
    create(path, kind)?;
    load(path, kind)
}

/// The key in an existing file.
///
/// # Errors
/// As [`load_or_create`], and if there is no such file.
pub fn load(path: &Path, kind: KeyKind) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    load_if_exists(path, kind)?.ok_or_else(|| failed("read", path)(ErrorKind::NotFound.into()))
}

/// A signer whose Ed25519 seed is in `path`; see [`load_or_create`].
///
/// # Errors
/// As [`load_or_create`].
pub fn load_or_create_signer(path: &Path) -> Result<Signer, KeyFileError> {
    let seed = load_or_create(path, KeyKind::Ed25519)?;
    Signer::from_seed(seed.as_slice()).map_err(|_| malformed(path, KeyKind::Ed25519))
}

/// An opener whose X25519 key is in `path`; see [`load_or_create`].
///
/// # Errors
/// As [`load_or_create`].
pub fn load_or_create_opener(path: &Path) -> Result<Opener, KeyFileError> {
    load_or_create(path, KeyKind::X25519).map(|key| Opener::from_private_key(&key))
}

fn load_if_exists(path: &Path, kind: KeyKind) -> Result<Option<Zeroizing<[u8; 32]>>, KeyFileError> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    if meta.mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
        });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed("read", path))?);
    parse(&text, kind)
        .map(Some)
        .ok_or_else(|| malformed(path, kind))
}

fn parse(text: &str, kind: KeyKind) -> Option<Zeroizing<[u8; 32]>> {
    let digits = text
        .trim_end()
        .strip_prefix(VERSION)?
        .strip_prefix(' ')?
        .strip_prefix(kind.word())?
        .strip_prefix(' ')?;
    let mut key = Zeroizing::new([0u8; 32]);
    hex::decode_to_slice(digits, key.as_mut_slice()).ok()?;
    Some(key)
}

/// Writes a new key beside `path`, then links it there unless somebody else was first.
fn create(path: &Path, kind: KeyKind) -> Result<(), KeyFileError> {
    let random = Random::system();
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(
        random
            .array()
            .map_err(|error| failed("make a key for", path)(std::io::Error::other(error)))?,
    );
    let tag: [u8; 8] = random
        .array()
        .map_err(|error| failed("make a key for", path)(std::io::Error::other(error)))?;
    let partial = path.with_extension(format!("{}.partial", hex::encode(tag)));
    let mut digits = hex::encode(key.as_slice());
    let line = Zeroizing::new(format!("{VERSION} {} {digits}\n", kind.word()));
    digits.zeroize();
    let written =
        write_synced(&partial, &line).and_then(|()| match std::fs::hard_link(&partial, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => sync_parent(path),
        });
    let _ = std::fs::remove_file(&partial);
    written.map_err(failed("write", path))
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}

fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> KeyFileError + use<> {
    let path = path.to_owned();
    move |source| KeyFileError::Io {
        action,
        path,
        source,
    }
}

fn malformed(path: &Path, kind: KeyKind) -> KeyFileError {
    KeyFileError::Malformed {
        path: path.to_owned(),
        expected: kind.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        let first = load_or_create_signer(&path).unwrap().public_key().key;
        assert_eq!(
            load_or_create_signer(&path).unwrap().public_key().key,
            first
        );
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["signing.key"]);
        let other = load_or_create_signer(&dir.path().join("other.key")).unwrap();
        assert_ne!(other.public_key().key, first);
    }

    #[test]
    fn many_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_create_opener(&path).unwrap().public_key()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn kinds_are_not_mixed_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        load_or_create(&path, KeyKind::Ed25519).unwrap();
        let error = load_or_create(&path, KeyKind::X25519).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
    }

    #[test]
    fn what_is_damaged_or_exposed_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        load_or_create(&path, KeyKind::Symmetric).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_create(&path, KeyKind::Symmetric).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { .. }), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [
            "",
            "x",
            &good[..good.len() - 2],
            &format!("{}00", good.trim_end()),
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = load_or_create(&path, KeyKind::Symmetric).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn a_missing_file_is_an_error_where_none_is_to_be_made() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(&dir.path().join("key"), KeyKind::Ed25519).is_err());
        assert!(load_or_create(&dir.path().join("no/such/dir/key"), KeyKind::Ed25519).is_err());
    }
}
