//! The tenant's tools, looked up by any of their names. Only approved definitions can be found.

use crate::memory::{Direct, Locators, direct_entry, direct_store};
use crate::provenance::Plan;
use crate::schema::{Schema, SchemaError};
use proctor_model::catalogue::{CatalogueEntry, ToolServer, Upstream, Verb};
use proctor_model::{Reason, ServerId, StoreId, ToolName, ToolRef};
use std::collections::BTreeMap;

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
    input: Schema,
    output: Option<Schema>,
    pub(crate) plan: Plan,
    /// Where its memory items are.
    pub(crate) memory: Locators,
    /// What it does, and in which store, if the edge itself answers it.
    direct: Option<(Direct, StoreId)>,
    pub(crate) policy_view: regorus::Value,
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

    /// Its name on the endpoint over all servers: `server__tool`.
    #[must_use]
    pub fn joined_name(&self) -> String {
        format!("{}__{}", self.reference.server, self.reference.name)
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
    /// Its input schema can't be compiled.
    Schema(SchemaError),
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
                let tool = compile(&reference, entry, server.result_bytes_max);
                catalogue.tools.insert(reference, tool);
            }
        }
        catalogue
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
                let tool = compile(&reference, &entry, server.result_bytes_max);
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
        let reference = self.resolve(query).map_err(NotFound::Reason)?;
        match self.tools.get_key_value(&reference) {
            Some((_, Ok(tool))) => Ok(tool),
            Some((reference, Err(held))) => Err(NotFound::Held(reference.clone(), held.clone())),
            None => Err(NotFound::Reason(Reason::UnknownTool)),
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
        let joined = text.match_indices("__").filter_map(|(at, _)| {
            Some(ToolRef {
                server: text.get(..at)?.parse().ok()?,
                name: text.get(at.checked_add(2)?..)?.parse().ok()?,
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

fn compile(
    reference: &ToolRef,
    entry: &CatalogueEntry,
    result_bytes_max: u32,
) -> Result<Tool, Held> {
    if entry.definition_digest.is_none() {
        return Err(Held::NotApproved);
    }
    if !entry.is_approved() {
        return Err(Held::Changed);
    }
    Ok(Tool {
        reference: reference.clone(),
        entry: entry.clone(),
        result_bytes_max,
        input: Schema::compile(&entry.definition.input_schema).map_err(Held::Schema)?,
        output: output(entry).map_err(Held::Schema)?,
        plan: Plan::of(entry),
        memory: Locators::of(entry),
        direct: None,
        policy_view: crate::policy::tool_view(reference, entry),
    })
}

/// One that does not compile holds its tool's answers to nothing less: the schema `false` takes no answer.
fn output(entry: &CatalogueEntry) -> Result<Option<Schema>, SchemaError> {
    let Some(schema) = &entry.definition.output_schema else {
        return Ok(None);
    };
    Schema::compile(schema)
        .or_else(|_| Schema::compile(&serde_json::Value::Bool(false)))
        .map(Some)
}
