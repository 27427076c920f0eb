//! Authentication, tenants and API keys.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::{api_keys, page, tenants};
use proctor_model::config::TenantSettings;
use proctor_model::principal::{INTERNAL_AUDIENCE, PRINCIPAL_LIFE_S, PrincipalClaims, Right, Role};
use proctor_model::{TenantId, UserId};
use proctor_proto::v1;
use tonic::Status;

pub(super) async fn authenticate(
    state: &State,
    request: v1::AuthenticateRequest,
) -> Result<v1::AuthenticateResponse, ControlError> {
    let mut tx = state.store.platform().await?;
    let known = api_keys::find(&mut tx, &request.api_key).await?;
    let known = known.ok_or_else(|| Status::unauthenticated("the API key is unknown"))?;
    let now = state.clock.now().as_secs();
    let claims = PrincipalClaims {
        sub: known.id,
        aud: INTERNAL_AUDIENCE.to_owned(),
        exp: now.saturating_add(PRINCIPAL_LIFE_S),
        iat: now,
        tenant: Some(known.tenant).filter(|tenant| !tenant.is_platform()),
        roles: known.roles,
    };
    Ok(v1::AuthenticateResponse {
        principal_token: state.principals.sign(&claims)?,
    })
}

fn settings(bytes: &[u8]) -> Result<TenantSettings, Status> {
    if bytes.is_empty() {
        return Ok(TenantSettings::default());
    }
    let settings: TenantSettings = super::documents::parse("settings", bytes)?;
    settings
        .approvals
        .check()
        .map_err(|error| Status::invalid_argument(format!("settings.{error}")))?;
    if let Some(extractor) = &settings.extractor {
        crate::extract::check(extractor)?;
    }
    Ok(settings)
}

pub(super) async fn create_tenant(
    state: &State,
    caller: &Caller,
    request: v1::CreateTenantRequest,
) -> Result<v1::Tenant, ControlError> {
    caller.platform(Right::WriteTenants)?;
    let v1::CreateTenantRequest {
        tenant,
        display_name,
        settings: bytes,
    } = request;
    let tenant: TenantId = tenant
        .parse()
        .map_err(|error| Status::invalid_argument(format!("tenant: {error}")))?;
    if tenant.is_platform() {
        return Err(Status::invalid_argument("tenant: this id is reserved").into());
    }
    let settings = settings(&bytes)?;
    let mut tx = state.store.tenant(&tenant).await?;
    tenants::insert(
        &mut tx,
        &display_name,
        &settings,
        &crate::keys::new_digest_key(state, &tenant)?,
    )
    .await?;
    crate::keys::create(&mut tx, state).await?;
    tx.config_changed().await?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "tenant.create",
        tenant.as_str(),
    )
    .await?;
    let made = tenants::get(&mut tx, &tenant).await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(made)
}

pub(super) async fn get_tenant(
    state: &State,
    caller: &Caller,
    request: v1::TenantRequest,
) -> Result<v1::Tenant, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    tenants::get(&mut tx, &tenant).await
}

pub(super) async fn list_tenants(
    state: &State,
    caller: &Caller,
    request: v1::ListRequest,
) -> Result<v1::ListTenantsResponse, ControlError> {
    caller.platform(Right::ReadConfig)?;
    let mut tx = state.store.platform().await?;
    let tenants = tenants::list(&mut tx, &request.after, page(request.limit)).await?;
    let next = tenants
        .last()
        .map(|tenant| tenant.tenant.clone())
        .unwrap_or_default();
    Ok(v1::ListTenantsResponse { tenants, next })
}

pub(super) async fn update_tenant(
    state: &State,
    caller: &Caller,
    request: v1::UpdateTenantRequest,
) -> Result<v1::Tenant, ControlError> {
    let v1::UpdateTenantRequest {
        tenant,
        display_name,
        settings: bytes,
        expected_version,
    } = request;
    let tenant = caller.tenant(&tenant, Right::WriteApiKeys)?;
    let settings = settings(&bytes)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let before = tenants::settings(&mut tx, &tenant).await?;
    // Control itself would make the request: a tenant must not choose to whom.
    if settings.extractor != before.extractor {
        caller.platform(Right::WriteTenants).map_err(|_| {
            Status::permission_denied("settings.extractor: it is set with a platform key")
        })?;
    }
    tenants::update(&mut tx, &display_name, &settings, expected_version).await?;
    tenants::check_fits(&mut tx, state).await?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "tenant.update",
        tenant.as_str(),
    )
    .await?;
    let changed = tenants::get(&mut tx, &tenant).await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(changed)
}

