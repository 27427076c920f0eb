//! What can go wrong in the ledger.

use sqlx::postgres::PgDatabaseError;
use tonic::Status;

/// The ledger could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Postgres.
    #[error("the database")]
    Database(#[from] sqlx::Error),
    /// A migration.
    #[error("a migration of the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// NATS' address.
    #[error("NATS")]
    Nats(#[from] proctor_runtime::nats::NatsError),
    /// NATS' client was closed.
    #[error("the NATS client takes no subscription")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// The key file.
    #[error("a key file")]
    KeyFile(#[from] proctor_runtime::keyfile::KeyFileError),
    /// A signed document.
    #[error("a signed document")]
    Signed(#[from] proctor_model::signed::SignedError),
    /// An event that can't be appended.
    #[error("an audit event")]
    Audit(#[from] proctor_model::audit::AuditError),
    /// A public key that verifies no principal token.
    #[error("a platform key")]
    PlatformKey(#[from] jsonwebtoken::errors::Error),
    /// The listener.
    #[error("the gRPC listener")]
    Listen(#[source] std::io::Error),
    /// Control can't be reached at this address.
    #[error("the address of control")]
    Address(#[from] proctor_runtime::grpc::GrpcError),
    /// Control refused.
    #[error("control refused: {}", .0.message())]
    Refused(Box<Status>),
    /// The join token is of another installation.
    #[error("the control plane is not the one that made this join token")]
    WrongPlatform,
    /// Another ledger moved the head in between; the transaction was rolled back.
    #[error("the head of a chain was moved by another ledger")]
    HeadMoved,
    /// The tenant's part of the readers' connections is in use.
    #[error("too many reads of one tenant at once")]
    Busy,
    /// An event that the chain has already, in an earlier month.
    #[error("an event that the chain has already")]
    Double,
    /// What is stored of a chain, a lane or a tree does not fit together.
    #[error("what is stored of a chain, a lane or a tree is damaged")]
    Damaged,
    /// The stored bytes of an entry do not have the stored hash.
    #[error("the bytes of entry {0} do not have its hash: they were changed")]
    Changed(u64),
    /// The stored hashes do not have the root that was carried along when they were appended.
    #[error("the stored hashes do not have the root that the chain had: they were changed")]
    Root,
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random(#[from] proctor_runtime::random::RandomError),
}

impl LedgerError {
    /// Whether the same batch would fail again: a value that a column or an index can't hold, or an id that the chain has
    /// already.
    pub(crate) fn is_about_the_data(&self) -> bool {
        matches!(self, Self::Audit(_) | Self::Double)
            || self.is_of("22")
            || self.is_of("23")
            || (self.is_of("54") && !self.is_wraparound())
    }

    /// Whether nothing can be appended to this chain until a person has looked at it: what is stored of it does not fit
    /// together, Postgres can't read it (a page or an index is corrupted), or a function of the schema refuses it (a month far
    /// ahead, of a clock that was wrong once). Everything that is neither this nor about the data is the database's state, and
    /// passes.
    pub(crate) fn is_about_the_chain(&self) -> bool {
        matches!(self, Self::Damaged | Self::Root)
            || ["P0", "XX001", "XX002"].iter().any(|code| self.is_of(code))
    }

    /// Whether Postgres gives out no transaction ids until it is vacuumed. The code is that of values that are too large.
    fn is_wraparound(&self) -> bool {
        let Self::Database(sqlx::Error::Database(cause)) = self else {
            return false;
        };
        cause
            .try_downcast_ref::<PgDatabaseError>()
            .and_then(PgDatabaseError::routine)
            .is_some_and(|routine| ["GetNewTransactionId", "GetNewMultiXactId"].contains(&routine))
    }

    /// Whether Postgres says that it is of this class, or has this code.
    fn is_of(&self, class: &str) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(cause)) => {
                cause.code().is_some_and(|code| code.starts_with(class))
            }
            _ => false,
        }
    }
}

impl From<LedgerError> for Status {
    fn from(error: LedgerError) -> Self {
        let cause = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(%error, cause, "an operation failed");
        match error {
            LedgerError::Busy => Self::resource_exhausted(
                "too many exports, walks and searches of this tenant at once: try again",
            ),
            LedgerError::Changed(seq) => Self::data_loss(format!(
                "entry {seq} is damaged: its bytes do not have its hash; verify the chain"
            )),
            LedgerError::Database(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => {
                Self::unavailable("the database cannot be reached")
            }
            _ => Self::internal("an internal error"),
        }
    }
}
