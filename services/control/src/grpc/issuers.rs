//! Whose tokens a tenant's edges take in exchange for capability tokens.

use super::documents::{parse, put as put_document, same_id, to_value};
use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use proctor_engine::CompiledIssuer;
use proctor_model::login::{IssuerKeys, TrustedIssuer};
use proctor_model::principal::Right;
use proctor_proto::v1;
use tonic::Status;

/// Most trusted issuers of a tenant.
const ISSUERS_MAX: i64 = 32;

pub(super) async fn put(
    state: &State,
    caller: &Caller,
    request: v1::PutDocumentRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WriteIssuers)?;
    let issuer: TrustedIssuer = parse("the document", &request.document)?;
    same_id(&request.id, issuer.id.as_str())?;
    CompiledIssuer::compile(&issuer)
        .map_err(|problem| Status::invalid_argument(problem.to_string()))?;
    check_keys(caller, &issuer.keys)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let known = objects::list(&mut tx, Kind::Issuer, "", ISSUERS_MAX).await?;
    drop(tx);
    let mut others = 0;
    for other in known.iter().filter(|other| other.id != request.id) {
        others += 1;
        let other: TrustedIssuer = serde_json::from_slice(&other.document)?;
        // Which of the two a token is judged by must not be chance.
        if (&other.issuer, &other.audience) == (&issuer.issuer, &issuer.audience) {
            return Err(Status::invalid_argument(format!(
                "audience: {} is trusted for this issuer and audience already",
                other.id
            ))
            .into());
        }
    }
    if others >= ISSUERS_MAX {
        return Err(Status::invalid_argument(format!("at most {ISSUERS_MAX} issuers")).into());
    }
    let document = to_value(&issuer)?;
    put_document(
        state,
        caller,
        Kind::Issuer,
        &request,
        document,
        Right::WriteIssuers,
    )
    .await
}

/// Keys that vouch for users come over TLS, or from the machine itself.
fn check_keys(caller: &Caller, keys: &IssuerKeys) -> Result<(), Status> {
    let IssuerKeys::Fetched {
        jwks_uri,
        private_addresses,
    } = keys
    else {
        return Ok(());
    };
    super::documents::check_url("keys.jwks_uri", jwks_uri)?;
    let uri: tonic::codegen::http::Uri = jwks_uri
        .parse()
        .map_err(|_| Status::invalid_argument("keys.jwks_uri: an address"))?;
    let host = uri.host().unwrap_or_default();
    let ip: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let loopback = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    if uri.scheme_str() != Some("https") && !(*private_addresses && loopback) {
        return Err(Status::invalid_argument(
            "keys.jwks_uri: https:// (http:// on loopback alone, with private_addresses)",
        ));
    }
    // The edge's own network is the platform's.
    if *private_addresses {
        caller.platform(Right::WriteEdges).map_err(|_| {
            Status::permission_denied(
                "keys: an identity provider in the edges' own network is registered with a platform key",
            )
        })?;
    }
    Ok(())
}
