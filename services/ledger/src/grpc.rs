//! Reading the chains: search, follow, head, verify, proofs, export.

mod export;
mod proofs;
mod tail;
mod walk;

use crate::store::{Stored, signed, stored};
use crate::{LedgerError, State, memory};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proctor_model::principal::{Access, INTERNAL_AUDIENCE, PrincipalClaims, Right};
use proctor_model::{TenantId, Timestamp};
use proctor_proto::v1;
use proctor_proto::v1::ledger_server::Ledger;
use sqlx::types::time::OffsetDateTime;
use sqlx::{Postgres, QueryBuilder};
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// The ledger service.
pub(crate) struct Service {
    state: Arc<State>,
    keys: Vec<DecodingKey>,
    tails: Arc<tail::Tails>,
}

/// An entry as it goes out. What was changed on its disk is not given out as what happened.
fn wire(entry: Stored) -> Result<v1::Entry, LedgerError> {
    if !entry.is_whole() {
        return Err(LedgerError::Changed(entry.seq));
    }
    let Stored { seq, hash, body } = entry;
    Ok(v1::Entry { seq, hash, body })
}

impl Service {
    pub(crate) fn new(state: Arc<State>) -> Result<Self, LedgerError> {
        let keys = state
            .platform_keys
            .iter()
            .map(|key| DecodingKey::from_ed_components(&key.key));
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self {
            state,
            keys,
            tails: Arc::default(),
        })
    }

    /// The tenant, if the caller may read its chain. An unknown and a foreign tenant look the same.
    fn tenant<T>(&self, request: &Request<T>, tenant: &str) -> Result<TenantId, Status> {
        self.tenant_until(request, tenant).map(|(tenant, _)| tenant)
    }

    /// The same, and for how long the caller's token holds.
    fn tenant_until<T>(
        &self,
        request: &Request<T>,
        tenant: &str,
    ) -> Result<(TenantId, Duration), Status> {
        let token = proctor_runtime::grpc::bearer(request.metadata())?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[INTERNAL_AUDIENCE]);
        validation.validate_exp = false;
        let verify =
            |key| jsonwebtoken::decode::<PrincipalClaims>(token.expose(), key, &validation).ok();
        let claims = self.keys.iter().find_map(verify);
        let claims = claims
            .ok_or_else(|| Status::unauthenticated("the principal token does not verify"))?
            .claims;
        let left = claims.exp.saturating_sub(self.state.clock.now().as_secs());
        let left = u64::try_from(left).unwrap_or(0);
        if left == 0 {
            return Err(Status::unauthenticated("the principal token is over"));
        }
        let tenant: TenantId = tenant
            .parse()
            .map_err(|_| Status::not_found("no such tenant"))?;
        match claims.access(Some(&tenant), Right::ReadAudit) {
            Access::Granted => Ok((tenant, Duration::from_secs(left))),
            Access::Forbidden => Err(Status::permission_denied(
                "this key does not have the right to do that",
            )),
            Access::Hidden => Err(Status::not_found("no such tenant")),
        }
    }
}

fn time(name: &str, text: &str) -> Result<Option<OffsetDateTime>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let at: Timestamp = text
        .parse()
        .map_err(|_| Status::invalid_argument(format!("{name}: an RFC 3339 time")))?;
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_micros()) * 1000).ok())
}

/// The search as SQL; every value is bound.
fn query(
    tenant: &TenantId,
    request: &v1::SearchRequest,
    limit: i64,
) -> Result<QueryBuilder<Postgres>, Status> {
    let mut query = QueryBuilder::new("select seq, hash, body from ledger.entries where tenant = ");
    query.push_bind(tenant.to_string());
    if request.before_seq > 0 {
        query
            .push(" and seq < ")
            .push_bind(signed(request.before_seq));
    }
    for (condition, value) in [
        (" and agent = ", &request.agent),
        (" and tool = ", &request.tool),
        (" and kind = ", &request.kind),
        (" and effect = ", &request.effect),
        (" and control = ", &request.control),
        (" and reason = ", &request.reason),
        (" and user_id = ", &request.user),
        (" and session = ", &request.session),
    ] {
        if value.contains('\0') {
            return Err(Status::invalid_argument("a filter has a character U+0000"));
        }
        if !value.is_empty() {
            query.push(condition).push_bind(value.clone());
        }
    }
    if !request.decision_id.is_empty() {
        let id: uuid::Uuid = request
            .decision_id
            .parse()
            .map_err(|_| Status::invalid_argument("decision_id: a UUID"))?;
        query.push(" and decision_id = ").push_bind(id);
    }
    if let Some(from) = time("from", &request.from)? {
        query.push(" and time >= ").push_bind(from);
    }
    if let Some(to) = time("to", &request.to)? {
        query.push(" and time < ").push_bind(to);
    }
    query.push(" order by seq desc limit ").push_bind(limit);
    Ok(query)
}

