//! Resources, resource templates and prompts as entries of the catalogue: pinned, granted and decided on like tools.

use super::{DefinitionError, ToolDefinition};
use crate::ids::{EntryKind, ToolName};
use serde_json::{Map, Value, json};

/// Which list a definition comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Listed {
    /// `tools/list`.
    Tool,
    /// `resources/list`.
    Resource,
    /// `resources/templates/list`.
    Template,
    /// `prompts/list`.
    Prompt,
}

impl Listed {
    /// All lists, in the order in which a server is asked for them.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Resource, Self::Template, Self::Prompt];

    /// The method that lists them.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/list",
            Self::Resource => "resources/list",
            Self::Template => "resources/templates/list",
            Self::Prompt => "prompts/list",
        }
    }

    /// The member of the list's result that holds them; also the member of
    /// [`ToolDefinition::other`] that holds what only this kind has.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
            Self::Prompt => "prompts",
        }
    }

    /// The member that names one of them.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    fn kind(self) -> EntryKind {
        match self {
            Self::Tool => EntryKind::Tool,
            Self::Resource | Self::Template => EntryKind::Resource,
            Self::Prompt => EntryKind::Prompt,
        }
    }
}

impl ToolDefinition {
    /// From one element of a list (MCP spelling).
    ///
    /// # Errors
    /// If it has no name of the right form, or is not of the list's shape.
    pub fn from_list(listed: Listed, element: &Value) -> Result<Self, DefinitionError> {
        if listed == Listed::Tool {
            return Self::from_mcp(element);
        }
        let mut members = element.as_object().cloned().ok_or(DefinitionError::Shape)?;
        let named = members.remove(listed.key());
        let named = named
            .as_ref()
            .and_then(Value::as_str)
            .ok_or(DefinitionError::Shape)?;
        let template = named.contains('{');
        // One that is the other would be read by another rule than it was approved by.
        if matches!(
            (listed, template),
            (Listed::Resource, true) | (Listed::Template, false)
        ) {
            return Err(DefinitionError::Shape);
        }
        let name: ToolName = format!("{}{named}", listed.kind().prefix()).parse()?;
        let mut text = |key: &str| match members.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(DefinitionError::Shape),
        };
        let (title, description) = (text("title")?, text("description")?);
        let mut annotations = members
            .remove("annotations")
            .filter(|value| !value.is_null());
        // What says something about the content of the moment is no part of the definition.
        if let Some(Value::Object(annotations)) = &mut annotations {
            annotations.remove("lastModified");
        }
        members.remove("size");
        let input_schema = match listed {
            Listed::Tool | Listed::Prompt => prompt_schema(members.get("arguments")),
            Listed::Resource => uri_schema(&json!({ "const": named })),
            Listed::Template => uri_schema(&json!({ "type": "string" })),
        };
        Ok(Self {
            name,
            title,
            description,
            input_schema,
            output_schema: None,
            annotations,
            other: Map::from_iter([(listed.member().to_owned(), Value::Object(members))]),
        })
    }

    /// Which list it belongs into.
    #[must_use]
    pub fn listed(&self) -> Listed {
        match self.name.kind() {
            EntryKind::Tool => Listed::Tool,
            EntryKind::Prompt => Listed::Prompt,
            EntryKind::Resource if self.name.own().contains('{') => Listed::Template,
            EntryKind::Resource => Listed::Resource,
        }
    }

    /// As one element of its list, under the name that the client is to see; a resource has its own URI everywhere.
    #[must_use]
    pub fn to_list(&self, shown_name: &str) -> Value {
        let listed = self.listed();
        if listed == Listed::Tool {
            return self.to_mcp(shown_name);
        }
        let mut element = match self.other.get(listed.member()) {
            Some(Value::Object(members)) => members.clone(),
            _ => Map::new(),
        };
        let mut put = |key: &str, value: Option<Value>| {
            element.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("title", self.title.clone().map(Value::from));
        put("description", self.description.clone().map(Value::from));
        put("annotations", self.annotations.clone());
        let named = if listed == Listed::Prompt {
            shown_name
        } else {
            self.name.own()
        };
        put(listed.key(), Some(named.into()));
        Value::Object(element)
    }
}

fn uri_schema(uri: &Value) -> Value {
    json!({ "type": "object", "properties": { "uri": uri }, "required": ["uri"], "additionalProperties": false })
}

/// A prompt's arguments are texts.
fn prompt_schema(arguments: Option<&Value>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for argument in arguments.and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = argument.get("name").and_then(Value::as_str) else {
            continue;
        };
        properties.insert(name.to_owned(), json!({ "type": "string" }));
        if argument.get("required") == Some(&Value::Bool(true)) {
            required.push(name);
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_pinned_and_shown_again() {
        let resource = json!({
            "uri": "docs://a", "name": "a", "title": "A", "description": "d", "mimeType": "text/plain",
            "annotations": { "priority": 1 },
        });
        let prompt = json!({
            "name": "review", "description": "d", "icons": [],
            "arguments": [{ "name": "code", "required": true }, { "name": "style", "description": "s" }],
        });
        let template = json!({ "uriTemplate": "docs://{id}", "name": "t" });
        for (listed, element, name) in [
            (Listed::Resource, &resource, "resource:docs://a"),
            (Listed::Template, &template, "resource:docs://{id}"),
            (Listed::Prompt, &prompt, "prompt:review"),
        ] {
            let definition = ToolDefinition::from_list(listed, element).unwrap();
            assert_eq!(definition.name.as_str(), name);
            assert_eq!(definition.listed(), listed);
            assert_eq!(definition.to_list(definition.name.own()), *element);
            let again = serde_json::from_value::<ToolDefinition>(
                serde_json::to_value(&definition).unwrap(),
            );
            assert_eq!(again.unwrap().digest(), definition.digest());
        }
        let schema = ToolDefinition::from_list(Listed::Prompt, &prompt)
            .unwrap()
            .input_schema;
        assert_eq!(schema["required"], json!(["code"]));
    }

    #[test]
    fn each_word_is_pinned_and_the_content_of_the_moment_is_not() {
        let digest = |element: Value| {
            ToolDefinition::from_list(Listed::Resource, &element)
                .unwrap()
                .digest()
        };
        let plain = digest(json!({ "uri": "docs://a", "name": "a" }));
        assert_ne!(plain, digest(json!({ "uri": "docs://a", "name": "b" })));
        assert_ne!(
            plain,
            digest(json!({ "uri": "docs://a", "name": "a", "description": "x" }))
        );
        assert_eq!(
            plain,
            digest(json!({ "uri": "docs://a", "name": "a", "size": 3 }))
        );
    }

    #[test]
    fn one_kind_does_not_pass_for_another() {
        for (listed, element) in [
            (
                Listed::Tool,
                json!({ "name": "prompt:x", "inputSchema": {} }),
            ),
            (
                Listed::Resource,
                json!({ "uri": "docs://{id}", "name": "x" }),
            ),
            (
                Listed::Template,
                json!({ "uriTemplate": "docs://a", "name": "x" }),
            ),
            (
                Listed::Resource,
                json!({ "uri": "docs://a b", "name": "x" }),
            ),
        ] {
            assert!(
                ToolDefinition::from_list(listed, &element).is_err(),
                "{element}"
            );
        }
    }
}
