//! The two streams, and how to tell that one was lost.

use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamError, GetStreamErrorKind, UpdateStreamError};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};

/// Name of the stream of signed configuration.
pub const CONFIG_STREAM: &str = "CONFIG";
/// Name of the stream of audit batches.
pub const AUDIT_STREAM: &str = "AUDIT";

/// How long an audit batch waits for the ledger in the stream. The edge's spool is the record and
/// publishes again what was never receipted, so nothing is lost when this passes.
const AUDIT_AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// Disk the audit stream may take, bytes.
const AUDIT_BYTES_MAX: i64 = 2 * 1024 * 1024 * 1024;
/// Window in which JetStream drops a message whose `Nats-Msg-Id` it has seen. Short: readers drop
/// duplicates themselves, and an edge that publishes again for want of a receipt means it.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

/// One life of a stream: its creation time in nanoseconds since 1970. A stream that was lost and
/// made again has another one, and then everything current must be published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub i128);

/// A stream could not be looked at, made or changed.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// JetStream did not answer or refused the question.
    #[error("cannot read stream {stream}")]
    Read {
        /// Name of the stream.
        stream: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// JetStream refused to make it.
    #[error("cannot create stream {stream}")]
    Create {
        /// Name of the stream.
        stream: &'static str,
        /// The cause.
        source: CreateStreamError,
    },
    /// JetStream refused the change.
    #[error("cannot change stream {stream}")]
    Update {
        /// Name of the stream.
        stream: &'static str,
        /// The cause.
        source: UpdateStreamError,
    },
}

/// The stream that keeps the last message of each `config.>` subject.
///
/// `replicas` is 1 on a single server, 3 or 5 in a cluster.
#[must_use]
pub fn config_stream(replicas: usize) -> Config {
    Config {
        name: CONFIG_STREAM.into(),
        description: Some("Signed configuration: the last message per subject".into()),
        subjects: vec!["config.>".into()],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::Old,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Config::default()
    }
}

/// The stream of audit batches on their way to the ledger (and to other readers, each with a
/// durable consumer of its own).
#[must_use]
pub fn audit_stream(replicas: usize) -> Config {
    Config {
        name: AUDIT_STREAM.into(),
        description: Some("Audit batches on their way from the edges' spools to the ledger".into()),
        subjects: vec!["audit.>".into()],
        max_age: AUDIT_AGE_MAX,
        max_bytes: AUDIT_BYTES_MAX,
        discard: DiscardPolicy::Old,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Config::default()
    }
}

/// Makes both streams where they are missing, and gives them today's limits where they differ.
/// Any role may call it, at once with others.
///
/// # Errors
/// If JetStream cannot be reached or refuses.
pub async fn ensure_streams(jetstream: &Context, replicas: usize) -> Result<(), StreamsError> {
    ensure(jetstream, CONFIG_STREAM, config_stream(replicas)).await?;
    ensure(jetstream, AUDIT_STREAM, audit_stream(replicas)).await
}

/// Which life of a stream this is; `None` if there is no such stream.
///
/// # Errors
/// If JetStream cannot be reached or refuses.
pub async fn incarnation(
    jetstream: &Context,
    stream: &'static str,
) -> Result<Option<Incarnation>, StreamsError> {
    Ok(find(jetstream, stream)
        .await?
        .map(|found| Incarnation(found.cached_info().created.unix_timestamp_nanos())))
}

async fn ensure(
    jetstream: &Context,
    stream: &'static str,
    wanted: Config,
) -> Result<(), StreamsError> {
    match find(jetstream, stream).await? {
        None => jetstream
            .create_stream(&wanted)
            .await
            .map(drop)
            .map_err(|source| StreamsError::Create { stream, source }),
        Some(found) if serves(&found.cached_info().config, &wanted) => Ok(()),
        Some(_) => jetstream
            .update_stream(&wanted)
            .await
            .map(drop)
            .map_err(|source| StreamsError::Update { stream, source }),
    }
}

async fn find(
    jetstream: &Context,
    stream: &'static str,
) -> Result<Option<async_nats::jetstream::stream::Stream>, StreamsError> {
    match jetstream.get_stream(stream).await {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => Err(StreamsError::Read {
                stream,
                source: Box::new(error),
            }),
        },
    }
}

/// Whether a stream has the settings we care about; the server fills in many others.
fn serves(found: &Config, wanted: &Config) -> bool {
    let limits = |config: &Config| {
        (
            config.max_messages_per_subject.max(-1),
            config.max_age,
            config.max_bytes,
        )
    };
    found.subjects == wanted.subjects
        && found.num_replicas == wanted.num_replicas
        && found.duplicate_window == wanted.duplicate_window
        && (limits(found) == limits(wanted) || limits(found) == limits(&server_form(wanted)))
}

/// The server writes "unlimited" as -1 where we leave 0.
fn server_form(config: &Config) -> Config {
    let unlimited = |limit: i64| if limit == 0 { -1 } else { limit };
    Config {
        max_messages_per_subject: unlimited(config.max_messages_per_subject),
        max_bytes: unlimited(config.max_bytes),
        ..config.clone()
    }
}