#[tonic::async_trait]
impl Ledger for Service {
    type TailStream = ReceiverStream<Result<v1::Entry, Status>>;
    type ExportStream = ReceiverStream<Result<v1::ExportChunk, Status>>;

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        let limit = i64::from(if request.limit == 0 {
            PAGE_DEFAULT
        } else {
            request.limit.min(PAGE_MAX)
        });
        let mut tx = self.state.store.reading(&tenant).await?;
        let rows = query(&tenant, &request, limit)?
            .build()
            .fetch_all(tx.connection())
            .await
            .map_err(LedgerError::from)?;
        let entries = rows
            .iter()
            .map(|row| stored(row).and_then(wire))
            .collect::<Result<Vec<_>, _>>()?;
        let full = i64::try_from(entries.len()).unwrap_or(0) == limit;
        let next_before_seq = entries.last().filter(|_| full).map_or(0, |entry| entry.seq);
        Ok(Response::new(v1::SearchResponse {
            entries,
            next_before_seq,
        }))
    }

    async fn tail(
        &self,
        request: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let (tenant, left) = self.tenant_until(&request, &request.get_ref().tenant)?;
        let place = self.tails.place(&tenant)?;
        let after = request.into_inner().after_seq;
        let entries = tail::start(Arc::clone(&self.state), tenant, after, left, place);
        Ok(Response::new(ReceiverStream::new(entries)))
    }

    async fn head(
        &self,
        request: Request<v1::HeadRequest>,
    ) -> Result<Response<v1::HeadResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let head = self.state.store.reading(&tenant).await?.head().await?;
        Ok(Response::new(v1::HeadResponse {
            size: head.seq,
            hash: head.hash.as_bytes().to_vec(),
        }))
    }

    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        if request.from_seq > 1 || request.to_seq != 0 {
            return Err(Status::invalid_argument(
                "from_seq, to_seq: a chain is verified as a whole",
            ));
        }
        Ok(Response::new(walk::verify(&self.state, &tenant).await?))
    }

    async fn entry(
        &self,
        request: Request<v1::EntryRequest>,
    ) -> Result<Response<v1::EntryResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let seq = request.into_inner().seq;
        proofs::entry(&self.state, &tenant, seq)
            .await
            .map(Response::new)
    }

    async fn checkpoints(
        &self,
        request: Request<v1::CheckpointsRequest>,
    ) -> Result<Response<v1::CheckpointsResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        proofs::checkpoints(&self.state, &tenant, &request)
            .await
            .map(Response::new)
    }

    async fn consistency(
        &self,
        request: Request<v1::ConsistencyRequest>,
    ) -> Result<Response<v1::ConsistencyResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        proofs::consistency(&self.state, &tenant, &request)
            .await
            .map(Response::new)
    }

    async fn tile(
        &self,
        request: Request<v1::TileRequest>,
    ) -> Result<Response<v1::TileResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let data = proofs::tile(&self.state, &tenant, &request.into_inner().path).await?;
        Ok(Response::new(v1::TileResponse { data }))
    }

    async fn log_keys(
        &self,
        request: Request<v1::LogKeysRequest>,
    ) -> Result<Response<v1::LogKeysResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let keys = proofs::keys(&self.state, &tenant).await?;
        Ok(Response::new(v1::LogKeysResponse { keys }))
    }

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        let (from, to) = (time("from", &request.from)?, time("to", &request.to)?);
        let receiver = export::start(Arc::clone(&self.state), tenant, from, to).await?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_memory(
        &self,
        request: Request<v1::ListMemoryRequest>,
    ) -> Result<Response<v1::ListMemoryResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        Ok(Response::new(
            memory::list(&self.state, &tenant, request.into_inner()).await?,
        ))
    }

    async fn memory_lineage(
        &self,
        request: Request<v1::MemoryLineageRequest>,
    ) -> Result<Response<v1::MemoryLineageResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant)?;
        let item = &request.get_ref().item;
        Ok(Response::new(
            memory::tell(&self.state, &tenant, item).await?,
        ))
    }
}
