//! What edges see of tool servers: taken in, shown to operators beside what was approved, and approved by them.

use crate::State;
use crate::approvals::{Unanswered, is_recent, verified};
use crate::caller::Caller;
use crate::error::ControlError;
use crate::grpc::documents;
use crate::store::TenantTx;
use crate::store::objects::{self, Kind};
use crate::store::tenants::{database_time, timestamp};
use async_nats::Message;
use futures::StreamExt;
use proctor_engine::definition::findings;
use proctor_model::ToolName;
use proctor_model::catalogue::{CatalogueEntry, ToolServer};
use proctor_model::limits::CATALOGUE_TOOLS_MAX;
use proctor_model::principal::Right;
use proctor_model::sighting::{Health, LEFT_OUT_MAX, LeftOut, SEEN_MAX, Seen, Sighting};
use proctor_proto::v1;
use proctor_runtime::backoff::Backoff;
use proctor_runtime::subjects;
use serde_json::{Value, json};
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Sightings that are taken in at once.
const AT_ONCE: usize = 2;

/// Takes in what edges tell until `shutdown`.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    while !shutdown.is_cancelled() {
        let subscribed = nats.queue_subscribe(subjects::SIGHTINGS, "control".into());
        match subscribed.await {
            Ok(sightings) => {
                backoff.reset();
                let taken = sightings.for_each_concurrent(AT_ONCE, |message| {
                    let (state, nats) = (&state, &nats);
                    async move { take(state, nats, message).await }
                });
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = taken => {}
                }
            }
            Err(error) => tracing::error!(%error, "cannot subscribe to the edges' sightings"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = backoff.wait() => {}
        }
    }
}

async fn take(state: &State, nats: &async_nats::Client, message: Message) {
    let taken = match store(state, &message).await {
        Ok(()) => match message.reply {
            Some(reply) => nats.publish(reply, "ok".into()).await.err(),
            None => None,
        },
        Err(why) => {
            tracing::warn!(%why, "a sighting of a tool server is not taken");
            metrics::counter!("proctor_control_sightings_refused_total").increment(1);
            None
        }
    };
    if let Some(error) = taken {
        // The edge tells it again.
        tracing::debug!(%error, "an edge was not told that its sighting is here");
    }
}

async fn store(state: &State, message: &Message) -> Result<(), Unanswered> {
    let (tenant, edge) = subjects::sighting_of(message.subject.as_str())?;
    let text = std::str::from_utf8(&message.payload).map_err(|_| Unanswered::Foreign)?;
    let sighting: Sighting = verified(state, &tenant, &edge, text).await?;
    let ours = sighting.tenant == tenant && sighting.edge == edge;
    let bounded = sighting.seen.len() <= SEEN_MAX && sighting.left_out.len() <= LEFT_OUT_MAX;
    if !(ours && is_recent(state, sighting.at) && bounded) {
        return Err(Unanswered::Foreign);
    }
    let mut tx = state.store.tenant(&tenant).await?;
    let known: Vec<Vec<u8>> =
        sqlx::query_scalar("select seen from control.sightings where tenant = $1 and server = $2")
            .bind(tenant.as_str())
            .bind(sighting.server.as_str())
            .fetch_all(&mut *tx)
            .await?;
    let known = known.iter().flat_map(|seen| stored(seen));
    let known: BTreeSet<_> = known.map(|seen| (seen.name, seen.digest)).collect();
    let new = |seen: &&Seen| !known.contains(&(seen.name.clone(), seen.digest.clone()));
    let put = sqlx::query(
        "insert into control.sightings (tenant, server, edge, at, health, seen, more, left_out)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant, server, edge) do update
         set at = excluded.at, health = excluded.health, seen = excluded.seen, more = excluded.more, left_out = excluded.left_out
         where control.sightings.at < excluded.at",
    )
    .bind(tenant.as_str())
    .bind(sighting.server.as_str())
    .bind(edge.as_str())
    .bind(database_time(sighting.at))
    .bind(health(sighting.health))
    .bind(serde_json::to_vec(&sighting.seen).map_err(ControlError::from)?)
    .bind(i32::try_from(sighting.more).unwrap_or(i32::MAX))
    .bind(serde_json::to_vec(&sighting.left_out).map_err(ControlError::from)?)
    .execute(&mut *tx)
    .await?;
    // Once per change, however many edges see it: what differs now is held back, and that is for the evidence.
    if put.rows_affected() == 1 && sighting.seen.iter().any(|seen| new(&seen)) {
        let object = sighting.server.as_str();
        let edge = edge.as_str();
        crate::audit::record(&mut tx, state, &tenant, edge, "server.drift", object).await?;
    }
    Ok(tx.commit().await?)
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::CircuitOpen => "circuit_open",
        Health::Unseen => "unseen",
    }
}

