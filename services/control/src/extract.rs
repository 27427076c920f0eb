//! The intent extraction plug-in: a tenant's HTTP endpoint proposes a declaration for a request in free text. It is asked
//! when an application declares, never per call, and nothing that it says is declared by itself.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::grpc::documents::{check_url, parse};
use crate::store::objects::{self, Kind};
use crate::store::tenants::load_config;
use futures::StreamExt;
use proctor_engine::{Catalogue, CompiledIntent};
use proctor_model::TenantId;
use proctor_model::config::Extractor;
use proctor_model::ids::{AgentId, SessionId, UserId};
use proctor_model::intent::{Intent, IntentDeclaration, IntentError};
use proctor_model::limits::INTENT_GOAL_BYTES_MAX;
use proctor_model::principal::Right;
use proctor_proto::v1;
use serde_json::{Value, json};
use std::str::FromStr;
use std::time::Duration;
use tonic::Status;

/// Longest time that an extractor may take, in milliseconds: below the time limit of the admin API's own calls.
const TIMEOUT_MS_MAX: u32 = 20_000;
/// Largest proposal, in bytes.
const PROPOSAL_BYTES_MAX: usize = 64 * 1024;

/// The client for all extractors: no redirects, no proxy of the environment.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .build()
}

/// Checks a setting.
pub(crate) fn check(extractor: &Extractor) -> Result<(), Status> {
    check_url("settings.extractor.url", &extractor.url)?;
    match (1..=TIMEOUT_MS_MAX).contains(&extractor.timeout_ms) {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!(
            "settings.extractor.timeout_ms: 1 to {TIMEOUT_MS_MAX}"
        ))),
    }
}

/// What the declaration has to say, whatever the extractor answers.
struct Request {
    tenant: TenantId,
    agent: AgentId,
    goal: String,
    user: Option<UserId>,
    session: Option<SessionId>,
}

fn optional<T: FromStr<Err = proctor_model::IdError>>(
    member: &str,
    text: &str,
) -> Result<Option<T>, Status> {
    let parsed = (!text.is_empty()).then(|| text.parse()).transpose();
    parsed.map_err(|error| Status::invalid_argument(format!("{member}: {error}")))
}

pub(crate) async fn extract(
    state: &State,
    caller: &Caller,
    request: v1::ExtractIntentRequest,
) -> Result<v1::ExtractIntentResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::DeclareIntents)?;
    if !(1..=INTENT_GOAL_BYTES_MAX).contains(&request.goal.len()) {
        return Err(Status::invalid_argument(IntentError::Goal.to_string()).into());
    }
    let agent = optional("agent", &request.agent)?;
    let asked = Request {
        agent: agent.ok_or_else(|| Status::invalid_argument("agent: it is missing"))?,
        user: optional("user", &request.user)?,
        session: optional("session", &request.session)?,
        goal: request.goal,
        tenant,
    };
    let mut tx = state.store.tenant(&asked.tenant).await?;
    objects::get(&mut tx, Kind::Agent, asked.agent.as_str()).await?;
    let config = load_config(&mut tx, &asked.tenant, state.clock.now()).await?;
    // Nobody waits for an extractor with a transaction open.
    drop(tx);
    let config = config.ok_or_else(crate::caller::no_such_tenant)?;
    let extractor = config.settings.extractor.as_ref();
    let extractor = extractor
        .ok_or_else(|| Status::failed_precondition("the tenant has no extractor of intents"))?;
    let catalogue = Catalogue::compile(&config.servers);
    let answer = ask(state, extractor, &asked, &catalogue).await?;
    let declaration = read(state, &asked, &catalogue, &answer).map_err(|why| {
        Status::failed_precondition(format!("the extractor's proposal is refused: {why}"))
    })?;
    Ok(v1::ExtractIntentResponse {
        declaration: serde_json::to_vec(&declaration)?,
    })
}

async fn ask(
    state: &State,
    extractor: &Extractor,
    asked: &Request,
    catalogue: &Catalogue,
) -> Result<Vec<u8>, Status> {
    let tools: Vec<Value> = catalogue
        .tools()
        .map(|tool| {
            let entry = tool.entry();
            json!({
                "tool": tool.reference(), "description": entry.definition.description, "verb": entry.verb,
                "input_schema": entry.definition.input_schema, "roles": entry.roles,
            })
        })
        .collect();
    let body = json!({
        "v": 1, "tenant": asked.tenant, "agent": asked.agent, "user": asked.user, "session": asked.session,
        "goal": asked.goal, "tools": tools,
    });
    let answered = async {
        let response = state.http.post(&extractor.url).json(&body).send().await?;
        let response = response.error_for_status()?;
        let success = response.status().is_success();
        let mut chunks = response.bytes_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() > PROPOSAL_BYTES_MAX {
                return Ok(None);
            }
        }
        // A redirect is neither an error nor an answer.
        Ok::<_, reqwest::Error>(success.then_some(bytes))
    };
    let timeout = Duration::from_millis(extractor.timeout_ms.into());
    match tokio::time::timeout(timeout, answered).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(Status::failed_precondition(
            "the extractor's answer is a redirect, or too large",
        )),
        // The cause would name the address.
        Ok(Err(_)) => Err(Status::failed_precondition(
            "the extractor cannot be reached, or answered with an error",
        )),
        Err(_) => Err(Status::failed_precondition(
            "the extractor did not answer in time",
        )),
    }
}

/// The proposal, held to all that a declaration is held to, and to what was asked.
fn read(
    state: &State,
    asked: &Request,
    catalogue: &Catalogue,
    answer: &[u8],
) -> Result<IntentDeclaration, String> {
    let declaration: IntentDeclaration =
        parse("the document", answer).map_err(|status| status.message().to_owned())?;
    declaration.check().map_err(|error| error.to_string())?;
    for (member, same) in [
        ("agent", declaration.agent == asked.agent),
        ("goal", declaration.goal == asked.goal),
        ("user", declaration.user == asked.user),
        ("session", declaration.session == asked.session),
        ("parent", declaration.parent.is_none()),
    ] {
        if !same {
            return Err(format!("{member}: it is not what was asked for"));
        }
    }
    for (index, action) in declaration.actions.iter().enumerate() {
        if catalogue.get(&action.tool).is_none() {
            return Err(format!("actions[{index}].tool: no tool of the tenant"));
        }
    }
    let now = state.clock.now();
    let intent = Intent {
        v: 1,
        id: "int_proposed".parse().map_err(|_| "no id".to_owned())?,
        tenant: asked.tenant.clone(),
        declared_at: now,
        expires_at: now.plus_secs(declaration.expires_in_s.into()),
        declared_by: "extractor".to_owned(),
        declaration: declaration.clone(),
        parent: None,
    };
    CompiledIntent::compile(intent).map_err(|problem| problem.to_string())?;
    Ok(declaration)
}
