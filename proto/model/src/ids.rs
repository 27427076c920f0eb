//! The one registry of ids. Each is a checked string (or UUID), parsed once at the door.

use crate::limits::{ID_BYTES_MAX, TOOL_NAME_BYTES_MAX, URI_BYTES_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// Why a text is no id of the kind that was asked for. Holds the kind, never the text.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {kind}: {rule}")]
pub struct IdError {
    /// What was expected, as users call it (`tenant id`).
    pub kind: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str = "1 to 63 of a-z 0-9 - _, beginning with a letter or digit";

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'a'..=b'z' | b'0'..=b'9'))
        && bytes.len() <= ID_BYTES_MAX
        && bytes
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

const LABEL_RULE: &str = "1 to 128 of A-Z a-z 0-9 - _ . : @ +";

fn is_label(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:@+".contains(&b))
}

fn is_tool_name(text: &str) -> bool {
    (1..=TOOL_NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { kind: $kind, rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A customer. `_platform` is reserved for the operators' own chain.
    TenantId, "tenant id", NAME_RULE, |text| text == TenantId::PLATFORM || is_name(text)
);
text_id!(
    /// An agent, as its tenant registered it.
    AgentId, "agent id", NAME_RULE, is_name
);
text_id!(
    /// A tool server of a tenant. Has no `__`, which separates server and tool in joined names.
    ServerId, "tool server id", "1 to 63 of a-z 0-9 - _, beginning with a letter or digit, without '__'",
    |text| is_name(text) && !text.contains("__")
);
text_id!(
    /// A name within its server, as the server spells it: of a tool; of a prompt, `prompt:` and its name; of a resource,
    /// `resource:` and its URI or URI template. No tool's name has a colon, so the three can't be taken for each other.
    ToolName, "tool name", "1 to 128 of A-Z a-z 0-9 _ - . /, or 'prompt:' and a name, or 'resource:' and a URI",
    |text| match text.split_once(':') {
        None => is_tool_name(text),
        Some(("prompt" | "resource", rest)) => {
            (1..=URI_BYTES_MAX).contains(&rest.len())
                // A comma separates the entries of a token's list.
                && rest.bytes().all(|b| b.is_ascii_graphic() && b != b',')
        }
        Some(_) => false,
    }
);
text_id!(
    /// An enrolled edge (`edge_…`), or `control` for the control plane's own audit lane.
    EdgeId, "edge id", NAME_RULE, is_name
);
text_id!(
    /// A declared intent (`int_…`).
    IntentId, "intent id", LABEL_RULE, |text| text.starts_with("int_") && is_label(text)
);
text_id!(
    /// A call that waits, or waited, for a person (`apr_…`).
    ApprovalId, "approval id", LABEL_RULE, |text| text.starts_with("apr_") && is_label(text)
);
text_id!(
    /// A policy of a tenant.
    PolicyId, "policy id", NAME_RULE, is_name
);
text_id!(
    /// An identity provider whose tokens a tenant takes.
    IssuerId, "id of a trusted issuer", NAME_RULE, is_name
);
text_id!(
    /// Thumbprint of a public key (RFC 7638 with SHA-256), base64url: what a `cnf` caveat names.
    KeyThumbprint, "JWK thumbprint", "43 of A-Z a-z 0-9 - _ (SHA-256, base64url without padding)",
    |text| text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);
text_id!(
    /// A credential of a tenant for its upstreams.
    SecretName, "name of a secret", NAME_RULE, is_name
);
text_id!(
    /// The id of a token key (of one tenant) or of a signing key.
    KeyId, "key id", LABEL_RULE, is_label
);
text_id!(
    /// One run of an agent for one user, named by the application back end.
    SessionId, "session id", LABEL_RULE, is_label
);
text_id!(
    /// The user on whose behalf an agent acts.
    UserId, "user id", LABEL_RULE, is_label
);
text_id!(
    /// A store of memory items: a tool server's id, or `memory/<name>` for one that is not proxied.
    StoreId, "memory store", "a tool server's id, or memory/ and a name of the same form",
    |text| is_name(text.strip_prefix(StoreId::DIRECT).unwrap_or(text))
);
text_id!(
    /// A region label of an edge (`eu-west`).
    Region, "region", NAME_RULE, is_name
);
text_id!(
    /// A revocation id: SHA-256("proctor-revocation-v1" ‖ tag) of a token prefix, 64 lower-case hex digits.
    /// The revocation id of the last prefix names the token itself.
    RevocationId, "revocation id", "64 lower-case hex digits",
    |text| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);
text_id!(
    /// The name of an installation, the origin of its audit checkpoints (`proctor.example.com`).
    DeploymentId, "deployment id", "1 to 128 of a-z 0-9 . -",
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
);

/// What a catalogue entry is to its server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKind {
    /// A tool: `tools/call`.
    Tool,
    /// A resource, or a template for many: `resources/read`.
    Resource,
    /// A prompt: `prompts/get`.
    Prompt,
}

impl EntryKind {
    /// What a name of this kind begins with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Tool => "",
            Self::Resource => "resource:",
            Self::Prompt => "prompt:",
        }
    }
}

