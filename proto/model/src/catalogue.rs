//! Tool servers and the catalogue of their tools (contracts.md, section 5).

mod auth;
mod child;
mod http;
mod listed;
mod llm;

pub use auth::{UpstreamAuth, UpstreamTls};
pub use child::ChildLimits;
pub use http::{
    ACCEPT_MAX, BODY_ARGUMENT, BindingError, HttpBinding, HttpBody, HttpMethod, HttpParameter,
    ListForm, METHOD_FIELDS, ParameterPlace, is_free_header, is_json_kind, is_media_range,
    is_method_field,
};
pub use listed::Listed;
pub use llm::{LLM_SERVER, LlmDialect, LlmModel, LlmProvider, llm_tool_name};

use crate::budget::Meter;
use crate::ids::{EntryKind, ServerId, ToolName};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a tool does, as the tenant's operator labelled it. Never taken from the tool's name.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Reads.
    Read,
    /// Changes something. The default for a tool without a label.
    #[default]
    Write,
    /// Deletes or overwrites without a way back.
    Destructive,
    /// Moves money or makes obligations.
    Financial,
    /// Sends data out of the tenant.
    Outbound,
    /// Runs code or commands.
    Execute,
}

impl Verb {
    /// Name as in the catalogue, in token caveats and in policy input.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Financial => "financial",
            Self::Outbound => "outbound",
            Self::Execute => "execute",
        }
    }
}

impl std::str::FromStr for Verb {
    type Err = crate::ids::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::Read,
            Self::Write,
            Self::Destructive,
            Self::Financial,
            Self::Outbound,
            Self::Execute,
        ]
        .into_iter()
        .find(|verb| verb.as_str() == text)
        .ok_or(crate::ids::IdError {
            kind: "verb",
            rule: "one of read, write, destructive, financial, outbound, execute",
        })
    }
}

/// Whether values in a tool's results may be believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// A system of record.
    Trusted,
    /// Anything that outsiders can write to. The default.
    #[default]
    Untrusted,
}

/// What an argument is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's own words")]
pub enum Role {
    Target,
    Command,
    Credential,
    Selector,
    Amount,
    Currency,
    RowLimit,
    Content,
    Tenant,
    MemoryKey,
    Control,
}

/// How a tool deals with memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum MemoryUse {
    Read,
    Write,
}

/// What a write does to the facts that an item had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum MemoryChange {
    /// They are replaced by those of the write. The default.
    #[default]
    Set,
    /// Those of the write are added.
    Add,
    /// Those of the write are taken away.
    Remove,
    /// All are taken away.
    Clear,
}

impl MemoryChange {
    /// Name as in the catalogue and in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Clear => "clear",
        }
    }
}

/// Where the content of memory came from when it was written. A record's trust never grows.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum MemoryTrust {
    /// It stood in untrusted content, or the agent wrote it in its own words after it had read some.
    #[default]
    Untrusted,
    /// The agent's own words, in a session that had read nothing untrusted.
    Agent,
    /// Every value of it stood in the goal, in a trusted result or in verified memory.
    Verified,
}

impl MemoryTrust {
    /// Name as in settings, records and policy input.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Agent => "agent",
            Self::Verified => "verified",
        }
    }
}

/// What becomes of memory that does not stand as it was signed, or is below the trust that is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum MemoryAction {
    /// It is left out of the answer. The default.
    #[default]
    Drop,
    /// It is passed on, with a label, as untrusted content.
    Label,
    /// The whole answer is withheld.
    Refuse,
}

/// How memory that is read is judged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryRule {
    /// What becomes of what does not pass.
    pub action: MemoryAction,
    /// The least trust that passes.
    pub trust: MemoryTrust,
}

impl MemoryRule {
    /// Whether it is the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which side of a call a locator is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallSide {
    /// The arguments.
    Arguments,
    /// The result.
    Result,
}

/// Where the items of a memory tool are, in its arguments (`memory: write`) or in its result (`memory: read`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryItems {
    /// What kind of item it is (`entity`): one word for all tools of the store.
    pub kind: String,
    /// JSON Pointer of each item; `*` is any one step; empty: the whole.
    #[serde(default)]
    pub at: String,
    /// Pointers, from the item, of the parts of its key, in one order for all tools of the store; empty: the item itself.
    /// `args:` before a pointer: in the arguments, also where the item is in the result.
    pub key: Vec<String>,
    /// Pointers, from the item, of its facts, by a name that is the same for all tools of the store; `*` is any one
    /// step, each value is a fact of its own. Absent: all of the item but its key is one fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<BTreeMap<String, String>>,
    /// What a write does to the facts that were there.
    #[serde(default)]
    pub change: MemoryChange,
    /// Which side it is for, if the tool writes and its result shows items as well. Absent: by the tool's use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<CallSide>,
}

