//! What agents get to see of a definition: the content rules hold for what a server says of its tools, too.

use super::Tool;
use crate::filter::{Content, Place, Rules};
use proctor_model::catalogue::Listed;
use proctor_model::content::Direction;
use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub(super) enum Shown {
    AsItIs,
    /// The members of the list's element, without its name.
    Otherwise(Map<String, Value>),
    Withheld,
}

impl Shown {
    /// A definition is what comes from its server. Nobody can be asked about a list: what a person would have to agree to
    /// is not in it, and neither is what is blocked.
    pub(super) fn of(tool: &Tool, rules: &Rules) -> Self {
        let definition = &tool.entry.definition;
        let Value::Object(mut members) = definition.to_list(definition.name.own()) else {
            return Self::Withheld;
        };
        // It is called by its name.
        members.remove(definition.listed().key());
        let content = Content {
            rules,
            place: Place {
                direction: Direction::Inbound,
                tool: Some((&tool.reference, tool.entry.verb)),
            },
            vault: None,
            roles: None,
        };
        let treated = content.treat_members(&members);
        match (treated.refusal(), treated.altered) {
            (Some(_), _) => Self::Withheld,
            (None, Some(altered)) => Self::Otherwise(altered),
            (None, None) => Self::AsItIs,
        }
    }
}

impl Tool {
    /// Its definition as an element of its list, under the name that the client is to see. `None` if the content rules withhold it.
    #[must_use]
    pub fn listed_as(&self, shown_name: &str) -> Option<Value> {
        let definition = &self.entry.definition;
        match &self.shown {
            Shown::Withheld => None,
            Shown::AsItIs => Some(definition.to_list(shown_name)),
            Shown::Otherwise(members) => {
                let name = match definition.listed() {
                    Listed::Tool | Listed::Prompt => shown_name,
                    Listed::Resource | Listed::Template => definition.name.own(),
                };
                let mut members = members.clone();
                members.insert(definition.listed().key().to_owned(), name.into());
                Some(Value::Object(members))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::world::CompiledTenant;
    use proctor_model::config::TenantConfig;
    use serde_json::{Value, json};

    /// A tenant whose one tool is described so, under these content rules; what its list shows.
    fn listed(description: &str, rules: &Value) -> Option<Value> {
        let definition = json!({
            "name": "send", "description": description,
            "input_schema": { "type": "object", "properties": { "to": { "description": description } } },
        });
        let server = json!({
            "id": "mail", "upstream": { "kind": "mcp-http", "url": "http://127.0.0.1:9/mcp" }, "timeout_ms": 1, "result_bytes_max": 1,
            "tools": [{ "definition": definition }],
        });
        let mut config: TenantConfig = serde_json::from_value(json!({
            "v": 1, "tenant": "acme", "version": 1, "issued_at": "2026-11-23T10:00:00Z", "settings": {}, "agents": [], "key_ids": [], "servers": [server],
            "policies": [], "content": rules,
        }))
        .unwrap();
        for entry in &mut config.servers[0].tools {
            entry.definition_digest = Some(entry.definition.digest());
        }
        let tenant = CompiledTenant::compile(&config).unwrap();
        let tool = tenant.catalogue().tools().next().unwrap();
        tool.listed_as("shown")
    }

    #[test]
    fn what_a_server_says_of_its_tools_is_under_the_content_rules() {
        let plain = listed("sends mail", &json!({})).unwrap();
        assert_eq!(plain["description"], "sends mail");
        let leaky = listed("the key is AKIAQWERTYUIOP234567", &json!({})).unwrap();
        assert_eq!(leaky["description"], "the key is [AWS_KEY]");
        let inside = &leaky["inputSchema"]["properties"]["to"]["description"];
        assert_eq!(inside, "the key is [AWS_KEY]");
        assert_eq!(leaky["name"], "shown");
        for action in ["block", "escalate"] {
            let rule = json!({ "classes": ["email"], "direction": "inbound", "action": action });
            let rules = json!({ "rules": [rule] });
            assert!(listed("ask bob@example.org", &rules).is_none());
            assert!(listed("ask Bob", &rules).is_some());
        }
    }
}
