//! The stream of audit batches, and the consumer of it that all ledgers share.

use super::{ACK_WAIT, Failure};
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures::StreamExt;
use proctor_runtime::subjects::{AUDIT_STREAM, ensure_streams, incarnation};
use std::time::Duration;
use tokio::time::timeout;

/// The durable consumer.
const CONSUMER: &str = "ledger";
/// Where nats-server says that the stream is made, and whole.
const MADE: &str = "$JS.EVENT.ADVISORY.STREAM.CREATED.AUDIT";
/// How long whoever finds no stream leaves it to control to make it: where both make it at once, nats-server may damage it.
const MAKER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a stream that was there already may not be whole, if nothing is said of it meanwhile: a consumer that is made of it in that moment is never given anything to
/// deliver, for as long as nats-server runs (seen in the source of 2.9).
const WHOLE_AFTER: Duration = Duration::from_millis(200);

/// The consumer; made anew, with the stream emptied, if it is ahead of it: a stream that lost its end, on a disk that was
/// damaged, gives numbers again that the consumer takes for delivered. What was in it, edges send again.
pub(super) async fn consumer(
    nats: &async_nats::Client,
    jetstream: &Context,
) -> Result<PullConsumer, Failure> {
    let mut made = nats.subscribe(MADE).await?;
    let is_whole = match incarnation(jetstream, AUDIT_STREAM).await? {
        None => timeout(MAKER_PATIENCE, made.next()).await.is_ok(),
        Some(_) => false,
    };
    ensure_streams(jetstream, 1).await?;
    let stream = jetstream.get_stream(AUDIT_STREAM).await?;
    // Whatever is wrong with it otherwise is said below.
    if !is_whole && stream.consumer_info(CONSUMER).await.is_err() {
        drop(timeout(WHOLE_AFTER, made.next()).await);
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

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::jetstream;
    use proctor_devstack::TestNats;
    use proctor_runtime::nats::{NatsSettings, connect};
    use proctor_runtime::subjects::audit_stream;

    async fn description(jetstream: &Context) -> Option<String> {
        let stream = jetstream.get_stream(AUDIT_STREAM).await.unwrap();
        stream.cached_info().config.description.clone()
    }

    #[tokio::test]
    async fn a_stream_is_made_only_where_control_does_not() {
        let server = TestNats::private().await.unwrap();
        let settings = NatsSettings::from_url(server.url().to_owned());
        let nats = connect(&settings, "test").await.unwrap();
        let jetstream = jetstream::new(nats.clone());
        // Control makes it a moment after the ledger has looked for it in vain.
        let mut looked = nats.subscribe("$JS.API.STREAM.INFO.AUDIT").await.unwrap();
        let control = async {
            looked.next().await.unwrap();
            let again = timeout(MAKER_PATIENCE / 10, looked.next()).await;
            assert!(again.is_err(), "it waits");
            let stream = jetstream::stream::Config {
                description: Some("control's".into()),
                ..audit_stream(1)
            };
            jetstream.create_stream(stream).await.unwrap();
        };
        let both = async { tokio::join!(consumer(&nats, &jetstream), control) };
        let (found, ()) = timeout(Duration::from_secs(60), both).await.unwrap();
        found.unwrap();
        assert_eq!(description(&jetstream).await.unwrap(), "control's");

        jetstream.delete_stream(AUDIT_STREAM).await.unwrap();
        consumer(&nats, &jetstream).await.unwrap();
        assert_eq!(description(&jetstream).await, audit_stream(1).description);
    }
}
