//! Policies: their versions, and which of them is active.

use super::documents::{compiling, parse};
use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::tenants::{fits, load_config};
use crate::store::{page, policies};
use proctor_engine::CompiledTenant;
use proctor_model::config::{Policy, PolicyMode, RegoModule};
use proctor_model::principal::Right;
use proctor_proto::v1;
use serde_json::{Value, json};
use tonic::Status;

/// What is uploaded: modules and data.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyUpload {
    modules: Vec<RegoModule>,
    #[serde(default)]
    data: Value,
}

pub(super) async fn put(
    state: &State,
    caller: &Caller,
    request: v1::PutDocumentRequest,
) -> Result<v1::PolicyVersion, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WritePolicies)?;
    let upload: PolicyUpload = parse("the document", &request.document)?;
    let id = request
        .id
        .parse()
        .map_err(|error| Status::invalid_argument(format!("id: {error}")))?;
    let policy = Policy {
        id,
        version: 1,
        mode: PolicyMode::Enforce,
        modules: upload.modules,
        data: upload.data,
    };
    let mut policy = compiling(move || {
        proctor_engine::policy::validate(&policy)
            .map(|()| policy)
            .map_err(|problem| problem.to_string())
    })
    .await?;
    let mut tx = state.store.tenant(&tenant).await?;
    policy.version = policies::next_version(&mut tx, &request.id).await?;
    // What could never be activated beside the rest of the configuration is not stored either.
    if let Some(mut config) = load_config(&mut tx, &tenant, state.clock.now()).await? {
        config.policies.retain(|other| other.id != policy.id);
        config.policies.push(policy.clone());
        fits(state, &config)?;
    }
    let document = json!({ "modules": policy.modules, "data": policy.data });
    let made = policies::insert(
        &mut tx,
        &request.id,
        policy.version,
        document,
        &policy.digest(),
        caller.id(),
    )
    .await?;
    let object = format!("{}@{}", request.id, policy.version);
    crate::audit::record(&mut tx, state, &tenant, caller.id(), "policy.put", &object).await?;
    tx.commit().await?;
    Ok(made)
}

pub(super) async fn get_version(
    state: &State,
    caller: &Caller,
    request: v1::PolicyVersionRequest,
) -> Result<v1::PolicyVersion, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    policies::get(&mut tx, &request.id, request.version).await
}

pub(super) async fn list(
    state: &State,
    caller: &Caller,
    request: v1::ListRequest,
) -> Result<v1::ListPoliciesResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let policies = policies::list(&mut tx, &request.after, page(request.limit)).await?;
    let next = policies
        .last()
        .map(|policy| format!("{}/{}", policy.id, policy.version))
        .unwrap_or_default();
    Ok(v1::ListPoliciesResponse { policies, next })
}

pub(super) async fn activate(
    state: &State,
    caller: &Caller,
    request: v1::ActivatePolicyRequest,
) -> Result<v1::PolicyVersion, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WritePolicies)?;
    if !matches!(request.mode.as_str(), "enforce" | "monitor") {
        return Err(Status::invalid_argument("mode: enforce or monitor").into());
    }
    let mut tx = state.store.tenant(&tenant).await?;
    let active =
        policies::activate(&mut tx, &request.id, Some((request.version, &request.mode))).await?;
    // As an edge would compile it, all policies together: an engine since replaced may have let a policy in.
    if let Some(config) = load_config(&mut tx, &tenant, state.clock.now()).await? {
        fits(state, &config)?;
        compiling(move || {
            CompiledTenant::compile(&config)
                .map(drop)
                .map_err(|problem| match std::error::Error::source(&problem) {
                    Some(cause) => format!("{problem}: {cause}"),
                    None => problem.to_string(),
                })
        })
        .await?;
    }
    let object = format!("{}@{} {}", request.id, request.version, request.mode);
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "policy.activate",
        &object,
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    active.ok_or_else(|| Status::not_found("no such policy version").into())
}

pub(super) async fn deactivate(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Empty, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WritePolicies)?;
    let mut tx = state.store.tenant(&tenant).await?;
    policies::activate(&mut tx, &request.id, None).await?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "policy.deactivate",
        &request.id,
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(v1::Empty {})
}
