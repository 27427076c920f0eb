//! Configuration: one struct per role, read once, checked whole.
//!
//! Values come from a TOML file and, over it, from environment variables. The variable of
//! `nats.url` of the role `edge` is `PROCTOR_EDGE__NATS__URL`: upper case, two underscores between
//! words of the path. A variable is text and is read as what the field wants: a number, `true`,
//! a list (`a,b` or `["a", "b"]`), a table (`{ a = 1 }`).
//!
//! An unknown key is an error wherever it comes from, and errors never quote a value, which may
//! be a secret. Use [`crate::Secret`] for secrets, and [`effective`] shows the rest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

mod value;

use value::Node;

/// Configuration that cannot be used. Never quotes a value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line of the error, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An environment variable of ours is not UTF-8.
    #[error("environment variable {name} is not UTF-8")]
    NotText {
        /// Name of the variable.
        name: String,
    },
    /// A variable names a place inside something that is not a table.
    #[error("environment variable {name} names a key inside a value that has none")]
    NoTable {
        /// Name of the variable.
        name: String,
    },
    /// A key is missing, unknown, or its value is of the wrong kind.
    #[error("configuration: {0}")]
    Value(String),
    /// The configuration cannot be written as TOML.
    #[error("the configuration cannot be shown")]
    Show(#[source] toml::ser::Error),
}

/// Reads the configuration of `role` from `file` (if any) and this process's environment.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned>(role: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    let text = match file {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            Some((
                path,
                read.map_err(|source| ConfigError::Read {
                    path: path.to_owned(),
                    source,
                })?,
            ))
        }
        None => None,
    };
    from_parts(
        role,
        text.as_ref().map(|(path, text)| (*path, text.as_str())),
        std::env::vars_os(),
    )
}

/// The same from parts, for tests and for `proctor dev`, which has no file.
///
/// # Errors
/// See [`ConfigError`].
pub fn from_parts<T: DeserializeOwned>(
    role: &str,
    file: Option<(&Path, &str)>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<T, ConfigError> {
    let table = file.map_or_else(|| Ok(toml::Table::new()), |(path, text)| parse(path, text))?;
    let mut root = Node::from(toml::Value::Table(table));
    let prefix = format!("PROCTOR_{}__", role.to_uppercase().replace('-', "_"));
    for (name, value) in environment {
        let Some(name) = name
            .to_str()
            .filter(|name| name.starts_with(&prefix))
            .map(str::to_owned)
        else {
            continue;
        };
        let value = value
            .into_string()
            .map_err(|_| ConfigError::NotText { name: name.clone() })?;
        let path = name.trim_start_matches(&prefix).to_lowercase();
        if !root.put(path.split("__"), value) {
            return Err(ConfigError::NoTable { name });
        }
    }
    T::deserialize(root).map_err(|error| ConfigError::Value(error.to_string()))
}

/// The values in use as TOML, secrets redacted by their type: `proctor config print`.
///
/// # Errors
/// A struct that TOML cannot express.
pub fn effective<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string_pretty(config).map_err(ConfigError::Show)
}

fn parse(path: &Path, text: &str) -> Result<toml::Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::Syntax {
            path: path.to_owned(),
            line,
            message: error.message().to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use serde::Deserialize;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Strict,
        Monitor,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Role {
        listen: std::net::SocketAddr,
        #[serde(default)]
        workers: Option<u16>,
        #[serde(default)]
        verbose: bool,
        #[serde(default)]
        regions: Vec<String>,
        mode: Mode,
        store: Store,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Store {
        password: Secret,
        #[serde(default)]
        pool_size_max: u32,
    }

    const FILE: &str = "listen = '127.0.0.1:1'\nmode = 'strict'\n[store]\npassword = 's3cret'\npool_size_max = 4\n";

    fn load(text: &str, env: &[(&str, &str)]) -> Result<Role, ConfigError> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        from_parts("edge", Some((Path::new("edge.toml"), text)), env)
    }

    #[test]
    fn a_file_is_read_and_shown_without_its_secrets() {
        let role = load(FILE, &[]).unwrap();
        assert_eq!(
            (role.listen.port(), role.store.pool_size_max, role.workers),
            (1, 4, None)
        );
        assert_eq!(role.store.password.expose(), "s3cret");
        let shown = effective(&role).unwrap();
        assert!(
            shown.contains("pool_size_max = 4") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn the_environment_wins_and_is_read_as_what_the_field_wants() {
        let env = [
            ("PROCTOR_EDGE__LISTEN", "[::1]:2"),
            ("PROCTOR_EDGE__WORKERS", "3"),
            ("PROCTOR_EDGE__VERBOSE", "true"),
            ("PROCTOR_EDGE__REGIONS", "eu, us"),
            ("PROCTOR_EDGE__MODE", "monitor"),
            ("PROCTOR_EDGE__STORE__PASSWORD", "12345"),
            ("PROCTOR_CONTROL__LISTEN", "not ours"),
            ("PROCTOR_EDGE_URL", "not ours"),
        ];
        let role = load(FILE, &env).unwrap();
        assert_eq!(
            (role.listen.port(), role.workers, role.verbose),
            (2, Some(3), true)
        );
        assert_eq!(
            (role.regions, role.mode),
            (vec!["eu".to_owned(), "us".to_owned()], Mode::Monitor)
        );
        assert_eq!(
            (role.store.password.expose(), role.store.pool_size_max),
            ("12345", 4)
        );
        let all = [
            ("PROCTOR_EDGE__LISTEN", "[::1]:2"),
            ("PROCTOR_EDGE__MODE", "strict"),
            ("PROCTOR_EDGE__REGIONS", "['eu,west']"),
            (
                "PROCTOR_EDGE__STORE",
                "{ password = 'x', pool_size_max = 9 }",
            ),
        ];
        let role = load("", &all).unwrap();
        assert_eq!(
            (role.regions, role.store.pool_size_max),
            (vec!["eu,west".to_owned()], 9)
        );
    }

    #[test]
    fn errors_name_the_place_and_quote_no_value() {
        let cases = [
            ("", vec![], "missing field `listen`"),
            (FILE, vec![("PROCTOR_EDGE__WORKERS", "s3cret")], "workers: "),
            (FILE, vec![("PROCTOR_EDGE__MODE", "s3cret")], "mode: "),
            (
                FILE,
                vec![("PROCTOR_EDGE__STORE__POOL", "s3cret")],
                "store.pool: unknown key",
            ),
            (
                FILE,
                vec![("PROCTOR_EDGE__TYPO", "s3cret")],
                "typo: unknown key",
            ),
            (
                FILE,
                vec![("PROCTOR_EDGE__LISTEN__X", "s3cret")],
                "PROCTOR_EDGE__LISTEN__X",
            ),
            ("listen = 5", vec![], "listen: "),
            ("a = 1\nb = s3cret", vec![], "edge.toml: line 2"),
            (
                "listen = '127.0.0.1:1'\nmode = 'strict'\nstore = { password = 7771 }",
                vec![],
                "store.password: ",
            ),
        ];
        for (text, env, expect) in cases {
            let error = load(text, &env).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expect), "{shown}");
            assert!(
                !shown.contains("s3cret") && !shown.contains("7771"),
                "{shown}"
            );
        }
    }
}
