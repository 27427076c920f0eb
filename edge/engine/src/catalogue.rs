//! The tenant's tools, looked up by any of their names; resources and prompts are entries like them. Only approved
//! definitions can be found.

mod shown;
mod template;

use crate::filter::Rules;
use crate::memory::{Direct, Locators, direct_entry, direct_store};
use crate::provenance::Plan;
use crate::schema::{Schema, SchemaError};
use proctor_model::catalogue::{
    CatalogueEntry, LLM_SERVER, Listed, LlmModel, Role, ToolServer, Upstream, Verb,
};
use proctor_model::{EntryKind, Reason, ServerId, StoreId, ToolName, ToolRef};
use serde_json::Value;
use shown::Shown;
use std::collections::BTreeMap;
use template::Template;

/// A tool as a client names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToolQuery {
    /// By the endpoint's server and the tool's own name.
    On(ServerId, String),
    /// Over all servers: `server__tool`, `server/tool`, or the bare name where only one server has it.
    Any(String),
}

/// An approved tool.
#[derive(Debug)]
pub struct Tool {
    reference: ToolRef,
    entry: CatalogueEntry,
    result_bytes_max: u32,
    timeout_ms: u32,
    input: Schema,
    output: Option<Schema>,
    template: Option<Template>,
    pub(crate) plan: Plan,
    /// Where its memory items are.
    pub(crate) memory: Locators,
    /// What it does, and in which store, if the edge itself answers it.
    direct: Option<(Direct, StoreId)>,
    pub(crate) policy_view: regorus::Value,
    shown: Shown,
}

impl Tool {
    /// Its full name.
    #[must_use]
    pub fn reference(&self) -> &ToolRef {
        &self.reference
    }

    /// Its catalogue entry.
    #[must_use]
    pub fn entry(&self) -> &CatalogueEntry {
        &self.entry
    }

    /// What it does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.entry.verb
    }

    /// Pointers to the arguments with a role.
    pub fn arguments_with(&self, role: Role) -> impl Iterator<Item = &str> {
        let roles = self.entry.roles.iter();
        roles
            .filter(move |(_, has)| **has == role)
            .map(|(pointer, _)| pointer.as_str())
    }

    /// What makes it a model of an LLM provider, if it is one.
    #[must_use]
    pub fn model(&self) -> Option<&LlmModel> {
        let of_providers = self.reference.server.as_str() == LLM_SERVER;
        self.entry.llm.as_ref().filter(|_| of_providers)
    }

    /// Time limit of one call, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u32 {
        self.timeout_ms
    }

    /// The store that it reads or writes, if it is a memory tool: that of its server, all tools share it.
    #[must_use]
    pub fn store(&self) -> StoreId {
        match &self.direct {
            Some((_, store)) => store.clone(),
            None => StoreId::from(&self.reference.server),
        }
    }

    /// What it does, if there is no server and the edge itself answers it.
    #[must_use]
    pub fn direct(&self) -> Option<Direct> {
        self.direct.as_ref().map(|(direct, _)| *direct)
    }

    /// Largest answer that its server may give, in bytes.
    #[must_use]
    pub fn result_bytes_max(&self) -> u32 {
        self.result_bytes_max
    }

    /// Its name on the endpoint over all servers: `server__tool`; of a prompt likewise, of a resource its own URI.
    #[must_use]
    pub fn joined_name(&self) -> String {
        let own = self.reference.name.own();
        match self.reference.name.kind() {
            EntryKind::Resource => own.to_owned(),
            EntryKind::Tool | EntryKind::Prompt => format!("{}__{own}", self.reference.server),
        }
    }

    /// What a call with these arguments is about: the tool; of a template, the one resource that is asked for. `None` if
    /// the arguments ask for a resource that this entry does not stand for.
    #[must_use]
    pub fn meant(&self, arguments: &Value) -> Option<ToolRef> {
        if self.reference.name.kind() != EntryKind::Resource {
            return Some(self.reference.clone());
        }
        let uri = arguments.get("uri").and_then(Value::as_str)?;
        let covered = match &self.template {
            Some(template) => template.covers(uri),
            None => uri == self.reference.name.own(),
        };
        let name = format!("{}{uri}", EntryKind::Resource.prefix());
        Some(ToolRef {
            server: self.reference.server.clone(),
            name: name.parse().ok().filter(|_| covered)?,
        })
    }

    /// The compiled input schema.
    #[must_use]
    pub fn input(&self) -> &Schema {
        &self.input
    }

    /// The compiled schema of its structured answers, if it declares one.
    #[must_use]
    pub fn output(&self) -> Option<&Schema> {
        self.output.as_ref()
    }
}

