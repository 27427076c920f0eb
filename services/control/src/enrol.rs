//! How edges and ledgers join, and which tenants an edge serves.

use crate::State;
use crate::caller::{Caller, b64};
use crate::error::ControlError;
use crate::store::api_keys::hash;
use crate::store::tenants::{counter, database_time, timestamp};
use crate::store::{PlatformTx, enqueue, page};
use proctor_model::config::{Assignment, EdgeCertificate, PublicKey};
use proctor_model::principal::Right;
use proctor_model::{EdgeId, Region, TenantId};
use proctor_proto::v1;
use proctor_proto::v1::enrolment_server::Enrolment;
use proctor_runtime::{Secret, seal};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Life of a join token, seconds.
const JOIN_TOKEN_LIFE_S: i64 = 3600;
/// Key of the advisory lock that is held while an edge or a ledger joins ("joining" as a number).
const JOIN_LOCK: i64 = 0x6a_6f_69_6e_69_6e_67;

/// Who joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum JoinRole {
    Edge,
    Ledger,
}

impl JoinRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Ledger => "ledger",
        }
    }
}

/// What a join token is to allow.
pub(crate) struct NewJoinToken {
    pub(crate) role: JoinRole,
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) region: String,
}

fn names(tenants: &[TenantId]) -> Vec<String> {
    tenants.iter().map(ToString::to_string).collect()
}

/// Tenants that an edge may serve: they exist, and none is the platform, whose chain only control writes.
async fn known_tenants(
    tx: &mut PgConnection,
    tenants: &[String],
) -> Result<Vec<TenantId>, ControlError> {
    let mut known = Vec::with_capacity(tenants.len());
    for text in tenants {
        let tenant: TenantId = text
            .parse()
            .map_err(|error| Status::invalid_argument(format!("tenants: {error}")))?;
        if tenant.is_platform() {
            return Err(Status::invalid_argument(format!("tenants: {tenant} is reserved")).into());
        }
        let found: bool =
            sqlx::query_scalar("select exists (select from control.tenants where tenant = $1)")
                .bind(tenant.as_str())
                .fetch_one(&mut *tx)
                .await?;
        if !found {
            return Err(Status::not_found(format!("tenants: no such tenant: {tenant}")).into());
        }
        if !known.contains(&tenant) {
            known.push(tenant);
        }
    }
    Ok(known)
}

fn stored_tenants(row: &PgRow) -> Result<Vec<TenantId>, ControlError> {
    let tenants: Vec<String> = row.try_get("tenants")?;
    Ok(tenants
        .iter()
        .map(|tenant| tenant.parse())
        .collect::<Result<_, _>>()?)
}

/// First 16 hex digits of the platform key's SHA-256: what a join token ends in, so that who joins can tell
/// that it speaks to the right control plane.
fn fingerprint(state: &State) -> String {
    let PublicKey { kid, .. } = state.platform_key();
    kid.as_str().trim_start_matches("ed_").to_owned()
}

