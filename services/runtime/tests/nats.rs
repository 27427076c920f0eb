//! NATS client and streams against the real server.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helper functions too"
)]

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use proctor_devstack::TestNats;
use proctor_runtime::nats::{NatsSettings, connect, wait_connected};
use proctor_runtime::subjects::{
    AUDIT_STREAM, CONFIG_STREAM, ConfigSubject, audit_stream, config_stream, ensure_streams,
    incarnation, tenant_space,
};

const PATIENCE: Duration = Duration::from_secs(20);

async fn client(nats: &TestNats) -> async_nats::Client {
    let client = connect(&NatsSettings::from_url(nats.url()), "test")
        .await
        .unwrap();
    wait_connected(&client, PATIENCE).await.unwrap();
    client
}

async fn messages(js: &Context, stream: &str) -> u64 {
    js.get_stream(stream)
        .await
        .unwrap()
        .cached_info()
        .state
        .messages
}

#[tokio::test]
async fn a_server_that_starts_later_is_found_and_one_that_returns_too() {
    let nats = TestNats::private().await.unwrap();
    let server = nats.server().unwrap();
    server.stop().await;
    let client = connect(&NatsSettings::from_url(nats.url()), "early")
        .await
        .unwrap();
    assert!(wait_connected(&client, Duration::ZERO).await.is_err());
    for _ in 0..2 {
        server.restart().await.unwrap();
        wait_connected(&client, PATIENCE).await.unwrap();
        client.flush().await.unwrap();
        server.kill9().await;
        let noticed = async {
            while client.connection_state() == State::Connected {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_never_connects() {
    let nats = TestNats::private().await.unwrap();
    let url = format!(
        "nats://proctor:wrong@127.0.0.1:{}",
        nats.server().unwrap().port()
    );
    let client = connect(&NatsSettings::from_url(url), "wrong")
        .await
        .unwrap();
    assert!(
        wait_connected(&client, Duration::from_millis(200))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn streams_are_made_once_and_a_lost_one_is_noticed() {
    let nats = TestNats::private().await.unwrap();
    let js = jetstream::new(client(&nats).await);
    assert_eq!(incarnation(&js, CONFIG_STREAM).await.unwrap(), None);
    ensure_streams(&js, 1).await.unwrap();
    let first = incarnation(&js, CONFIG_STREAM).await.unwrap().unwrap();
    ensure_streams(&js, 1).await.unwrap();
    assert_eq!(incarnation(&js, CONFIG_STREAM).await.unwrap(), Some(first));
    nats.server().unwrap().wipe_store().await.unwrap();
    wait_connected(&js.client(), PATIENCE).await.unwrap();
    assert_eq!(incarnation(&js, AUDIT_STREAM).await.unwrap(), None);
    ensure_streams(&js, 1).await.unwrap();
    assert!(incarnation(&js, CONFIG_STREAM).await.unwrap().unwrap() > first);
}

#[tokio::test]
async fn many_roles_may_make_them_at_once() {
    let nats = TestNats::private().await.unwrap();
    let client = client(&nats).await;
    let roles = (0..8).map(|_| {
        let js = jetstream::new(client.clone());
        async move { ensure_streams(&js, 1).await }
    });
    for made in futures::future::join_all(roles).await {
        made.unwrap();
    }
}

#[tokio::test]
async fn streams_with_other_limits_are_brought_up_to_date() {
    let nats = TestNats::private().await.unwrap();
    let js = jetstream::new(client(&nats).await);
    let old = |config| jetstream::stream::Config {
        max_messages_per_subject: 9,
        max_age: PATIENCE,
        ..config
    };
    js.create_stream(old(config_stream(1))).await.unwrap();
    js.create_stream(old(audit_stream(1))).await.unwrap();
    let first = incarnation(&js, CONFIG_STREAM).await.unwrap();
    ensure_streams(&js, 1).await.unwrap();
    assert_eq!(incarnation(&js, CONFIG_STREAM).await.unwrap(), first);
    for (name, wanted) in [
        (CONFIG_STREAM, config_stream(1)),
        (AUDIT_STREAM, audit_stream(1)),
    ] {
        let found = js
            .get_stream(name)
            .await
            .unwrap()
            .cached_info()
            .config
            .clone();
        assert_eq!(
            found.max_messages_per_subject.max(0),
            wanted.max_messages_per_subject,
            "{name}"
        );
        assert_eq!(found.max_age, wanted.max_age, "{name}");
        assert_eq!(found.max_bytes.max(0), wanted.max_bytes, "{name}");
    }
}

#[tokio::test]
async fn config_keeps_the_last_message_of_each_subject_and_no_tenant_sees_another() {
    let nats = TestNats::private().await.unwrap();
    let js = jetstream::new(client(&nats).await);
    ensure_streams(&js, 1).await.unwrap();
    let (acme, other) = ("acme".parse().unwrap(), "acme2".parse().unwrap());
    let subjects = [
        ConfigSubject::Config(acme),
        ConfigSubject::Config(other),
        ConfigSubject::Assignment("edge_1".parse().unwrap()),
        ConfigSubject::Intent("acme".parse().unwrap(), "int_with.dots".parse().unwrap()),
    ];
    for version in ["1", "2"] {
        for subject in &subjects {
            js.publish(subject.to_string(), version.into())
                .await
                .unwrap()
                .await
                .unwrap();
        }
    }
    assert_eq!(messages(&js, CONFIG_STREAM).await, 4);

    let stream = js.get_stream(CONFIG_STREAM).await.unwrap();
    let config = jetstream::consumer::pull::OrderedConfig {
        deliver_policy: jetstream::consumer::DeliverPolicy::LastPerSubject,
        filter_subject: tenant_space(&"acme".parse().unwrap()),
        ..Default::default()
    };
    let mut reader = stream
        .create_consumer(config)
        .await
        .unwrap()
        .messages()
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let message = futures::StreamExt::next(&mut reader)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&*message.payload, b"2");
        seen.push(message.subject.parse::<ConfigSubject>().unwrap());
    }
    assert_eq!(seen, [subjects[0].clone(), subjects[3].clone()]);
}
