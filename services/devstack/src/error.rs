//! What can go wrong between asking for a server and having one.

use std::path::{Path, PathBuf};

/// A server could not be found, started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DevstackError {
    /// The server program is not installed in any of the usual places.
    #[error("{program} was not found on PATH or in {searched}; {hint}")]
    ProgramMissing {
        /// Name of the program.
        program: &'static str,
        /// Places that were searched besides PATH.
        searched: &'static str,
        /// How to install it.
        hint: &'static str,
    },
    /// Another living process holds the data directory.
    #[error("{} is in use by another process", dir.display())]
    DirectoryInUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file or directory could not be prepared.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The process runs as root and no unprivileged account exists to drop to.
    #[error(
        "running as root, and neither account `postgres` nor `nobody` exists to run Postgres as"
    )]
    NoUnprivilegedAccount,
    /// The data directory holds a cluster whose password file is gone.
    #[error("{} holds a cluster without its password file; remove the directory to start afresh", dir.display())]
    PasswordMissing {
        /// The data directory.
        dir: PathBuf,
    },
    /// No free port was found.
    #[error("no free port on 127.0.0.1 between {from} and {to}")]
    NoFreePort {
        /// First port tried.
        from: u16,
        /// Last port tried.
        to: u16,
    },
    /// A helper program of the server (initdb) failed.
    #[error("{program} failed with {status}: {stderr}")]
    HelperFailed {
        /// Name of the program.
        program: &'static str,
        /// Exit status.
        status: String,
        /// Last lines it wrote to standard error.
        stderr: String,
    },
    /// The server ended before it was ready.
    #[error("{server} ended before it was ready ({status}); its log ends with: {log_tail}")]
    EndedEarly {
        /// Name of the server.
        server: &'static str,
        /// Exit status.
        status: String,
        /// Last lines of its log.
        log_tail: String,
    },
    /// The server runs but did not answer in time.
    #[error("{server} did not become ready within {seconds} s; last answer: {last}")]
    NotReady {
        /// Name of the server.
        server: &'static str,
        /// How long it was given.
        seconds: u64,
        /// Why the last attempt failed.
        last: String,
    },
    /// A database name that is not `[a-z][a-z0-9_]{0,62}`.
    #[error("a database name is 1 to 63 of a-z, 0-9 and _, and starts with a letter")]
    BadDatabaseName,
    /// Postgres refused an administrative statement.
    #[error("Postgres refused to {action}")]
    Sql {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// An environment variable that points at a shared server is unusable.
    #[error("environment variable {name} is not usable: {problem}")]
    BadEnvironment {
        /// Name of the variable.
        name: &'static str,
        /// What is wrong with it (never its value).
        problem: &'static str,
    },
}

impl DevstackError {
    /// Adapter for `map_err` on file operations.
    pub(crate) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
