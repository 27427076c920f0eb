//! Credentials for upstreams: written by a tenant's administrator, encrypted at rest, sealed to the edges together with
//! the token keys, and never read back.

use crate::State;
use crate::caller::Caller;
use crate::cipher::{decrypt, encrypt, purpose};
use crate::error::ControlError;
use crate::store::{page, secrets};
use proctor_model::config::UpstreamSecret;
use proctor_model::limits::{SECRET_BYTES_MAX, SECRETS_MAX};
use proctor_model::principal::Right;
use proctor_model::{SecretName, TenantId};
use proctor_proto::v1;
use sqlx::PgConnection;
use tonic::Status;

/// Most hosts that one credential may go to.
const HOSTS_MAX: usize = 16;

fn wrong(message: impl Into<String>) -> Status {
    Status::invalid_argument(message)
}

/// Purposes of token keys have other prefixes (`k_…`, `digest`).
fn secret_purpose(tenant: &TenantId, name: &SecretName) -> String {
    purpose(tenant, &format!("secret|{name}"))
}

/// `host` or `host:port`, as a URL would have it.
fn check_host(host: &str) -> Result<(), Status> {
    let wrong = || wrong("hosts: each is a host or host:port, without scheme, path or wildcard");
    let authority: tonic::codegen::http::uri::Authority = host.parse().map_err(|_| wrong())?;
    let plain = !authority.host().is_empty() && !host.contains(['@', '*']) && !host.ends_with(':');
    if plain { Ok(()) } else { Err(wrong()) }
}

/// A credential goes into a header: printable ASCII, no line breaks but those of a PEM text.
fn check_value(value: &str) -> Result<(), Status> {
    if value.is_empty() || value.len() > SECRET_BYTES_MAX {
        return Err(wrong(format!("value: 1 to {SECRET_BYTES_MAX} bytes")));
    }
    if value
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
    {
        Ok(())
    } else {
        Err(wrong("value: printable ASCII"))
    }
}

pub(crate) async fn put(
    state: &State,
    caller: &Caller,
    request: v1::PutSecretRequest,
) -> Result<v1::SecretInfo, ControlError> {
    let v1::PutSecretRequest {
        tenant,
        name,
        hosts,
        value,
    } = request;
    let value = zeroize::Zeroizing::new(value);
    let tenant = caller.tenant(&tenant, Right::WriteSecrets)?;
    let name: SecretName = name
        .parse()
        .map_err(|error| wrong(format!("name: {error}")))?;
    if hosts.is_empty() || hosts.len() > HOSTS_MAX {
        return Err(wrong(format!("hosts: 1 to {HOSTS_MAX}")).into());
    }
    hosts.iter().try_for_each(|host| check_host(host))?;
    check_value(&value)?;
    let sealed = encrypt(state, &secret_purpose(&tenant, &name), value.as_bytes())?;
    let mut tx = state.store.tenant(&tenant).await?;
    // The lock on the tenant's row comes first: two at once are counted one after the other.
    tx.keys_changed().await?;
    let put = secrets::put(&mut tx, &name, &hosts, &sealed, caller.id()).await?;
    if secrets::count(&mut tx).await? > SECRETS_MAX {
        return Err(wrong(format!("a tenant has at most {SECRETS_MAX} secrets")).into());
    }
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "secret.put",
        name.as_str(),
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(put)
}

pub(crate) async fn list(
    state: &State,
    caller: &Caller,
    request: v1::ListRequest,
) -> Result<v1::ListSecretsResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let secrets = secrets::list(&mut tx, &request.after, page(request.limit)).await?;
    let next = secrets
        .last()
        .map(|secret| secret.name.clone())
        .unwrap_or_default();
    Ok(v1::ListSecretsResponse { secrets, next })
}

pub(crate) async fn delete(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Empty, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WriteSecrets)?;
    let mut tx = state.store.tenant(&tenant).await?;
    if !secrets::delete(&mut tx, &request.id).await? {
        return Err(Status::not_found("no such secret").into());
    }
    tx.keys_changed().await?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "secret.delete",
        &request.id,
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(v1::Empty {})
}

/// All of a tenant's, in clear: for sealing to an edge, never for anything else.
pub(crate) async fn load(
    tx: &mut PgConnection,
    state: &State,
    tenant: &TenantId,
) -> Result<Vec<UpstreamSecret>, ControlError> {
    let mut loaded = Vec::new();
    for stored in secrets::all(tx, tenant).await? {
        let clear = decrypt(state, &secret_purpose(tenant, &stored.name), &stored.value)?;
        let value = std::str::from_utf8(&clear).map_err(|_| ControlError::Decrypt)?;
        loaded.push(UpstreamSecret {
            name: stored.name,
            hosts: stored.hosts,
            value: value.to_owned(),
        });
    }
    Ok(loaded)
}
