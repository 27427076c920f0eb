//! Control on a real Postgres and a real NATS: operations, rights, what is published, what the database hides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use async_nats::jetstream::{self, consumer::DeliverPolicy, consumer::pull::OrderedConfig};
use futures::StreamExt;
use proctor_control::{ControlConfig, Handle, JoinRole};
use proctor_devstack::TestStack;
use proctor_model::config::{
    Assignment, Heartbeat, Revocation, SealedKeys, TenantConfig, TokenKeys,
};
use proctor_model::signed::{Signer, Verifier};
use proctor_proto::v1::{self, control_client::ControlClient, enrolment_client::EnrolmentClient};
use proctor_runtime::seal::{Opener, TOKEN_KEYS_INFO, token_keys_aad};
use proctor_runtime::subjects::{ConfigSubject, edge_space, tenant_space};
use proctor_runtime::{Secret, grpc, nats};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

struct World {
    stack: TestStack,
    control: Handle,
    client: ControlClient<Channel>,
    admin: Secret,
    _data: tempfile::TempDir,
    shutdown: CancellationToken,
}

impl World {
    async fn start() -> Self {
        let stack = TestStack::start().await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let database_url = Secret::from(stack.postgres_url().to_owned());
        proctor_control::migrate(&database_url).await.unwrap();
        let shutdown = CancellationToken::new();
        let config = ControlConfig {
            database_url,
            nats_url: Secret::from(stack.nats_url().to_owned()),
            edge_nats_url: None,
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.path().to_owned(),
            deployment: "test.example".parse().unwrap(),
            heartbeat_interval: Duration::from_millis(100),
            counters: Vec::new(),
            counter_tls: None,
        };
        let control = proctor_control::start(config, shutdown.clone())
            .await
            .unwrap();
        let key = control.bootstrap_api_key().await.unwrap().unwrap();
        assert!(control.bootstrap_api_key().await.unwrap().is_none());
        let channel = grpc::channel(&format!("http://{}", control.grpc_addr)).unwrap();
        let mut client = ControlClient::new(channel);
        let admin = login(&mut client, key.expose()).await;
        Self {
            stack,
            control,
            client,
            admin,
            _data: data,
            shutdown,
        }
    }

    fn by<T>(&self, message: T) -> Request<T> {
        grpc::with_bearer(message, &self.admin).unwrap()
    }