/// Makes a join token; also returns when it ends.
pub(crate) async fn make_join_token(
    state: &State,
    new: &NewJoinToken,
    principal: &str,
) -> Result<(Secret, String), ControlError> {
    let text = format!(
        "pjt_{}.{}",
        b64(&state.random.array::<32>()?),
        fingerprint(state)
    );
    let expires_at = state.clock.now().plus_secs(JOIN_TOKEN_LIFE_S);
    let mut tx = state.store.platform().await?;
    sqlx::query(
        "insert into control.join_tokens (secret_sha256, role, tenants, region, expires_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(hash(&text))
    .bind(new.role.as_str())
    .bind(names(&new.tenants))
    .bind(&new.region)
    .bind(database_time(expires_at))
    .execute(&mut *tx)
    .await?;
    crate::audit::record(
        &mut tx,
        state,
        &TenantId::platform(),
        principal,
        "join_token.create",
        new.role.as_str(),
    )
    .await?;
    tx.commit().await?;
    Ok((Secret::from(text), expires_at.to_string()))
}

pub(crate) async fn create_join_token(
    state: &State,
    caller: &Caller,
    request: v1::CreateJoinTokenRequest,
) -> Result<v1::CreateJoinTokenResponse, ControlError> {
    caller.platform(Right::WriteEdges)?;
    let v1::CreateJoinTokenRequest {
        role,
        tenants,
        region,
    } = request;
    let role = match role.as_str() {
        "edge" => JoinRole::Edge,
        "ledger" => JoinRole::Ledger,
        _ => return Err(Status::invalid_argument("role: edge or ledger").into()),
    };
    if role == JoinRole::Edge {
        region
            .parse::<Region>()
            .map_err(|error| Status::invalid_argument(format!("region: {error}")))?;
    }
    let mut tx = state.store.platform().await?;
    let tenants = known_tenants(&mut tx, &tenants).await?;
    drop(tx);
    let new = NewJoinToken {
        role,
        tenants,
        region,
    };
    let (token, expires_at) = make_join_token(state, &new, caller.id()).await?;
    Ok(v1::CreateJoinTokenResponse {
        join_token: token.expose().to_owned(),
        expires_at,
    })
}

/// Uses a join token up; `None` if it isn't one, is over, or was used.
async fn redeem(
    tx: &mut PgConnection,
    state: &State,
    token: &str,
    role: JoinRole,
) -> Result<Option<PgRow>, ControlError> {
    let row = sqlx::query(
        "update control.join_tokens set used_at = now()
         where secret_sha256 = $1 and role = $2 and used_at is null and expires_at > $3 returning *",
    )
    .bind(hash(token))
    .bind(role.as_str())
    .bind(database_time(state.clock.now()))
    .fetch_optional(tx)
    .await?;
    Ok(row)
}

/// Lets nobody else join until the end of the transaction. A ledger that registers tells all edges, and does not see one whose
/// enrolment is not committed; if that edge's assignment is then published before the ledger is committed, it is without the
/// ledger's key, and nothing would ever make another: the edge would believe none of its receipts.
async fn one_joins(tx: &mut PgConnection) -> Result<(), ControlError> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(JOIN_LOCK)
        .execute(tx)
        .await?;
    Ok(())
}

fn refused() -> Status {
    Status::unauthenticated("the join token is unknown, over, or was used before")
}

fn wire(row: &PgRow) -> Result<v1::Edge, ControlError> {
    Ok(v1::Edge {
        id: row.try_get("id")?,
        region: row.try_get("region")?,
        tenants: row.try_get("tenants")?,
        enrolled_at: timestamp(row.try_get("enrolled_at")?).to_string(),
    })
}

pub(crate) async fn list(
    state: &State,
    caller: &Caller,
    request: v1::ListRequest,
) -> Result<v1::ListEdgesResponse, ControlError> {
    caller.platform(Right::ReadConfig)?;
    let mut tx = state.store.platform().await?;
    let rows = sqlx::query("select * from control.edges where id > $1 order by id limit $2")
        .bind(&request.after)
        .bind(page(request.limit))
        .fetch_all(&mut *tx)
        .await?;
    let edges = rows.iter().map(wire).collect::<Result<Vec<_>, _>>()?;
    let next = edges.last().map(|edge| edge.id.clone()).unwrap_or_default();
    Ok(v1::ListEdgesResponse { edges, next })
}

