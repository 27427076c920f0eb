//! The stream of audit batches, and the consumer of it that all ledgers share.

use super::{ACK_WAIT, Failure};
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use proctor_runtime::subjects::{AUDIT_STREAM, ensure_streams, incarnation};
use std::time::Duration;

/// The durable consumer.
const CONSUMER: &str = "ledger";
/// How long whoever finds no stream leaves it to control to make it: where both make it at once, nats-server may damage it.
const MAKER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a stream may be there and not be whole: a consumer that is made of it in that moment is never given anything to
/// deliver, for as long as nats-server runs (seen in the source of 2.9).
const WHOLE_AFTER: Duration = Duration::from_millis(200);

/// The consumer; made anew, with the stream emptied, if it is ahead of it: a stream that lost its end, on a disk that was
/// damaged, gives numbers again that the consumer takes for delivered. What was in it, edges send again.
pub(super) async fn consumer(jetstream: &Context) -> Result<PullConsumer, Failure> {
    if incarnation(jetstream, AUDIT_STREAM).await?.is_none() {
        tokio::time::sleep(MAKER_PATIENCE).await;
    }
    ensure_streams(jetstream, 1).await?;
    let stream = jetstream.get_stream(AUDIT_STREAM).await?;
    // Whatever is wrong with it otherwise is said below.
    if stream.consumer_info(CONSUMER).await.is_err() {
        tokio::time::sleep(WHOLE_AFTER).await;
    }
    let consumer: PullConsumer = stream.get_or_create_consumer(CONSUMER, config()).await?;
    let Some(last) = cut_at(jetstream, &consumer).await? else {
        return Ok(consumer);
    };
    tracing::error!(
        last,
        "the audit stream lost its end; it is read on from there"
    );
    metrics::counter!("proctor_ledger_streams_cut_total").increment(1);
    // What is written behind the damage is not delivered either, until the server begins another file.
    stream.purge().await?;
    stream.delete_consumer(CONSUMER).await?;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: last.saturating_add(1),
        },
        ..config()
    };
    Ok(stream.get_or_create_consumer(CONSUMER, config).await?)
}

fn config() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        ..pull::Config::default()
    }
}

/// Whether the stream has lost its end.
pub(super) async fn is_cut(jetstream: &Context) -> Result<bool, Failure> {
    let consumer = jetstream
        .get_consumer_from_stream(CONSUMER, AUDIT_STREAM)
        .await?;
    Ok(cut_at(jetstream, &consumer).await?.is_some())
}

/// Where the stream ends, if that is before what the consumer has delivered.
async fn cut_at(jetstream: &Context, consumer: &PullConsumer) -> Result<Option<u64>, Failure> {
    // The consumer first: in between, the stream only grows.
    let delivered = consumer.get_info().await?.delivered.stream_sequence;
    let stream = jetstream.get_stream(AUDIT_STREAM).await?;
    let last = stream.cached_info().state.last_sequence;
    Ok((delivered > last).then_some(last))
}