fn stored(seen: &[u8]) -> Vec<Seen> {
    // Of an older form: the edge tells it anew within a minute.
    serde_json::from_slice(seen).unwrap_or_default()
}

/// Forgets what edges saw of a server that is no more.
pub(crate) async fn forget(tx: &mut TenantTx, server: &str) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    sqlx::query("delete from control.sightings where tenant = $1 and server = $2")
        .bind(tenant.as_str())
        .bind(server)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What all edges see of a server, beside what was approved.
pub(crate) async fn drift(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let found = objects::get(&mut tx, Kind::Server, &request.id).await?;
    let server: ToolServer = serde_json::from_slice(&found.document)?;
    let rows = sqlx::query(
        "select s.edge, s.at, s.health, s.seen, s.more, s.left_out from control.sightings s
         join control.edges e on e.id = s.edge and s.tenant = any(e.tenants)
         where s.tenant = $1 and s.server = $2 order by s.edge",
    )
    .bind(tenant.as_str())
    .bind(&request.id)
    .fetch_all(&mut *tx)
    .await?;
    let (mut edges, mut shown, mut left_out) = (Vec::new(), Versions::new(), BTreeSet::new());
    for row in &rows {
        let edge: String = row.try_get("edge")?;
        edges.push(json!({
            "edge": edge,
            "at": timestamp(row.try_get("at")?),
            "health": row.try_get::<String, _>("health")?,
            "more": row.try_get::<i32, _>("more")?,
        }));
        let beside = row.try_get::<Vec<u8>, _>("left_out")?;
        left_out.extend(serde_json::from_slice::<Vec<LeftOut>>(&beside).unwrap_or_default());
        for seen in stored(&row.try_get::<Vec<u8>, _>("seen")?) {
            let key = (seen.name.clone(), seen.digest.clone());
            let (version, seen_by) = shown.entry(key).or_insert((seen.clone(), Vec::new()));
            if version.definition.is_none() {
                version.definition = seen.definition;
            }
            seen_by.push(edge.clone());
        }
    }
    let mut told: Vec<Value> = shown
        .into_values()
        .filter_map(|(seen, seen_by)| difference(&server, &seen, &seen_by))
        .collect();
    let held = server.tools.iter().filter(|entry| !entry.is_approved());
    told.extend(held.map(|entry| {
        json!({
            "tool": entry.definition.name, "change": "held", "digest": entry.definition.digest(),
            "findings": findings(&entry.definition), "definition": entry.definition,
        })
    }));
    let document =
        json!({ "server": request.id, "edges": edges, "drift": told, "left_out": left_out });
    Ok(v1::Document {
        document: serde_json::to_vec(&document)?,
        ..found
    })
}

/// What is shown under a name, by digest, and by whom it was seen.
type Versions = BTreeMap<(ToolName, Option<String>), (Seen, Vec<String>)>;

fn entry<'a>(server: &'a ToolServer, name: &ToolName) -> Option<&'a CatalogueEntry> {
    let mut entries = server.tools.iter();
    entries.find(|entry| entry.definition.name == *name)
}

