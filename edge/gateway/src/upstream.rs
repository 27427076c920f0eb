//! Tool servers: reached only with a [`Recorded`] permit, each behind its own limits.
//!
//! Reading order: `rpc` (messages), `client` (HTTP with the tenant's credentials, from its `vault`), `talk` (what is said before an answer), `http`, `stdio` and `api` (transports), `ask` and `server`
//! (one tool server: requests, limits, drift), and here the set of them, per tenant.

mod api;
mod ask;
mod breaker;
mod client;
mod document;
mod events;
mod guard;
mod http;
pub(crate) mod llm;
mod lookout;
mod rpc;
mod server;
mod session;
mod stdio;
mod subscribed;
pub(crate) mod talk;
pub(crate) mod task;
mod vault;

pub(crate) use lookout::lookout;
pub(crate) use rpc::News;
pub(crate) use server::{Failure, Server, Watched};
pub(crate) use talk::Talk;
pub(crate) use vault::Vault;

pub use server::Listing;
pub use stdio::{LIMITED, become_limited};

use crate::spool::Recorded;
use client::{Client, Reach};
use llm::Providers;
use proctor_engine::{Channel, LiveDefinitions, Purpose};
use proctor_model::catalogue::{LlmProvider, ToolServer, Upstream};
use proctor_model::config::UpstreamSecret;
use proctor_model::{ServerId, TenantId, ToolRef};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};
use tokio_util::sync::CancellationToken;

/// Once per process, when the first provider is configured.
static WARM: Once = Once::new();

/// What a tool server answered.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A result object.
    Result(Map<String, Value>),
    /// A JSON-RPC error.
    Error(Map<String, Value>),
}

/// A reply with what audit wants to know of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// Size as it came, in bytes.
    pub(crate) bytes: u64,
}

/// The servers of one configuration version.
#[derive(Default)]
pub(crate) struct Wiring(HashMap<ServerId, Arc<Server>>, Providers);

impl Wiring {
    pub(crate) fn get(&self, server: &ServerId) -> Option<&Arc<Server>> {
        self.0.get(server)
    }

    /// The LLM providers.
    pub(crate) fn providers(&self) -> &Providers {
        &self.1
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ServerId, &Arc<Server>)> {
        self.0.iter()
    }
}

impl LiveDefinitions for Wiring {
    fn differs(&self, tool: &ToolRef) -> bool {
        self.get(&tool.server)
            .is_some_and(|server| server.differs(&tool.name))
    }
}

/// All tool servers of all tenants. Nothing is shared between tenants but the code.
pub(crate) struct Upstreams {
    dialer: Dialer,
    servers: Mutex<HashMap<(TenantId, ServerId), Arc<Server>>>,
    providers: Mutex<HashMap<TenantId, Providers>>,
    vaults: Mutex<HashMap<TenantId, Arc<Vault>>>,
    shutdown: CancellationToken,
}

/// Makes clients: connections are shared by those that need no TLS settings of their own.
struct Dialer {
    neighbours: reqwest::Client,
    public: reqwest::Client,
    /// As which program children begin.
    wrapper: Option<Arc<Path>>,
}

impl Dialer {
    fn new(wrapper: Option<&Path>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            neighbours: client::builder(Reach::Neighbours).build()?,
            public: client::builder(Reach::Public).build()?,
            wrapper: wrapper.map(Arc::from),
        })
    }

    fn client(&self, spec: client::Spec, vault: &Arc<Vault>) -> Client {
        let plain = match spec.reach {
            Reach::Neighbours => &self.neighbours,
            Reach::Public => &self.public,
        };
        Client::new(plain.clone(), spec, Arc::clone(vault))
    }
}

