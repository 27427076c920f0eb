//! Budgets: the tenant's limits and prices, and what operators ask and tell the counter.

pub(crate) mod alerts;
pub(crate) mod keep;

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::grpc::documents::{parse, put, to_value};
use crate::store::objects::{self, Kind, ONLY};
use proctor_model::TenantId;
use proctor_model::budget::{AccountKey, Limits, Prices};
use proctor_model::principal::{CONTROL_AUDIENCE, PrincipalClaims, Right, Role};
use proctor_proto::v1;
use proctor_proto::v1::counter_client::CounterClient;
use proctor_runtime::grpc::{self, ClientTls, ClientTlsFiles, GrpcError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// How long one node may take before the next is asked.
const ANSWER: Duration = Duration::from_secs(2);
/// How often all nodes are asked before an operator is told that there is no answer.
const ROUNDS: usize = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// Control itself, towards the counter.
fn ourselves() -> PrincipalClaims {
    PrincipalClaims {
        sub: "control".to_owned(),
        aud: CONTROL_AUDIENCE.to_owned(),
        exp: 0,
        iat: 0,
        tenant: None,
        roles: vec![Role::PlatformAdmin],
    }
}

/// Control for a caller of its, whose request is on record.
fn on_record(caller: &Caller) -> PrincipalClaims {
    PrincipalClaims {
        aud: CONTROL_AUDIENCE.to_owned(),
        ..caller.claims().clone()
    }
}

/// The counter's nodes.
pub(crate) struct Counter {
    channels: Vec<Channel>,
    good: AtomicUsize,
}

impl Counter {
    pub(crate) fn new(
        addresses: &[String],
        tls: Option<&ClientTlsFiles>,
    ) -> Result<Option<Self>, GrpcError> {
        let tls = tls.map(ClientTls::load).transpose()?;
        let channel = |address: &String| grpc::channel_with(address, tls.as_ref());
        let channels: Result<Vec<_>, _> = addresses.iter().map(channel).collect();
        Ok(Some(channels?)
            .filter(|channels| !channels.is_empty())
            .map(|channels| Self {
                channels,
                good: AtomicUsize::new(0),
            }))
    }

    /// Asks the nodes in turn, the same request each time, so that it counts once.
    async fn ask<M: Clone, A>(
        &self,
        state: &State,
        claims: &PrincipalClaims,
        message: M,
        call: impl AsyncFn(CounterClient<Channel>, Request<M>) -> Result<A, Status>,
    ) -> Result<A, ControlError> {
        let mut last = Status::unavailable("no node of the counter answers");
        for round in 0..ROUNDS.saturating_mul(self.channels.len()) {
            let index =
                self.good.load(Ordering::Relaxed).wrapping_add(round) % self.channels.len().max(1);
            let Some(channel) = self.channels.get(index) else {
                break;
            };
            let token = state.principals.sign_again(claims, state.clock.now())?;
            let request =
                grpc::with_bearer(message.clone(), &token).map_err(ControlError::Counter)?;
            let answered =
                tokio::time::timeout(ANSWER, call(CounterClient::new(channel.clone()), request));
            match answered
                .await
                .unwrap_or_else(|_| Err(Status::unavailable("no answer")))
            {
                Ok(answer) => {
                    self.good.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(status)
                    if matches!(
                        status.code(),
                        Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Unknown
                    ) =>
                {
                    last = status;
                    if (round + 1) % self.channels.len() == 0 {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                Err(status) => return Err(status.into()),
            }
        }
        tracing::warn!(code = ?last.code(), "the counter does not answer");
        Err(Status::unavailable("the counter does not answer").into())
    }
}

fn counter(state: &State) -> Result<&Counter, Status> {
    state.counter.as_ref().ok_or_else(|| {
        Status::failed_precondition("this installation has no counter: set `counters` of control")
    })
}

/// The tenant's document of a kind that it has one of; empty, with version 0, where it has none.
pub(crate) async fn document(
    state: &State,
    caller: &Caller,
    kind: Kind,
    request: v1::TenantRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadBudgets)?;
    let mut tx = state.store.tenant(&tenant).await?;
    crate::store::tenants::get(&mut tx, &tenant).await?;
    match objects::get(&mut tx, kind, ONLY).await {
        Err(ControlError::Refused(status)) if status.code() == Code::NotFound => {
            let document = match kind {
                Kind::Limits => serde_json::to_vec(&Limits::default())?,
                _ => serde_json::to_vec(&Prices::default())?,
            };
            Ok(v1::Document {
                tenant: tenant.to_string(),
                id: ONLY.to_owned(),
                document,
                version: 0,
            })
        }
        found => found,
    }
}

pub(crate) async fn put_limits(
    state: &State,
    caller: &Caller,
    request: v1::PutDocumentRequest,
) -> Result<v1::Document, ControlError> {
    caller.tenant(&request.tenant, Right::WriteLimits)?;
    let limits: Limits = parse("the document", &request.document)?;
    limits
        .check()
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if !limits.rules.is_empty() {
        // Edges would refuse everything: better that it is said here.
        counter(state)?;
    }
    let document = to_value(&limits)?;
    let put = only(state, caller, Kind::Limits, request, document).await?;
    state.limits_changed.notify_one();
    Ok(put)
}

pub(crate) async fn put_prices(
    state: &State,
    caller: &Caller,
    request: v1::PutDocumentRequest,
) -> Result<v1::Document, ControlError> {
    caller.tenant(&request.tenant, Right::WriteLimits)?;
    let prices: Prices = parse("the document", &request.document)?;
    prices
        .check()
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let document = to_value(&prices)?;
    only(state, caller, Kind::Prices, request, document).await
}

async fn only(
    state: &State,
    caller: &Caller,
    kind: Kind,
    mut request: v1::PutDocumentRequest,
    document: serde_json::Value,
) -> Result<v1::Document, ControlError> {
    ONLY.clone_into(&mut request.id);
    put(state, caller, kind, &request, document, Right::WriteLimits).await
}

pub(crate) async fn usage(
    state: &State,
    caller: &Caller,
    request: v1::UsageRequest,
) -> Result<v1::UsageResponse, ControlError> {
    caller.tenant(&request.tenant, Right::ReadBudgets)?;
    counter(state)?
        .ask(
            state,
            caller.claims(),
            request,
            async |mut client, request| Ok(client.usage(request).await?.into_inner()),
        )
        .await
}

pub(crate) async fn leases(
    state: &State,
    caller: &Caller,
    request: v1::LeasesRequest,
) -> Result<v1::LeasesResponse, ControlError> {
    caller.tenant(&request.tenant, Right::ReadBudgets)?;
    counter(state)?
        .ask(
            state,
            caller.claims(),
            request,
            async |mut client, request| Ok(client.leases(request).await?.into_inner()),
        )
        .await
}

pub(crate) async fn adjust(
    state: &State,
    caller: &Caller,
    mut request: v1::AdjustRequest,
) -> Result<v1::AdjustResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::AdjustBudgets)?;
    let counter = counter(state)?;
    with_id(state, &mut request.request_id)?;
    let account = request.account.as_ref().map(AccountKey::try_from);
    let Some(Ok(account)) = account else {
        return Err(Status::invalid_argument("account: a scope, a meter and a window").into());
    };
    let object = format!("{account} {:+}", request.units);
    // On record before it is done: an adjustment that nobody can see must not be possible.
    note(state, caller, &tenant, "budget.adjust", &object).await?;
    counter
        .ask(
            state,
            &on_record(caller),
            request,
            async |mut client, request| Ok(client.adjust(request).await?.into_inner()),
        )
        .await
}

pub(crate) async fn write_off(
    state: &State,
    caller: &Caller,
    mut request: v1::WriteOffRequest,
) -> Result<v1::WriteOffResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::AdjustBudgets)?;
    let counter = counter(state)?;
    with_id(state, &mut request.request_id)?;
    note(
        state,
        caller,
        &tenant,
        "budget.write_off",
        &request.lease.to_string(),
    )
    .await?;
    counter
        .ask(
            state,
            &on_record(caller),
            request,
            async |mut client, request| Ok(client.write_off(request).await?.into_inner()),
        )
        .await
}

fn with_id(state: &State, id: &mut Vec<u8>) -> Result<(), ControlError> {
    if id.is_empty() {
        *id = state.random.array::<16>()?.to_vec();
    }
    Ok(())
}

async fn note(
    state: &State,
    caller: &Caller,
    tenant: &TenantId,
    action: &str,
    object: &str,
) -> Result<(), ControlError> {
    let mut tx = state.store.tenant(tenant).await?;
    crate::store::tenants::get(&mut tx, tenant).await?;
    crate::audit::record(&mut tx, state, tenant, caller.id(), action, object).await?;
    tx.commit().await
}
