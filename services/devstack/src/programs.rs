//! Where the server programs are.

use std::path::{Path, PathBuf};

use crate::DevstackError;

/// A program of the machine that the development stack runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The Postgres server.
    Postgres,
    /// Creates a Postgres cluster.
    Initdb,
    /// The NATS server.
    NatsServer,
    /// Ties the life of a child to its parent; optional.
    Setpriv,
}

impl Program {
    /// Name of the executable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Initdb => "initdb",
            Self::NatsServer => "nats-server",
            Self::Setpriv => "setpriv",
        }
    }

    /// Places searched when PATH does not have it.
    fn searched(self) -> &'static str {
        match self {
            Self::Postgres | Self::Initdb => "/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin",
            Self::NatsServer | Self::Setpriv => "/usr/sbin, /usr/local/bin",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Postgres | Self::Initdb => {
                "install PostgreSQL 14 or newer (Debian, Ubuntu: apt install postgresql)"
            }
            Self::NatsServer => {
                "install nats-server 2.9 or newer (Debian, Ubuntu: apt install nats-server)"
            }
            Self::Setpriv => "install util-linux",
        }
    }
}

/// Finds a program on PATH, else where distributions put it.
///
/// The newest Postgres wins where several versions are installed beside each other, and `postgres`
/// and `initdb` are always taken from the same version: a directory counts only if it has both.
///
/// # Errors
/// [`DevstackError::ProgramMissing`] names the program and how to install it.
pub fn find_program(program: Program) -> Result<PathBuf, DevstackError> {
    candidates(program)
        .into_iter()
        .find(|dir| complete(program, dir))
        .map(|dir| dir.join(program.name()))
        .ok_or(DevstackError::ProgramMissing {
            program: program.name(),
            searched: program.searched(),
            hint: program.hint(),
        })
}

fn candidates(program: Program) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    match program {
        Program::Postgres | Program::Initdb => dirs.extend(versioned_postgres_dirs()),
        Program::NatsServer | Program::Setpriv => {
            dirs.extend(
                ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from),
            );
        }
    }
    dirs
}

fn complete(program: Program, dir: &Path) -> bool {
    let has = |name: &str| dir.join(name).is_file();
    match program {
        Program::Postgres | Program::Initdb => has("postgres") && has("initdb"),
        Program::NatsServer | Program::Setpriv => has(program.name()),
    }
}

/// `bin` directories of versioned Postgres packages, newest first.
fn versioned_postgres_dirs() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (root, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let Ok(entries) = std::fs::read_dir(root) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let version = name
                .to_str()
                .and_then(|n| n.strip_prefix(prefix))
                .and_then(|v| v.parse().ok());
            if let Some(version) = version {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}
