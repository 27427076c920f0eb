//! A configured secret: can be used, cannot be shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What every way of showing a secret gives instead.
pub const REDACTED: &str = "<redacted>";

/// Text that is wiped from memory on drop and that neither `Debug` nor `Serialize` shows.
///
/// In configuration it is the text itself, or `file:` and the path of a file whose content (less
/// one newline at the end) is the secret.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// The text. Name each use: this is what a reviewer greps for.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self(text)
    }
}

impl From<Secret> for SecretString {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SecretString::deserialize(deserializer)?;
        let Some(path) = text.expose_secret().strip_prefix("file:") else {
            return Ok(Self(text));
        };
        let content = std::fs::read_to_string(path).map_err(|error| {
            serde::de::Error::custom(format!("cannot read the secret file {path}: {error}"))
        })?;
        Ok(content.strip_suffix('\n').unwrap_or(&content).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Holder {
        password: Secret,
    }

    #[test]
    fn nothing_shows_it() {
        let holder: Holder = toml::from_str("password = 's3cret'").unwrap();
        assert_eq!(holder.password.expose(), "s3cret");
        for shown in [
            format!("{holder:?}"),
            toml::to_string(&holder).unwrap(),
            serde_json::to_string(&holder).unwrap(),
        ] {
            assert!(
                shown.contains(REDACTED) && !shown.contains("s3cret"),
                "{shown}"
            );
        }
    }

    #[test]
    fn it_can_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "from file\n").unwrap();
        let holder: Holder =
            toml::from_str(&format!("password = 'file:{}'", path.display())).unwrap();
        assert_eq!(holder.password.expose(), "from file");
        assert!(toml::from_str::<Holder>("password = 'file:/nowhere/at/all'").is_err());
    }
}