/// Why a tool of the catalogue can't be called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Held {
    /// Never approved.
    NotApproved,
    /// Its definition isn't the approved one (any more).
    Changed,
    /// The schema of its arguments or of its answers can't be compiled. Of an answer that can't be looked at nothing could be passed
    /// on, so that nothing is called.
    Schema(SchemaError),
    /// Its URI template is none that can be compared with a URI.
    Template,
}

/// A tenant's tools.
#[derive(Debug, Default)]
pub struct Catalogue {
    tools: BTreeMap<ToolRef, Result<Tool, Held>>,
    by_name: BTreeMap<ToolName, Vec<ToolRef>>,
}

impl Catalogue {
    /// Compiles the catalogues of all servers.
    #[must_use]
    pub fn compile(servers: &[ToolServer]) -> Self {
        let mut catalogue = Self::default();
        for server in servers {
            if let Upstream::Memory { stores } = &server.upstream {
                catalogue.add_stores(server, stores);
                continue;
            }
            for entry in &server.tools {
                let reference = ToolRef {
                    server: server.id.clone(),
                    name: entry.definition.name.clone(),
                };
                catalogue
                    .by_name
                    .entry(reference.name.clone())
                    .or_default()
                    .push(reference.clone());
                let tool = compile(&reference, entry, server);
                catalogue.tools.insert(reference, tool);
            }
        }
        catalogue
    }

    /// The same, with its definitions shown as the content rules have it.
    #[must_use]
    pub(crate) fn shown_under(mut self, rules: &Rules) -> Self {
        for tool in self.tools.values_mut().flatten() {
            tool.shown = Shown::of(tool, rules);
        }
        self
    }

    /// The tools of stores that are not proxied.
    fn add_stores(&mut self, server: &ToolServer, stores: &[ServerId]) {
        for name in stores {
            for direct in Direct::ALL {
                let entry = direct_entry(name, direct);
                let (Some(entry), Some(store)) = (entry, direct_store(name)) else {
                    continue;
                };
                let reference = ToolRef {
                    server: server.id.clone(),
                    name: entry.definition.name.clone(),
                };
                let tool = compile(&reference, &entry, server);
                let tool = tool.map(|tool| Tool {
                    direct: Some((direct, store)),
                    ..tool
                });
                self.tools.insert(reference, tool);
            }
        }
    }

    /// The tool that a client means.
    ///
    /// # Errors
    /// The tool's full name, if it is known but held back; [`Reason::UnknownTool`], [`Reason::AmbiguousTool`].
    pub fn find(&self, query: &ToolQuery) -> Result<&Tool, NotFound> {
        let reference = match self.resolve(query) {
            Err(Reason::UnknownTool) => return self.find_template(query),
            resolved => resolved.map_err(NotFound::Reason)?,
        };
        match self.tools.get_key_value(&reference) {
            Some((_, Ok(tool))) => Ok(tool),
            Some((reference, Err(held))) => Err(NotFound::Held(reference.clone(), held.clone())),
            None => self.find_template(query),
        }
    }

