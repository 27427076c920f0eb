//! Tasks in the words of each family of revisions: those of 2025-11-25, and the extension of 2026-07-28.

use super::Context;
use crate::enforce::{AskedTask, Caller, ShownTask};
use crate::frontend::error::{self, Dialect};
use crate::tasks::Family;
use crate::upstream::Talk;
use crate::upstream::talk::Answers;
use crate::upstream::task::{self, Payload, Request, Wish};
use axum::response::Response;
use proctor_engine::ToolQuery;
use proctor_model::Reason;
use serde_json::{Map, Value, json};

/// What of a task a method asks for.
pub(super) fn asked_by(family: Family, method: &str) -> Option<Request> {
    let known = match family {
        Family::Legacy => [Request::Get, Request::Result, Request::Cancel],
        Family::Modern => [Request::Get, Request::Update, Request::Cancel],
    };
    known.into_iter().find(|known| known.method() == method)
}

/// How a server is talked to about a task by clients that hear nothing before the answer (2026-07-28).
pub(super) fn silent(caller: &Caller) -> Talk {
    Talk {
        tasks: Wish::Offered { needed: false },
        answers: Answers::InANewRequest,
        ..Talk::silent(&caller.who())
    }
}

/// The `task` member of a call (2025-11-25).
pub(super) fn asked_for(params: &mut Map<String, Value>) -> Result<Option<Wish>, Reason> {
    let mut members = match params.remove("task") {
        None => return Ok(None),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Reason::InvalidParams),
    };
    let ttl_ms = match members.remove("ttl") {
        None => None,
        Some(ttl) => Some(ttl.as_u64().ok_or(Reason::InvalidParams)?),
    };
    match members.is_empty() {
        true => Ok(Some(Wish::Asked { ttl_ms })),
        false => Err(Reason::InvalidParams),
    }
}

/// What is asked of which task, and what the client answers to its questions.
pub(super) struct Read {
    pub(super) id: String,
    pub(super) replies: Option<Map<String, Value>>,
}

pub(super) fn read(request: Request, mut params: Map<String, Value>) -> Result<Read, Reason> {
    if params.remove("_meta").is_some_and(|meta| !meta.is_object()) {
        return Err(Reason::InvalidParams);
    }
    let Some(Value::String(id)) = params.remove("taskId") else {
        return Err(Reason::InvalidParams);
    };
    let replies = match (request, params.remove("inputResponses")) {
        (Request::Update, Some(Value::Object(replies)))
            if replies.values().all(Value::is_object) =>
        {
            Some(replies)
        }
        (Request::Get | Request::Result | Request::Cancel, None) => None,
        _ => return Err(Reason::InvalidParams),
    };
    match params.is_empty() {
        true => Ok(Read { id, replies }),
        false => Err(Reason::InvalidParams),
    }
}