pub(crate) async fn assign(
    state: &State,
    caller: &Caller,
    request: v1::AssignEdgeRequest,
) -> Result<v1::Edge, ControlError> {
    caller.platform(Right::WriteEdges)?;
    let mut tx = state.store.platform().await?;
    let tenants = known_tenants(&mut tx, &request.tenants).await?;
    let row = reassign(&mut tx, &request.id, &tenants).await?;
    crate::audit::record(
        &mut tx,
        state,
        &TenantId::platform(),
        caller.id(),
        "edge.assign",
        &request.id,
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    wire(&row)
}

/// Gives an edge these tenants and takes all others from it.
async fn reassign(
    tx: &mut PlatformTx,
    edge: &str,
    tenants: &[TenantId],
) -> Result<PgRow, ControlError> {
    let before = sqlx::query("select tenants from control.edges where id = $1 for update")
        .bind(edge)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| Status::not_found("no such edge"))?;
    let mut touched = stored_tenants(&before)?;
    touched.retain(|tenant| !tenants.contains(tenant));
    touched.extend_from_slice(tenants);
    let row = sqlx::query(
        "update control.edges set tenants = $2, version = version + 1 where id = $1 returning *",
    )
    .bind(edge)
    .bind(names(tenants))
    .fetch_one(&mut **tx)
    .await?;
    announce(tx, edge, &touched).await?;
    Ok(row)
}

/// Keys first (of tenants that it serves: sealed to it; of others: purged), then the assignment that makes the edge
/// look for them.
async fn announce(
    tx: &mut PlatformTx,
    edge: &str,
    tenants: &[TenantId],
) -> Result<(), ControlError> {
    for tenant in tenants {
        enqueue(tx, tenant, "keys", edge).await?;
    }
    enqueue(tx, &TenantId::platform(), "assignment", edge).await
}

