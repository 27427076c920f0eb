//! What can go wrong in control, and what its clients are told of it.

use tonic::Status;

/// Control could not do it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Postgres.
    #[error("the database")]
    Database(#[from] sqlx::Error),
    /// A migration.
    #[error("a migration of the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// NATS' address.
    #[error("NATS")]
    Nats(#[from] proctor_runtime::nats::NatsError),
    /// An address of the counter.
    #[error("an address of the counter")]
    Counter(#[source] proctor_runtime::grpc::GrpcError),
    /// A key file.
    #[error("a key file")]
    KeyFile(#[from] proctor_runtime::keyfile::KeyFileError),
    /// A signed document.
    #[error("a signed document")]
    Signed(#[from] proctor_model::signed::SignedError),
    /// An audit event.
    #[error("an audit event")]
    Audit(#[from] proctor_model::audit::AuditError),
    /// Sealing to an edge.
    #[error("sealing to an edge")]
    Seal(#[from] proctor_runtime::seal::SealError),
    /// The random generator.
    #[error("randomness")]
    Random(#[from] proctor_runtime::random::RandomError),
    /// The listener.
    #[error("the gRPC listener")]
    Listen(#[source] std::io::Error),
    /// A stored secret does not decrypt: another master key, or altered.
    #[error("a stored secret does not decrypt under the master key")]
    Decrypt,
    /// A stored document is not of its form.
    #[error("a stored document")]
    Document(#[from] serde_json::Error),
    /// A stored id is not of its form.
    #[error("a stored id")]
    Id(#[from] proctor_model::ids::IdError),
    /// A principal token can't be made.
    #[error("a principal token")]
    Principal(#[from] jsonwebtoken::errors::Error),
    /// A stored hash is not 32 bytes long.
    #[error("a stored hash is damaged")]
    DamagedHash,
    /// The ledger has another event under a number than control does.
    #[error("a receipt names another event than was sent")]
    ForeignReceipt,
    /// NATS did not take admin events.
    #[error("NATS did not take admin events")]
    Ship(#[source] Box<async_nats::jetstream::context::PublishError>),
    /// The HTTP client for extractors.
    #[error("the HTTP client")]
    Http(#[from] reqwest::Error),
    /// What the client is to be told.
    #[error("{0}")]
    Refused(Box<Status>),
}

impl ControlError {
    /// Whether the database could not be asked, as opposed to: what it holds can't be used.
    pub(crate) fn is_the_databases(&self) -> bool {
        use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode, RowNotFound, TypeNotFound};
        match self {
            Self::Database(cause) => !matches!(
                cause,
                ColumnDecode { .. }
                    | ColumnNotFound(_)
                    | Decode(_)
                    | RowNotFound
                    | TypeNotFound { .. }
            ),
            _ => false,
        }
    }
}

impl From<Status> for ControlError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<ControlError> for Status {
    fn from(error: ControlError) -> Self {
        if let ControlError::Refused(status) = error {
            return *status;
        }
        if let ControlError::Database(sqlx::Error::Database(cause)) = &error {
            if cause.is_unique_violation() {
                return Self::already_exists("it exists already");
            }
            if cause.is_foreign_key_violation() {
                return Self::not_found("no such object");
            }
            // Postgres' two words for U+0000, in `text` and in `jsonb`.
            if matches!(cause.code().as_deref(), Some("22021" | "22P05")) {
                return Self::invalid_argument(
                    "a string has the character U+0000, which can't be stored",
                );
            }
        }
        let unavailable = matches!(
            error,
            ControlError::Database(
                sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed
            )
        );
        let cause = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(%error, cause, "an operation failed");
        if unavailable {
            Self::unavailable("the database cannot be reached")
        } else {
            Self::internal("an internal error")
        }
    }
}
