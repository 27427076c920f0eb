//! Nodes, edges and operators for the tests.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod linear;

use proctor_counter::{Bootstrap, CounterConfig, Operate, TlsFiles};
use proctor_model::Timestamp;
use proctor_model::config::{
    EDGE_CERTIFICATE_METADATA, EDGE_PROOF_METADATA, EdgeCertificate, EdgeProof,
};
use proctor_model::principal::{CONTROL_AUDIENCE, INTERNAL_AUDIENCE, PrincipalClaims, Role};
use proctor_model::signed::Signer;
use proctor_proto::v1;
use proctor_proto::v1::counter_client::CounterClient;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

pub const TENANT: &str = "acme";
const PLATFORM_SEED: [u8; 32] = [9; 32];

pub fn platform() -> Signer {
    Signer::from_seed(&PLATFORM_SEED).unwrap()
}

pub fn free_address() -> SocketAddr {
    let port = proctor_devstack::free_port().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub fn config(node: u64, dir: &Path) -> CounterConfig {
    CounterConfig {
        node,
        listen: free_address(),
        tls: None,
        node_listen: free_address(),
        node_tls: None,
        node_address: None,
        data_dir: dir.join(format!("node{node}")),
        platform_keys: vec![platform().public_key()],
        snapshot_entries: proctor_counter::limits::SNAPSHOT_ENTRIES,
        bootstrap: if node == 1 {
            Bootstrap::Alone
        } else {
            Bootstrap::Wait
        },
    }
}

pub fn node_address(config: &CounterConfig) -> String {
    let scheme = if config.node_tls.is_some() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{}", config.node_listen)
}

pub fn operate(config: &CounterConfig) -> Operate {
    Operate::new(node_address(config), config.node_tls.as_ref()).unwrap()
}

/// Adds the second and all further nodes to the first one's cluster.
pub async fn join(configs: &[CounterConfig]) {
    for config in &configs[1..] {
        eventually("a node joins", || async {
            let added = operate(&configs[0])
                .add_node(config.node, node_address(config))
                .await;
            added.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
    }
}

/// Tries until it succeeds; fails after half a minute.
pub async fn eventually<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(error) if Instant::now() > end => panic!("{what}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// All nodes have applied the same entries and hold the same bytes.
pub async fn agree(configs: &[CounterConfig]) -> String {
    eventually("the nodes agree", || async {
        let mut seen = Vec::new();
        for config in configs {
            let status = operate(config)
                .status()
                .await
                .map_err(|error| error.to_string())?;
            seen.push((status.applied, status.state_digest));
        }
        let same = seen.iter().all(|state| *state == seen[0]);
        if same {
            Ok(seen[0].1.clone())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await
}

pub fn certificate(edge: u8, tenants: &[&str], issued_at: Timestamp) -> String {
    let signer = edge_signer(edge);
    let certificate = EdgeCertificate {
        edge: edge_id(edge).parse().unwrap(),
        signing_key: signer.public_key().key,
        sealing_key: signer.public_key().key,
        region: "here".parse().unwrap(),
        tenants: tenants
            .iter()
            .map(|tenant| tenant.parse().unwrap())
            .collect(),
        issued_at,
    };
    platform().sign(&certificate).unwrap()
}

pub fn proof(edge: u8, audience: &str, issued_at: Timestamp) -> String {
    let proof = EdgeProof {
        edge: edge_id(edge).parse().unwrap(),
        audience: audience.to_owned(),
        issued_at,
    };
    edge_signer(edge).sign(&proof).unwrap()
}

pub fn edge_id(edge: u8) -> String {
    format!("edge_{edge}")
}

pub fn edge_signer(edge: u8) -> Signer {
    Signer::from_seed(&[edge; 32]).unwrap()
}

pub fn now() -> Timestamp {
    proctor_runtime::Clock::system().now()
}

pub fn edge_metadata(certificate: &str, proof: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert(EDGE_CERTIFICATE_METADATA, certificate.parse().unwrap());
    metadata.insert(EDGE_PROOF_METADATA, proof.parse().unwrap());
    metadata
}

/// What control shows for a principal, for an hour from `at`.
pub fn principal(tenant: Option<&str>, role: Role, at: Timestamp) -> MetadataMap {
    token_for(CONTROL_AUDIENCE, tenant, role, at)
}

/// What the principal itself has of control, and may show where it likes.
pub fn own_token(tenant: Option<&str>, role: Role, at: Timestamp) -> MetadataMap {
    token_for(INTERNAL_AUDIENCE, tenant, role, at)
}

fn token_for(audience: &str, tenant: Option<&str>, role: Role, at: Timestamp) -> MetadataMap {
    let claims = PrincipalClaims {
        sub: "somebody".to_owned(),
        aud: audience.to_owned(),
        exp: at.as_secs() + 3_600,
        iat: at.as_secs(),
        tenant: tenant.map(|tenant| tenant.parse().unwrap()),
        roles: vec![role],
    };
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    der.extend_from_slice(&PLATFORM_SEED);
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    let key = jsonwebtoken::EncodingKey::from_ed_der(&der);
    let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    metadata
}

pub fn request_id() -> Vec<u8> {
    uuid::Uuid::now_v7().as_bytes().to_vec()
}

/// Somebody who calls the nodes, whichever answers.
pub struct Client {
    nodes: Vec<CounterClient<Channel>>,
    metadata: MetadataMap,
    epoch: AtomicU64,
    next: AtomicUsize,
}

/// Worth asking again, with the same request id.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
    )
}

impl Client {
    pub fn new(addresses: &[SocketAddr], metadata: MetadataMap) -> Self {
        let connect = |address: &SocketAddr| {
            let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
            CounterClient::new(
                endpoint
                    .connect_timeout(Duration::from_millis(300))
                    .connect_lazy(),
            )
        };
        Self {
            nodes: addresses.iter().map(connect).collect(),
            metadata,
            epoch: AtomicU64::new(0),
            next: AtomicUsize::new(0),
        }
    }

    /// An edge of `TENANT` that has opened its epoch.
    pub async fn edge(addresses: &[SocketAddr], edge: u8, at: Timestamp) -> Self {
        let metadata = edge_metadata(
            &certificate(edge, &[TENANT], at),
            &proof(edge, "counter", at),
        );
        let client = Self::new(addresses, metadata);
        client.open().await.unwrap();
        client
    }

    pub fn operator(addresses: &[SocketAddr], at: Timestamp) -> Self {
        Self::new(addresses, principal(None, Role::PlatformAdmin, at))
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Calls one node after the other until one answers.
    pub async fn call<M: Clone, A, F>(
        &self,
        message: M,
        method: impl Fn(CounterClient<Channel>, Request<M>) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<tonic::Response<A>, Status>>,
    {
        let end = Instant::now() + Duration::from_secs(40);
        loop {
            let node = self.next.load(Ordering::Relaxed) % self.nodes.len();
            let mut request = Request::new(message.clone());
            *request.metadata_mut() = self.metadata.clone();
            let answer = tokio::time::timeout(
                Duration::from_secs(2),
                method(self.nodes[node].clone(), request),
            )
            .await;
            match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if !is_passing(status.code()) => return Err(status),
                _ if Instant::now() > end => return Err(Status::unavailable("nobody answers")),
                _ => {}
            }
            self.next.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn open(&self) -> Result<v1::OpenResponse, Status> {
        let message = v1::OpenRequest {
            request_id: request_id(),
        };
        let opened = self
            .call(message, |mut client, request| async move {
                client.open(request).await
            })
            .await?;
        self.epoch.store(opened.epoch, Ordering::Relaxed);
        Ok(opened)
    }

    pub async fn send_lease(&self, message: v1::LeaseRequest) -> Result<v1::LeaseResponse, Status> {
        self.call(message, |mut client, request| async move {
            client.lease(request).await
        })
        .await
    }

    pub fn lease_request(&self, wants: Vec<v1::Want>) -> v1::LeaseRequest {
        v1::LeaseRequest {
            request_id: request_id(),
            epoch: self.epoch(),
            tenant: TENANT.to_owned(),
            wants,
            ttl_ms: 0,
            limits_version: 0,
            settle: Vec::new(),
        }
    }

    /// The lease, or the refusal.
    pub async fn lease(&self, wants: Vec<v1::Want>) -> Result<v1::Granted, v1::Refused> {
        let answer = self.send_lease(self.lease_request(wants)).await.unwrap();
        match answer.outcome.unwrap() {
            v1::lease_response::Outcome::Granted(granted) => Ok(granted),
            v1::lease_response::Outcome::Refused(refused) => Err(refused),
        }
    }

    pub async fn settle(&self, lease: u64, spends: Vec<v1::Spend>) -> v1::settled::State {
        let message = v1::SettleRequest {
            request_id: request_id(),
            epoch: self.epoch(),
            tenant: TENANT.to_owned(),
            settle: vec![v1::Settlement { lease, spends }],
        };
        let answer = self.call(message, |mut client, request| async move {
            client.settle(request).await
        });
        answer.await.unwrap().settled[0].state()
    }

    pub async fn set_limits(
        &self,
        version: u64,
        rules: Vec<v1::Rule>,
    ) -> Result<v1::SetLimitsResponse, Status> {
        let message = v1::SetLimitsRequest {
            request_id: request_id(),
            tenant: TENANT.to_owned(),
            version,
            rules,
        };
        self.call(message, |mut client, request| async move {
            client.set_limits(request).await
        })
        .await
    }

    pub async fn adjust(
        &self,
        account: v1::Account,
        units: i64,
        reason: &str,
    ) -> Result<v1::AccountInfo, Status> {
        let message = v1::AdjustRequest {
            request_id: request_id(),
            tenant: TENANT.to_owned(),
            account: Some(account),
            units,
            reason: reason.to_owned(),
        };
        let answer = self.call(message, |mut client, request| async move {
            client.adjust(request).await
        });
        Ok(answer.await?.account.unwrap())
    }

    pub async fn held(&self, after: u64) -> Result<v1::HeldResponse, Status> {
        let epoch = self.epoch();
        let message = v1::HeldRequest { epoch, after };
        self.call(message, |mut client, request| async move {
            client.held(request).await
        })
        .await
    }

    pub async fn usage(&self) -> Vec<v1::AccountInfo> {
        let message = v1::UsageRequest {
            tenant: TENANT.to_owned(),
            ..v1::UsageRequest::default()
        };
        self.usage_page(message).await.accounts
    }

    pub async fn usage_page(&self, message: v1::UsageRequest) -> v1::UsageResponse {
        let answer = self.call(message, |mut client, request| async move {
            client.usage(request).await
        });
        answer.await.unwrap()
    }
}

pub fn lifetime() -> v1::Window {
    v1::Window {
        kind: Some(v1::window::Kind::Lifetime(v1::Lifetime {})),
    }
}

pub fn calendar(calendar: v1::Calendar) -> v1::Window {
    v1::Window {
        kind: Some(v1::window::Kind::Calendar(calendar.into())),
    }
}

pub fn account(scope: v1::Scope, id: &str, window: v1::Window) -> v1::Account {
    v1::Account {
        scope: scope.into(),
        id: id.to_owned(),
        meter: v1::Meter::Calls.into(),
        window: Some(window),
    }
}

pub fn tenant_account() -> v1::Account {
    account(v1::Scope::Tenant, "", lifetime())
}

pub fn rule(account: v1::Account, limit: u64) -> v1::Rule {
    v1::Rule {
        account: Some(account),
        limit,
    }
}

pub fn want(account: v1::Account, wanted: u64, minimum: u64) -> v1::Want {
    v1::Want {
        account: Some(account),
        wanted,
        minimum,
        ceiling: None,
    }
}

/// Certificates of one authority for nodes at these addresses; the files are in `dir`.
pub fn certificates(dir: &Path, address: &str) -> TlsFiles {
    let (ca_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
    if !ca_path.exists() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        std::fs::write(&ca_path, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
    }
    let ca_key = rcgen::KeyPair::from_pem(&std::fs::read_to_string(&key_path).unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(params, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![address.to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let (cert_path, key_path) = (
        dir.join(format!("{address}.pem")),
        dir.join(format!("{address}.key")),
    );
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    TlsFiles {
        cert: cert_path,
        key: key_path,
        ca: Some(ca_path),
    }
}
