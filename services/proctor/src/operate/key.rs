//! `proctor key …`: keys of the admin API.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an API key of the tenant: prints the key, which is shown once
    ///
    /// Example: proctor key create --name alice --role approver --holder alice@acme.example
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do; may be repeated
        #[arg(long = "role", required = true)]
        roles: Vec<String>,
        /// The person who holds it, by user id: nobody decides with another key on a call that they asked for or that is made for them
        #[arg(long)]
        holder: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List the tenant's API keys, without the keys
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Withdraw an API key of the tenant; it stops working within a minute
    Delete {
        /// Its id
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create {
            name,
            roles,
            holder,
            api,
        } => {
            let mut new = json!({ "name": name, "roles": roles });
            if let (Some(holder), Some(members)) = (holder, new.as_object_mut()) {
                members.insert("holder".to_owned(), holder.into());
            }
            let made = Api::from_args(&api)?
                .tenant(Method::POST, "api-keys", Some(&new))
                .await?;
            if api.json {
                return print_json(&made);
            }
            println!("{}", text(&made, "key"));
        }
        KeyCommand::List { api } => {
            let listed = Api::from_args(&api)?
                .tenant(Method::GET, "api-keys?limit=500", None)
                .await?;
            if api.json {
                return print_json(&listed);
            }
            let keys = listed.get("api_keys").and_then(Value::as_array);
            for key in keys.into_iter().flatten() {
                println!("{}", line(key));
            }
        }
        KeyCommand::Delete { id, api } => {
            Api::from_args(&api)?
                .tenant(Method::DELETE, &format!("api-keys/{id}"), None)
                .await?;
            println!("{id} is withdrawn");
        }
    }
    Ok(())
}

fn line(key: &Value) -> String {
    let roles = key.get("roles").and_then(Value::as_array);
    let roles: Vec<_> = roles
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (id, holder, name) = (text(key, "id"), text(key, "holder"), text(key, "name"));
    format!("{id}\t{}\t{holder}\t{name}", roles.join(","))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
