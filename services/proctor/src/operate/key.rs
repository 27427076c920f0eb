//! `proctor key …`: keys of the admin API.

use super::collection::{Collection, text, texts};
use super::settings::ApiArgs;
use clap::Subcommand;
use serde_json::{Value, json};

static KEYS: Collection = Collection {
    path: "api-keys",
    entries: "api_keys",
    line,
    deleted: "is withdrawn",
};

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
            let key = |made: &Value| text(made, "key").to_owned();
            KEYS.create(&new, key, &api).await
        }
        KeyCommand::List { api } => KEYS.list(&api).await,
        KeyCommand::Delete { id, api } => KEYS.delete(&id, &api).await,
    }
}

fn line(key: &Value) -> String {
    let (id, holder, name) = (text(key, "id"), text(key, "holder"), text(key, "name"));
    format!("{id}\t{}\t{holder}\t{name}", texts(key, "roles"))
}
