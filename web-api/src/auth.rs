//! Who is calling: an API key is exchanged at control for a short-lived principal token, which goes with each call.

use crate::Api;
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use moka::future::Cache;
use proctor_proto::v1;
use proctor_proto::v1::control_client::ControlClient;
use proctor_runtime::Secret;
use proctor_runtime::grpc::BearerInterceptor;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// How long an answer of control is used again. A principal token lives a minute.
const KEPT: Duration = Duration::from_secs(30);
const KEPT_MAX: u64 = 10_000;
/// No API key of ours is longer.
const KEY_BYTES_MAX: usize = 256;

/// A principal token, and the API key that it is for.
pub(crate) struct Principal {
    token: Secret,
    key: Secret,
}

impl Principal {
    pub(crate) fn bearer(&self) -> Result<BearerInterceptor, Problem> {
        BearerInterceptor::new(&self.token).map_err(|_| Problem::internal())
    }

    /// With a token of now, while the key is good.
    pub(crate) async fn renewed(&self, api: &Api) -> Result<Self, Problem> {
        api.principals.of(api, self.key.expose()).await
    }
}

/// Principal tokens by the hash of their API key.
pub(crate) struct Principals(Cache<[u8; 32], Secret>);

impl Principals {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(KEPT_MAX)
                .time_to_live(KEPT)
                .build(),
        )
    }

    async fn of(&self, api: &Api, key: &str) -> Result<Principal, Problem> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let principal = |token| Principal {
            token,
            key: key.into(),
        };
        if let Some(token) = self.0.get(&hash).await {
            return Ok(principal(token));
        }
        let request = v1::AuthenticateRequest {
            api_key: key.to_owned(),
        };
        let answer = ControlClient::new(api.control.clone())
            .authenticate(request)
            .await?
            .into_inner();
        let token = Secret::from(answer.principal_token);
        self.0.insert(hash, token.clone()).await;
        Ok(principal(token))
    }
}

impl FromRequestParts<Arc<Api>> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::unauthorized());
        };
        let (scheme, key) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .ok_or_else(Problem::unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer")
            || !key.starts_with("pak_")
            || key.len() > KEY_BYTES_MAX
        {
            return Err(Problem::unauthorized());
        }
        api.principals.of(api, key).await
    }
}
