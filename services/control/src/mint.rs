//! Minting capability tokens.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use proctor_engine::token::{self, Caveat, MintRequest};
use proctor_model::AgentId;
use proctor_model::config::{Agent, AgentStatus};
use proctor_model::principal::Right;
use proctor_proto::v1;
use tonic::Status;

/// Longest life of a token, seconds; a revocation is kept as long.
pub(crate) const TOKEN_LIFE_S_MAX: i64 = 90 * 24 * 3600;

pub(crate) async fn mint(
    state: &State,
    caller: &Caller,
    request: v1::MintTokenRequest,
) -> Result<v1::MintTokenResponse, ControlError> {
    let v1::MintTokenRequest {
        tenant,
        agent,
        caveats,
    } = request;
    let tenant = caller.tenant(&tenant, Right::MintTokens)?;
    let agent: AgentId = agent
        .parse()
        .map_err(|error| Status::invalid_argument(format!("agent: {error}")))?;
    let parse = |(index, text): (usize, &String)| {
        text.parse::<Caveat>()
            .map_err(|error| Status::invalid_argument(format!("caveats[{index}]: {error}")))
    };
    let mut caveats = caveats
        .iter()
        .enumerate()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    // Before what makes the token usable, where its holder can put none: see `VerifiedToken::is_pinned`.
    caveats.sort_by_key(|caveat| !matches!(caveat, Caveat::Edge(_)));
    let now = state.clock.now();
    let expires_at = caveats
        .iter()
        .filter_map(|caveat| {
            if let Caveat::Before(at) = caveat {
                Some(*at)
            } else {
                None
            }
        })
        .min()
        .ok_or_else(|| {
            Status::invalid_argument(
                "caveats: an expiry is needed, such as 'time < 2030-01-01T00:00:00Z'",
            )
        })?;
    if expires_at <= now || expires_at > now.plus_secs(TOKEN_LIFE_S_MAX) {
        return Err(Status::invalid_argument(
            "caveats: the expiry must be within the next 90 days",
        )
        .into());
    }
    let mut tx = state.store.tenant(&tenant).await?;
    let stored = objects::get(&mut tx, Kind::Agent, agent.as_str()).await?;
    if serde_json::from_slice::<Agent>(&stored.document)?.status != AgentStatus::Active {
        return Err(Status::failed_precondition("the agent is disabled").into());
    }
    let keys = crate::keys::load(&mut tx, state, &tenant, now).await?;
    let keys = keys.ok_or_else(crate::caller::no_such_tenant)?;
    let key = keys
        .keys
        .iter()
        .find(|key| key.not_after.is_none())
        .ok_or_else(|| Status::failed_precondition("the tenant has no active token key"))?;
    let request = MintRequest {
        tenant: tenant.clone(),
        agent,
        caveats,
    };
    let token = token::mint(&request, key, state.random.array()?, now)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    crate::store::approvals::note_minted(&mut tx, token.id().as_str(), caller.id(), expires_at)
        .await?;
    crate::audit::record(
        &mut tx,
        state,
        &tenant,
        caller.id(),
        "token.mint",
        token.id().as_str(),
    )
    .await?;
    tx.commit().await?;
    Ok(v1::MintTokenResponse {
        token: token.to_text(),
        token_id: token.id().to_string(),
        kid: key.kid.to_string(),
        expires_at: expires_at.to_string(),
    })
}
