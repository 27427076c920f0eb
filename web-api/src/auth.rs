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

/// A principal token.
#[derive(Clone)]
pub(crate) struct Principal(Secret);

impl Principal {
    pub(crate) fn bearer(&self) -> Result<BearerInterceptor, Problem> {
        BearerInterceptor::new(&self.0).map_err(|_| Problem::internal())
    }
}

/// Principal tokens by the hash of their API key.
pub(crate) struct Principals(Cache<[u8; 32], Principal>);

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
        if let Some(principal) = self.0.get(&hash).await {
            return Ok(principal);
        }
        let request = v1::AuthenticateRequest {
            api_key: key.to_owned(),
        };
        let answer = ControlClient::new(api.control.clone())
            .authenticate(request)
            .await?
            .into_inner();
        let principal = Principal(answer.principal_token.into());
        self.0.insert(hash, principal.clone()).await;
        Ok(principal)
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