/// A tool's definition: everything of it that a model or a client reads.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolDefinition {
    /// The tool's name, as its server spells it.
    pub name: ToolName,
    /// Title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Description for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments.
    pub input_schema: Value,
    /// JSON Schema of `structuredContent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// The server's own claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    /// All other members of the definition (`icons`, `_meta`, `execution`, …), pinned as well.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub other: serde_json::Map<String, Value>,
}

impl ToolDefinition {
    /// From one element of a `tools/list` result (MCP spelling).
    ///
    /// # Errors
    /// If it has no name of the right form, or `inputSchema` is missing or no object.
    pub fn from_mcp(tool: &Value) -> Result<Self, DefinitionError> {
        let mut members = tool.as_object().cloned().ok_or(DefinitionError::Shape)?;
        let mut text = |key: &str| match members.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(DefinitionError::Shape),
        };
        let name: ToolName = text("name")?.ok_or(DefinitionError::Shape)?.parse()?;
        if name.kind() != EntryKind::Tool {
            return Err(DefinitionError::Shape);
        }
        let title = text("title")?;
        let description = text("description")?;
        let input_schema = members
            .remove("inputSchema")
            .filter(Value::is_object)
            .ok_or(DefinitionError::Shape)?;
        let output_schema = members
            .remove("outputSchema")
            .filter(|value| !value.is_null());
        let annotations = members
            .remove("annotations")
            .filter(|value| !value.is_null());
        Ok(Self {
            name,
            title,
            description,
            input_schema,
            output_schema,
            annotations,
            other: members,
        })
    }

    /// As one element of a `tools/list` result, under the name the client is to see.
    #[must_use]
    pub fn to_mcp(&self, shown_name: &str) -> Value {
        let mut tool = serde_json::Map::new();
        tool.insert("name".into(), shown_name.into());
        if let Some(title) = &self.title {
            tool.insert("title".into(), title.as_str().into());
        }
        if let Some(description) = &self.description {
            tool.insert("description".into(), description.as_str().into());
        }
        tool.insert("inputSchema".into(), self.input_schema.clone());
        if let Some(schema) = &self.output_schema {
            tool.insert("outputSchema".into(), schema.clone());
        }
        if let Some(annotations) = &self.annotations {
            tool.insert("annotations".into(), annotations.clone());
        }
        tool.extend(self.other.clone());
        Value::Object(tool)
    }

    /// SHA-256 over the canonical JSON (RFC 8785) of the definition, as `sha256:` and hex digits: what is pinned.
    #[must_use]
    pub fn digest(&self) -> String {
        crate::audit::digest_of(&self.to_mcp(self.name.as_str()))
    }
}

/// A `tools/list` element that is no tool definition.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// A member is missing or has the wrong type.
    #[error("a tool definition needs a name and an object inputSchema")]
    Shape,
    /// The name is outside MCP's alphabet.
    #[error(transparent)]
    Name(#[from] crate::ids::IdError),
}

/// One tool of a server, with the operator's labels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// The definition that was approved.
    pub definition: ToolDefinition,
    /// `definition.digest()` at approval. An entry without it is known but held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_digest: Option<String>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// What it does.
    #[serde(default)]
    pub verb: Verb,
    /// Whether its results may be believed.
    #[serde(default)]
    pub output: Trust,
    /// Fields of the result (JSON Pointers into `structuredContent` or JSON text, `*` for any one step) that are
    /// trusted otherwise than the whole: a transaction's amount is the bank's, its subject line the sender's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_fields: BTreeMap<String, Trust>,
    /// Arguments (JSON Pointers) whose value decides what happens to whom. Absent: every string argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequential: Option<Vec<String>>,
    /// Roles of arguments, by JSON Pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
    /// Whether the result echoes arguments.
    #[serde(default)]
    pub reflects: bool,
    /// Whether it reads or writes memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryUse>,
    /// Where its items are. Absent, with `memory: write`: the objects that hold an argument of role `memory_key`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory_items: Vec<MemoryItems>,
    /// How what it reads is judged, if not as the tenant's setting says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_rule: Option<MemoryRule>,
    /// JSON Pointer, in the result, of the array whose elements count as rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// Whose records a result may have. Absent: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_scope: Option<TenantScope>,
    /// The request that it makes, of a server of kind `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpBinding>,
    /// What makes it a model, of the server `llm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm: Option<LlmModel>,
    /// Where its result says what it used (JSON Pointers into `structuredContent` or JSON text), by meter: `tokens`,
    /// `cost` in micro-units.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meters: BTreeMap<Meter, String>,
    /// Free labels, visible to policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl CatalogueEntry {
    /// A definition that nobody has approved or labelled yet: `write`, `untrusted`, every text consequential.
    #[must_use]
    pub fn unlabelled(definition: ToolDefinition) -> Self {
        Self {
            definition,
            definition_digest: None,
            approved_by: None,
            verb: Verb::default(),
            output: Trust::default(),
            output_fields: BTreeMap::new(),
            consequential: None,
            roles: BTreeMap::new(),
            reflects: false,
            memory: None,
            memory_items: Vec::new(),
            memory_rule: None,
            rows: None,
            tenant_scope: None,
            http: None,
            llm: None,
            meters: BTreeMap::new(),
            labels: Vec::new(),
        }
    }

    /// Whether the operator approved exactly this definition.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.definition_digest.as_deref() == Some(self.definition.digest().as_str())
    }
}

