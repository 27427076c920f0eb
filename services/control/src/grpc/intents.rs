//! Intents: declared once, and never changed.

use super::documents::parse;
use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use crate::store::{TenantTx, intents};
use proctor_engine::CompiledIntent;
use proctor_model::intent::{Intent, IntentDeclaration};
use proctor_model::principal::Right;
use proctor_model::signed::SignedError;
use proctor_proto::v1;
use tonic::Status;

pub(super) async fn declare(
    state: &State,
    caller: &Caller,
    request: v1::DeclareIntentRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::DeclareIntents)?;
    let declaration: IntentDeclaration = parse("the document", &request.declaration)?;
    declaration
        .check()
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let now = state.clock.now();
    let id = format!("int_{}", state.random.uuid_v7(now)?.simple());
    let mut intent = Intent {
        v: 1,
        id: id.parse()?,
        tenant: tenant.clone(),
        declared_at: now,
        expires_at: now.plus_secs(declaration.expires_in_s.into()),
        declared_by: caller.id().to_owned(),
        declaration,
        parent: None,
    };
    let mut tx = state.store.tenant(&tenant).await?;
    narrow(&mut tx, &mut intent).await?;
    CompiledIntent::compile(intent.clone())
        .map_err(|problem| Status::invalid_argument(problem.to_string()))?;
    if let Err(SignedError::TooLarge) = state.signer.sign(&intent) {
        let message = "parent: this intent and those that it narrows are too large together";
        return Err(Status::invalid_argument(message).into());
    }
    objects::get(&mut tx, Kind::Agent, intent.declaration.agent.as_str()).await?;
    intents::insert(&mut tx, &intent).await?;
    crate::audit::record(&mut tx, state, &tenant, caller.id(), "intent.declare", &id).await?;
    tx.commit().await?;
    state.changed.notify_one();
    let document = serde_json::to_vec(&intent)?;
    Ok(v1::Document {
        tenant: tenant.to_string(),
        id,
        document,
        version: 1,
    })
}

/// Makes an intent with a parent no wider than it: for the same agent, user and session, and over no later.
async fn narrow(tx: &mut TenantTx, intent: &mut Intent) -> Result<(), ControlError> {
    let Some(id) = intent.declaration.parent.clone() else {
        return Ok(());
    };
    let tenant = tx.tenant().clone();
    let found = intents::get(tx, tenant.as_str(), id.as_str()).await?;
    let found = found.ok_or_else(|| Status::invalid_argument("parent: no such intent"))?;
    let parent: Intent = serde_json::from_value(found)?;
    if parent.expires_at <= intent.declared_at {
        return Err(Status::invalid_argument("parent: that intent is over").into());
    }
    let (ours, theirs) = (&mut intent.declaration, &parent.declaration);
    if ours.agent != theirs.agent {
        return Err(Status::invalid_argument("agent: the parent is for another agent").into());
    }
    inherit("user", &mut ours.user, theirs.user.as_ref())?;
    inherit("session", &mut ours.session, theirs.session.as_ref())?;
    intent.expires_at = intent.expires_at.min(parent.expires_at);
    intent.parent = Some(Box::new(parent));
    Ok(())
}

fn inherit<T: Clone + PartialEq>(
    member: &str,
    ours: &mut Option<T>,
    theirs: Option<&T>,
) -> Result<(), Status> {
    if ours.is_some() && ours.as_ref() != theirs {
        let message = format!("{member}: it has to be the parent's");
        return Err(Status::invalid_argument(message));
    }
    *ours = theirs.cloned();
    Ok(())
}

pub(super) async fn get(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let found = intents::get(&mut tx, tenant.as_str(), &request.id).await?;
    let found = found.ok_or_else(|| Status::not_found("no such intent"))?;
    let document = serde_json::to_vec(&found)?;
    Ok(v1::Document {
        tenant: tenant.to_string(),
        id: request.id,
        document,
        version: 1,
    })
}