impl ToolName {
    /// What it names.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self.0.split_once(':') {
            Some(("resource", _)) => EntryKind::Resource,
            Some(_) => EntryKind::Prompt,
            None => EntryKind::Tool,
        }
    }

    /// The name as its server spells it: the tool's or the prompt's name, the resource's URI or URI template.
    #[must_use]
    pub fn own(&self) -> &str {
        self.0.strip_prefix(self.kind().prefix()).unwrap_or(&self.0)
    }
}

impl StoreId {
    /// What stands before the name of a store that is not proxied.
    pub const DIRECT: &'static str = "memory/";
}

impl From<&ServerId> for StoreId {
    fn from(server: &ServerId) -> Self {
        Self(Arc::clone(&server.0))
    }
}

impl TenantId {
    const PLATFORM: &'static str = "_platform";

    /// The reserved tenant whose chain holds the operators' own events.
    #[must_use]
    pub fn platform() -> Self {
        Self(Self::PLATFORM.into())
    }

    /// Whether this is the reserved platform chain.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        &*self.0 == Self::PLATFORM
    }
}

impl EdgeId {
    /// The control plane's own audit lane.
    #[must_use]
    pub fn control() -> Self {
        Self("control".into())
    }

    /// The ledger's own lane on each tenant's chain: what it found wrong, and in the platform's chain the tenants' seals.
    #[must_use]
    pub fn ledger() -> Self {
        Self(Self::LEDGER.into())
    }

    /// Name of the ledger's own lane.
    pub const LEDGER: &'static str = "ledger";
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl $name {
            /// The id as a UUID.
            #[must_use]
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError { kind: stringify!($name), rule: "a UUID" })
            }
        }
    };
}

uuid_id!(
    /// One decision about one call (UUIDv7).
    DecisionId
);
uuid_id!(
    /// One audit event (UUIDv7).
    EventId
);

/// A tool by its full name, `server/tool`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ToolRef {
    /// The tool server.
    pub server: ServerId,
    /// The tool within it.
    pub name: ToolName,
}

impl fmt::Display for ToolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.name)
    }
}

impl FromStr for ToolRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (server, name) = text.split_once('/').ok_or(IdError {
            kind: "tool",
            rule: "server/tool",
        })?;
        Ok(Self {
            server: server.parse()?,
            name: name.parse()?,
        })
    }
}

impl Serialize for ToolRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ToolRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_to_their_alphabet() {
        assert!("acme".parse::<TenantId>().is_ok());
        assert!("_platform".parse::<TenantId>().unwrap().is_platform());
        for bad in [
            "",
            "_x",
            "Acme",
            "a b",
            "a.b",
            "a/b",
            "a>",
            "*",
            "é",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("a__b".parse::<ServerId>().is_err());
        assert_eq!(
            "bank/send_money".parse::<ToolRef>().unwrap().to_string(),
            "bank/send_money"
        );
        assert!("bank".parse::<ToolRef>().is_err());
    }

    #[test]
    fn tools_resources_and_prompts_are_told_apart() {
        for (text, kind, own) in [
            ("read_file", EntryKind::Tool, "read_file"),
            ("prompt:review", EntryKind::Prompt, "review"),
            ("resource:file:///a b", EntryKind::Resource, ""),
            (
                "resource:docs://x/{id}",
                EntryKind::Resource,
                "docs://x/{id}",
            ),
        ] {
            match text.parse::<ToolName>() {
                Ok(name) => assert_eq!((name.kind(), name.own()), (kind, own), "{text}"),
                Err(_) => assert!(own.is_empty(), "{text}"),
            }
        }
        for bad in [
            "resource:",
            "prompt:",
            "tool:x",
            "a:b",
            "resource:a,b",
            "resource:\u{e9}",
        ] {
            assert!(bad.parse::<ToolName>().is_err(), "{bad}");
        }
        let read = "docs/resource:docs://a/b".parse::<ToolRef>().unwrap();
        assert_eq!(
            (read.server.as_str(), read.name.own()),
            ("docs", "docs://a/b")
        );
    }
}
