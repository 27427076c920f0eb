//! A control plane on a Postgres and a NATS of the test's own, and callers of it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use proctor_control::{ControlConfig, Handle};
use proctor_devstack::TestStack;
use proctor_proto::v1;
use proctor_proto::v1::control_client::ControlClient;
use serde_json::Value;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A running control plane; stops when dropped.
pub(crate) struct Control {
    pub(crate) stack: TestStack,
    pub(crate) handle: Handle,
    pub(crate) admin: Caller,
    data: tempfile::TempDir,
    _stop: DropGuard,
}

/// A holder of an API key.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: ControlClient<Channel>,
    token: String,
}

impl Control {
    pub(crate) async fn start() -> Self {
        let stack = TestStack::start().await.unwrap();
        let data = tempfile::tempdir().unwrap();
        proctor_control::migrate(&stack.postgres_url().into())
            .await
            .unwrap();
        let config = config(&stack, &data);
        let stop = CancellationToken::new();
        let handle = proctor_control::start(config, stop.clone()).await.unwrap();
        let key = handle
            .bootstrap_api_key()
            .await
            .unwrap()
            .expect("the first key");
        let admin = caller(&handle, key.expose()).await.unwrap();
        Self {
            stack,
            handle,
            admin,
            data,
            _stop: stop.drop_guard(),
        }
    }

    /// A second process beside it: the same keys, database and NATS.
    pub(crate) async fn another(&self) -> (Handle, Caller, DropGuard) {
        let stop = CancellationToken::new();
        let config = config(&self.stack, &self.data);
        let handle = proctor_control::start(config, stop.clone()).await.unwrap();
        let client = ControlClient::connect(format!("http://{}", handle.grpc_addr))
            .await
            .unwrap();
        let token = self.admin.token.clone();
        (handle, Caller { client, token }, stop.drop_guard())
    }

    /// What edges seal to for approvers.
    pub(crate) fn sealing_key(&self) -> [u8; 32] {
        let path = self.data.path().join("sealing.key");
        proctor_runtime::keyfile::load_or_create_opener(&path)
            .unwrap()
            .public_key()
    }

    /// A new tenant.
    pub(crate) async fn tenant(&self, tenant: &str) {
        let request = v1::CreateTenantRequest {
            tenant: tenant.into(),
            ..Default::default()
        };
        self.admin
            .client
            .clone()
            .create_tenant(self.admin.request(request))
            .await
            .unwrap();
    }

    /// A caller with one role in a tenant (empty: on the platform).
    pub(crate) async fn caller(&self, tenant: &str, role: &str) -> Caller {
        let request = v1::CreateApiKeyRequest {
            tenant: tenant.into(),
            name: role.into(),
            roles: vec![role.into()],
            ..Default::default()
        };
        let made = self
            .admin
            .client
            .clone()
            .create_api_key(self.admin.request(request))
            .await
            .unwrap();
        caller(&self.handle, &made.into_inner().secret)
            .await
            .unwrap()
    }
}

fn config(stack: &TestStack, data: &tempfile::TempDir) -> ControlConfig {
    ControlConfig {
        database_url: stack.postgres_url().into(),
        nats_url: stack.nats_url().into(),
        edge_nats_url: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: data.path().to_owned(),
        deployment: "test.proctor.local".parse().unwrap(),
        heartbeat_interval: Duration::from_millis(200),
        counters: Vec::new(),
        counter_tls: None,
    }
}

/// Exchanges an API key for a principal token.
pub(crate) async fn caller(handle: &Handle, api_key: &str) -> Result<Caller, Status> {
    let mut client = ControlClient::connect(format!("http://{}", handle.grpc_addr))
        .await
        .unwrap();
    let answer = client
        .authenticate(v1::AuthenticateRequest {
            api_key: api_key.into(),
        })
        .await?;
    Ok(Caller {
        client,
        token: answer.into_inner().principal_token,
    })
}

impl Caller {
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            client: self.client.clone(),
            token: token.into(),
        }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(
            "authorization",
            format!("Bearer {}", self.token).parse().unwrap(),
        );
        request
    }

    pub(crate) async fn put_agent(
        &self,
        tenant: &str,
        id: &str,
        document: &Value,
    ) -> Result<v1::Document, Status> {
        let request = put(tenant, id, document, 0);
        Ok(self
            .client
            .clone()
            .put_agent(self.request(request))
            .await?
            .into_inner())
    }

    pub(crate) async fn put_policy(
        &self,
        tenant: &str,
        id: &str,
        document: &Value,
    ) -> Result<v1::PolicyVersion, Status> {
        let request = put(tenant, id, document, 0);
        Ok(self
            .client
            .clone()
            .put_policy(self.request(request))
            .await?
            .into_inner())
    }

    pub(crate) async fn get_agent(&self, tenant: &str, id: &str) -> Result<v1::Document, Status> {
        Ok(self
            .client
            .clone()
            .get_agent(self.request(object(tenant, id, 0)))
            .await?
            .into_inner())
    }

    pub(crate) async fn get_tenant(&self, tenant: &str) -> Result<v1::Tenant, Status> {
        let request = v1::TenantRequest {
            tenant: tenant.into(),
        };
        Ok(self
            .client
            .clone()
            .get_tenant(self.request(request))
            .await?
            .into_inner())
    }
}

pub(crate) fn put(
    tenant: &str,
    id: &str,
    document: &Value,
    expected_version: u64,
) -> v1::PutDocumentRequest {
    v1::PutDocumentRequest {
        tenant: tenant.into(),
        id: id.into(),
        document: document.to_string().into_bytes(),
        expected_version,
    }
}

pub(crate) fn object(tenant: &str, id: &str, expected_version: u64) -> v1::ObjectRequest {
    v1::ObjectRequest {
        tenant: tenant.into(),
        id: id.into(),
        expected_version,
    }
}

pub(crate) fn list(tenant: &str) -> v1::ListRequest {
    v1::ListRequest {
        tenant: tenant.into(),
        ..Default::default()
    }
}
