//! Revoking tokens: a number per tenant without gaps, so that an edge can tell what it has missed.

use crate::State;
use crate::caller::{Caller, no_such_tenant};
use crate::error::ControlError;
use crate::mint::TOKEN_LIFE_S_MAX;
use crate::store::tenants::{counter, database_time, timestamp};
use crate::store::{enqueue, page};
use proctor_engine::token::Token;
use proctor_model::RevocationId;
use proctor_model::principal::Right;
use proctor_proto::v1;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tonic::Status;

fn wire(row: &PgRow) -> Result<v1::RevokeResponse, ControlError> {
    Ok(v1::RevokeResponse {
        revocation_id: row.try_get("revocation_id")?,
        seq: counter(row.try_get("seq")?),
        revoked_at: timestamp(row.try_get("revoked_at")?).to_string(),
    })
}

pub(crate) async fn revoke(
    state: &State,
    caller: &Caller,
    request: v1::RevokeRequest,
) -> Result<v1::RevokeResponse, ControlError> {
    let v1::RevokeRequest {
        tenant,
        revocation_id,
        token,
    } = request;
    let tenant = caller.tenant(&tenant, Right::RevokeTokens)?;
    let id: RevocationId = if token.is_empty() {
        revocation_id
            .parse()
            .map_err(|error| Status::invalid_argument(format!("revocation_id: {error}")))?
    } else {
        let token =
            Token::parse(&token).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if *token.tenant() != tenant {
            return Err(Status::invalid_argument("token: it is not of this tenant").into());
        }
        token.id()
    };
    let mut tx = state.store.tenant(&tenant).await?;
    let last: Option<i64> = sqlx::query_scalar(
        "select revocation_seq from control.tenants where tenant = $1 for update",
    )
    .bind(tenant.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let seq = last.ok_or_else(no_such_tenant)?.saturating_add(1);
    let present =
        sqlx::query("select * from control.revocations where tenant = $1 and revocation_id = $2")
            .bind(tenant.as_str())
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
    if let Some(row) = present {
        return wire(&row);
    }
    let now = state.clock.now();
    let row = sqlx::query(
        "insert into control.revocations (tenant, seq, revocation_id, revoked_at, until, revoked_by)
         values ($1, $2, $3, $4, $5, $6) returning *",
    )
    .bind(tenant.as_str())
    .bind(seq)
    .bind(id.as_str())
    .bind(database_time(now))
    .bind(database_time(now.plus_secs(TOKEN_LIFE_S_MAX)))
    .bind(caller.id())
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query("update control.tenants set revocation_seq = $2 where tenant = $1")
        .bind(tenant.as_str())
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    enqueue(&mut tx, &tenant, "revocation", &seq.to_string()).await?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "token.revoke",
        id.as_str(),
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    wire(&row)
}

pub(crate) async fn list(
    state: &State,
    caller: &Caller,
    request: v1::ListRequest,
) -> Result<v1::ListRevocationsResponse, ControlError> {
    let v1::ListRequest {
        tenant,
        after,
        limit,
    } = request;
    let tenant = caller.tenant(&tenant, Right::ReadConfig)?;
    let after: i64 = if after.is_empty() {
        0
    } else {
        after
            .parse()
            .map_err(|_| Status::invalid_argument("after: a number"))?
    };
    let mut tx = state.store.tenant(&tenant).await?;
    let rows = sqlx::query(
        "select * from control.revocations where tenant = $1 and seq > $2 order by seq limit $3",
    )
    .bind(tenant.as_str())
    .bind(after)
    .bind(page(limit))
    .fetch_all(&mut *tx)
    .await?;
    let revocations = rows.iter().map(wire).collect::<Result<Vec<_>, _>>()?;
    let next = revocations
        .last()
        .map(|last| last.seq.to_string())
        .unwrap_or_default();
    Ok(v1::ListRevocationsResponse { revocations, next })
}
