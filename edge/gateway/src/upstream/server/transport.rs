//! By which way a server is reached.

use crate::upstream::api::Api;
use crate::upstream::client::{self, Reach};
use crate::upstream::http::{Http, Request};
use crate::upstream::rpc::{Failure, News};
use crate::upstream::stdio::{self, Stdio};
use crate::upstream::talk::Talk;
use crate::upstream::{Answer, Dialer, Vault};
use proctor_model::catalogue::Upstream;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Pauses between attempts to listen to a server.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

pub(super) enum Transport {
    Http(Arc<Http>),
    Stdio(Stdio),
    Api(Api),
}

impl Transport {
    pub(super) fn new(
        upstream: &Upstream,
        dialer: &Dialer,
        vault: &Arc<Vault>,
        news: &broadcast::Sender<News>,
    ) -> Self {
        match upstream {
            Upstream::McpHttp {
                url,
                auth,
                tls,
                private_addresses,
            } => {
                let spec = client::Spec {
                    auth: auth.clone(),
                    tls: tls.clone(),
                    reach: Reach::of(*private_addresses == Some(true)),
                };
                let client = dialer.client(spec, vault);
                Self::Http(Arc::new(Http::new(client, url.clone(), news.clone())))
            }
            // It speaks no MCP: nothing can be asked of it here.
            Upstream::Llm { .. } => {
                let spec = client::Spec {
                    auth: None,
                    tls: None,
                    reach: Reach::Public,
                };
                Self::Http(Arc::new(Http::new(
                    dialer.client(spec, vault),
                    String::new(),
                    news.clone(),
                )))
            }
            Upstream::McpStdio {
                command,
                args,
                env,
                limits,
            } => {
                let spec = stdio::Spec {
                    command: command.clone(),
                    args: args.clone(),
                    env: env.clone(),
                    limits: *limits,
                    wrapper: dialer.wrapper.clone(),
                };
                Self::Stdio(Stdio::new(spec, news.clone()))
            }
            // Never called: the edge answers by itself.
            Upstream::Memory { .. } => {
                let spec = client::Spec {
                    auth: None,
                    tls: None,
                    reach: Reach::Public,
                };
                Self::Api(Api::new(dialer.client(spec, vault), ""))
            }
            Upstream::Http {
                url,
                auth,
                tls,
                private_addresses,
            } => {
                let spec = client::Spec {
                    auth: auth.clone(),
                    tls: tls.clone(),
                    reach: Reach::of(*private_addresses),
                };
                Self::Api(Api::new(dialer.client(spec, vault), url))
            }
        }
    }

    pub(super) async fn request(&self, request: Request<'_>) -> Result<Answer, Failure> {
        match self {
            // Boxed: what an exchange over HTTP may come to would otherwise lie in every call's future.
            Self::Http(http) => Box::pin(http.request(request)).await,
            Self::Stdio(stdio) => stdio.request(request).await,
            // It speaks no MCP: its tools are called by their bindings.
            Self::Api(_) => Err(Failure::Unsendable),
        }
    }

    /// Whether the server ended because nobody needs it: a child that did so by itself.
    pub(super) async fn rests(&self) -> bool {
        match self {
            Self::Stdio(stdio) => stdio.rests().await,
            Self::Http(_) | Self::Api(_) => false,
        }
    }

    /// Waits while it is so.
    pub(super) async fn woken(&self) {
        if let Self::Stdio(stdio) = self {
            stdio.woken().await;
        }
    }

    /// Asks a server of the older revisions for what is to be watched, and for no more than that; again where it gives no
    /// answer. It is over when somebody ends it.
    pub(super) async fn subscribe(&self, wanted: &HashSet<Arc<str>>, talk: &Talk) {
        loop {
            let all = match self {
                Self::Http(http) => Box::pin(http.subscribe(wanted, talk)).await,
                Self::Stdio(stdio) => stdio.subscribe(wanted, talk).await,
                Self::Api(_) => true,
            };
            match all {
                true => std::future::pending().await,
                false => tokio::time::sleep(LISTEN_AGAIN).await,
            }
        }
    }

    /// Listens until the server tells no more, or for good where it tells nothing.
    pub(super) async fn listen(&self, talk: &Talk, watched: &[Arc<str>]) {
        // A server that has no such stream is compared from time to time all the same.
        let _ = match self {
            Self::Http(http) => http.listen(talk, watched).await,
            Self::Stdio(stdio) => stdio.listen(talk, watched).await,
            Self::Api(_) => std::future::pending().await,
        };
        tokio::time::sleep(LISTEN_AGAIN).await;
    }

    /// The same for tasks. Where nothing is told of them on a stream of its own, there is nothing to do.
    pub(super) async fn listen_for_tasks(
        &self,
        talk: &Talk,
        tasks: &[Arc<str>],
        told: &watch::Sender<HashSet<Arc<str>>>,
    ) {
        match self {
            Self::Http(http) if !tasks.is_empty() => {
                let _ = http.listen_for_tasks(talk, tasks, told).await;
                told.send_replace(HashSet::new());
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
            _ => std::future::pending().await,
        }
    }
}
