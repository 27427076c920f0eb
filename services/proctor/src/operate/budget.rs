//! `proctor budget …`: limits, what is spent, leases, adjustments.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::Context;
use clap::{Args, Subcommand};
use proctor_model::budget::{AccountKey, LimitRule, Limits, Meter, Scope, Window};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Which account
#[derive(Args)]
pub(crate) struct AccountArgs {
    /// tenant, agent or session
    #[arg(long)]
    scope: Scope,
    /// Which agent or session ('*': each of them, in limits)
    #[arg(long, default_value = "")]
    id: String,
    /// calls, tokens or cost (micro-units)
    #[arg(long)]
    meter: Meter,
    /// lifetime, minute, hour, day, month or rolling:<seconds>
    #[arg(long)]
    window: Window,
}

#[derive(Subcommand)]
pub(crate) enum BudgetCommand {
    /// Set one ceiling
    ///
    /// Example: proctor budget set --scope agent --id '*' --meter calls --window day --limit 1000
    Set {
        #[command(flatten)]
        account: AccountArgs,
        /// Most units; 0 refuses everything
        #[arg(long)]
        limit: u64,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Remove one ceiling
    Unset {
        #[command(flatten)]
        account: AccountArgs,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show the ceilings
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show the prices, or replace them by a JSON file
    Prices {
        /// The file
        file: Option<PathBuf>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show what is spent
    Usage {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show the leases that edges hold
    Leases {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Charge (positive) or credit (negative) an account
    Adjust {
        #[command(flatten)]
        account: AccountArgs,
        /// Added to what is spent
        #[arg(long, allow_hyphen_values = true)]
        units: i64,
        /// Why, for the books
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Close a lease whose edge will not come back
    WriteOff {
        /// The lease
        lease: u64,
        /// What was spent of it [default: all]
        #[arg(long)]
        spent: Option<u64>,
        /// Why, for the books
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: BudgetCommand) -> anyhow::Result<()> {
    match command {
        BudgetCommand::Set {
            account,
            limit,
            api,
        } => change(&api, account, Some(limit)).await,
        BudgetCommand::Unset { account, api } => change(&api, account, None).await,
        BudgetCommand::List { api } => list(&api).await,
        BudgetCommand::Prices { file, api } => prices(&api, file).await,
        BudgetCommand::Usage { api } => usage(&api).await,
        BudgetCommand::Leases { api } => leases(&api).await,
        BudgetCommand::Adjust {
            account,
            units,
            reason,
            api,
        } => {
            let AccountArgs {
                scope,
                id,
                meter,
                window,
            } = account;
            let account = AccountKey {
                scope,
                id,
                meter,
                window,
            };
            let body = json!({ "account": account, "units": units, "reason": reason });
            print_json(
                &Api::from_args(&api)?
                    .tenant(Method::POST, "budgets/adjustments", Some(&body))
                    .await?,
            )
        }
        BudgetCommand::WriteOff {
            lease,
            spent,
            reason,
            api,
        } => {
            let spent: Vec<u64> = spent.into_iter().collect();
            let body = json!({ "spent": spent, "reason": reason });
            let path = format!("budgets/leases/{lease}/write-off");
            print_json(
                &Api::from_args(&api)?
                    .tenant(Method::POST, &path, Some(&body))
                    .await?,
            )
        }
    }
}

async fn limits(api: &Api) -> anyhow::Result<Limits> {
    let limits = api.tenant(Method::GET, "budgets/limits", None).await?;
    serde_json::from_value(limits).context("the limits in the answer")
}

async fn change(args: &ApiArgs, account: AccountArgs, limit: Option<u64>) -> anyhow::Result<()> {
    let api = Api::from_args(args)?;
    let mut limits = limits(&api).await?;
    let AccountArgs {
        scope,
        id,
        meter,
        window,
    } = account;
    limits.rules.retain(|rule| {
        (rule.scope, &rule.id, rule.meter, rule.window) != (scope, &id, meter, window)
    });
    limits.rules.extend(limit.map(|limit| LimitRule {
        scope,
        id,
        meter,
        window,
        limit,
    }));
    let body = serde_json::to_value(&limits)?;
    let put = api
        .tenant(Method::PUT, "budgets/limits", Some(&body))
        .await?;
    if args.json {
        return print_json(&put);
    }
    show(&limits);
    Ok(())
}

fn show(limits: &Limits) {
    for rule in &limits.rules {
        let LimitRule {
            scope,
            id,
            meter,
            window,
            limit,
        } = rule;
        println!("{scope:8} {id:32} {meter:7} {window:16} {limit:>16}");
    }
}

async fn list(args: &ApiArgs) -> anyhow::Result<()> {
    let limits = limits(&Api::from_args(args)?).await?;
    if args.json {
        return print_json(&serde_json::to_value(&limits)?);
    }
    show(&limits);
    Ok(())
}

async fn prices(args: &ApiArgs, file: Option<PathBuf>) -> anyhow::Result<()> {
    let api = Api::from_args(args)?;
    let prices = match file {
        None => api.tenant(Method::GET, "budgets/prices", None).await?,
        Some(file) => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("reading {}", file.display()))?;
            let body: Value = serde_json::from_str(&text)
                .with_context(|| format!("{} is not JSON", file.display()))?;
            api.tenant(Method::PUT, "budgets/prices", Some(&body))
                .await?
        }
    };
    print_json(&prices)
}

/// All pages of a list.
async fn all(api: &Api, path: &str, member: &str) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let mut page = api
            .tenant(
                Method::GET,
                &format!("budgets/{path}?limit=500{after}"),
                None,
            )
            .await?;
        if let Some(Value::Array(listed)) = page.get_mut(member) {
            all.append(listed);
        }
        match page.get("next") {
            Some(Value::String(next)) => after = format!("&after={next}"),
            Some(Value::Number(next)) => after = format!("&after={next}"),
            _ => return Ok(all),
        }
    }
}

fn text(value: &Value, member: &str) -> String {
    match value.get(member) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

async fn usage(args: &ApiArgs) -> anyhow::Result<()> {
    let accounts = all(&Api::from_args(args)?, "usage", "accounts").await?;
    if args.json {
        return print_json(&Value::Array(accounts));
    }
    println!(
        "{:8} {:32} {:7} {:16} {:>16} {:>16} {:>16}",
        "scope", "id", "meter", "window", "spent", "leased", "limit"
    );
    for account in &accounts {
        let [scope, id, meter, window, spent, leased, limit] =
            ["scope", "id", "meter", "window", "spent", "leased", "limit"]
                .map(|member| text(account, member));
        println!("{scope:8} {id:32} {meter:7} {window:16} {spent:>16} {leased:>16} {limit:>16}");
    }
    Ok(())
}

async fn leases(args: &ApiArgs) -> anyhow::Result<()> {
    let leases = all(&Api::from_args(args)?, "leases", "leases").await?;
    if args.json {
        return print_json(&Value::Array(leases));
    }
    for lease in &leases {
        let accounts = lease.get("accounts").and_then(Value::as_array);
        for account in accounts.into_iter().flatten() {
            let [id, edge, until] =
                ["lease", "edge", "expires_at"].map(|member| text(lease, member));
            let [scope, name, meter, window, granted, spent] =
                ["scope", "id", "meter", "window", "granted", "spent"]
                    .map(|member| text(account, member));
            println!(
                "{id:>8} {edge:20} until {until}: {scope} {name} {meter} {window}: {spent} of {granted} spent"
            );
        }
    }
    Ok(())
}
