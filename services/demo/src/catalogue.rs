//! The operator's labels for the demo tools, the demo's intent and its token.

use crate::server::listed_tools;
use crate::tools::Service;
use proctor_model::catalogue::{
    CatalogueEntry, DefinitionError, Role, ToolDefinition, ToolServer, Trust, Upstream, Verb,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The demo's agent.
pub const AGENT: &str = "finance-copilot";
/// The run of the agent that the demo shows.
pub const SESSION: &str = "demo-session";

/// A demo server as its operator registers it: definitions approved as they are.
///
/// # Errors
/// If a definition is not one of MCP's.
pub fn tool_server(service: Service, url: String) -> Result<ToolServer, DefinitionError> {
    let entry = |tool: &Value| {
        let definition = ToolDefinition::from_mcp(tool)?;
        let (verb, output) = labels(definition.name.as_str());
        let roles = roles(definition.name.as_str());
        Ok(CatalogueEntry {
            definition_digest: Some(definition.digest()),
            approved_by: Some("demo".to_owned()),
            definition,
            verb,
            output,
            output_fields: BTreeMap::new(),
            tenant_scope: None,
            consequential: None,
            roles,
            reflects: false,
            memory: None,
            memory_items: Vec::new(),
            memory_rule: None,
            rows: None,
            http: None,
            llm: None,
            meters: BTreeMap::new(),
            labels: Vec::new(),
        })
    };
    Ok(ToolServer {
        id: service.id().parse()?,
        upstream: Upstream::McpHttp {
            url,
            auth: None,
            tls: None,
            private_addresses: Some(true),
        },
        timeout_ms: 10_000,
        result_bytes_max: 1024 * 1024,
        tools: listed_tools(service)
            .iter()
            .map(entry)
            .collect::<Result<_, DefinitionError>>()?,
        updated_at: None,
    })
}

fn labels(tool: &str) -> (Verb, Trust) {
    match tool {
        "get_balance" | "list_transactions" => (Verb::Read, Trust::Trusted),
        "read_inbox" | "list_files" | "read_file" => (Verb::Read, Trust::Untrusted),
        "send_money" => (Verb::Financial, Trust::Trusted),
        "send_mail" => (Verb::Outbound, Trust::Untrusted),
        "delete_mail" => (Verb::Destructive, Trust::Untrusted),
        _ => (Verb::Write, Trust::Untrusted),
    }
}

/// What the arguments are for: with it goes where their values may come from.
fn roles(tool: &str) -> BTreeMap<String, Role> {
    let roles: &[(&str, Role)] = match tool {
        "send_money" => &[
            ("/recipient", Role::Target),
            ("/amount", Role::Amount),
            ("/subject", Role::Content),
        ],
        "send_mail" => &[
            ("/to", Role::Target),
            ("/subject", Role::Content),
            ("/body", Role::Content),
        ],
        "delete_mail" => &[("/id", Role::Target)],
        "write_file" => &[("/path", Role::Target), ("/content", Role::Content)],
        _ => &[],
    };
    let owned = |(pointer, role): &(&str, Role)| ((*pointer).to_owned(), *role);
    roles.iter().map(owned).collect()
}

/// What the user of the demo asked for, as the application declares it.
#[must_use]
pub fn intent() -> Value {
    json!({
        "agent": AGENT, "user": "alice@acme.example", "session": SESSION,
        "goal": "Pay the car rental bill from December",
        "actions": [
            { "tool": "mail/read_inbox", "max_calls": 2 },
            { "tool": "bank/get_balance", "max_calls": 5 },
            { "tool": "files/read_file",
              "args": { "properties": { "path": { "const": "bill-december-2023.txt" } } }, "max_calls": 2 },
            { "tool": "bank/send_money",
              "args": { "properties": { "amount": { "maximum": 100 },
                                        "recipient": { "pattern": "^DE[0-9]{20}$" } } },
              "origins": { "/recipient": ["goal", "trusted", "file:bill-december-2023.txt"],
                           "/amount": ["goal", "trusted", "file:bill-december-2023.txt"] }, "max_calls": 1 },
            { "tool": "mail/delete_mail", "origins": { "/id": ["tool:mail/read_inbox"] }, "max_calls": 1 }
        ],
        "expires_in_s": 3600
    })
}

/// The caveats of the demo agent's token, but for its intent and expiry.
#[must_use]
pub fn caveats() -> Vec<String> {
    vec![
        "tool in bank/*,mail/*,files/read_file,files/list_files".to_owned(),
        format!("session = {SESSION}"),
    ]
}
