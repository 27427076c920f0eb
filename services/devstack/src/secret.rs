//! Passwords kept in files that only their owner reads.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::DevstackError;

/// 32 random bytes as 64 hexadecimal digits: safe in URLs and configuration files.
pub(crate) fn random_password() -> Result<String, DevstackError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| DevstackError::Io {
        action: "read random bytes for",
        path: "a password".into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(hex::encode(bytes))
}

/// Writes a new file with mode 0600, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), DevstackError> {
    let partial = path.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(DevstackError::io("write", &partial))?;
    std::fs::rename(&partial, path).map_err(DevstackError::io("write", path))
}

/// The password in the file, or `None` where there is no such file.
pub(crate) fn read_password(path: &Path) -> Result<Option<String>, DevstackError> {
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(Some(content.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DevstackError::io("read", path)(error)),
    }
}
