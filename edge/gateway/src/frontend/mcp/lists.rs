//! The lists of a tenant's catalogue: what token and intent allow, by the pinned definitions, in order of full name. A page
//! is filtered as the whole is: a cursor is only the name after which to go on.

use super::known::KnownLists;
use super::{Context, Scope};
use crate::enforce::may_be_shown;
use crate::frontend::error::Dialect;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_engine::{Tool, visible_tools};
use proctor_model::catalogue::Listed;
use proctor_model::{Reason, ToolRef};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Entries of one page.
const PAGE: usize = 250;

/// The list that a method asks for.
pub(super) fn asked_by(method: &str) -> Option<Listed> {
    Listed::ALL
        .into_iter()
        .find(|listed| listed.method() == method)
}

impl Context<'_> {
    /// The result of a list method, or the refusal.
    pub(super) async fn list(
        &self,
        id: &Value,
        listed: Listed,
        params: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Response> {
        self.list_to(None, id, listed, params).await
    }

    /// The same for the client of a session, which is told of what is another from then on.
    pub(super) async fn list_to(
        &self,
        known: Option<&KnownLists>,
        id: &Value,
        listed: Listed,
        params: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Response> {
        let after = match params.get("cursor") {
            None => Ok(None),
            Some(cursor) => read_cursor(cursor).map(Some).ok_or(Reason::InvalidParams),
        };
        let judged = after.and_then(|after| {
            let judged = self.endpoint.gateway.judge(&self.caller, |world, _| {
                let visible = visible_tools(&self.caller.token, world)?;
                // Of the first page: what changes before the last is told.
                let known = known.filter(|_| after.is_none());
                let shown = known.map(|known| (known, digest(&visible, self.scope, listed)));
                Ok::<_, Reason>((page(self, visible, listed, after.as_ref()), shown))
            });
            judged.and_then(|(judged, _)| judged)
        });
        match judged {
            Ok(((elements, next), shown)) => {
                if let Some((known, digest)) = shown {
                    known.shown(&self.caller.token, (listed, digest));
                }
                let mut result = Map::new();
                result.insert(listed.member().into(), elements.into());
                result.extend(next.map(|next| ("nextCursor".to_owned(), next.into())));
                Ok(result)
            }
            Err(reason) => Err(self.refuse(id, reason).await),
        }
    }
}

fn page(
    context: &Context<'_>,
    visible: Vec<&Tool>,
    listed: Listed,
    after: Option<&ToolRef>,
) -> (Vec<Value>, Option<String>) {
    let mut here = visible.into_iter().filter(|tool| {
        is_here(tool, context.scope, listed) && after.is_none_or(|after| tool.reference() > after)
    });
    let page: Vec<&Tool> = here.by_ref().take(PAGE).collect();
    let next = here
        .next()
        .and(page.last())
        .map(|last| cursor(last.reference()));
    let loaded = context.caller.tenant.loaded();
    // Clients of 2025-11-25 look there; those of 2026-07-28 are told by the server of each call.
    let servers = loaded.as_ref().map(|loaded| &loaded.servers);
    let servers = servers.filter(|_| context.dialect == Dialect::Legacy);
    let runs_as_task = |tool: &Tool| servers.is_some_and(|servers| may_be_shown(tool, servers));
    let shown = page.iter().filter_map(|tool| {
        let name = match context.scope {
            Scope::All => tool.joined_name(),
            Scope::One(_) => tool.reference().name.own().to_owned(),
        };
        let mut shown = tool.listed_as(&name)?;
        if runs_as_task(tool)
            && let Some(members) = shown.as_object_mut()
        {
            let execution = members.entry("execution").or_insert_with(|| json!({}));
            if let Some(execution) = execution.as_object_mut() {
                execution.insert("taskSupport".into(), "optional".into());
            }
        }
        Some(shown)
    });
    (shown.collect(), next)
}

fn is_here(tool: &Tool, scope: &Scope, listed: Listed) -> bool {
    let server = match scope {
        Scope::All => true,
        Scope::One(server) => tool.reference().server == *server,
    };
    server && tool.entry().definition.listed() == listed
}

/// A list as a caller gets to see it, by a digest that changes when it does.
pub(super) type Seen = (Listed, [u8; 32]);

/// These lists as this caller gets to see them.
pub(super) fn seen(visible: &[&Tool], scope: &Scope, lists: &[Listed]) -> Vec<Seen> {
    let lists = lists.iter().copied();
    lists
        .map(|listed| (listed, digest(visible, scope, listed)))
        .collect()
}

/// Changes when one of them does.
pub(super) fn together(seen: &[Seen]) -> [u8; 32] {
    let mut all = Sha256::new();
    for (_, digest) in seen {
        all.update(digest);
    }
    all.finalize().into()
}

fn digest(visible: &[&Tool], scope: &Scope, listed: Listed) -> [u8; 32] {
    let mut digest = Sha256::new();
    for tool in visible {
        if is_here(tool, scope, listed) {
            digest.update(tool.reference().to_string());
            digest.update([0]);
            digest.update(
                tool.entry()
                    .definition_digest
                    .as_deref()
                    .unwrap_or_default(),
            );
            digest.update([0]);
        }
    }
    digest.finalize().into()
}

fn cursor(after: &ToolRef) -> String {
    URL_SAFE_NO_PAD.encode(after.to_string())
}

fn read_cursor(cursor: &Value) -> Option<ToolRef> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor.as_str()?).ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}

/// What both eras announce.
pub(super) fn capabilities() -> Value {
    json!({
        "tools": { "listChanged": true },
        "resources": { "subscribe": true, "listChanged": true },
        "prompts": { "listChanged": true },
        "completions": {},
    })
}
