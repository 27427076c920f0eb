//! What edges and operators call.

use crate::caller::{Callers, Edge};
use crate::codec;
use crate::command::{Client, Command, Holder, Lease, Refused, Reply, RequestId, Why};
use crate::convert::{self, invalid, rejected};
use crate::limits::{
    LEASE_SETTLEMENTS_MAX, RULES_MAX, SETTLEMENTS_MAX, TTL_MS_DEFAULT, TTL_MS_MAX, TTL_MS_MIN,
    WANTS_MAX,
};
use crate::node::{Answer, HeldQuery, LeasesQuery, Node, Question, UsageQuery};
use crate::window::LogTime;
use proctor_model::Timestamp;
use proctor_model::audit::sha256;
use proctor_model::principal::Right;
use proctor_proto::v1;
use proctor_proto::v1::counter_server::Counter;
use prost::Message;
use serde_bytes::ByteArray;
use std::collections::BTreeSet;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// The counter service.
pub(crate) struct Service {
    pub(crate) node: Node,
    pub(crate) callers: Callers,
}

type Answered<T> = Result<Response<T>, Status>;

impl Service {
    /// The log's time, which most clocks agree on; this node's own until there is any.
    fn now(&self) -> Timestamp {
        match self.node.machine.applied().book.now() {
            LogTime(0) => Timestamp::from_micros(self.node.clock.own_us()),
            now => now.into(),
        }
    }

    fn edge(&self, metadata: &MetadataMap) -> Result<std::sync::Arc<Edge>, Status> {
        self.callers.edge(metadata, self.now())
    }

    fn operator(
        &self,
        metadata: &MetadataMap,
        tenant: &str,
        right: Right,
    ) -> Result<proctor_model::TenantId, Status> {
        self.callers.operator(metadata, tenant, right, self.now())
    }

    /// What changes budgets is control's to ask for: it has it on record.
    fn control(
        &self,
        metadata: &MetadataMap,
        tenant: &str,
        right: Right,
    ) -> Result<proctor_model::TenantId, Status> {
        self.callers.control(metadata, tenant, right, self.now())
    }

    async fn commit(&self, id: RequestId, command: Command) -> Result<Reply, Status> {
        let request = crate::command::Request {
            id: Some(id),
            command,
        };
        let answer = self.node.ask(Question::Command(request)).await;
        match answer.map_err(|error| Status::unavailable(error.to_string()))? {
            Answer::Reply(Reply::Rejected(rejection)) => Err(rejected(rejection)),
            Answer::Reply(reply) => Ok(reply),
            _ => Err(mixed_up()),
        }
    }
}

fn mixed_up() -> Status {
    Status::internal("the leader answered something else")
}

/// The id of a request; the digest is of the whole message and its method.
fn request_id(
    client: Client,
    method: &str,
    id: &[u8],
    message: &impl Message,
) -> Result<RequestId, Status> {
    let id: [u8; 16] = id
        .try_into()
        .map_err(|_| invalid("request_id", "16 bytes"))?;
    let mut content = method.as_bytes().to_vec();
    content.push(0);
    content.extend(message.encode_to_vec());
    let digest = sha256(&content);
    let digest: [u8; 16] = digest.first_chunk().copied().unwrap_or_default();
    Ok(RequestId {
        client,
        id: ByteArray::new(id),
        digest: ByteArray::new(digest),
    })
}

fn holder(edge: &Edge, epoch: u64) -> Holder {
    Holder {
        edge: edge.id.clone(),
        epoch,
        certified_at: edge.certified_at.into(),
    }
}

fn ttl(ttl_ms: u32) -> Result<u32, Status> {
    match ttl_ms {
        0 => Ok(TTL_MS_DEFAULT),
        TTL_MS_MIN..=TTL_MS_MAX => Ok(ttl_ms),
        _ => Err(invalid("ttl_ms", "100 to 300000")),
    }
}

