//! Agents and tool servers, and what all kinds have in common: documents that are parsed strictly before anything changes.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use crate::store::page;
use crate::store::tenants::check_fits;
use proctor_engine::definition::unusable;
use proctor_engine::json::Limits;
use proctor_model::catalogue::{CatalogueEntry, ToolServer, Upstream, UpstreamAuth, UpstreamTls};
use proctor_model::config::Agent;
use proctor_model::limits::{CATALOGUE_TOOLS_MAX, SIGNED_BYTES_MAX};
use proctor_model::principal::Right;
use proctor_model::{ServerId, TenantId};
use proctor_proto::v1;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::Status;

/// `what` begins the message of a refusal.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, document: &[u8]) -> Result<T, Status> {
    // Through the strict parser first: a duplicate key must not mean one thing here and another elsewhere.
    let limits = Limits {
        bytes_max: SIGNED_BYTES_MAX,
        ..Limits::default()
    };
    let value = proctor_engine::json::parse(document, &limits)
        .map_err(|error| Status::invalid_argument(format!("{what}: {error}")))?;
    // serde would take an array for an object, member by member.
    if !value.is_object() {
        return Err(Status::invalid_argument(format!(
            "{what}: not a JSON object"
        )));
    }
    serde_json::from_value(value)
        .map_err(|error| Status::invalid_argument(format!("{what}: {error}")))
}

pub(super) fn same_id(path: &str, document: &str) -> Result<(), Status> {
    if path == document {
        Ok(())
    } else {
        Err(Status::invalid_argument(
            "id: the document has another id than the path",
        ))
    }
}

pub(crate) fn to_value(document: &impl serde::Serialize) -> Result<Value, ControlError> {
    Ok(serde_json::to_value(document)?)
}

pub(crate) async fn put(
    state: &State,
    caller: &Caller,
    kind: Kind,
    request: &v1::PutDocumentRequest,
    document: Value,
    right: Right,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, right)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let put = objects::put(
        &mut tx,
        kind,
        &request.id,
        document,
        request.expected_version,
    )
    .await?;
    check_fits(&mut tx, state).await?;
    let action = format!("{}.put", kind.as_str());
    let object = match kind {
        // A tenant has one of them: its id says nothing. Decisions name the config version that they were made under, so
        // with this it can be told later by which version of the prices a call was charged.
        Kind::Limits | Kind::Prices => {
            let config = objects::config_version(&mut tx).await?;
            format!("version {} from config {config}", put.version)
        }
        _ => request.id.clone(),
    };
    crate::audit::record(&mut tx, state, &tenant, caller.id(), &action, &object).await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(put)
}

pub(super) async fn put_agent(
    state: &State,
    caller: &Caller,
    request: v1::PutDocumentRequest,
) -> Result<v1::Document, ControlError> {
    caller.tenant(&request.tenant, Right::WriteAgents)?;
    let agent: Agent = parse("the document", &request.document)?;
    same_id(&request.id, agent.id.as_str())?;
    put(
        state,
        caller,
        Kind::Agent,
        &request,
        to_value(&agent)?,
        Right::WriteAgents,
    )
    .await
}

