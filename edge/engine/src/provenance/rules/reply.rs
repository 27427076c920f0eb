//! What a client replies to a question that its call's server asks: values on their way out like those of the arguments.

use super::{Broken, DEFAULT, Evidence, Origins};
use crate::provenance::plan::{Need, Plan};
use serde_json::{Map, Value};

/// Keys of `_meta` that the protocol itself has; they look like addresses.
const PROTOCOL: &str = "io.modelcontextprotocol/";

impl Evidence<'_> {
    /// Holds a reply against the plan of the call's tool and the action's origins: the members of a filled-in form
    /// (`action` and `content`) as if they were arguments of these names, all other texts for what leads out in them.
    pub(crate) fn check_reply(
        &self,
        plan: &Plan,
        origins: &Origins,
        reply: &Map<String, Value>,
    ) -> Result<(), Broken> {
        let is_form = reply.contains_key("action");
        for (name, value) in reply {
            let mut path = vec![name.as_str()];
            match (name.as_str(), value) {
                ("content", Value::Object(_)) if is_form => {
                    self.filled_in(plan, origins, value, &mut Vec::new())?;
                }
                ("roots", Value::Array(roots)) => {
                    roots.iter().try_for_each(|root| self.root(plan, root))?;
                }
                ("_meta", Value::Object(meta)) => {
                    for (key, value) in meta {
                        if !key.starts_with(PROTOCOL) {
                            self.said(plan, key, &path)?;
                        }
                        self.spoken(plan, value, &mut path)?;
                    }
                }
                _ => {
                    self.said(plan, name, &path)?;
                    self.spoken(plan, value, &mut path)?;
                }
            }
        }
        Ok(())
    }

    /// A form's members, as arguments.
    fn filled_in<'v>(
        &self,
        plan: &Plan,
        origins: &Origins,
        value: &'v Value,
        path: &mut Vec<&'v str>,
    ) -> Result<(), Broken> {
        let covered = |path: &[&str]| {
            plan.rules.iter().any(|rule| rule.at.covers(path))
                || origins.0.iter().any(|(at, _)| at.covers(path))
        };
        match value {
            Value::Array(elements) => {
                path.push("*");
                let judged = elements
                    .iter()
                    .try_for_each(|element| self.filled_in(plan, origins, element, path));
                path.pop();
                judged
            }
            Value::Object(members) => members.iter().try_for_each(|(key, member)| {
                path.push(key);
                let judged = self
                    .said(plan, key, path)
                    .and_then(|()| self.filled_in(plan, origins, member, path));
                path.pop();
                judged
            }),
            scalar if covered(path) => self.scalar(plan, origins, scalar, path),
            Value::String(text) => self.said(plan, text, path),
            _ => Ok(()),
        }
    }

    /// A directory of the client's own is no place outside.
    fn root(&self, plan: &Plan, root: &Value) -> Result<(), Broken> {
        let uri = root.get("uri").and_then(Value::as_str);
        let own = uri.is_some_and(|uri| uri.starts_with("file:///"));
        let Some(members) = root.as_object() else {
            return self.spoken(plan, root, &mut vec!["roots"]);
        };
        for (name, value) in members.iter().filter(|(name, _)| !(own && *name == "uri")) {
            self.said(plan, name, &["roots"])?;
            self.spoken(plan, value, &mut vec!["roots", name])?;
        }
        Ok(())
    }

    fn spoken<'v>(
        &self,
        plan: &Plan,
        value: &'v Value,
        path: &mut Vec<&'v str>,
    ) -> Result<(), Broken> {
        match value {
            Value::Array(elements) => elements
                .iter()
                .try_for_each(|element| self.spoken(plan, element, path)),
            Value::Object(members) => members.iter().try_for_each(|(key, member)| {
                path.push(key);
                let judged = self
                    .said(plan, key, path)
                    .and_then(|()| self.spoken(plan, member, path));
                path.pop();
                judged
            }),
            Value::String(text) => self.said(plan, text, path),
            _ => Ok(()),
        }
    }

    /// What leads out in a text needs an origin; where the tool only reads, the links in it.
    fn said(&self, plan: &Plan, text: &str, path: &[&str]) -> Result<(), Broken> {
        let links_only = matches!(plan.rest, Need::Links | Need::Nothing);
        self.leads(text, links_only, &DEFAULT, path)
    }
}