fn wants(wants: Vec<v1::Want>) -> Result<Vec<crate::command::Want>, Status> {
    if !(1..=WANTS_MAX).contains(&wants.len()) {
        return Err(invalid("wants", "1 to 16"));
    }
    let wants = wants.into_iter().map(convert::want);
    let wants = wants.collect::<Result<Vec<_>, _>>()?;
    let accounts: BTreeSet<_> = wants.iter().map(|want| &want.account).collect();
    if accounts.len() < wants.len() {
        return Err(invalid("wants", "each account once"));
    }
    Ok(wants)
}

fn rules(rules: Vec<v1::Rule>) -> Result<Vec<crate::command::Rule>, Status> {
    if rules.len() > RULES_MAX {
        return Err(invalid("rules", "at most 1000"));
    }
    let rules = rules.into_iter().map(convert::rule);
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    let accounts: BTreeSet<_> = rules.iter().map(|rule| &rule.account).collect();
    if accounts.len() < rules.len() {
        return Err(invalid("rules", "each account once"));
    }
    Ok(rules)
}

fn count(outcome: &Result<crate::command::Granted, Refused>) {
    match outcome {
        Ok(_) => metrics::counter!("proctor_counter_grants_total").increment(1),
        Err(refused) => {
            let why = match refused.why {
                Why::Exhausted => "exhausted",
                Why::HeldElsewhere => "held_elsewhere",
                Why::LimitsBehind => "limits_behind",
                Why::CeilingOver => "ceiling_over",
                Why::Fenced => "fenced",
                Why::TooMany => "too_many",
            };
            metrics::counter!("proctor_counter_refusals_total", "why" => why).increment(1);
        }
    }
}

#[tonic::async_trait]
impl Counter for Service {
    async fn open(&self, request: Request<v1::OpenRequest>) -> Answered<v1::OpenResponse> {
        let edge = self.edge(request.metadata())?;
        let message = request.into_inner();
        let client = Client::Edge(edge.id.clone());
        let id = request_id(client, "Open", &message.request_id, &message)?;
        match self.commit(id, Command::Open(holder(&edge, 0))).await? {
            Reply::Opened { epoch, held, more } => Ok(Response::new(v1::OpenResponse {
                epoch,
                held: held.into_iter().map(convert::lease_info).collect(),
                more,
            })),
            _ => Err(mixed_up()),
        }
    }

    async fn lease(&self, request: Request<v1::LeaseRequest>) -> Answered<v1::LeaseResponse> {
        let edge = self.edge(request.metadata())?;
        let message = request.into_inner();
        let tenant = edge.tenant(&message.tenant)?;
        let client = Client::Edge(edge.id.clone());
        let id = request_id(client, "Lease", &message.request_id, &message)?;
        let v1::LeaseRequest {
            request_id: _,
            epoch,
            tenant: _,
            wants,
            ttl_ms,
            limits_version,
            settle,
        } = message;
        let lease = Lease {
            holder: holder(&edge, epoch),
            tenant,
            settle: convert::settlements(settle, LEASE_SETTLEMENTS_MAX)?,
            wants: self::wants(wants)?,
            ttl_ms: ttl(ttl_ms)?,
            limits_version,
        };
        self.node
            .wait_for_limits(&lease.tenant, limits_version)
            .await;
        match self.commit(id, Command::Lease(lease)).await? {
            Reply::Leased { outcome, settled } => {
                count(&outcome);
                Ok(Response::new(v1::LeaseResponse {
                    outcome: Some(convert::outcome(outcome)),
                    settled: convert::settled(settled),
                }))
            }
            _ => Err(mixed_up()),
        }
    }