    /// The one template that covers a resource that is not listed by itself.
    fn find_template(&self, query: &ToolQuery) -> Result<&Tool, NotFound> {
        let (server, name) = match query {
            ToolQuery::On(server, name) => (Some(server.clone()), name.parse().ok()),
            ToolQuery::Any(text) => match text.parse::<ToolName>() {
                Ok(name) if name.kind() == EntryKind::Resource => (None, Some(name)),
                _ => match text.parse::<ToolRef>() {
                    Ok(reference) => (Some(reference.server), Some(reference.name)),
                    Err(_) => (None, None),
                },
            },
        };
        let uri = name
            .as_ref()
            .filter(|name| name.kind() == EntryKind::Resource);
        let uri = uri.ok_or(NotFound::Reason(Reason::UnknownTool))?.own();
        let mut found = self.tools().filter(|tool| {
            let here = server
                .as_ref()
                .is_none_or(|server| *server == tool.reference.server);
            here && tool
                .template
                .as_ref()
                .is_some_and(|template| template.covers(uri))
        });
        match (found.next(), found.next()) {
            (Some(tool), None) => Ok(tool),
            (Some(_), Some(_)) => Err(NotFound::Reason(Reason::AmbiguousTool)),
            (None, _) => Err(NotFound::Reason(Reason::UnknownResource)),
        }
    }

    fn resolve(&self, query: &ToolQuery) -> Result<ToolRef, Reason> {
        let text = match query {
            ToolQuery::On(server, name) => {
                return Ok(ToolRef {
                    server: server.clone(),
                    name: name.parse().map_err(|_| Reason::UnknownTool)?,
                });
            }
            ToolQuery::Any(text) => text,
        };
        let prefix = match text.strip_prefix(EntryKind::Prompt.prefix()) {
            Some(_) => EntryKind::Prompt.prefix(),
            None => "",
        };
        let own = text.get(prefix.len()..).unwrap_or_default();
        let joined = own.match_indices("__").filter_map(|(at, _)| {
            let name = own.get(at.checked_add(2)?..)?;
            Some(ToolRef {
                server: own.get(..at)?.parse().ok()?,
                name: format!("{prefix}{name}").parse().ok()?,
            })
        });
        let bare = text.parse::<ToolName>().ok();
        let bare = bare.and_then(|name| self.by_name.get(&name));
        // All readings of the name; more than one tool under it is a refusal, never a guess.
        let mut found: Vec<ToolRef> = joined
            .chain(text.parse().ok())
            .filter(|reference| self.tools.contains_key(reference))
            .chain(bare.into_iter().flatten().cloned())
            .collect();
        found.sort();
        found.dedup();
        match (found.pop(), found.is_empty()) {
            (Some(reference), true) => Ok(reference),
            (Some(_), false) => Err(Reason::AmbiguousTool),
            (None, _) => Err(Reason::UnknownTool),
        }
    }

    /// The tool of this full name, if it can be called.
    #[must_use]
    pub fn get(&self, reference: &ToolRef) -> Option<&Tool> {
        self.tools.get(reference)?.as_ref().ok()
    }

    /// All tools that can be called, by full name.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values().filter_map(|tool| tool.as_ref().ok())
    }

    /// All tools that are held back, with the reason: for operators.
    pub fn problems(&self) -> impl Iterator<Item = (&ToolRef, &Held)> {
        self.tools
            .iter()
            .filter_map(|(reference, tool)| Some((reference, tool.as_ref().err()?)))
    }
}

/// Why a query finds no tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotFound {
    /// Unknown or ambiguous.
    Reason(Reason),
    /// In the catalogue, but held back.
    Held(ToolRef, Held),
}

fn compile(reference: &ToolRef, entry: &CatalogueEntry, server: &ToolServer) -> Result<Tool, Held> {
    if entry.definition_digest.is_none() {
        return Err(Held::NotApproved);
    }
    if !entry.is_approved() {
        return Err(Held::Changed);
    }
    let output = entry.definition.output_schema.as_ref().map(Schema::compile);
    Ok(Tool {
        reference: reference.clone(),
        entry: entry.clone(),
        result_bytes_max: server.result_bytes_max,
        timeout_ms: server.timeout_ms,
        input: Schema::compile(&entry.definition.input_schema).map_err(Held::Schema)?,
        output: output.transpose().map_err(Held::Schema)?,
        template: match entry.definition.listed() {
            Listed::Template => {
                Some(Template::compile(reference.name.own()).ok_or(Held::Template)?)
            }
            Listed::Tool | Listed::Resource | Listed::Prompt => None,
        },
        plan: Plan::of(entry),
        memory: Locators::of(entry),
        direct: None,
        policy_view: crate::policy::tool_view(reference, entry),
        shown: Shown::AsItIs,
    })
}