/// Longest time limit of a call, milliseconds.
const TIMEOUT_MS_MAX: u32 = 300_000;
/// Largest answer of a tool, bytes: an edge holds it in memory.
const RESULT_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Whether a server can be reached as its document says, and what it may cost an edge.
fn check_upstream(server: &ToolServer) -> Result<(), Status> {
    match &server.upstream {
        Upstream::Memory { stores } => check_stores(server, stores)?,
        Upstream::McpHttp { url, auth, tls, .. } | Upstream::Http { url, auth, tls, .. } => {
            check_url("upstream.url", url)?;
            check_credentials(auth.as_ref(), tls.as_ref())?;
        }
        Upstream::Llm { .. } => {}
        Upstream::McpStdio { limits, .. } => {
            if let Some(name) = limits.impossible() {
                return Err(Status::invalid_argument(format!(
                    "upstream.limits.{name}: at least 1"
                )));
            }
        }
    }
    if !(1..=TIMEOUT_MS_MAX).contains(&server.timeout_ms) {
        return Err(Status::invalid_argument(format!(
            "timeout_ms: 1 to {TIMEOUT_MS_MAX}"
        )));
    }
    if !(1..=RESULT_BYTES_MAX).contains(&server.result_bytes_max) {
        return Err(Status::invalid_argument(format!(
            "result_bytes_max: 1 to {RESULT_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// Headers that frame or route a request are not for credentials.
const FRAMING_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn check_credentials(auth: Option<&UpstreamAuth>, tls: Option<&UpstreamTls>) -> Result<(), Status> {
    match auth {
        None => {}
        Some(UpstreamAuth::Header { name, prefix, .. }) => {
            let token = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let framing = FRAMING_HEADERS
                .iter()
                .any(|header| header.eq_ignore_ascii_case(name));
            if name.is_empty() || !token || framing || name.to_ascii_lowercase().starts_with("mcp-")
            {
                return Err(Status::invalid_argument(
                    "upstream.auth.name: no header for a credential",
                ));
            }
            if !prefix.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return Err(Status::invalid_argument(
                    "upstream.auth.prefix: printable ASCII",
                ));
            }
        }
        Some(UpstreamAuth::OauthClientCredentials {
            token_url,
            client_id,
            ..
        }) => {
            check_url("upstream.auth.token_url", token_url)?;
            if client_id.is_empty() {
                return Err(Status::invalid_argument(
                    "upstream.auth.client_id: it is empty",
                ));
            }
        }
        Some(exchange @ UpstreamAuth::OauthTokenExchange { .. }) => {
            check_exchange("upstream.auth", exchange)?;
        }
    }
    match tls.and_then(|tls| tls.ca.as_ref()) {
        Some(ca) if !ca.contains("-----BEGIN CERTIFICATE-----") => Err(Status::invalid_argument(
            "upstream.tls.ca: certificates in PEM",
        )),
        _ => Ok(()),
    }
}

/// A token exchange whose request the edge can make; other kinds have nothing of it. `member` begins the message of a
/// refusal.
pub(crate) fn check_exchange(member: &str, auth: &UpstreamAuth) -> Result<(), Status> {
    let UpstreamAuth::OauthTokenExchange {
        token_url,
        client_id,
        secret,
        subject_token_type,
        ..
    } = auth
    else {
        return Ok(());
    };
    check_url(&format!("{member}.token_url"), token_url)?;
    let wrong = |what: &str| Err(Status::invalid_argument(format!("{member}.{what}")));
    if client_id.as_deref() == Some("") {
        return wrong("client_id: it is empty");
    }
    if client_id.is_some() != secret.is_some() {
        return wrong("client_id: it goes with a secret, and a secret with it");
    }
    let printable = subject_token_type
        .bytes()
        .all(|byte| matches!(byte, b'!'..=b'~'));
    if !printable || !subject_token_type.contains(':') {
        return wrong("subject_token_type: a URI");
    }
    Ok(())
}

/// Only tools of an HTTP API are bound to requests, and all of them are.
fn check_binding(server: &ToolServer, index: usize, entry: &CatalogueEntry) -> Result<(), Status> {
    let wrong = |why: &str| {
        Err(Status::invalid_argument(format!(
            "tools[{index}].http: {why}"
        )))
    };
    match (&server.upstream, &entry.http) {
        (Upstream::Http { .. }, None) => wrong("a tool of an HTTP API needs its request"),
        (Upstream::Http { .. }, Some(binding)) => match binding.check() {
            Ok(()) => Ok(()),
            Err(error) => wrong(&error.to_string()),
        },
        (_, Some(_)) => wrong("only tools of servers of kind http have one"),
        (_, None) => Ok(()),
    }
}

/// Most stores of a tenant that are not proxied.
const STORES_MAX: usize = 64;

fn check_stores(server: &ToolServer, stores: &[ServerId]) -> Result<(), Status> {
    let sound = server.id.as_str() == "memory" && server.tools.is_empty();
    if sound && (1..=STORES_MAX).contains(&stores.len()) {
        Ok(())
    } else {
        Err(Status::invalid_argument(format!(
            "upstream: stores of kind 'memory' (1 to {STORES_MAX}) are registered as the server 'memory', without tools"
        )))
    }
}

/// `member` begins the message of a refusal.
pub(crate) fn check_url(member: &str, url: &str) -> Result<(), Status> {
    let wrong = || {
        Status::invalid_argument(format!(
            "{member}: http:// or https://, a host, no user, no fragment"
        ))
    };
    let uri: tonic::codegen::http::Uri = url.parse().map_err(|_| wrong())?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@'));
    if scheme && plain && !url.contains('#') {
        Ok(())
    } else {
        Err(wrong())
    }
}

pub(crate) async fn put_server(
    state: &State,
    caller: &Caller,
    request: v1::PutDocumentRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WriteServers)?;
    let mut server: ToolServer = parse("the document", &request.document)?;
    same_id(&request.id, server.id.as_str())?;
    check_server(state, caller, &tenant, &mut server).await?;
    put(
        state,
        caller,
        Kind::Server,
        &request,
        to_value(&server)?,
        Right::WriteServers,
    )
    .await
}

/// Whether this caller may have this server, and edges can use it; what the caller left to us is filled in.
pub(super) async fn check_server(
    state: &State,
    caller: &Caller,
    tenant: &TenantId,
    server: &mut ToolServer,
) -> Result<(), ControlError> {
    check_upstream(server)?;
    super::place::check(state, caller, tenant, server).await?;
    super::llm::check(caller, server)?;
    if server.tools.len() > CATALOGUE_TOOLS_MAX {
        return Err(
            Status::invalid_argument(format!("tools: at most {CATALOGUE_TOOLS_MAX}")).into(),
        );
    }
    for (index, entry) in server.tools.iter().enumerate() {
        check_binding(server, index, entry)?;
        if entry.definition_digest.is_some() && !entry.is_approved() {
            let message = format!(
                "tools[{index}].definition_digest: it is not the digest of this definition"
            );
            return Err(Status::invalid_argument(message).into());
        }
    }
    check_schemas(server).await?;
    Ok(())
}

/// Whether edges can hold calls and answers to the schemas of what is approved. They would not list the rest, and nobody who
/// asked for it would hear why.
async fn check_schemas(server: &ToolServer) -> Result<(), Status> {
    let entries = server.tools.iter().enumerate();
    let approved = entries.filter(|(_, entry)| entry.is_approved());
    let approved: Vec<_> = approved
        .map(|(index, entry)| (index, entry.definition.clone()))
        .collect();
    compiling(move || {
        let mut wrong = approved
            .iter()
            .filter_map(|(index, definition)| Some((index, unusable(definition)?)));
        match wrong.next() {
            None => Ok(()),
            Some((index, (at, why))) => Err(format!("tools[{index}].definition: {at}: {why}")),
        }
    })
    .await
}

pub(super) async fn get(
    state: &State,
    caller: &Caller,
    kind: Kind,
    request: v1::ObjectRequest,
) -> Result<v1::Document, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    objects::get(&mut tx, kind, &request.id).await
}

pub(super) async fn list(
    state: &State,
    caller: &Caller,
    kind: Kind,
    request: v1::ListRequest,
) -> Result<v1::ListDocumentsResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let documents = objects::list(&mut tx, kind, &request.after, page(request.limit)).await?;
    let next = documents
        .last()
        .map(|document| document.id.clone())
        .unwrap_or_default();
    Ok(v1::ListDocumentsResponse { documents, next })
}

pub(super) async fn delete(
    state: &State,
    caller: &Caller,
    kind: Kind,
    request: v1::ObjectRequest,
) -> Result<v1::Empty, ControlError> {
    let right = match kind {
        Kind::Agent => Right::WriteAgents,
        Kind::Server => Right::WriteServers,
        Kind::Content => Right::WritePolicies,
        Kind::Limits | Kind::Prices => Right::WriteLimits,
        Kind::Issuer => Right::WriteIssuers,
    };
    let tenant = caller.tenant(&request.tenant, right)?;
    let mut tx = state.store.tenant(&tenant).await?;
    objects::delete(&mut tx, kind, &request.id, request.expected_version).await?;
    if matches!(kind, Kind::Server) {
        crate::sightings::forget(&mut tx, &request.id).await?;
    }
    let action = format!("{}.delete", kind.as_str());
    crate::audit::record(&mut tx, state, &tenant, caller.id(), &action, &request.id).await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(v1::Empty {})
}

/// Most compilations at once.
const COMPILING_MAX: usize = 4;
/// Longest time that one waits for its turn: some who ask keep a connection to the database meanwhile.
const COMPILING_WAIT_MAX: Duration = Duration::from_secs(10);
/// What is bounded is this process's memory, whoever asks.
static COMPILING: Semaphore = Semaphore::const_new(COMPILING_MAX);

/// Compiles on a thread of its own, in turn: it takes long enough to hold up other requests, and memory by the hundred megabytes where
/// somebody means it to.
pub(super) async fn compiling<T: Send + 'static>(
    compile: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Status> {
    let turn = tokio::time::timeout(COMPILING_WAIT_MAX, COMPILING.acquire());
    let Ok(Ok(turn)) = turn.await else {
        return Err(Status::unavailable(
            "too much is being compiled: try again later",
        ));
    };
    let compiling = move || {
        // Kept until it is done, also where nobody waits for it any more.
        let _turn = turn;
        compile()
    };
    tokio::task::spawn_blocking(compiling)
        .await
        .map_err(|_| Status::internal("an internal error"))?
        .map_err(Status::invalid_argument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    #[tokio::test]
    async fn not_all_compile_at_once_and_who_fails_gives_way() {
        let running = Arc::new(AtomicUsize::new(0));
        // Each goes on when as many as may are there.
        let all = Arc::new(Barrier::new(COMPILING_MAX));
        let one = |i: usize| {
            let (running, all) = (running.clone(), all.clone());
            compiling(move || {
                let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
                all.wait();
                running.fetch_sub(1, Ordering::SeqCst);
                all.wait();
                match i % 2 {
                    0 => Ok(at_once),
                    _ => Err(at_once.to_string()),
                }
            })
        };
        let told = futures::future::join_all((0..COMPILING_MAX * 3).map(one)).await;
        for (i, told) in told.into_iter().enumerate() {
            match told {
                Ok(at_once) => assert!(i % 2 == 0 && at_once <= COMPILING_MAX, "{at_once}"),
                Err(refused) => {
                    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
                    assert!(refused.message().parse::<usize>().unwrap() <= COMPILING_MAX);
                }
            }
        }
    }
}