    async fn settle(&self, request: Request<v1::SettleRequest>) -> Answered<v1::SettleResponse> {
        let edge = self.edge(request.metadata())?;
        let message = request.into_inner();
        let client = Client::Edge(edge.id.clone());
        let id = request_id(client, "Settle", &message.request_id, &message)?;
        let v1::SettleRequest {
            request_id: _,
            epoch,
            tenant,
            settle,
        } = message;
        if settle.is_empty() {
            return Err(invalid("settle", "at least 1"));
        }
        let command = Command::Settle {
            holder: holder(&edge, epoch),
            // What it holds it may settle, even if it does not serve that tenant any more.
            tenant: tenant
                .parse()
                .map_err(|_| Status::not_found("no such tenant"))?,
            settle: convert::settlements(settle, SETTLEMENTS_MAX)?,
        };
        match self.commit(id, command).await? {
            Reply::Settled(settled) => {
                let settled = convert::settled(settled);
                Ok(Response::new(v1::SettleResponse { settled }))
            }
            _ => Err(mixed_up()),
        }
    }

    async fn held(&self, request: Request<v1::HeldRequest>) -> Answered<v1::HeldResponse> {
        let edge = self.edge(request.metadata())?;
        let v1::HeldRequest { epoch, after } = request.into_inner();
        let query = HeldQuery {
            holder: holder(&edge, epoch),
            after,
        };
        let answer = self.node.ask(Question::Held(query)).await;
        let Answer::Held(page) = answer.map_err(|error| Status::unavailable(error.to_string()))?
        else {
            return Err(mixed_up());
        };
        let Some(page) = page else {
            return Ok(Response::new(v1::HeldResponse {
                fenced: true,
                ..v1::HeldResponse::default()
            }));
        };
        let last = page.leases.last().filter(|_| page.more);
        Ok(Response::new(v1::HeldResponse {
            next: last.map_or(0, |info| info.lease),
            leases: page.leases.into_iter().map(convert::lease_info).collect(),
            fenced: false,
        }))
    }

    async fn set_limits(
        &self,
        request: Request<v1::SetLimitsRequest>,
    ) -> Answered<v1::SetLimitsResponse> {
        let tenant = &request.get_ref().tenant;
        let now = self.now();
        let tenant = self
            .callers
            .platform(request.metadata(), tenant, Right::WriteLimits, now)?;
        let message = request.into_inner();
        let client = Client::Operators(tenant.clone());
        let id = request_id(client, "SetLimits", &message.request_id, &message)?;
        let v1::SetLimitsRequest {
            request_id: _,
            tenant: _,
            version,
            rules,
        } = message;
        if version == 0 {
            return Err(invalid("version", "at least 1"));
        }
        let rules = self::rules(rules)?;
        match self
            .commit(
                id,
                Command::SetLimits {
                    tenant,
                    version,
                    rules,
                },
            )
            .await?
        {
            Reply::Limits { version, taken } => {
                Ok(Response::new(v1::SetLimitsResponse { version, taken }))
            }
            _ => Err(mixed_up()),
        }
    }

    async fn adjust(&self, request: Request<v1::AdjustRequest>) -> Answered<v1::AdjustResponse> {
        let tenant = &request.get_ref().tenant;
        let tenant = self.control(request.metadata(), tenant, Right::AdjustBudgets)?;
        let message = request.into_inner();
        let client = Client::Operators(tenant.clone());
        let id = request_id(client, "Adjust", &message.request_id, &message)?;
        let v1::AdjustRequest {
            request_id: _,
            tenant: _,
            account,
            units,
            reason,
        } = message;
        if units == 0 {
            return Err(invalid("units", "not 0"));
        }
        convert::units("units", units.unsigned_abs())?;
        let account = convert::account(account)?;
        let reason = convert::reason(reason)?;
        match self
            .commit(
                id,
                Command::Adjust {
                    tenant,
                    account,
                    units,
                    reason,
                },
            )
            .await?
        {
            Reply::Adjusted(info) => {
                let account = Some(convert::account_info(info));
                Ok(Response::new(v1::AdjustResponse { account }))
            }
            _ => Err(mixed_up()),
        }
    }