/// The tenant whose keys are meant: the platform's where none is named.
fn key_tenant(caller: &Caller, tenant: &str) -> Result<TenantId, Status> {
    if tenant.is_empty() {
        caller.platform(Right::WriteApiKeys)?;
        return Ok(TenantId::platform());
    }
    caller.tenant(tenant, Right::WriteApiKeys)
}

/// The person who is to hold a key, if one is named.
fn key_holder(holder: &str) -> Result<Option<UserId>, Status> {
    if holder.is_empty() {
        return Ok(None);
    }
    let holder = holder.parse::<UserId>().map(Some);
    holder.map_err(|error| Status::invalid_argument(format!("holder: {error}")))
}

/// Refuses what would make, or take away, a key with a right that the caller's own lacks.
fn mightier(caller: &Caller, roles: &[Role]) -> Result<(), Status> {
    match roles.iter().find(|role| !caller.claims().may_grant(**role)) {
        Some(role) => Err(Status::permission_denied(format!(
            "roles: {} has rights that this key does not have",
            role.as_str()
        ))),
        None => Ok(()),
    }
}

pub(super) async fn create_api_key(
    state: &State,
    caller: &Caller,
    request: v1::CreateApiKeyRequest,
) -> Result<v1::CreateApiKeyResponse, ControlError> {
    let v1::CreateApiKeyRequest {
        tenant,
        name,
        roles,
        holder,
    } = request;
    let tenant = key_tenant(caller, &tenant)?;
    let roles = roles
        .iter()
        .map(|role| role.parse::<Role>())
        .collect::<Result<Vec<_>, _>>();
    let roles = roles.map_err(|error| Status::invalid_argument(format!("roles: {error}")))?;
    if roles.is_empty() {
        return Err(Status::invalid_argument("roles: at least one").into());
    }
    if roles.contains(&Role::PlatformAdmin) && !tenant.is_platform() {
        return Err(Status::invalid_argument("roles: platform-admin is for platform keys").into());
    }
    mightier(caller, &roles)?;
    let holder = key_holder(&holder)?;
    let mut tx = state.store.tenant(&tenant).await?;
    if !tenant.is_platform() {
        tenants::get(&mut tx, &tenant).await?;
    }
    let (key, secret) =
        api_keys::create(&mut tx, state, &tenant, &name, &roles, holder.as_ref()).await?;
    // Who may decide on whose calls hangs on it.
    let object = match &holder {
        Some(holder) => format!("{} {holder}", key.id),
        None => key.id.clone(),
    };
    let (by, action) = (caller.id(), "api_key.create");
    crate::audit::record(&mut tx, state, &tenant, by, action, &object).await?;
    tx.commit().await?;
    Ok(v1::CreateApiKeyResponse {
        key: Some(key),
        secret,
    })
}

pub(super) async fn list_api_keys(
    state: &State,
    caller: &Caller,
    request: v1::ListRequest,
) -> Result<v1::ListApiKeysResponse, ControlError> {
    let tenant = key_tenant(caller, &request.tenant)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let keys = api_keys::list(&mut tx, &tenant, &request.after, page(request.limit)).await?;
    let next = keys.last().map(|key| key.id.clone()).unwrap_or_default();
    Ok(v1::ListApiKeysResponse { keys, next })
}

pub(super) async fn delete_api_key(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Empty, ControlError> {
    let tenant = key_tenant(caller, &request.tenant)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let deleted = api_keys::delete(&mut tx, &tenant, &request.id).await?;
    let roles = deleted.ok_or_else(|| Status::not_found("no such API key"))?;
    mightier(caller, &roles)?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "api_key.delete",
        &request.id,
    )
    .await?;
    tx.commit().await?;
    Ok(v1::Empty {})
}
