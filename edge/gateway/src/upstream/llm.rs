//! LLM providers: a prompt out, a completion or a stream of events back.

use super::breaker::{Breaker, Pass};
use super::client::{self, Client, Reach};
use super::rpc::Failure;
use super::{Dialer, Vault};
use crate::spool::Recorded;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use proctor_engine::llm::Api;
use proctor_model::ServerId;
use proctor_model::catalogue::{LlmDialect, LlmProvider};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers at once from one provider of one tenant.
const CALLS_MAX: usize = 256;
/// The version of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Pause before the one more attempt where nobody listened.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Longest wish of a provider to be asked later that is waited for.
const LATER_MAX: Duration = Duration::from_secs(3);

/// A tenant's providers.
#[derive(Default, Clone)]
pub(crate) struct Providers(HashMap<ServerId, Arc<Provider>>);

impl Providers {
    /// Those that did not change go on as they are: calls under way and faults so far count.
    pub(super) fn wire(
        &self,
        specs: &BTreeMap<ServerId, LlmProvider>,
        dialer: &Dialer,
        vault: &Arc<Vault>,
    ) -> Self {
        let provider = |id: &ServerId, spec: &LlmProvider| {
            if let Some(known) = self.0.get(id).filter(|known| known.spec == *spec) {
                return Arc::clone(known);
            }
            let reach = match spec.private_addresses {
                true => Reach::Neighbours,
                false => Reach::Public,
            };
            let client = client::Spec {
                auth: spec.auth.clone(),
                tls: None,
                reach,
            };
            Arc::new(Provider {
                client: dialer.client(client, vault),
                spec: spec.clone(),
                calls: Arc::new(Semaphore::new(CALLS_MAX)),
                breaker: Breaker::default(),
            })
        };
        let providers = specs.iter();
        let providers = providers.map(|(id, spec)| (id.clone(), provider(id, spec)));
        Self(providers.collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Provider>> {
        let id: ServerId = id.parse().ok()?;
        self.0.get(&id)
    }
}

/// One provider.
pub(crate) struct Provider {
    spec: LlmProvider,
    client: Client,
    calls: Arc<Semaphore>,
    breaker: Breaker,
}

/// What is sent.
pub(crate) struct Sent {
    pub(crate) api: Api,
    pub(crate) body: Map<String, Value>,
    pub(crate) streamed: bool,
    /// Names for `anthropic-beta`.
    pub(crate) betas: Vec<String>,
    /// How long until an answer that comes whole is there, or a stream begins.
    pub(crate) time_limit: Duration,
}

/// What a provider answers.
pub(crate) enum Opened {
    /// A completion, or what it says is wrong: by its status.
    Whole {
        status: StatusCode,
        headers: HeaderMap,
        body: Map<String, Value>,
        bytes: u64,
    },
    /// The beginning of a stream.
    Events(Events),
}

/// A stream that has begun.
pub(crate) struct Events {
    response: Response,
    idle: Duration,
    /// None after a fault.
    pass: Option<Pass>,
    _room: OwnedSemaphorePermit,
}

impl Events {
    /// The next bytes; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        let failure = match tokio::time::timeout(self.idle, self.response.chunk()).await {
            Ok(Ok(chunk)) => return Ok(chunk),
            Ok(Err(_)) => Failure::Broken,
            Err(_) => Failure::Timeout,
        };
        self.broke_off();
        Err(failure)
    }

    /// The stream is over before its end: a fault of the provider's, though no error of the connection says so.
    pub(crate) fn broke_off(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.failed(Instant::now());
        }
    }
}

impl Drop for Events {
    /// Whoever ended the stream, the provider did not fail in it.
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.answered();
        }
    }
}

/// What came of a prompt, before it is known whether a stream holds.
enum Asked {
    Whole {
        status: StatusCode,
        headers: HeaderMap,
        body: Map<String, Value>,
        bytes: u64,
    },
    Stream(Response),
}

impl Provider {
    pub(crate) fn spec(&self) -> &LlmProvider {
        &self.spec
    }