impl Upstreams {
    /// Children begin as the program `wrapper`.
    ///
    /// # Errors
    /// If the TLS library gives no client.
    pub(crate) fn new(
        wrapper: Option<&Path>,
        shutdown: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            dialer: Dialer::new(wrapper)?,
            servers: Mutex::default(),
            providers: Mutex::default(),
            vaults: Mutex::default(),
            shutdown,
        })
    }

    /// The tenant's credentials.
    pub(crate) fn vault(&self, tenant: &TenantId) -> Arc<Vault> {
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(vaults.entry(tenant.clone()).or_default())
    }

    /// The servers of a configuration: those that did not change go on as they are.
    pub(crate) fn wire(&self, tenant: &TenantId, servers: &[ToolServer]) -> Wiring {
        let vault = self.vault(tenant);
        let mut known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wiring = Wiring::default();
        for spec in servers {
            if let Upstream::Llm { providers } = &spec.upstream {
                // Loading the tokenizer takes a moment, and no stream is to wait for it.
                WARM.call_once(|| drop(std::thread::spawn(proctor_engine::llm::usage::warm)));
                wiring.1 = self.wire_providers(tenant, providers, &vault);
                continue;
            }
            // The edge itself answers for these.
            if matches!(spec.upstream, Upstream::Memory { .. }) {
                continue;
            }
            let key = (tenant.clone(), spec.id.clone());
            let before = known
                .get(&key)
                .filter(|server| server.spec().upstream == spec.upstream);
            let server = match before {
                Some(server) if server.spec() == spec => Arc::clone(server),
                Some(server) => Arc::new(server.respecified(spec.clone())),
                None => Arc::new(Server::new(
                    spec.clone(),
                    &self.dialer,
                    &vault,
                    self.shutdown.child_token(),
                )),
            };
            server.watch();
            wiring.0.insert(spec.id.clone(), Arc::clone(&server));
            known.insert(key, server);
        }
        known.retain(|(owner, id), _| owner != tenant || wiring.0.contains_key(id));
        wiring
    }

    fn wire_providers(
        &self,
        tenant: &TenantId,
        specs: &BTreeMap<ServerId, LlmProvider>,
        vault: &Arc<Vault>,
    ) -> Providers {
        let known = self.providers.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        let providers = known.entry(tenant.clone()).or_default();
        *providers = providers.wire(specs, &self.dialer, vault);
        providers.clone()
    }

    /// All servers of all tenants, as they are now.
    fn all(&self) -> Vec<((TenantId, ServerId), Arc<Server>)> {
        let known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|(whose, server)| (whose.clone(), Arc::clone(server)))
            .collect()
    }

    /// Lets go of a tenant's servers.
    pub(crate) fn drop_tenant(&self, tenant: &TenantId) {
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(owner, _), _| owner != tenant);
        let providers = self.providers.lock();
        providers
            .unwrap_or_else(PoisonError::into_inner)
            .remove(tenant);
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        vaults.remove(tenant);
    }
}

/// What is asked of a tool server with a permit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand<'a> {
    /// The call itself.
    Call(Purpose),
    /// Something of the task that it became, by its server's name for it.
    Task(&'a str, task::Request),
    /// Answers to what it asks, as they may leave.
    Reply(&'a str, &'a Map<String, Value>),
}

/// Makes the request that was recorded: what was decided, written anew, and nothing else of the agent's.
///
/// # Errors
/// Why there is no answer that may be used.
pub(crate) async fn forward(
    recorded: &Recorded,
    errand: Errand<'_>,
    server: &Server,
    talk: &Talk,
    cancel: &CancellationToken,
) -> Result<proctor_engine::Answer, Failure> {
    let Answer { reply, bytes } = server.run(recorded.permit(), errand, talk, cancel).await?;
    let (channel, body) = match reply {
        Reply::Result(body) => (channel_of(errand, &body), body),
        Reply::Error(body) => (Channel::Error, body),
    };
    Ok(proctor_engine::Answer {
        channel,
        body,
        bytes,
    })
}

/// By which way a result comes: that of a call may be a question or a task, and what is said of a task is no result. A
/// completion is answered at once, or not at all.
fn channel_of(errand: Errand<'_>, body: &Map<String, Value>) -> Channel {
    let asks = |body: &Map<String, Value>| {
        let kind = body.get("resultType");
        kind.is_some_and(|kind| kind == "input_required")
    };
    match errand {
        Errand::Task(_, task::Request::Result) => Channel::Result,
        Errand::Task(..) | Errand::Reply(..) => Channel::Task,
        Errand::Call(Purpose::Complete) => Channel::Result,
        Errand::Call(_) if asks(body) => Channel::Question,
        Errand::Call(_) if task::is_one(body) => Channel::Task,
        Errand::Call(_) => Channel::Result,
    }
}

/// A tool server did not show its tools.
#[derive(Debug, thiserror::Error)]
#[error("the tool server does not show its tools: {0}")]
pub struct ListError(&'static str);

/// What a server shows to who has these credentials, read exactly as an edge reads them when it compares them with what was approved.
///
/// # Errors
/// If the server can't be reached, or does not speak MCP.
pub async fn list_tools(
    upstream: Upstream,
    secrets: Vec<UpstreamSecret>,
) -> Result<Listing, ListError> {
    let stop = CancellationToken::new();
    let dialer = Dialer::new(None).map_err(|_| ListError("no HTTP client"))?;
    let vault = Arc::new(Vault::default());
    vault.set(secrets);
    let spec = ToolServer {
        id: "listed".parse().map_err(|_| ListError("no id"))?,
        upstream,
        timeout_ms: 0,
        result_bytes_max: 0,
        tools: Vec::new(),
        updated_at: None,
    };
    let server = Server::new(spec, &dialer, &vault, stop);
    server::list(&server)
        .await
        .map_err(|failure| ListError(failure.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_completion_is_no_question_and_no_task() {
        let task = json!({ "taskId": "1", "status": "working" });
        for (result, of_call) in [
            (json!({ "resultType": "input_required" }), Channel::Question),
            (json!({ "resultType": "task", "task": task }), Channel::Task),
            (json!({ "content": [] }), Channel::Result),
        ] {
            let body = result.as_object().unwrap();
            for (purpose, expected) in [
                (Purpose::Use, of_call),
                (Purpose::Continue, of_call),
                (Purpose::Complete, Channel::Result),
            ] {
                let channel = channel_of(Errand::Call(purpose), body);
                assert_eq!(channel, expected, "{purpose:?} {result}");
            }
        }
    }
}