/// None if it was approved since it was seen.
fn difference(server: &ToolServer, seen: &Seen, seen_by: &[String]) -> Option<Value> {
    let entry = entry(server, &seen.name);
    let approved = entry.map(|entry| entry.definition.digest());
    if approved == seen.digest {
        return None;
    }
    let change = match (&approved, &seen.digest) {
        (Some(_), Some(_)) => "changed",
        (None, _) => "new",
        (Some(_), None) => "gone",
    };
    let mut told = json!({
        "tool": seen.name, "change": change, "approved_digest": approved, "digest": seen.digest, "seen_by": seen_by,
    });
    let members = told.as_object_mut()?;
    if let Some(definition) = &seen.definition {
        let shown = definition.to_mcp(definition.name.as_str());
        let before = entry.map(|entry| entry.definition.to_mcp(seen.name.as_str()));
        if let Some(before) = before {
            members.insert("diff".into(), diff(&before, &shown));
        }
        members.insert("findings".into(), json!(findings(definition)));
        members.insert("definition".into(), json!(definition));
    }
    Some(told)
}

/// A JSON Patch (RFC 6902), with what was there before as `was`.
fn diff(before: &Value, after: &Value) -> Value {
    let patch = json_patch::diff(before, after);
    let mut operations = json!(patch);
    for operation in operations.as_array_mut().into_iter().flatten() {
        // What is added was not there, though something else may have had its place in a list.
        let path = operation.get("path").and_then(Value::as_str);
        let path = path.filter(|_| operation.get("op") != Some(&json!("add")));
        let was = path.and_then(|path| before.pointer(path)).cloned();
        if let (Some(was), Some(members)) = (was, operation.as_object_mut()) {
            members.insert("was".into(), was);
        }
    }
    operations
}

/// Puts what edges see of one tool in place of what was approved.
pub(crate) async fn approve(
    state: &State,
    caller: &Caller,
    request: v1::ApproveDefinitionRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WriteServers)?;
    let tool: ToolName = request
        .tool
        .parse()
        .map_err(|error| Status::invalid_argument(format!("tool: {error}")))?;
    let mut tx = state.store.tenant(&tenant).await?;
    let found = objects::get(&mut tx, Kind::Server, &request.id).await?;
    let mut server: ToolServer = serde_json::from_slice(&found.document)?;
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "select s.seen from control.sightings s
         join control.edges e on e.id = s.edge and s.tenant = any(e.tenants)
         where s.tenant = $1 and s.server = $2",
    )
    .bind(tenant.as_str())
    .bind(&request.id)
    .fetch_all(&mut *tx)
    .await?;
    drop(tx);
    let seen = rows.iter().flat_map(|seen| stored(seen));
    let seen = seen.filter_map(|seen| seen.definition);
    let held = entry(&server, &tool).map(|entry| entry.definition.clone());
    // Exactly what the person looked at, whatever the server shows by now.
    let definition = seen
        .chain(held)
        .find(|definition| definition.name == tool && definition.digest() == request.digest);
    let definition = definition.ok_or_else(|| {
        Status::failed_precondition("digest: no edge sees a definition of this tool with it now")
    })?;
    let known = server
        .tools
        .iter_mut()
        .find(|entry| entry.definition.name == tool);
    match known {
        Some(entry) => {
            entry.definition = definition;
            entry.definition_digest = Some(request.digest);
            entry.approved_by = Some(caller.id().to_owned());
        }
        None => {
            if server.tools.len() >= CATALOGUE_TOOLS_MAX {
                let message = format!("tools: at most {CATALOGUE_TOOLS_MAX}");
                return Err(Status::failed_precondition(message).into());
            }
            server.tools.push(CatalogueEntry {
                definition_digest: Some(request.digest),
                approved_by: Some(caller.id().to_owned()),
                ..CatalogueEntry::unlabelled(definition)
            });
        }
    }
    let put = v1::PutDocumentRequest {
        tenant: request.tenant,
        id: request.id,
        document: serde_json::to_vec(&server)?,
        // Nobody else's change gets lost.
        expected_version: found.version,
    };
    documents::put_server(state, caller, put).await
}