    /// Sends a prompt that was recorded. It is sent once more only where the provider did not take it.
    ///
    /// # Errors
    /// Why there is no answer that may be used.
    pub(crate) async fn open(&self, recorded: &Recorded, sent: &Sent) -> Result<Opened, Failure> {
        let room = Arc::clone(&self.calls).try_acquire_owned();
        let room = room.map_err(|_| Failure::Overloaded)?;
        let pass = self.breaker.pass(Instant::now()).ok_or(Failure::Open)?;
        let bytes_max = recorded.permit().limits().bytes;
        let asked = tokio::time::timeout(sent.time_limit, self.ask(sent, bytes_max))
            .await
            .unwrap_or(Err(Failure::Timeout));
        match asked {
            Ok(Asked::Stream(response)) => Ok(Opened::Events(self.stream(response, pass, room))),
            Ok(Asked::Whole {
                status,
                headers,
                body,
                bytes,
            }) => {
                match status.is_server_error() {
                    true => pass.failed(Instant::now()),
                    false => pass.answered(),
                }
                Ok(Opened::Whole {
                    status,
                    headers,
                    body,
                    bytes,
                })
            }
            Err(failure) => {
                match failure {
                    failure if failure.is_fault() => pass.failed(Instant::now()),
                    // What was never sent says nothing.
                    Failure::NoCredential | Failure::Unsendable => drop(pass),
                    _ => pass.answered(),
                }
                Err(failure)
            }
        }
    }

    fn stream(&self, response: Response, pass: Pass, room: OwnedSemaphorePermit) -> Events {
        pass.begun();
        Events {
            response,
            idle: Duration::from_millis(self.spec.idle_timeout_ms.into()),
            pass: Some(pass),
            _room: room,
        }
    }

    async fn ask(&self, sent: &Sent, bytes_max: u64) -> Result<Asked, Failure> {
        let response = match self.send(sent).await {
            Err(Failure::Unreachable) => {
                tokio::time::sleep(REFUSED_PAUSE).await;
                self.send(sent).await?
            }
            Ok(response) => match later(&response) {
                Some(pause) => {
                    drop(response);
                    tokio::time::sleep(pause).await;
                    self.send(sent).await?
                }
                None => response,
            },
            Err(failure) => return Err(failure),
        };
        match response.status() {
            // Ours: nothing of it is the agent's business.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Failure::NoCredential),
            status if status.is_redirection() || status.is_informational() => {
                return Err(Failure::Invalid);
            }
            _ => {}
        }
        if response.status().is_success() && sent.streamed {
            return match is(&response, "text/event-stream") {
                true => Ok(Asked::Stream(response)),
                false => Err(Failure::Invalid),
            };
        }
        whole(response, bytes_max).await
    }

    async fn send(&self, sent: &Sent) -> Result<Response, Failure> {
        let url = format!(
            "{}/{}",
            self.spec.url.trim_end_matches('/'),
            sent.api.path()
        );
        let body = serde_json::to_vec(&sent.body).map_err(|_| Failure::Unsendable)?;
        let accept = match sent.streamed {
            true => "text/event-stream",
            false => "application/json",
        };
        let mut request = self
            .client
            .request(Method::POST, url)
            .header("content-type", "application/json")
            .header("accept", accept)
            .body(body);
        if self.spec.dialect == LlmDialect::Anthropic {
            request = request.header("anthropic-version", ANTHROPIC_VERSION);
            if !sent.betas.is_empty() {
                request = request.header("anthropic-beta", sent.betas.join(","));
            }
        }
        self.client.send(request).await
    }
}

fn is(response: &Response, kind: &str) -> bool {
    let value = response.headers().get("content-type");
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case(kind)
}

/// How long a provider that has too much to do wants us to wait, if that is not too long.
fn later(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let pause = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    (pause <= LATER_MAX).then_some(pause)
}

async fn whole(mut response: Response, bytes_max: u64) -> Result<Asked, Failure> {
    let (status, headers) = (response.status(), response.headers().clone());
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Err(Failure::TooLarge);
        }
    }
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    // Never the agent's words: an ordinary parser will do, what we pass on is written anew.
    match serde_json::from_slice(&body) {
        Ok(body) => Ok(Asked::Whole {
            status,
            headers,
            body,
            bytes,
        }),
        // A proxy in between speaks for itself.
        Err(_) if status.is_server_error() => Err(Failure::Broken),
        Err(_) => Err(Failure::Invalid),
    }
}