    async fn write_off(
        &self,
        request: Request<v1::WriteOffRequest>,
    ) -> Answered<v1::WriteOffResponse> {
        let tenant = &request.get_ref().tenant;
        let tenant = self.control(request.metadata(), tenant, Right::AdjustBudgets)?;
        let message = request.into_inner();
        let client = Client::Operators(tenant.clone());
        let id = request_id(client, "WriteOff", &message.request_id, &message)?;
        let v1::WriteOffRequest {
            request_id: _,
            tenant: _,
            lease,
            spent,
            reason,
        } = message;
        for spent in &spent {
            convert::units("spent", *spent)?;
        }
        let reason = convert::reason(reason)?;
        match self
            .commit(
                id,
                Command::WriteOff {
                    tenant,
                    lease,
                    spent,
                    reason,
                },
            )
            .await?
        {
            Reply::WrittenOff(info) => {
                let lease = Some(convert::lease_info(info));
                Ok(Response::new(v1::WriteOffResponse { lease }))
            }
            _ => Err(mixed_up()),
        }
    }

    async fn usage(&self, request: Request<v1::UsageRequest>) -> Answered<v1::UsageResponse> {
        let tenant = &request.get_ref().tenant;
        let tenant = self.operator(request.metadata(), tenant, Right::ReadBudgets)?;
        let v1::UsageRequest {
            tenant: _,
            scope,
            id,
            meter,
            after,
            limit,
        } = request.into_inner();
        let query = UsageQuery {
            tenant,
            scope: (scope != 0).then(|| convert::scope(scope)).transpose()?,
            id: Some(id).filter(|id| !id.is_empty()),
            meter: (meter != 0).then(|| convert::meter(meter)).transpose()?,
            after: page_after(&after)?,
            limit: convert::page(limit)?,
        };
        let answer = self.node.ask(Question::Usage(query)).await;
        let Answer::Usage(page) = answer.map_err(|error| Status::unavailable(error.to_string()))?
        else {
            return Err(mixed_up());
        };
        let last = page.accounts.last().filter(|_| page.more);
        let next = last.map(|info| codec::encode(&info.account)).transpose();
        let next = next.map_err(|_| Status::internal("the page can't be written"))?;
        Ok(Response::new(v1::UsageResponse {
            next: next.map(hex::encode).unwrap_or_default(),
            accounts: page
                .accounts
                .into_iter()
                .map(convert::account_info)
                .collect(),
            limits_version: page.limits_version,
            at: Timestamp::from(page.at).to_string(),
        }))
    }

    async fn leases(&self, request: Request<v1::LeasesRequest>) -> Answered<v1::LeasesResponse> {
        let tenant = &request.get_ref().tenant;
        let tenant = self.operator(request.metadata(), tenant, Right::ReadBudgets)?;
        let v1::LeasesRequest {
            tenant: _,
            edge,
            after,
            limit,
        } = request.into_inner();
        let query = LeasesQuery {
            tenant,
            edge: Some(edge).filter(|edge| !edge.is_empty()),
            after,
            limit: convert::page(limit)?,
        };
        let answer = self.node.ask(Question::Leases(query)).await;
        let Answer::Leases(page) =
            answer.map_err(|error| Status::unavailable(error.to_string()))?
        else {
            return Err(mixed_up());
        };
        let last = page.leases.last().filter(|_| page.more);
        let next = last.map_or(0, |info| info.lease);
        let leases = page.leases.into_iter().map(convert::lease_info).collect();
        Ok(Response::new(v1::LeasesResponse { leases, next }))
    }
}

fn page_after(after: &str) -> Result<Option<crate::account::AccountKey>, Status> {
    if after.is_empty() {
        return Ok(None);
    }
    let bytes = hex::decode(after).map_err(|_| invalid("after", "of an earlier answer"))?;
    let key = codec::decode(&bytes).map_err(|_| invalid("after", "of an earlier answer"))?;
    Ok(Some(key))
}
