//! The demo: each call of the scripted agent, what was decided, by whom and why; then the chain, verified.

use super::seed::{Seeded, api};
use super::stack::Stack;
use proctor_demo::agent::{Agent, Expect, Step, Verdict, script};
use reqwest::Method;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// How long the ledger may take to have all events.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays the script; says whether every step and the chain were as they should be.
pub(super) async fn demo(stack: &Stack, seeded: &Seeded) -> anyhow::Result<bool> {
    println!(
        "\nAlice asked her finance copilot: \"Pay the car rental bill from December.\"\n\
         Her application declared that as an intent. A mail in her inbox says something else.\n"
    );
    let url = format!("http://{}/v1/mcp", stack.edge.agent_addr);
    let agent = Agent::connect(&url, seeded.token.expose()).await?;
    println!(
        "the agent sees {} tools: {}\n",
        agent.tools().await?.len(),
        agent.tools().await?.join(", ")
    );
    let mut sound = true;
    for step in script() {
        let verdict = agent.call(&step).await?;
        let expected = verdict.is(step.expect);
        sound &= expected;
        print(&step, &verdict, expected);
    }
    agent.close().await;
    sound &= chain(stack).await?;
    println!(
        "{}",
        if sound {
            "\nEvery step was as it should be."
        } else {
            "\nNOT every step was as it should be."
        }
    );
    Ok(sound)
}

fn print(step: &Step, verdict: &Verdict, expected: bool) {
    let took = format!("{:.1} ms", verdict.took.as_secs_f64() * 1000.0);
    println!("  {:<36} {} {}", step.story, step.tool, step.arguments);
    if verdict.control == "allowed" {
        println!("    ALLOWED  {took}");
    } else {
        println!(
            "    REFUSED  by {} ({}) {took}\n             {}",
            verdict.control, verdict.reason, verdict.message
        );
    }
    if !expected {
        let wanted = match step.expect {
            Expect::Allowed => "allowed".to_owned(),
            Expect::Refused(control) => format!("refused by {control}"),
        };
        println!("    UNEXPECTED: it should have been {wanted}");
    }
}

/// Waits until the ledger has closed every call, then verifies the chain.
async fn chain(stack: &Stack) -> anyhow::Result<bool> {
    let api = api(stack)?;
    let started = std::time::Instant::now();
    loop {
        let report = api.tenant(Method::GET, "audit/verify", None).await?;
        let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
        let findings = report
            .get("findings")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let (entries, open) = (number("entries"), number("open_calls"));
        // Two events for each allowed call, one for each refused one.
        let calls = script()
            .iter()
            .map(|step| if step.expect == Expect::Allowed { 2 } else { 1 })
            .sum::<u64>();
        let whole = open == 0 && entries >= calls;
        if whole || findings > 0 || started.elapsed() > PATIENCE {
            let head = report
                .get("head_hash")
                .and_then(Value::as_str)
                .unwrap_or("?");
            let verdict = if findings == 0 { "sound" } else { "NOT SOUND" };
            println!(
                "\naudit chain of acme: {entries} entries, {open} calls open, {verdict}\n  head {head}"
            );
            return Ok(whole && findings == 0);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where everything is, and what to try.
pub(super) fn addresses(stack: &Stack, file: &Path) {
    let proctor = std::env::current_exe()
        .map_or_else(|_| "proctor".to_owned(), |path| path.display().to_string());
    let proctor = match std::env::current_dir() {
        Ok(here) => proctor
            .strip_prefix(&format!("{}/", here.display()))
            .unwrap_or(&proctor)
            .to_owned(),
        Err(_) => proctor,
    };
    println!(
        "\n  agents (MCP)   http://{edge}/v1/mcp\n  agents (HTTP)  http://{edge}/v1/tool-call\n  \
         admin API      http://{api}/openapi.json\n  edge admin     http://{admin}/metrics\n  \
         settings       {file}\n\n\
         In another shell, from this directory:\n  \
         {proctor} call bank/get_balance\n  \
         {proctor} call bank/send_money '{{\"recipient\":\"US133000000121212121212\",\"amount\":50,\"subject\":\"hello\"}}'\n  \
         {proctor} audit verify\n\nCtrl-C stops everything.",
        edge = stack.edge.agent_addr,
        api = stack.api,
        admin = stack.edge.admin_addr,
        file = file.display(),
    );
}
