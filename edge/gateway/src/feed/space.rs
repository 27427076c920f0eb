//! Following one part of the `CONFIG` stream, for ever: its whole present state first, then each change.

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use proctor_runtime::backoff::Backoff;
use proctor_runtime::subjects::{CONFIG_STREAM, ConfigSubject, Incarnation, incarnation};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the stream is still the same one: one that was lost and made again counts from 1,
/// and a reader that waits for a higher number would wait for ever.
const LOOK: Duration = Duration::from_secs(2);

/// A message: its subject and its payload.
pub(super) type News = (ConfigSubject, String);

/// Messages that may wait to be taken in.
pub(super) const WAITING: usize = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends each message on, in the stream's order, until `shutdown` or nobody takes them.
pub(super) async fn follow(
    nats: async_nats::Client,
    space: String,
    shutdown: CancellationToken,
    to: mpsc::Sender<News>,
) {
    let jetstream = jetstream::new(nats);
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        let turn = tokio::select! {
            () = shutdown.cancelled() => return,
            turn = read(&jetstream, &space, &to, &mut backoff) => turn,
        };
        if let Err(error) = turn {
            tracing::debug!(space, %error, "the configuration stream can't be read; trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = backoff.wait() => {}
        }
    }
}

async fn read(
    jetstream: &Context,
    space: &str,
    to: &mpsc::Sender<News>,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    let life = incarnation(jetstream, CONFIG_STREAM)
        .await?
        .ok_or("there is no stream")?;
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::LastPerSubject,
        filter_subject: space.to_owned(),
        ..pull::OrderedConfig::default()
    };
    let consumer = jetstream
        .get_stream(CONFIG_STREAM)
        .await?
        .create_consumer(config)
        .await?;
    let mut messages = consumer.messages().await?;
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
    loop {
        tokio::select! {
            message = messages.next() => {
                let message = message.ok_or("the consumer ended")??;
                backoff.reset();
                let subject = message.subject.as_str().parse::<ConfigSubject>();
                let payload = String::from_utf8(message.payload.to_vec());
                match (subject, payload) {
                    (Ok(subject), Ok(payload)) => to.send((subject, payload)).await?,
                    _ => tracing::debug!("a message that is not for edges"),
                }
            }
            _ = look.tick() => same(jetstream, life).await?,
        }
    }
}

async fn same(jetstream: &Context, life: Incarnation) -> Result<(), Failure> {
    match incarnation(jetstream, CONFIG_STREAM).await {
        Ok(Some(now)) if now == life => Ok(()),
        Ok(_) => Err("the stream was made anew".into()),
        // NATS may be away for a while: the consumer comes back by itself.
        Err(_) => Ok(()),
    }
}
