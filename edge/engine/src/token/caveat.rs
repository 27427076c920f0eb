//! The one grammar of caveats: `key operator value`, printable ASCII, single spaces (contracts.md, section 3).

use super::{ArgCaveat, ToolGlob};
use crate::limits::{CAVEAT_BYTES_MAX, CAVEAT_LIST_MAX};
use proctor_model::catalogue::Verb;
use proctor_model::{AgentId, EdgeId, IntentId, KeyThumbprint, Region, SessionId, Timestamp};
use std::fmt;
use std::str::FromStr;

/// A caveat that is understood **and** enforced.
#[derive(Clone, PartialEq, Debug)]
pub enum Caveat {
    /// `time < …`: the expiry.
    Before(Timestamp),
    /// `time >= …`: the start.
    NotBefore(Timestamp),
    /// `tool in a/b,c/*`.
    ToolIn(Vec<ToolGlob>),
    /// `tool not in */delete_*`.
    ToolNotIn(Vec<ToolGlob>),
    /// `intent = int_…`.
    Intent(IntentId),
    /// `session = …`.
    Session(SessionId),
    /// `agent = …`: must be the agent it was minted for.
    Agent(AgentId),
    /// `delegate = …`: handed on to a sub-agent of this name.
    Delegate(AgentId),
    /// `verb in read,write`.
    VerbIn(Vec<Verb>),
    /// `arg <tool> <pointer> <test>`.
    Arg(ArgCaveat),
    /// `calls <= n`, counted over this token and all that derive from it.
    Calls(u32),
    /// `cost <= n` micro-units, counted over this token and all that derive from it.
    Cost(u64),
    /// `region in eu-west,eu-central`.
    RegionIn(Vec<Region>),
    /// `edge = …`.
    Edge(EdgeId),
    /// `depth <= n`: at most so many `delegate` caveats may follow.
    Depth(u8),
    /// `cnf = <JWK thumbprint>`: each request proves that its sender has this key (RFC 9449).
    Cnf(KeyThumbprint),
}

/// Why a text is no caveat that we take. Holds nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CaveatError {
    /// Not printable ASCII, or too long.
    #[error("a caveat is up to {CAVEAT_BYTES_MAX} bytes of printable ASCII")]
    Text,
    /// No such caveat.
    #[error("no such caveat")]
    Unknown,
    /// The value doesn't fit the key.
    #[error("the value does not fit: {0}")]
    Syntax(&'static str),
}

impl Caveat {
    /// Reads a caveat's bytes.
    ///
    /// # Errors
    /// If it isn't one that is understood and enforced.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CaveatError> {
        let printable = bytes.iter().all(|b| matches!(b, b' '..=b'~'));
        match std::str::from_utf8(bytes) {
            Ok(text) if printable && bytes.len() <= CAVEAT_BYTES_MAX => text.parse(),
            _ => Err(CaveatError::Text),
        }
    }
}

impl FromStr for Caveat {
    type Err = CaveatError;

