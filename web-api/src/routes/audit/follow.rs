//! A chain as it grows. The ledger ends each stream when the principal token is over; while the API key is good, we ask
//! again with a new one from where we are, and the client notices nothing.

use super::Entry;
use crate::Api;
use crate::auth::Principal;
use crate::problem::Problem;
use axum::response::sse::Event;
use futures::Stream;
use proctor_proto::v1;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Events that may wait for a slow client.
const BUFFER: usize = 64;
/// Between two questions at the ledger, whatever it answers.
const PAUSE: Duration = Duration::from_secs(1);

/// Entries behind `request.after_seq`, as events.
pub(super) async fn start(
    api: Arc<Api>,
    principal: Principal,
    request: v1::TailRequest,
) -> Result<impl Stream<Item = Result<Event, Infallible>>, Problem> {
    let entries = ask(&api, &principal, &request).await?;
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        tokio::select! {
            () = api.shutdown.cancelled() => {}
            () = sender.closed() => {}
            () = go_on(&api, principal, request, entries, &sender) => {}
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn ask(
    api: &Api,
    principal: &Principal,
    request: &v1::TailRequest,
) -> Result<Streaming<v1::Entry>, Problem> {
    let mut ledger = api.ledger_alone(principal)?;
    Ok(ledger.tail(request.clone()).await?.into_inner())
}

/// Until the key is no longer good, or anything else fails: the client comes back with the last id that it has.
async fn go_on(
    api: &Api,
    mut principal: Principal,
    mut request: v1::TailRequest,
    mut entries: Streaming<v1::Entry>,
    sender: &mpsc::Sender<Result<Event, Infallible>>,
) {
    loop {
        if !pass_on(&mut entries, &mut request.after_seq, sender).await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
        let Ok(renewed) = principal.renewed(api).await else {
            return;
        };
        principal = renewed;
        entries = match ask(api, &principal, &request).await {
            Ok(entries) => entries,
            Err(_) => return,
        };
    }
}

/// Passes on until the ledger ends the stream; whether to ask again.
async fn pass_on(
    entries: &mut Streaming<v1::Entry>,
    after: &mut u64,
    sender: &mpsc::Sender<Result<Event, Infallible>>,
) -> bool {
    loop {
        match entries.message().await {
            Ok(Some(entry)) => {
                let Some(event) = event(&entry) else {
                    continue;
                };
                if sender.send(Ok(event)).await.is_err() {
                    return false;
                }
                *after = entry.seq;
            }
            Ok(None) => return true,
            Err(status) => return is_over(&status),
        }
    }
}

/// Whether the ledger only wants a new token.
fn is_over(status: &Status) -> bool {
    status.code() == Code::Unauthenticated
}

fn event(entry: &v1::Entry) -> Option<Event> {
    let read = Entry::read(entry).ok()?;
    let event = Event::default().id(read.seq.to_string()).event("entry");
    event.json_data(&read).ok()
}
