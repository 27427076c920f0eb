//! Who has no certificate of the right authority is no node; and an edge believes only the nodes' own authority.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_counter::{CounterConfig, Handle, TlsFiles, start};
use proctor_proto::v1;
use proctor_proto::v1::counter_admin_client::CounterAdminClient;
use proctor_proto::v1::counter_client::CounterClient;
use proctor_proto::v1::counter_node_client::CounterNodeClient;
use proctor_runtime::Clock;
use proctor_runtime::grpc::{ClientTls, ClientTlsFiles, channel_with};
use support::*;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

struct Node {
    stop: CancellationToken,
    handle: Handle,
}

impl Node {
    async fn start(config: CounterConfig) -> Self {
        let stop = CancellationToken::new();
        let handle = start(config, Clock::system(), stop.clone()).await.unwrap();
        Self { stop, handle }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.handle.stopped().await.unwrap();
    }
}

/// A client that believes `of`'s authority and shows the certificate of `own`, if there is one.
fn client(address: &str, of: &TlsFiles, own: Option<&TlsFiles>) -> Channel {
    let files = ClientTlsFiles {
        ca: of.ca.clone().unwrap(),
        cert: own.map(|own| own.cert.clone()),
        key: own.map(|own| own.key.clone()),
    };
    let tls = ClientTls::load(&files).unwrap();
    channel_with(address, Some(&tls)).unwrap()
}

/// What a node answers to something that is no message of a node: it says so, if it listens at all.
async fn heard(channel: &Channel) -> Code {
    let rubbish = v1::NodeMessage {
        body: b"rubbish".to_vec(),
    };
    let mut node = CounterNodeClient::new(channel.clone());
    node.vote(rubbish).await.unwrap_err().code()
}

async fn operates(channel: &Channel) -> bool {
    let mut operator = CounterAdminClient::new(channel.clone());
    operator.status(v1::CounterStatusRequest {}).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_certificate_of_the_authority_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = certificates(dir.path(), "127.0.0.1");
    let config = CounterConfig {
        node_tls: Some(own.clone()),
        ..config(1, dir.path())
    };
    let node = Node::start(config.clone()).await;
    let address = node_address(&config);
    assert!(address.starts_with("https://"), "{address}");

    let member = client(&address, &own, Some(&own));
    assert_eq!(heard(&member).await, Code::InvalidArgument);
    assert!(operates(&member).await);

    let foreign = certificates(other.path(), "127.0.0.1");
    let plain = address.replace("https://", "http://");
    let strangers = [
        ("no certificate", client(&address, &own, None)),
        (
            "another authority's",
            client(&address, &own, Some(&foreign)),
        ),
        ("plain text", channel_with(&plain, None).unwrap()),
    ];
    for (what, stranger) in strangers {
        assert_ne!(heard(&stranger).await, Code::InvalidArgument, "{what}");
        assert!(!operates(&stranger).await, "{what}");
    }
    // Nor does a member speak to a node of another authority.
    let deceived = client(&address, &foreign, Some(&own));
    assert!(!operates(&deceived).await);
    node.stop().await;
}

/// An edge's first request.
async fn opens(channel: &Channel) -> bool {
    let mut request = Request::new(v1::OpenRequest {
        request_id: request_id(),
    });
    *request.metadata_mut() = edge_metadata(
        &certificate(1, &[TENANT], now()),
        &proof(1, "counter", now()),
    );
    CounterClient::new(channel.clone())
        .open(request)
        .await
        .is_ok()
}

/// Until the node leads; what is refused for its certificate is refused from the first moment.
async fn comes_to_open(channel: &Channel) {
    eventually("an edge opens its epoch", || async {
        opens(channel).await.then_some(()).ok_or("refused")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_speaks_to_nodes_of_the_authority_only_and_never_in_plain_text() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = certificates(dir.path(), "127.0.0.1");
    let foreign = certificates(other.path(), "127.0.0.1");
    let config = CounterConfig {
        tls: Some(TlsFiles {
            ca: None,
            ..own.clone()
        }),
        ..config(1, dir.path())
    };
    let node = Node::start(config.clone()).await;
    let address = format!("https://{}", config.listen);
    comes_to_open(&client(&address, &own, None)).await;
    assert!(!opens(&client(&address, &foreign, None)).await);
    let plain = address.replace("https://", "http://");
    assert!(!opens(&channel_with(&plain, None).unwrap()).await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_listener_has_an_authority_edges_need_a_certificate() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = certificates(dir.path(), "127.0.0.1");
    let foreign = certificates(other.path(), "127.0.0.1");
    let config = CounterConfig {
        tls: Some(own.clone()),
        ..config(1, dir.path())
    };
    let node = Node::start(config.clone()).await;
    let address = format!("https://{}", config.listen);
    comes_to_open(&client(&address, &own, Some(&own))).await;
    assert!(!opens(&client(&address, &own, None)).await);
    assert!(!opens(&client(&address, &own, Some(&foreign))).await);
    node.stop().await;
}
