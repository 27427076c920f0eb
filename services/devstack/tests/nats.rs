//! A private nats-server on the real server.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helper functions too"
)]

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use futures::{FutureExt, StreamExt};
use proctor_devstack::{DevstackError, Nats, NatsOptions, Supervision};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/tmp").unwrap()
}

async fn jetstream(nats: &Nats) -> jetstream::Context {
    let (user, password) = nats.user_and_password();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    jetstream::new(options.connect(nats.url()).await.unwrap())
}

async fn make_stream(js: &jetstream::Context) {
    let config = stream::Config {
        name: "T".into(),
        subjects: vec!["t.>".into()],
        ..Default::default()
    };
    js.create_stream(config).await.unwrap();
    js.publish("t.a", "x".into()).await.unwrap().await.unwrap();
}

async fn messages(nats: &Nats) -> Option<u64> {
    let mut stream = jetstream(nats).await.get_stream("T").await.ok()?;
    Some(stream.info().await.unwrap().state.messages)
}

#[tokio::test]
async fn keeps_its_streams_over_kill_9_and_loses_them_with_its_store() {
    let dir = dir();
    let nats = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    make_stream(&jetstream(&nats).await).await;
    nats.kill9().await;
    assert_eq!(nats.pid(), None);
    nats.restart().await.unwrap();
    assert_eq!(messages(&nats).await, Some(1));
    nats.wipe_store().await.unwrap();
    assert_eq!(messages(&nats).await, None);
    make_stream(&jetstream(&nats).await).await;
}

#[tokio::test]
async fn a_client_comes_back_after_a_supervised_restart() {
    let dir = dir();
    let options = NatsOptions {
        supervision: Supervision::Restart,
        ..NatsOptions::new(dir.path())
    };
    let nats = Nats::start(options).await.unwrap();
    let js = jetstream(&nats).await;
    make_stream(&js).await;
    let port = nats.port();
    nats.kill9().await;
    nats.wait_ready().await.unwrap();
    assert_eq!((nats.starts(), nats.port()), (2, port));
    // The client reconnects by itself; publishes before that wait for it or fail, and are repeated.
    let returned = async {
        while js.publish("t.b", "y".into()).await.is_err() {}
        while messages(&nats).await != Some(2) {}
    };
    tokio::time::timeout(Duration::from_secs(30), returned)
        .await
        .unwrap();
}

#[tokio::test]
async fn stays_down_after_stop_though_supervised_and_wiping_does_not_wake_it() {
    let dir = dir();
    let options = NatsOptions {
        supervision: Supervision::Restart,
        ..NatsOptions::new(dir.path())
    };
    let nats = Nats::start(options).await.unwrap();
    nats.stop().await;
    nats.wipe_store().await.unwrap();
    assert_eq!((nats.pid(), nats.starts()), (None, 1));
    nats.restart().await.unwrap();
    assert_eq!(nats.starts(), 2);
}

#[tokio::test]
async fn nobody_enters_without_the_password_and_nothing_shows_it() {
    use std::os::unix::fs::MetadataExt;
    let dir = dir();
    let nats = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    let port = nats.port();
    let address = format!("nats://127.0.0.1:{port}");
    assert!(async_nats::connect(&address).await.is_err());
    let wrong =
        async_nats::ConnectOptions::with_user_and_password("proctor".into(), "wrong".into());
    assert!(wrong.connect(&address).await.is_err());
    let url = nats.url();
    let secret = url.split(['@', ':']).nth(2).unwrap();
    assert_eq!(secret.len(), 64);
    assert!(!format!("{nats:?}").contains(secret));
    assert!(
        !std::fs::read_to_string(nats.log())
            .unwrap()
            .contains(secret)
    );
    for name in ["nats.conf", "nats.password", "nats.log"] {
        assert_eq!(
            std::fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777,
            0o600,
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_edges_user_does_what_edges_do_and_no_more() {
    let dir = dir();
    let nats = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    let control = jetstream(&nats).await;
    for (name, subjects) in [("CONFIG", "config.>"), ("AUDIT", "audit.>")] {
        let config = stream::Config {
            name: name.into(),
            subjects: vec![subjects.into()],
            ..Default::default()
        };
        control.create_stream(config).await.unwrap();
    }
    let subject = "config.acme.config";
    let publish = control.publish(subject, "signed".into()).await.unwrap();
    publish.await.unwrap();
    let url = nats.edge_url();
    let password = url.split(['@', ':']).nth(2).unwrap();
    let connect = async |inbox: &str| {
        let options = async_nats::ConnectOptions::with_user_and_password(
            "proctor-edge".into(),
            password.into(),
        );
        let options = options
            .custom_inbox_prefix(inbox)
            .request_timeout(Some(Duration::from_secs(2)));
        options.connect(nats.url()).await.unwrap()
    };
    let edge = connect("edge-inbox.edge_a").await;
    let js = jetstream::new(edge.clone());
    let batch = js.publish("audit.acme.edge_a", "batch".into()).await;
    batch.unwrap().await.unwrap();
    // As edges read configuration.
    let config = jetstream::consumer::pull::OrderedConfig {
        deliver_policy: jetstream::consumer::DeliverPolicy::LastPerSubject,
        filter_subject: "config.acme.>".into(),
        ..Default::default()
    };
    let stream = js.get_stream("CONFIG").await.unwrap();
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(30), messages.next()).await;
    assert_eq!(first.unwrap().unwrap().unwrap().subject.as_str(), subject);
    // It can neither say what edges have to do, nor take anything away, nor see what others send.
    let forged = js
        .publish("config.acme.kill", "forged".into())
        .await
        .unwrap();
    assert!(forged.await.is_err());
    assert!(js.delete_stream("AUDIT").await.is_err());
    assert!(js.get_stream("AUDIT").await.is_err());
    assert!(
        jetstream::new(connect("_INBOX").await)
            .get_stream("CONFIG")
            .await
            .is_err()
    );
    let mut spied = edge.subscribe("audit.>").await.unwrap();
    edge.flush().await.unwrap();
    let publish = control.publish("audit.acme.edge_b", "batch".into()).await;
    publish.unwrap().await.unwrap();
    edge.flush().await.unwrap();
    assert!(spied.next().now_or_never().flatten().is_none());
    let stored = control.get_stream("CONFIG").await.unwrap();
    assert_eq!(stored.cached_info().state.messages, 1);
}

#[tokio::test]
async fn a_directory_has_one_owner_and_a_new_owner_keeps_the_address() {
    let dir = dir();
    let first = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    let (port, url) = (first.port(), first.url());
    let second = Nats::start(NatsOptions::new(dir.path())).await.unwrap_err();
    assert!(
        matches!(second, DevstackError::DirectoryInUse { .. }),
        "{second}"
    );
    drop(first);
    let again = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    assert_eq!(again.url(), url);
    drop(again);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let elsewhere = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    assert_ne!(elsewhere.port(), port);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_says_so() {
    let dir = dir();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Nats::start(NatsOptions {
        port: Some(port),
        ..NatsOptions::new(dir.path())
    })
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("address already in use"),
        "{error}"
    );
}
