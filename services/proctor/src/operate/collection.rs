//! A list of the tenant whose members are made, listed and deleted by their names: what `key`, `issuer` and `secret` have in
//! common.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use reqwest::Method;
use serde_json::Value;

/// Such a list.
pub(super) struct Collection {
    /// Where it is, below the tenant.
    pub(super) path: &'static str,
    /// The member of a listing that has its entries.
    pub(super) entries: &'static str,
    /// An entry on a line.
    pub(super) line: fn(&Value) -> String,
    /// What an entry is once it was deleted.
    pub(super) deleted: &'static str,
}

impl Collection {
    /// Makes an entry that gets its name from the API; `say`: what is printed of the answer.
    pub(super) async fn create(
        &self,
        body: &Value,
        say: impl FnOnce(&Value) -> String,
        api: &ApiArgs,
    ) -> anyhow::Result<()> {
        write(Method::POST, self.path, body, say, api).await
    }

    /// Makes or replaces an entry; `say`: what is printed of the answer.
    pub(super) async fn put(
        &self,
        name: &str,
        body: &Value,
        say: impl FnOnce(&Value) -> String,
        api: &ApiArgs,
    ) -> anyhow::Result<()> {
        write(Method::PUT, &self.entry(name), body, say, api).await
    }

    /// Prints the entries, one a line.
    pub(super) async fn list(&self, api: &ApiArgs) -> anyhow::Result<()> {
        let path = format!("{}?limit=500", self.path);
        let listed = Api::from_args(api)?
            .tenant(Method::GET, &path, None)
            .await?;
        if api.json {
            return print_json(&listed);
        }
        let entries = listed.get(self.entries).and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            println!("{}", (self.line)(entry));
        }
        Ok(())
    }

    /// Prints an entry as it is stored.
    pub(super) async fn show(&self, name: &str, api: &ApiArgs) -> anyhow::Result<()> {
        let stored = Api::from_args(api)?
            .tenant(Method::GET, &self.entry(name), None)
            .await?;
        print_json(&stored)
    }

    /// Deletes an entry.
    pub(super) async fn delete(&self, name: &str, api: &ApiArgs) -> anyhow::Result<()> {
        Api::from_args(api)?
            .tenant(Method::DELETE, &self.entry(name), None)
            .await?;
        println!("{name} {}", self.deleted);
        Ok(())
    }

    fn entry(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

async fn write(
    method: Method,
    path: &str,
    body: &Value,
    say: impl FnOnce(&Value) -> String,
    api: &ApiArgs,
) -> anyhow::Result<()> {
    let written = Api::from_args(api)?
        .tenant(method, path, Some(body))
        .await?;
    if api.json {
        return print_json(&written);
    }
    println!("{}", say(&written));
    Ok(())
}

/// A member that is a text; empty where it is absent.
pub(super) fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A member that is a list of texts, with commas between them.
pub(super) fn texts(entry: &Value, member: &str) -> String {
    let texts = entry.get(member).and_then(Value::as_array);
    let texts: Vec<_> = texts
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    texts.join(",")
}
