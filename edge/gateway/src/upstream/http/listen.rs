//! What a server tells by itself: which of its lists changed, which resources, which tasks.

use super::{Http, Request, Trouble, addressed, content_type, nobody, pong};
use crate::upstream::events::Events;
use crate::upstream::rpc::{self, Era, Failure, Incoming, News};
use crate::upstream::session::Session;
use crate::upstream::talk::{Deadline, Said, Talk};
use crate::upstream::task;
use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Response};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

impl Http {
    /// Asks a server of the older revisions for each resource that is to be watched, and for no more than that. Whether it has
    /// answered all of it.
    pub(in crate::upstream) async fn subscribe(
        self: &Arc<Self>,
        wanted: &HashSet<Arc<str>>,
        talk: &Talk,
    ) -> bool {
        let Ok(session) = self.session(talk).await else {
            return false;
        };
        if session.era == Era::Modern {
            return true;
        }
        let mut all = true;
        for change in session.subscribed.changes(wanted) {
            let request = change.request(talk);
            let mut deadline = Deadline::new(request.limit);
            let answer = match self.post(&session, &request, &mut deadline).await {
                Ok(answer) => Ok(answer),
                Err(Trouble::Failed(failure)) => Err(failure),
                Err(Trouble::SessionLost) => {
                    self.sessions.forget(&session);
                    return false;
                }
            };
            all &= session.subscribed.settle(&change, &answer);
        }
        all
    }

    /// Opens the stream on which a server tells about itself: which of its lists changed, which resources.
    pub(in crate::upstream) async fn listen(
        self: &Arc<Self>,
        talk: &Talk,
        watched: &[Arc<str>],
    ) -> Result<(), Failure> {
        let session = self.session(talk).await?;
        let request = match session.era {
            Era::Modern => self.subscription(&session, talk, rpc::wanted(watched)),
            Era::Legacy => {
                let get = self.client.get(&self.url);
                addressed(get.header(ACCEPT, "text/event-stream"), &session)
            }
        };
        let mut events = opened(self.client.send(request).await?)?;
        let told = self.told(&session, &mut events).await;
        session.subscribed.clear();
        told
    }

    /// Hears what a server tells about itself, up to the end of the stream.
    async fn told(&self, session: &Session, events: &mut Events) -> Result<(), Failure> {
        while let Some(event) = events.next().await? {
            match rpc::read(event.data.as_bytes()) {
                Ok(Incoming::News(news)) => self.tell(news),
                Ok(Incoming::Note(said)) => self.tell_status(&said),
                // A question that belongs to no request of anybody.
                Ok(Incoming::Ping(id)) => self.say(session, &pong(&id)).await?,
                Ok(Incoming::Question(id, _)) => self.say(session, &nobody(&id)).await?,
                Ok(Incoming::Answer(..)) => return Ok(()),
                // Nor does what can't be read end what else is told.
                Ok(Incoming::Unreadable(_) | Incoming::Withdrawn(_) | Incoming::Other) | Err(_) => {
                }
            }
        }
        Ok(())
    }

    /// Opens the stream on which a server of the stateless revision tells of these tasks. Which of them it agrees to tell of is
    /// noted: the others have to be asked after. A stream of its own: what a server refuses of tasks takes nothing else along.
    pub(in crate::upstream) async fn listen_for_tasks(
        self: &Arc<Self>,
        talk: &Talk,
        tasks: &[Arc<str>],
        told: &watch::Sender<HashSet<Arc<str>>>,
    ) -> Result<(), Failure> {
        let session = self.session(talk).await?;
        if session.era != Era::Modern {
            // One of the older revisions tells by itself, or not at all.
            return Err(Failure::Invalid);
        }
        let request = self.subscription(&session, talk, json!({ "taskIds": tasks }));
        let mut events = opened(self.client.send(request).await?)?;
        while let Some(event) = events.next().await? {
            match rpc::read(event.data.as_bytes()) {
                Ok(Incoming::News(news @ News::Task(_))) => self.tell(news),
                Ok(Incoming::Answer(..)) => return Ok(()),
                Ok(Incoming::Other) => {
                    let Some(agreed) = agreed(event.data.as_bytes(), tasks) else {
                        continue;
                    };
                    told.send_replace(agreed.clone());
                    // What became of them before is not told any more.
                    for task in agreed {
                        self.tell(News::Task(task));
                    }
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn subscription(&self, session: &Session, talk: &Talk, notifications: Value) -> RequestBuilder {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let params = Map::from_iter([("notifications".to_owned(), notifications)]);
        let request = Request::own("subscriptions/listen", params, talk);
        self.message(session, &request, id)
    }

    /// Tells that a server of the older revisions said something of a task.
    pub(super) fn tell_status(&self, said: &Said) {
        if said.method == task::STATUS
            && let Some(news) = News::of_task(&said.params)
        {
            self.tell(news);
        }
    }
}

/// The events of a stream that a server opened without an end.
pub(super) fn opened(response: Response) -> Result<Events, Failure> {
    let events = content_type(&response).starts_with("text/event-stream");
    if !response.status().is_success() || !events {
        return Err(Failure::Invalid);
    }
    Ok(Events::endless(response))
}

/// The tasks that an acknowledgement names, of those that were asked for.
fn agreed(data: &[u8], tasks: &[Arc<str>]) -> Option<HashSet<Arc<str>>> {
    let message = rpc::value(data).ok()?;
    if message.get("method")? != "notifications/subscriptions/acknowledged" {
        return None;
    }
    let named = message.pointer("/params/notifications/taskIds");
    let named = named.and_then(Value::as_array).into_iter().flatten();
    let named: HashSet<&str> = named.filter_map(Value::as_str).collect();
    let ours = tasks.iter().filter(|task| named.contains(&***task));
    Some(ours.cloned().collect())
}