/// What is done with a row of another tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnMismatch {
    /// The answer is withheld.
    #[default]
    Withhold,
    /// The row is left out.
    Drop,
}

/// Which values belong to the tenant: in fields of the result, and in arguments with the role `tenant`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantScope {
    /// Fields of the result (JSON Pointers into `structuredContent` or JSON text, `*` for each element of a list) that say
    /// whose record it is. An answer in which none can be found is withheld.
    pub fields: Vec<String>,
    /// The names that the tool server has for the tenant. None: the tenant's id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What is done with a row of another tenant.
    #[serde(default)]
    pub on_mismatch: OnMismatch,
}

impl TenantScope {
    /// Whether this is a name of the tenant.
    #[must_use]
    pub fn names(&self, tenant: &crate::TenantId, name: &str) -> bool {
        if self.values.is_empty() {
            return name == tenant.as_str();
        }
        self.values.iter().any(|value| value == name)
    }
}

/// How the edge reaches a tool server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Upstream {
    /// MCP over streamable HTTP.
    McpHttp {
        /// The endpoint (`http://127.0.0.1:3001/mcp`). No user information, no fragment.
        url: String,
        /// The credential that goes with each request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auth: Option<UpstreamAuth>,
        /// TLS settings of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<UpstreamTls>,
        /// Whether its address may be in the edge's own network. Who does not say is held to what their key may choose:
        /// control fills it in. A document without it, from before there was such a member, may not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private_addresses: Option<bool>,
    },
    /// A plain HTTP API: each tool is one request ([`CatalogueEntry::http`]).
    Http {
        /// Its address; the tools' paths stand below it.
        url: String,
        /// The credential that goes with each request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auth: Option<UpstreamAuth>,
        /// TLS settings of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<UpstreamTls>,
        /// Whether its address may be in the edge's own network.
        #[serde(default)]
        private_addresses: bool,
    },
    /// MCP over the standard streams of a child process that the edge supervises.
    McpStdio {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Its environment: this and nothing else, but for `PATH` and `HOME`.
        #[serde(default)]
        env: BTreeMap<String, String>,
        /// What it may use.
        #[serde(default, skip_serializing_if = "ChildLimits::are_usual")]
        limits: ChildLimits,
    },
    /// The tenant's LLM providers: its tools are their models.
    Llm {
        /// By their names in `/v1/llm/{provider}/…` and in `llm/<provider>/<model>`.
        providers: BTreeMap<ServerId, LlmProvider>,
    },
    /// No server: stores whose owner asks the edge to sign and to verify what it keeps itself. For each there are the
    /// tools `<store>/write`, `<store>/verify` and `<store>/lineage`. The server's id has to be `memory`.
    Memory {
        /// Names of the stores.
        stores: Vec<ServerId>,
    },
}

/// A tool server of a tenant, with its catalogue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolServer {
    /// Its id: the part before the slash in `server/tool`.
    pub id: ServerId,
    /// Where it is.
    pub upstream: Upstream,
    /// Time limit of one call, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u32,
    /// Largest answer, in bytes.
    #[serde(default = "default_result_bytes_max")]
    pub result_bytes_max: u32,
    /// Its tools.
    #[serde(default)]
    pub tools: Vec<CatalogueEntry>,
    /// When it was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

impl ToolServer {
    /// A server with the usual limits, and no tools yet.
    #[must_use]
    pub fn new(id: ServerId, upstream: Upstream) -> Self {
        Self {
            id,
            upstream,
            timeout_ms: default_timeout_ms(),
            result_bytes_max: default_result_bytes_max(),
            tools: Vec::new(),
            updated_at: None,
        }
    }
}

fn default_timeout_ms() -> u32 {
    30_000
}

fn default_result_bytes_max() -> u32 {
    4 * 1024 * 1024
}