pub(crate) async fn remove(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Empty, ControlError> {
    caller.platform(Right::WriteEdges)?;
    let mut tx = state.store.platform().await?;
    // It stays known, with nothing to serve: no keys, no tenant in its certificate.
    reassign(&mut tx, &request.id, &[]).await?;
    crate::audit::record(
        &mut tx,
        state,
        &TenantId::platform(),
        caller.id(),
        "edge.remove",
        &request.id,
    )
    .await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(v1::Empty {})
}

fn certificate(state: &State, row: &PgRow) -> Result<EdgeCertificate, ControlError> {
    Ok(EdgeCertificate {
        edge: row.try_get::<String, _>("id")?.parse()?,
        signing_key: b64(&row.try_get::<Vec<u8>, _>("signing_key")?),
        sealing_key: b64(&row.try_get::<Vec<u8>, _>("sealing_key")?),
        region: row.try_get::<String, _>("region")?.parse()?,
        tenants: stored_tenants(row)?,
        issued_at: state.clock.now(),
    })
}

/// An edge's assignment as it stands, for signing.
pub(crate) async fn load_assignment(
    tx: &mut PgConnection,
    state: &State,
    edge: &EdgeId,
) -> Result<Option<Assignment>, ControlError> {
    let row = sqlx::query("select * from control.edges where id = $1")
        .bind(edge.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut ledger_keys = Vec::new();
    for row in sqlx::query("select kid, signing_key from control.ledgers order by kid")
        .fetch_all(tx)
        .await?
    {
        let key = b64(&row.try_get::<Vec<u8>, _>("signing_key")?);
        ledger_keys.push(PublicKey {
            kid: row.try_get::<String, _>("kid")?.parse()?,
            key,
        });
    }
    let certificate = certificate(state, &row)?;
    Ok(Some(Assignment {
        edge: edge.clone(),
        version: counter(row.try_get("version")?),
        deployment: state.config.deployment.clone(),
        tenants: certificate.tenants.clone(),
        certificate: state.signer.sign(&certificate)?,
        ledger_keys,
        approvals_key: Some(b64(&state.opener.public_key())),
        counters: state.config.counters.clone(),
    }))
}

/// The enrolment service: its credential is the join token.
pub(crate) struct EnrolmentService(pub(crate) Arc<State>);

impl EnrolmentService {
    fn platform_keys(&self) -> Vec<v1::PublicKey> {
        let PublicKey { kid, key } = self.0.platform_key();
        // Written by ourselves a moment ago: it always decodes.
        let key = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key)
            .unwrap_or_default();
        vec![v1::PublicKey {
            kid: kid.to_string(),
            key,
        }]
    }

    async fn enrol_edge(
        &self,
        request: v1::EnrolRequest,
    ) -> Result<v1::EnrolResponse, ControlError> {
        let state = &*self.0;
        let v1::EnrolRequest {
            join_token,
            signing_key,
            sealing_key,
        } = request;
        if signing_key.len() != 32 || sealing_key.len() != 32 {
            return Err(
                Status::invalid_argument("signing_key and sealing_key: 32 bytes each").into(),
            );
        }
        // Some 32 bytes are no key that can be sealed to: better that it learns of it now, with its token still good.
        seal::seal(&sealing_key, b"enrolment", b"", b"")
            .map_err(|error| Status::invalid_argument(format!("sealing_key: {error}")))?;
        let mut tx = state.store.platform().await?;
        let token = redeem(&mut tx, state, &join_token, JoinRole::Edge)
            .await?
            .ok_or_else(refused)?;
        one_joins(&mut tx).await?;
        let id = format!("edge_{}", hex::encode(state.random.array::<6>()?));
        let row = sqlx::query(
            "insert into control.edges (id, region, tenants, signing_key, sealing_key) values ($1, $2, $3, $4, $5) returning *",
        )
        .bind(&id)
        .bind(token.try_get::<String, _>("region")?)
        .bind(token.try_get::<Vec<String>, _>("tenants")?)
        .bind(signing_key)
        .bind(sealing_key)
        .fetch_one(&mut *tx)
        .await?;
        let certificate = certificate(state, &row)?;
        announce(&mut tx, &id, &certificate.tenants).await?;
        crate::audit::record(
            &mut tx,
            state,
            &TenantId::platform(),
            "join",
            "edge.enrol",
            &id,
        )
        .await?;
        tx.commit().await?;
        state.changed.notify_one();
        let config = &state.config;
        let nats_url = config.edge_nats_url.as_ref().unwrap_or(&config.nats_url);
        Ok(v1::EnrolResponse {
            edge: id,
            region: certificate.region.to_string(),
            certificate: state.signer.sign(&certificate)?,
            platform_keys: self.platform_keys(),
            nats_url: nats_url.expose().to_owned(),
        })
    }

    async fn register(
        &self,
        request: v1::RegisterLedgerRequest,
    ) -> Result<v1::RegisterLedgerResponse, ControlError> {
        let state = &*self.0;
        let v1::RegisterLedgerRequest {
            join_token,
            signing_key,
        } = request;
        if signing_key.len() != 32 {
            return Err(Status::invalid_argument("signing_key: 32 bytes").into());
        }
        let mut tx = state.store.platform().await?;
        redeem(&mut tx, state, &join_token, JoinRole::Ledger)
            .await?
            .ok_or_else(refused)?;
        one_joins(&mut tx).await?;
        let kid = proctor_model::signed::key_id(&signing_key);
        sqlx::query(
            "insert into control.ledgers (kid, signing_key) values ($1, $2) on conflict do nothing",
        )
        .bind(kid.as_str())
        .bind(signing_key)
        .execute(&mut *tx)
        .await?;
        let edges: Vec<String> =
            sqlx::query_scalar("update control.edges set version = version + 1 returning id")
                .fetch_all(&mut *tx)
                .await?;
        for edge in edges {
            enqueue(&mut tx, &TenantId::platform(), "assignment", &edge).await?;
        }
        crate::audit::record(
            &mut tx,
            state,
            &TenantId::platform(),
            "join",
            "ledger.register",
            kid.as_str(),
        )
        .await?;
        tx.commit().await?;
        state.changed.notify_one();
        Ok(v1::RegisterLedgerResponse {
            platform_keys: self.platform_keys(),
            nats_url: state.config.nats_url.expose().to_owned(),
            deployment: state.config.deployment.to_string(),
        })
    }
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        Ok(Response::new(self.enrol_edge(request.into_inner()).await?))
    }

    async fn register_ledger(
        &self,
        request: Request<v1::RegisterLedgerRequest>,
    ) -> Result<Response<v1::RegisterLedgerResponse>, Status> {
        Ok(Response::new(self.register(request.into_inner()).await?))
    }
}
