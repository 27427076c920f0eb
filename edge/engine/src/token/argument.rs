//! Caveats on arguments: `arg <tool> <pointer> <test>`.

use super::ToolGlob;
use super::caveat::CaveatError;
use crate::limits::{CAVEAT_LIST_MAX, PATTERN_BYTES_MAX};
use proctor_model::ToolRef;
use regex::Regex;
use serde_json::Value;
use std::fmt;

/// A test that an argument has to pass in calls of certain tools.
#[derive(Clone, PartialEq, Debug)]
pub struct ArgCaveat {
    /// The tools it is about (a full name, or a pattern).
    pub tool: ToolGlob,
    /// JSON Pointer (RFC 6901) into the arguments; no spaces.
    pub pointer: String,
    /// The test. An argument that isn't there fails it.
    pub test: ArgTest,
}

/// The test of an [`ArgCaveat`].
#[derive(Clone, Debug)]
pub enum ArgTest {
    /// `= <JSON scalar>`.
    Equals(Value),
    /// `in <JSON array of scalars>`.
    In(Vec<Value>),
    /// `<= <number>`.
    AtMost(serde_json::Number),
    /// `>= <number>`.
    AtLeast(serde_json::Number),
    /// `matches <pattern>`: the string has a match. Linear-time syntax of Rust's `regex`; anchor it with `^` and `$`.
    Matches(Regex),
}

impl PartialEq for ArgTest {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Equals(a), Self::Equals(b)) => a == b,
            (Self::In(a), Self::In(b)) => a == b,
            (Self::AtMost(a), Self::AtMost(b)) | (Self::AtLeast(a), Self::AtLeast(b)) => a == b,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl ArgCaveat {
    /// Reads what follows `arg `.
    pub(super) fn parse(text: &str) -> Result<Self, CaveatError> {
        let mut parts = text.splitn(4, ' ');
        let mut part = || parts.next().ok_or(CaveatError::Syntax("arg"));
        let (tool, pointer, operator, value) = (part()?, part()?, part()?, part()?);
        if !is_pointer(pointer) {
            return Err(CaveatError::Syntax("arg: a JSON Pointer"));
        }
        let json = || {
            let limits = crate::json::Limits::default();
            crate::json::parse(value.as_bytes(), &limits)
                .map_err(|_| CaveatError::Syntax("arg: a JSON value"))
        };
        let number = || match json()? {
            Value::Number(number) => Ok(number),
            _ => Err(CaveatError::Syntax("arg: a number")),
        };
        let test = match operator {
            "=" => ArgTest::Equals(scalar(json()?)?),
            "in" => match json()? {
                Value::Array(values) if (1..=CAVEAT_LIST_MAX).contains(&values.len()) => {
                    ArgTest::In(values.into_iter().map(scalar).collect::<Result<_, _>>()?)
                }
                _ => return Err(CaveatError::Syntax("arg: a JSON array")),
            },
            "<=" => ArgTest::AtMost(number()?),
            ">=" => ArgTest::AtLeast(number()?),
            "matches" => ArgTest::matches(value)?,
            _ => return Err(CaveatError::Syntax("arg: one of = in <= >= matches")),
        };
        Ok(Self {
            tool: ToolGlob::parse(tool).ok_or(CaveatError::Syntax("arg: server/tool"))?,
            pointer: pointer.into(),
            test,
        })
    }

    /// Whether a call of this tool with these arguments passes. Tools it isn't about pass.
    #[must_use]
    pub fn allows(&self, tool: &ToolRef, arguments: &Value) -> bool {
        !self.tool.matches(tool)
            || arguments
                .pointer(&self.pointer)
                .is_some_and(|value| self.test.holds(value))
    }
}

impl ArgTest {
    /// A `matches` test.
    ///
    /// # Errors
    /// If the pattern is no regular expression, or too large when compiled.
    pub fn matches(pattern: &str) -> Result<Self, CaveatError> {
        regex::RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(32)
            .build()
            .map(Self::Matches)
            .map_err(|_| CaveatError::Syntax("arg: a regular expression of bounded size"))
    }

    fn holds(&self, value: &Value) -> bool {
        let number = |value: &Value| value.as_f64();
        match self {
            Self::Equals(expected) => same(value, expected),
            Self::In(expected) => expected.iter().any(|expected| same(value, expected)),
            Self::AtMost(most) => match (number(value), most.as_f64()) {
                (Some(value), Some(most)) => value <= most,
                _ => false,
            },
            Self::AtLeast(least) => match (number(value), least.as_f64()) {
                (Some(value), Some(least)) => value >= least,
                _ => false,
            },
            Self::Matches(pattern) => value.as_str().is_some_and(|text| pattern.is_match(text)),
        }
    }
}

/// Equal as JSON values: 1 and 1.0 are one number. (Both are exact as doubles: see [`crate::json`].)
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn scalar(value: Value) -> Result<Value, CaveatError> {
    if value.is_array() || value.is_object() {
        Err(CaveatError::Syntax("arg: a scalar"))
    } else {
        Ok(value)
    }
}

/// Whether this is a JSON Pointer to a member (not to the whole).
fn is_pointer(text: &str) -> bool {
    text.starts_with('/')
        && text
            .split('~')
            .skip(1)
            .all(|part| part.starts_with(['0', '1']))
}

impl fmt::Display for ArgCaveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.tool, self.pointer, self.test)
    }
}

impl fmt::Display for ArgTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(f, "= {}", ascii(value)),
            Self::In(values) => {
                let values: Vec<_> = values.iter().map(ascii).collect();
                write!(f, "in [{}]", values.join(","))
            }
            Self::AtMost(number) => write!(f, "<= {number}"),
            Self::AtLeast(number) => write!(f, ">= {number}"),
            Self::Matches(pattern) => write!(f, "matches {}", pattern.as_str()),
        }
    }
}

/// JSON with everything beyond printable ASCII escaped.
fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for unit in value.to_string().encode_utf16() {
        match char::from_u32(unit.into()) {
            Some(char) if (' '..='~').contains(&char) => out.push(char),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}