impl Context<'_> {
    /// The request that is to be made of a task.
    pub(super) fn asked_task(
        &self,
        family: Family,
        request: Request,
        read: Read,
        talk: Talk,
    ) -> AskedTask {
        AskedTask {
            id: read.id,
            request,
            family,
            server: self.scope.only_server(),
            replies: read.replies,
            talk,
            trace_id: self.trace_id.clone(),
        }
    }

    /// Whether a call that asks for a task (2025-11-25) may become one. What will be refused anyway is left to the decision.
    pub(super) async fn may_ask(&self, tool: &ToolQuery) -> Result<(), Reason> {
        let gateway = &self.endpoint.gateway;
        // Whether its server has the extension is known once it was asked.
        gateway.know(&self.caller, tool).await;
        match gateway.task_support(&self.caller, tool, Family::Legacy) {
            Some(support) if !support.declared => Err(Reason::TaskUnsupported),
            Some(support) if !support.offered => Err(Reason::Overloaded),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the server may make a task of a call (2026-07-28).
    pub(super) fn offered(&self, capabilities: Option<&Value>, tool: &ToolQuery) -> Wish {
        if !task::declared(capabilities) {
            return Wish::Never;
        }
        let gateway = &self.endpoint.gateway;
        match gateway.task_support(&self.caller, tool, Family::Modern) {
            Some(support) if support.offered => Wish::Offered {
                needed: support.needed,
            },
            Some(_) | None => Wish::Never,
        }
    }

    /// `tasks/list` (2025-11-25): all of them are one page.
    pub(super) async fn list_tasks(&self, id: &Value, params: &Map<String, Value>) -> Response {
        if params.contains_key("cursor") {
            return self.refuse(id, Reason::InvalidParams).await;
        }
        let gateway = &self.endpoint.gateway;
        let server = self.scope.only_server();
        match gateway.tasks_of(&self.caller, Family::Legacy, server.as_ref()) {
            Ok(tasks) => self.result(id, json!({ "tasks": tasks })),
            Err(reason) => self.refuse(id, reason).await,
        }
    }

    /// A request about tasks from a client that does not say that it takes them (2026-07-28).
    pub(super) async fn refuse_undeclared(&self, id: &Value) -> Response {
        let gateway = &self.endpoint.gateway;
        let (reason, trace_id) = (Reason::CapabilityMissing, self.trace_id.clone());
        let refused = gateway.refuse(&self.caller, reason, trace_id).await;
        let required = ("requiredCapabilities", task::capability());
        error::rpc_with(self.dialect, id, &refused, required)
    }
}

/// A task as a result.
pub(super) fn written(dialect: Dialect, task: ShownTask) -> Map<String, Value> {
    let ShownTask {
        id,
        request,
        state,
        said,
        payload,
    } = task;
    if dialect == Dialect::Modern {
        let state = state.map(|state| state.modern(&id));
        return modern(request, state, said, payload);
    }
    let mut state = state.map(|state| state.legacy(&id)).unwrap_or_default();
    if request.is_some() {
        state.extend(said);
        return state;
    }
    let mut result = said;
    state.extend(result.remove("statusMessage").map(named("statusMessage")));
    result.insert("task".into(), state.into());
    result
}

fn modern(
    request: Option<Request>,
    state: Option<Map<String, Value>>,
    mut said: Map<String, Value>,
    payload: Option<Payload>,
) -> Map<String, Value> {
    let kind = match request {
        None => "task",
        Some(_) => "complete",
    };
    said.insert("resultType".into(), kind.into());
    if let Some(Request::Update | Request::Cancel) = request {
        // Heard, and nothing else: what became of it is asked for by `tasks/get`.
        said.remove("statusMessage");
        return said;
    }
    said.extend(state.unwrap_or_default());
    said.extend(payload.map(|payload| match payload {
        Payload::Result(result) => named("result")(result.into()),
        Payload::Error(error) => named("error")(error.into()),
        Payload::Questions(questions) => named("inputRequests")(questions.into()),
    }));
    said
}

fn named(name: &str) -> impl Fn(Value) -> (String, Value) {
    move |value| (name.to_owned(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn each_family_has_its_own_methods() {
        for (method, legacy, modern) in [
            ("tasks/get", true, true),
            ("tasks/cancel", true, true),
            ("tasks/result", true, false),
            ("tasks/update", false, true),
            ("tasks/list", false, false),
            ("tasks/Get", false, false),
        ] {
            assert_eq!(
                asked_by(Family::Legacy, method).is_some(),
                legacy,
                "{method}"
            );
            assert_eq!(
                asked_by(Family::Modern, method).is_some(),
                modern,
                "{method}"
            );
        }
    }

    #[test]
    fn nothing_is_ignored() {
        for (request, bad) in [
            (Request::Get, json!({})),
            (Request::Get, json!({ "taskId": 5 })),
            (Request::Get, json!({ "taskId": "a", "more": 1 })),
            (Request::Get, json!({ "taskId": "a", "inputResponses": {} })),
            (Request::Get, json!({ "taskId": "a", "_meta": 1 })),
            (Request::Update, json!({ "taskId": "a" })),
            (
                Request::Update,
                json!({ "taskId": "a", "inputResponses": { "q": "yes" } }),
            ),
        ] {
            let read = read(request, members(bad.clone()));
            assert_eq!(read.err(), Some(Reason::InvalidParams), "{bad}");
        }
        for bad in [
            json!({ "task": true }),
            json!({ "task": { "ttl": "long" } }),
            json!({ "task": { "ttl": -1 } }),
            json!({ "task": { "more": 1 } }),
        ] {
            assert_eq!(
                asked_for(&mut members(bad.clone())),
                Err(Reason::InvalidParams),
                "{bad}"
            );
        }
        let mut call = members(json!({ "name": "a", "task": { "ttl": 5 } }));
        let asked = Wish::Asked { ttl_ms: Some(5) };
        assert_eq!(asked_for(&mut call), Ok(Some(asked)));
        assert_eq!(Value::Object(call), json!({ "name": "a" }));
    }
}
