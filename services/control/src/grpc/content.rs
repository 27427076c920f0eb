//! A tenant's content rules: one document, compiled before it is stored.

use super::documents::{self, compiling, parse};
use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use proctor_engine::filter::{Content, Place, Rules};
use proctor_model::ToolRef;
use proctor_model::catalogue::Verb;
use proctor_model::content::{ContentRules, Direction};
use proctor_model::principal::Right;
use proctor_proto::v1;
use tonic::{Code, Status};

/// The one document's id.
const ID: &str = "rules";
/// Longest text that is tested, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn put(
    state: &State,
    caller: &Caller,
    mut request: v1::PutDocumentRequest,
) -> Result<v1::Document, ControlError> {
    caller.tenant(&request.tenant, Right::WritePolicies)?;
    let rules: ContentRules = parse("the document", &request.document)?;
    let rules = compiling(move || match Rules::compile(&rules) {
        Ok(_) => Ok(rules),
        Err(problem) => Err(problem.to_string()),
    })
    .await?;
    request.id = ID.into();
    let document = serde_json::to_value(&rules)?;
    documents::put(
        state,
        caller,
        Kind::Content,
        &request,
        document,
        Right::WritePolicies,
    )
    .await
}

/// The rules; those of a tenant that put none are the standard ones, version 0.
pub(super) async fn get(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    match objects::get(&mut tx, Kind::Content, ID).await {
        Err(ControlError::Refused(status)) if status.code() == Code::NotFound => Ok(v1::Document {
            tenant: request.tenant,
            id: ID.into(),
            document: serde_json::to_vec(&ContentRules::default())?,
            version: 0,
        }),
        found => found,
    }
}

pub(super) async fn delete(
    state: &State,
    caller: &Caller,
    mut request: v1::ObjectRequest,
) -> Result<v1::Empty, ControlError> {
    request.id = ID.into();
    documents::delete(state, caller, Kind::Content, request).await
}

pub(super) async fn test(
    state: &State,
    caller: &Caller,
    request: v1::TestContentRulesRequest,
) -> Result<v1::TestContentRulesResponse, ControlError> {
    caller.tenant(&request.tenant, Right::ReadConfig)?;
    if request.text.len() > TEXT_BYTES_MAX {
        return Err(
            Status::invalid_argument(format!("text: at most {TEXT_BYTES_MAX} bytes")).into(),
        );
    }
    let document = match request.rules.is_empty() {
        false => request.rules.clone(),
        true => {
            let stored = v1::ObjectRequest {
                tenant: request.tenant.clone(),
                ..v1::ObjectRequest::default()
            };
            get(state, caller, stored).await?.document
        }
    };
    let rules: ContentRules = parse("rules", &document)?;
    Ok(compiling(move || tested(&rules, &request)).await?)
}

fn tested(
    rules: &ContentRules,
    request: &v1::TestContentRulesRequest,
) -> Result<v1::TestContentRulesResponse, String> {
    let rules = Rules::compile(rules).map_err(|problem| problem.to_string())?;
    let direction = match request.direction.as_str() {
        "outbound" => Direction::Outbound,
        "inbound" => Direction::Inbound,
        _ => return Err("direction: outbound or inbound".into()),
    };
    let tool: Option<ToolRef> = match request.tool.as_str() {
        "" => None,
        tool => Some(tool.parse().map_err(|error| format!("tool: {error}"))?),
    };
    let verb: Verb = match request.verb.as_str() {
        "" => Verb::default(),
        verb => verb.parse().map_err(|error| format!("verb: {error}"))?,
    };
    let content = Content {
        rules: &rules,
        place: Place {
            direction,
            tool: tool.as_ref().map(|tool| (tool, verb)),
        },
        vault: None,
        roles: None,
    };
    let explained = content.explain(&request.text, &request.key);
    let outcome = content.treat_named(&request.text, &request.key);
    let matches = explained.into_iter().map(|hit| v1::ContentMatch {
        class: hit.class,
        start: u64::try_from(hit.range.start).unwrap_or(u64::MAX),
        end: u64::try_from(hit.range.end).unwrap_or(u64::MAX),
        confidence: hit.confidence.as_str().into(),
        action: hit.action.as_str().into(),
    });
    let stays = outcome
        .altered
        .clone()
        .unwrap_or_else(|| request.text.clone());
    Ok(v1::TestContentRulesResponse {
        matches: matches.collect(),
        text: if outcome.refusal().is_some() {
            String::new()
        } else {
            stays
        },
        action: outcome.strictest.as_str().into(),
    })
}