    async fn tenant(&mut self, tenant: &str) {
        let request = v1::CreateTenantRequest {
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        let request = self.by(request);
        self.client.create_tenant(request).await.unwrap();
        let document = br#"{"id":"helper"}"#.to_vec();
        let put = v1::PutDocumentRequest {
            tenant: tenant.to_owned(),
            id: "helper".to_owned(),
            document,
            expected_version: 0,
        };
        let put = self.by(put);
        self.client.put_agent(put).await.unwrap();
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.control.stopped().await;
    }
}

async fn login(client: &mut ControlClient<Channel>, key: &str) -> Secret {
    let request = v1::AuthenticateRequest {
        api_key: key.to_owned(),
    };
    Secret::from(
        client
            .authenticate(request)
            .await
            .unwrap()
            .into_inner()
            .principal_token,
    )
}

/// The documents on a subject space, until `done` says that it has what it needs.
async fn read<T>(
    world: &World,
    space: String,
    mut done: impl FnMut(ConfigSubject, &str) -> Option<T>,
) -> T {
    let client = nats::connect(
        &nats::NatsSettings::from_url(world.stack.nats_url().to_owned()),
        "test",
    )
    .await
    .unwrap();
    let jetstream = jetstream::new(client);
    let read = async {
        loop {
            let Ok(stream) = jetstream.get_stream("CONFIG").await else {
                continue;
            };
            let config = OrderedConfig {
                filter_subject: space.clone(),
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..Default::default()
            };
            let consumer = stream.create_consumer(config).await.unwrap();
            let mut messages = consumer.messages().await.unwrap();
            while let Some(Ok(message)) = messages.next().await {
                let subject = message.subject.as_str().parse().unwrap();
                let text = std::str::from_utf8(&message.payload).unwrap();
                if let Some(found) = done(subject, text) {
                    return found;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("the documents arrive")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_signed_and_published_and_a_heartbeat_follows() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let caveats = vec![
        "time < 2099-01-01T00:00:00Z".to_owned(),
        "tool in a/*".to_owned(),
    ];
    let mint = v1::MintTokenRequest {
        tenant: "acme".to_owned(),
        agent: "helper".to_owned(),
        caveats,
    };
    let too_long = world.by(mint.clone());
    assert_eq!(
        world.client.mint_token(too_long).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let revoke = v1::RevokeRequest {
        tenant: "acme".to_owned(),
        revocation_id: "ab".repeat(32),
        token: String::new(),
    };
    for _ in 0..2 {
        let request = world.by(revoke.clone());
        assert_eq!(
            world.client.revoke(request).await.unwrap().into_inner().seq,
            1
        );
    }
    let verifier = Verifier::new(&world.control.platform_keys).unwrap();
    let mut config: Option<TenantConfig> = None;
    let mut revocation: Option<Revocation> = None;
    read(
        &world,
        tenant_space(&"acme".parse().unwrap()),
        |subject, text| match subject {
            ConfigSubject::Config(_) => {
                config = Some(verifier.verify(text).unwrap());
                None
            }
            ConfigSubject::Revocation(..) => {
                revocation = Some(verifier.verify(text).unwrap());
                None
            }
            ConfigSubject::Heartbeat(_) => {
                let heartbeat: Heartbeat = verifier.verify(text).unwrap();
                let there = config.as_ref().is_some_and(|config| {
                    config.agents.len() == 1 && config.version >= heartbeat.config_version
                });
                (there && heartbeat.revocation_seq == 1 && revocation.is_some()).then_some(())
            }
            _ => None,
        },
    )
    .await;
    assert_eq!(config.unwrap().key_ids.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_enrols_once_and_only_it_can_open_its_keys() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let request = v1::CreateJoinTokenRequest {
        role: "edge".to_owned(),
        tenants: vec!["acme".to_owned()],
        region: "eu-west".to_owned(),
    };
    let request = world.by(request);
    let token = world
        .client
        .create_join_token(request)
        .await
        .unwrap()
        .into_inner()
        .join_token;
    let mut enrolment = EnrolmentClient::new(
        grpc::channel(&format!("http://{}", world.control.grpc_addr)).unwrap(),
    );
    let (own, other) = (
        Opener::from_private_key(&[1; 32]),
        Opener::from_private_key(&[2; 32]),
    );
    let enrol = v1::EnrolRequest {
        join_token: token,
        signing_key: vec![3; 32],
        sealing_key: own.public_key().to_vec(),
    };
    let edge = enrolment.enrol(enrol.clone()).await.unwrap().into_inner();
    assert_eq!(
        enrolment.enrol(enrol).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let verifier = Verifier::new(&world.control.platform_keys).unwrap();
    let id: proctor_model::EdgeId = edge.edge.parse().unwrap();
    let assignment: Assignment = read(&world, edge_space(&id), |_, text| {
        Some(verifier.verify(text).unwrap())
    })
    .await;
    assert_eq!(assignment.tenants.len(), 1);
    let tenant = "acme".parse().unwrap();
    let sealed: SealedKeys = read(
        &world,
        tenant_space(&tenant),
        |subject, text| match subject {
            ConfigSubject::Keys(..) => Some(verifier.verify(text).unwrap()),
            _ => None,
        },
    )
    .await;
    let decode = |text: &str| {
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap()
    };
    let bytes = [decode(&sealed.enc), decode(&sealed.ciphertext)].concat();
    let aad = token_keys_aad(&tenant, &id);
    let clear = own.open(TOKEN_KEYS_INFO, &aad, &bytes).unwrap();
    assert_eq!(
        serde_json::from_slice::<TokenKeys>(&clear)
            .unwrap()
            .keys
            .len(),
        1
    );
    assert!(other.open(TOKEN_KEYS_INFO, &aad, &bytes).is_err());
    // A ledger that registers becomes known to the edge.
    let token = world.control.join_token(JoinRole::Ledger).await.unwrap();
    let ledger = Signer::from_seed(&[9; 32]).unwrap().public_key();
    let register = v1::RegisterLedgerRequest {
        join_token: token.expose().to_owned(),
        signing_key: decode(&ledger.key),
    };
    enrolment.register_ledger(register).await.unwrap();
    read(&world, edge_space(&id), |_, text| {
        let assignment: Assignment = verifier.verify(text).unwrap();
        (assignment.ledger_keys == [ledger.clone()]).then_some(())
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_never_reaches_another() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.tenant("other").await;
    let key = v1::CreateApiKeyRequest {
        tenant: "acme".to_owned(),
        name: "back end".to_owned(),
        roles: vec!["tenant-admin".to_owned()],
        ..Default::default()
    };
    let key = world.by(key);
    let secret = world
        .client
        .create_api_key(key)
        .await
        .unwrap()
        .into_inner()
        .secret;
    let acme = login(&mut world.client, &secret).await;
    let ask = |tenant: &str| {
        let request = v1::ObjectRequest {
            tenant: tenant.to_owned(),
            id: "helper".to_owned(),
            expected_version: 0,
        };
        grpc::with_bearer(request, &acme).unwrap()
    };
    assert!(world.client.get_agent(ask("acme")).await.is_ok());
    let foreign = world.client.get_agent(ask("other")).await.unwrap_err();
    let absent = world.client.get_agent(ask("nobody")).await.unwrap_err();
    assert_eq!(
        (foreign.code(), foreign.message()),
        (absent.code(), absent.message())
    );
    assert_eq!(foreign.code(), Code::NotFound);
    let list = grpc::with_bearer(v1::ListRequest::default(), &acme).unwrap();
    assert_eq!(
        world.client.list_tenants(list).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let nobody = v1::TenantRequest {
        tenant: "acme".to_owned(),
    };
    assert_eq!(
        world.client.get_tenant(nobody).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_documents_are_refused_with_what_is_wrong() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    for (document, names) in [
        (&b"{"[..], "document"),
        (br#"{"id":"helper","id":"helper"}"#, "document"),
        (br#"{"id":"helper","rights":"all"}"#, "rights"),
        (br#"{"id":"somebody"}"#, "id"),
    ] {
        let put = v1::PutDocumentRequest {
            tenant: "acme".to_owned(),
            id: "helper".to_owned(),
            document: document.to_vec(),
            expected_version: 0,
        };
        let put = world.by(put);
        let refused = world.client.put_agent(put).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(names), "{}", refused.message());
    }
    let document =
        br#"{"modules":[{"name":"p.rego","source":"package proctor.policy\ndecision := {"}]}"#
            .to_vec();
    let put = v1::PutDocumentRequest {
        tenant: "acme".to_owned(),
        id: "p".to_owned(),
        document,
        expected_version: 0,
    };
    let put = world.by(put);
    assert_eq!(
        world.client.put_policy(put).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_hides_rows_from_who_names_no_tenant() {
    use sqlx::{Connection, Executor, Row};
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut connection = sqlx::PgConnection::connect(world.stack.postgres_url())
        .await
        .unwrap();
    let unfenced: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'control' and c.relkind = 'r' and c.relname <> '_migrations'
           and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant')
           and not (c.relrowsecurity and c.relforcerowsecurity)",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(unfenced, Vec::<String>::new());
    connection
        .execute("set role proctor_control")
        .await
        .unwrap();
    for table in [
        "tenants",
        "objects",
        "token_keys",
        "api_keys",
        "audit_outbox",
        "outbox",
    ] {
        let statement = sqlx::AssertSqlSafe(format!("select count(*) as n from control.{table}"));
        let row = connection
            .fetch_one(sqlx::raw_sql(statement))
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("n"), 0, "{table}");
    }
    world.stop().await;
}
