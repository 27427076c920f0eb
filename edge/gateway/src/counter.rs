//! The counter, as an edge calls it: any of its nodes, the same request again until one has answered.

use crate::feed::Feed;
use proctor_model::config::{
    COUNTER_AUDIENCE, EDGE_CERTIFICATE_METADATA, EDGE_PROOF_METADATA, EdgeProof,
};
use proctor_proto::v1;
use proctor_proto::v1::counter_client::CounterClient;
use proctor_runtime::grpc::ClientTls;
use proctor_runtime::{Clock, Random, grpc};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// How long one node may take to answer before the next one is asked.
const ANSWER: Duration = Duration::from_millis(1_500);
/// Pause after all nodes were asked in vain.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A proof is made anew after so long: well within its life.
const PROOF_KEPT: Duration = Duration::from_secs(60);

/// Nodes of the counter, as the assignment names them.
#[derive(Default)]
struct Nodes {
    addresses: Vec<String>,
    channels: Vec<Channel>,
}

/// The counter.
pub(crate) struct Counter {
    feed: Arc<Feed>,
    clock: Clock,
    random: Random,
    tls: Option<ClientTls>,
    nodes: Mutex<Arc<Nodes>>,
    /// The node that answered last.
    good: AtomicUsize,
    proof: Mutex<Option<(Duration, MetadataValue<Ascii>)>>,
    /// Since when no node answers, in microseconds of the monotonic clock; 0: one does.
    silent_since_us: AtomicU64,
}

impl Counter {
    pub(crate) fn new(
        feed: Arc<Feed>,
        clock: Clock,
        random: Random,
        tls: Option<ClientTls>,
    ) -> Self {
        Self {
            feed,
            clock,
            random,
            tls,
            nodes: Mutex::default(),
            good: AtomicUsize::new(0),
            proof: Mutex::new(None),
            silent_since_us: AtomicU64::new(0),
        }
    }

    /// Whether the installation has a counter.
    pub(crate) fn exists(&self) -> bool {
        !self.feed.assigned.load().counters.is_empty()
    }

    /// How long no node has answered.
    pub(crate) fn silent_for(&self) -> Duration {
        match self.silent_since_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self
                .clock
                .monotonic()
                .saturating_sub(Duration::from_micros(since)),
        }
    }

    /// Channels to the nodes that the newest assignment names.
    fn nodes(&self) -> Arc<Nodes> {
        let assigned = self.feed.assigned.load();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.addresses != assigned.counters {
            let channel = |address: &String| match grpc::channel_with(address, self.tls.as_ref()) {
                Ok(channel) => Some(channel),
                Err(error) => {
                    tracing::error!(%error, "an address of the counter");
                    None
                }
            };
            *nodes = Arc::new(Nodes {
                addresses: assigned.counters.clone(),
                channels: assigned.counters.iter().filter_map(channel).collect(),
            });
        }
        Arc::clone(&nodes)
    }

    /// An id for a request, the same however often it is sent.
    pub(crate) fn request_id(&self) -> Option<Vec<u8>> {
        let id = self.random.uuid_v7(self.clock.now()).ok()?;
        Some(id.as_bytes().to_vec())
    }

    fn proof(&self) -> Option<MetadataValue<Ascii>> {
        let now = self.clock.monotonic();
        let mut proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, value)) = &*proof
            && now.saturating_sub(*made) < PROOF_KEPT
        {
            return Some(value.clone());
        }
        let identity = &self.feed.identity;
        let document = EdgeProof {
            edge: identity.edge.clone(),
            audience: COUNTER_AUDIENCE.to_owned(),
            issued_at: self.clock.now(),
        };
        let signed = identity.signer.sign(&document).ok()?;
        let mut value: MetadataValue<Ascii> = signed.parse().ok()?;
        value.set_sensitive(true);
        *proof = Some((now, value.clone()));
        Some(value)
    }

    /// With the newest certificate: the counter takes no older one than it has seen.
    fn request<M>(&self, message: M) -> Option<Request<M>> {
        let certificate = self.feed.assigned.load().certificate.parse().ok()?;
        let mut request = Request::new(message);
        request.set_timeout(ANSWER);
        let metadata = request.metadata_mut();
        metadata.insert(EDGE_CERTIFICATE_METADATA, certificate);
        metadata.insert(EDGE_PROOF_METADATA, self.proof()?);
        Some(request)
    }

    /// Asks one node after the other until one has answered, or refused for good.
    async fn ask<M: Clone, A>(
        &self,
        message: M,
        call: impl AsyncFn(CounterClient<Channel>, Request<M>) -> Result<A, Status>,
    ) -> Result<A, Status> {
        let mut pause = PAUSE;
        loop {
            let nodes = self.nodes();
            let first = self.good.load(Ordering::Relaxed);
            for turn in 0..nodes.channels.len() {
                let index = first.wrapping_add(turn) % nodes.channels.len().max(1);
                let Some(channel) = nodes.channels.get(index) else {
                    continue;
                };
                let request = self
                    .request(message.clone())
                    .ok_or_else(|| Status::failed_precondition("no certificate"))?;
                let client = CounterClient::new(channel.clone());
                let answered = tokio::time::timeout(ANSWER, call(client, request)).await;
                let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
                match answered {
                    Err(status) if again(status.code()) => {
                        tracing::debug!(code = ?status.code(), "a node of the counter did not answer");
                    }
                    answered => {
                        self.good.store(index, Ordering::Relaxed);
                        self.silent_since_us.store(0, Ordering::Relaxed);
                        return answered;
                    }
                }
            }
            let now = u64::try_from(self.clock.monotonic().as_micros()).unwrap_or(u64::MAX);
            // Only the first failure sets it.
            let _ = self.silent_since_us.compare_exchange(
                0,
                now.max(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Begins an epoch.
    pub(crate) async fn open(&self, request: v1::OpenRequest) -> Result<v1::OpenResponse, Status> {
        self.ask(request, async |mut client, request| {
            Ok(client.open(request).await?.into_inner())
        })
        .await
    }

    /// Takes a lease.
    pub(crate) async fn lease(
        &self,
        request: v1::LeaseRequest,
    ) -> Result<v1::LeaseResponse, Status> {
        self.ask(request, async |mut client, request| {
            Ok(client.lease(request).await?.into_inner())
        })
        .await
    }

    /// What it holds for this edge.
    pub(crate) async fn held(&self, request: v1::HeldRequest) -> Result<v1::HeldResponse, Status> {
        self.ask(request, async |mut client, request| {
            Ok(client.held(request).await?.into_inner())
        })
        .await
    }

    /// Settles leases.
    pub(crate) async fn settle(
        &self,
        request: v1::SettleRequest,
    ) -> Result<v1::SettleResponse, Status> {
        self.ask(request, async |mut client, request| {
            Ok(client.settle(request).await?.into_inner())
        })
        .await
    }
}

/// Whether nothing was decided, or it isn't known: the same request may be sent again.
fn again(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
    )
}
