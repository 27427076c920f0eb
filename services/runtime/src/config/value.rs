//! Configuration values before they have a type, and how they get one.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::value::{MapAccessDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// A value from the file, or from the environment.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    /// A TOML scalar: has a type, and no other fits.
    Scalar(toml::Value),
    /// From the environment: has whatever type is asked for.
    Text(String),
}

/// Where and what, never the value.
#[derive(Debug)]
pub(super) struct ValueError {
    path: Vec<String>,
    problem: String,
}

impl From<toml::Value> for Node {
    fn from(value: toml::Value) -> Self {
        match value {
            toml::Value::Table(table) => Self::Table(
                table
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect(),
            ),
            toml::Value::Array(list) => Self::List(list.into_iter().map(Into::into).collect()),
            scalar => Self::Scalar(scalar),
        }
    }
}

impl Node {
    /// Puts text at a path, making tables on the way; `false` if something else is in the way.
    pub(super) fn put<'p>(
        &mut self,
        mut path: impl Iterator<Item = &'p str>,
        text: String,
    ) -> bool {
        let Some(key) = path.next() else {
            *self = Self::Text(text);
            return true;
        };
        match self {
            Self::Table(table) => {
                let empty = || Self::Table(BTreeMap::new());
                table
                    .entry(key.to_owned())
                    .or_insert_with(empty)
                    .put(path, text)
            }
            _ => false,
        }
    }

    fn scalar<'de, V: Visitor<'de>>(
        value: toml::Value,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match value {
            toml::Value::Boolean(value) => visitor.visit_bool(value),
            toml::Value::Integer(value) => visitor.visit_i64(value),
            toml::Value::Float(value) => visitor.visit_f64(value),
            other => visitor.visit_string(
                other
                    .as_str()
                    .map_or_else(|| other.to_string(), str::to_owned),
            ),
        }
    }

    /// What text means where a list is wanted.
    fn list_of(text: &str) -> Result<Vec<Self>, ValueError> {
        if text.trim_start().starts_with('[') {
            return match inline(text)? {
                Self::List(list) => Ok(list),
                _ => Err(problem("expected a list")),
            };
        }
        let words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Ok(words.map(|word| Self::Text(word.to_owned())).collect())
    }
}

/// A value in TOML's inline form.
fn inline(text: &str) -> Result<Node, ValueError> {
    let mut table: toml::Table = format!("v = {text}")
        .parse()
        .map_err(|_| problem("not a TOML value"))?;
    table
        .remove("v")
        .map(Node::from)
        .ok_or_else(|| problem("not a TOML value"))
}

fn problem(text: impl fmt::Display) -> ValueError {
    serde::de::Error::custom(text)
}

macro_rules! parsed {
    ($($method:ident $visit:ident $kind:literal,)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self {
                Self::Text(text) => visitor.$visit(text.trim().parse().map_err(|_| problem(concat!("expected ", $kind)))?),
                other => other.deserialize_any(visitor),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Node {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Table(table) => visitor.visit_map(Entries {
                rest: table.into_iter(),
                value: None,
            }),
            Self::List(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter())),
            Self::Scalar(value) => Self::scalar(value, visitor),
            Self::Text(text) => visitor.visit_string(text),
        }
    }

    parsed! {
        deserialize_bool visit_bool "true or false",
        deserialize_i8 visit_i8 "a whole number of 8 bits",
        deserialize_i16 visit_i16 "a whole number of 16 bits",
        deserialize_i32 visit_i32 "a whole number of 32 bits",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_u8 visit_u8 "a whole number from 0 to 255",
        deserialize_u16 visit_u16 "a whole number from 0 to 65535",
        deserialize_u32 visit_u32 "a whole number of 32 bits, not negative",
        deserialize_u64 visit_u64 "a whole number, not negative",
        deserialize_f32 visit_f32 "a number",
        deserialize_f64 visit_f64 "a number",
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Text(text) => Self::List(Self::list_of(&text)?).deserialize_any(visitor),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Text(text) => inline(&text)?.deserialize_any(visitor),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Self::Table(table) => {
                let entries = Entries {
                    rest: table.into_iter(),
                    value: None,
                };
                MapAccessDeserializer::new(entries).deserialize_enum(name, variants, visitor)
            }
            Self::Text(text) | Self::Scalar(toml::Value::String(text)) => {
                let text: StringDeserializer<ValueError> = text.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            _ => Err(problem(format_args!(
                "expected one of {}",
                variants.join(", ")
            ))),
        }
    }

    /// Serde asks for this where the struct has no such field.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ValueError> {
        Err(problem("unknown key"))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

impl IntoDeserializer<'_, ValueError> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Entries of a table; errors in a value get its key in front.
struct Entries {
    rest: std::collections::btree_map::IntoIter<String, Node>,
    value: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((key.clone(), value));
        // A struct with `deny_unknown_fields` refuses the key here, others at its value.
        seed.deserialize(StringDeserializer::<ValueError>::new(key.clone()))
            .map(Some)
            .map_err(|error| {
                if error.problem == UNKNOWN_KEY {
                    error.under(key)
                } else {
                    error
                }
            })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, ValueError> {
        let (key, value) = self
            .value
            .take()
            .ok_or_else(|| problem("a value before its key"))?;
        seed.deserialize(value).map_err(|error| error.under(key))
    }
}

const UNKNOWN_KEY: &str = "unknown key";

impl ValueError {
    fn under(mut self, key: String) -> Self {
        self.path.insert(0, key);
        self
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.join("."))?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ValueError {}

/// Serde's own texts quote the value; these do not.
impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self {
            path: Vec::new(),
            problem: text.to_string(),
        }
    }

    fn invalid_type(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn invalid_value(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn unknown_variant(_found: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("expected one of {}", expected.join(", ")))
    }

    fn unknown_field(_field: &str, _expected: &'static [&'static str]) -> Self {
        Self::custom(UNKNOWN_KEY)
    }
}