    fn from_str(text: &str) -> Result<Self, CaveatError> {
        if text.len() > CAVEAT_BYTES_MAX || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(CaveatError::Text);
        }
        let (key, rest) = text.split_once(' ').ok_or(CaveatError::Unknown)?;
        let after = |operator: &str, what| {
            rest.strip_prefix(operator)
                .and_then(|rest| rest.strip_prefix(' '))
                .ok_or(CaveatError::Syntax(what))
        };
        match key {
            "time" => match after("<", "time") {
                Ok(time) => Ok(Self::Before(one(time, "time: an RFC 3339 time")?)),
                Err(_) => Ok(Self::NotBefore(one(
                    after(">=", "time: < or >=")?,
                    "time: an RFC 3339 time",
                )?)),
            },
            "tool" => match after("in", "tool") {
                Ok(globs) => Ok(Self::ToolIn(tools(globs)?)),
                Err(_) => Ok(Self::ToolNotIn(tools(after(
                    "not in",
                    "tool: in or not in",
                )?)?)),
            },
            "intent" => Ok(Self::Intent(one(
                after("=", "intent: =")?,
                "intent: an id",
            )?)),
            "session" => Ok(Self::Session(one(
                after("=", "session: =")?,
                "session: an id",
            )?)),
            "agent" => Ok(Self::Agent(one(after("=", "agent: =")?, "agent: an id")?)),
            "delegate" => Ok(Self::Delegate(one(
                after("=", "delegate: =")?,
                "delegate: a name",
            )?)),
            "verb" => Ok(Self::VerbIn(many(
                after("in", "verb: in")?,
                "verb: a list of verbs",
            )?)),
            "arg" => Ok(Self::Arg(ArgCaveat::parse(rest)?)),
            "calls" => Ok(Self::Calls(count(
                after("<=", "calls: <=")?,
                "calls: a whole number",
            )?)),
            "cost" => Ok(Self::Cost(count(
                after("<=", "cost: <=")?,
                "cost: a whole number of micro-units",
            )?)),
            "region" => Ok(Self::RegionIn(many(
                after("in", "region: in")?,
                "region: a list",
            )?)),
            "edge" => Ok(Self::Edge(one(after("=", "edge: =")?, "edge: an id")?)),
            "depth" => Ok(Self::Depth(count(
                after("<=", "depth: <=")?,
                "depth: up to 255",
            )?)),
            "cnf" => Ok(Self::Cnf(one(
                after("=", "cnf: =")?,
                "cnf: a JWK thumbprint (RFC 7638, SHA-256, base64url)",
            )?)),
            _ => Err(CaveatError::Unknown),
        }
    }
}

fn one<T: FromStr>(text: &str, what: &'static str) -> Result<T, CaveatError> {
    text.parse().map_err(|_| CaveatError::Syntax(what))
}

/// A whole number in its plain form: no sign, no leading zero.
fn count<T: FromStr + fmt::Display>(text: &str, what: &'static str) -> Result<T, CaveatError> {
    let number: T = one(text, what)?;
    if number.to_string() == text {
        Ok(number)
    } else {
        Err(CaveatError::Syntax(what))
    }
}

fn many<T: FromStr>(text: &str, what: &'static str) -> Result<Vec<T>, CaveatError> {
    if text.split(',').count() > CAVEAT_LIST_MAX {
        return Err(CaveatError::Syntax("a list that is not too long"));
    }
    text.split(',').map(|item| one(item, what)).collect()
}

fn tools(text: &str) -> Result<Vec<ToolGlob>, CaveatError> {
    if text.split(',').count() > CAVEAT_LIST_MAX {
        return Err(CaveatError::Syntax("a list that is not too long"));
    }
    text.split(',')
        .map(|item| ToolGlob::parse(item).ok_or(CaveatError::Syntax("tool: server/tool patterns")))
        .collect()
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(time) => write!(f, "time < {time}"),
            Self::NotBefore(time) => write!(f, "time >= {time}"),
            Self::ToolIn(globs) => write!(f, "tool in {}", List(globs)),
            Self::ToolNotIn(globs) => write!(f, "tool not in {}", List(globs)),
            Self::Intent(id) => write!(f, "intent = {id}"),
            Self::Session(id) => write!(f, "session = {id}"),
            Self::Agent(id) => write!(f, "agent = {id}"),
            Self::Delegate(name) => write!(f, "delegate = {name}"),
            Self::VerbIn(verbs) => {
                let names: Vec<_> = verbs.iter().map(|verb| verb.as_str()).collect();
                write!(f, "verb in {}", names.join(","))
            }
            Self::Arg(caveat) => write!(f, "arg {caveat}"),
            Self::Calls(most) => write!(f, "calls <= {most}"),
            Self::Cost(most) => write!(f, "cost <= {most}"),
            Self::RegionIn(regions) => write!(f, "region in {}", List(regions)),
            Self::Edge(id) => write!(f, "edge = {id}"),
            Self::Depth(most) => write!(f, "depth <= {most}"),
            Self::Cnf(key) => write!(f, "cnf = {key}"),
        }
    }
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
