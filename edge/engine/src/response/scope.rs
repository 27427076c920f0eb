//! Rows of the tenant only: the fields of a result that say whose record it is (`tenant_scope` of the catalogue).
//!
//! A row without the field is nobody's, and so not the tenant's; a document with rows in which none of the fields can be
//! found is one that the operator did not describe, and is not believed.

use super::count;
use super::documents::{Place, each_document};
use crate::catalogue::Tool;
use crate::respond::Channel;
use proctor_model::TenantId;
use proctor_model::catalogue::{OnMismatch, TenantScope};
use serde_json::{Map, Value};

/// A row, or the answer as a whole, is not the tenant's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Foreign;

/// Drops the rows of others, as far as the catalogue wants that; gives how many.
pub(crate) fn hold_to_tenant(
    tool: &Tool,
    tenant: &TenantId,
    channel: Channel,
    body: &mut Map<String, Value>,
) -> Result<u64, Foreign> {
    let Some(scope) = &tool.entry().tenant_scope else {
        return Ok(0);
    };
    let (mut dropped, mut foreign, mut known) = (0_u64, false, false);
    let rows = tool.entry().rows.as_deref();
    let seen = each_document(channel, body, &mut |document, place| {
        let sweep = Sweep::new(scope, tenant);
        let (sweep, described) = match place {
            Place::Mark => return false,
            // A record that says twice whose it is may be another's. Of all else the last of a name is looked at below, and
            // the others are nobody's.
            Place::Readings => {
                foreign |= any_says(document, scope, tenant);
                dropped = dropped.saturating_add(1);
                return true;
            }
            // If it does not say whose it is, the list of all may.
            Place::Part => (sweep.over(document), true),
            // It may say that it is another's. That it is ours says nothing of the answer beside it.
            Place::Aside => {
                let sweep = sweep.over(document);
                let found = false;
                (Sweep { found, ..sweep }, true)
            }
            Place::Several if all_say(document, scope, tenant) => return false,
            Place::Document | Place::Several => sweep.over(document).described(),
            Place::Envelope | Place::Table => (sweep, false),
        };
        known |= sweep.found;
        foreign |= sweep.foreign || (!described && count(document, rows) > 0);
        dropped = dropped.saturating_add(sweep.dropped);
        sweep.dropped > 0
    });
    let failed = channel == Channel::Error || body.get("isError") == Some(&Value::Bool(true));
    if foreign || seen.is_err() || !(known || failed) {
        return Err(Foreign);
    }
    Ok(dropped)
}

/// Whether each of several documents says whose it is. Those that others' rows are dropped from were swept before.
fn all_say(documents: &mut Value, scope: &TenantScope, tenant: &TenantId) -> bool {
    documents.as_array_mut().is_some_and(|documents| {
        let mut documents = documents.iter_mut();
        documents.all(|document| Sweep::new(scope, tenant).over(document).found)
    })
}

/// Whether any of several values says whose it is.
fn any_says(values: &mut Value, scope: &TenantScope, tenant: &TenantId) -> bool {
    values.as_array_mut().is_some_and(|values| {
        let mut values = values.iter_mut();
        values.any(|value| Sweep::new(scope, tenant).over(value).found)
    })
}

/// Whether an argument names the tenant and nobody else.
pub(crate) fn names_tenant(tool: &Tool, tenant: &TenantId, argument: &Value) -> bool {
    let ours = |name: &str| match &tool.entry().tenant_scope {
        Some(scope) => scope.names(tenant, name),
        None => name == tenant.as_str(),
    };
    match argument {
        Value::Null => true,
        Value::String(name) => ours(name),
        Value::Number(number) => ours(&number.to_string()),
        Value::Array(names) => names.iter().all(|name| names_tenant(tool, tenant, name)),
        Value::Bool(_) | Value::Object(_) => false,
    }
}

/// One document.
struct Sweep<'a> {
    scope: &'a TenantScope,
    tenant: &'a TenantId,
    dropped: u64,
    foreign: bool,
    /// Whether a pointer led anywhere, if only to a list without rows.
    found: bool,
}

/// Where a field that is missing was looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// In a document, which may be of another kind than the pointer means.
    Document,
    /// In a row, which is then nobody's.
    Row,
}

impl<'a> Sweep<'a> {
    fn new(scope: &'a TenantScope, tenant: &'a TenantId) -> Self {
        Self {
            scope,
            tenant,
            dropped: 0,
            foreign: false,
            found: false,
        }
    }

    /// Looks for all fields of a document.
    fn over(mut self, document: &mut Value) -> Self {
        for field in &self.scope.fields {
            self.field(document, field);
        }
        self
    }

    /// With whether the operator has described what was looked at.
    fn described(self) -> (Self, bool) {
        let found = self.found;
        (self, found)
    }

    fn field(&mut self, document: &mut Value, pointer: &str) {
        if !self.keep(document, pointer, Level::Document) {
            self.foreign = true;
        }
    }

    /// Whether the value may stay: what the pointer leads to below it is the tenant's. A list drops what may not.
    fn keep(&mut self, value: &mut Value, pointer: &str, level: Level) -> bool {
        let Some(rest) = pointer.strip_prefix('/') else {
            self.found = true;
            return self.is_ours(value);
        };
        let (step, rest) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        match value {
            Value::Array(rows) if step == "*" => {
                self.found = true;
                self.keep_rows(rows, rest)
            }
            Value::Object(members) => {
                match members.get_mut(&step.replace("~1", "/").replace("~0", "~")) {
                    Some(member) => self.keep(member, rest, level),
                    None => level == Level::Document,
                }
            }
            _ => level == Level::Document,
        }
    }

    fn keep_rows(&mut self, rows: &mut Vec<Value>, rest: &str) -> bool {
        let before = rows.len();
        let drop = self.scope.on_mismatch == OnMismatch::Drop;
        let mut all = true;
        rows.retain_mut(|row| {
            let ours = self.keep(row, rest, Level::Row);
            all &= ours;
            ours || !drop
        });
        let gone = before.saturating_sub(rows.len());
        let gone = u64::try_from(gone).unwrap_or(u64::MAX);
        self.dropped = self.dropped.saturating_add(gone);
        all || drop
    }

    fn is_ours(&self, value: &Value) -> bool {
        match value {
            Value::String(name) => self.scope.names(self.tenant, name),
            Value::Number(number) => self.scope.names(self.tenant, &number.to_string()),
            _ => false,
        }
    }
}
