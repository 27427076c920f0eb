//! `proctor content …`: the content rules, and what would be found in a file.

use super::api::{Api, print_json};
use super::document::read;
use super::settings::ApiArgs;
use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use proctor_engine::filter::{Content, Place, Rules};
use proctor_model::content::{ContentRules, Direction};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum ContentCommand {
    /// Read, replace and test a tenant's content rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Show what would be found in a file, here and without an installation: positions and classes
    Scan {
        /// The file; `-` for standard input
        file: PathBuf,
        /// Content rules (JSON) with patterns and word lists of one's own
        #[arg(long)]
        rules: Option<PathBuf>,
        /// Show the values as well
        #[arg(long)]
        show: bool,
        /// What is unsure as well
        #[arg(long)]
        all: bool,
        /// Each line is a text of its own; one line of JSON comes out for each: a list of [start, end, class, confidence]
        #[arg(long)]
        lines: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum RulesCommand {
    /// Print the content rules
    Get {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Replace the content rules; edges have them within moments
    Put {
        /// The rules (JSON); `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Go back to the standard rules
    Reset {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show what would be found in a text, and done about it
    Test {
        /// The text; `-` for standard input
        text: String,
        /// Which way it goes
        #[arg(long, value_enum, default_value_t = Way::Outbound)]
        direction: Way,
        /// `server/tool`
        #[arg(long)]
        tool: Option<String>,
        /// The tool's verb
        #[arg(long)]
        verb: Option<String>,
        /// Rules (JSON) that are not put yet
        #[arg(long)]
        rules: Option<PathBuf>,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Way {
    Outbound,
    Inbound,
}

/// Largest file that is scanned or sent, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(crate) async fn run(command: ContentCommand) -> anyhow::Result<()> {
    match command {
        ContentCommand::Rules(command) => rules(command).await,
        ContentCommand::Scan {
            file,
            rules,
            show,
            all,
            lines,
        } => {
            let document = match &rules {
                Some(path) => {
                    serde_json::from_str(&read(path, FILE_BYTES_MAX)?).context("the rules")?
                }
                None => ContentRules::default(),
            };
            let rules = Rules::compile(&document).context("the rules")?;
            if lines {
                return scan_lines(&file, &rules);
            }
            scan(&read(&file, FILE_BYTES_MAX)?, &rules, show, all);
            Ok(())
        }
    }
}

async fn rules(command: RulesCommand) -> anyhow::Result<()> {
    const PATH: &str = "content-rules";
    match command {
        RulesCommand::Get { api } => {
            let found = Api::from_args(&api)?
                .tenant(Method::GET, PATH, None)
                .await?;
            print_json(&found)
        }
        RulesCommand::Put { file, api } => {
            let document: Value =
                serde_json::from_str(&read(&file, FILE_BYTES_MAX)?).context("the rules")?;
            let put = Api::from_args(&api)?
                .tenant(Method::PUT, PATH, Some(&document))
                .await?;
            if api.json {
                return print_json(&put);
            }
            println!("the content rules are set");
            Ok(())
        }
        RulesCommand::Reset { api } => {
            Api::from_args(&api)?
                .tenant(Method::DELETE, PATH, None)
                .await?;
            println!("the standard content rules hold");
            Ok(())
        }
        RulesCommand::Test {
            text,
            direction,
            tool,
            verb,
            rules,
            api,
        } => {
            let text = if text == "-" {
                read(Path::new("-"), FILE_BYTES_MAX)?
            } else {
                text
            };
            let direction = match direction {
                Way::Outbound => Direction::Outbound,
                Way::Inbound => Direction::Inbound,
            };
            let mut body = json!({ "text": text, "direction": direction });
            if let Some(members) = body.as_object_mut() {
                members.extend(tool.map(|tool| ("tool".to_owned(), tool.into())));
                members.extend(verb.map(|verb| ("verb".to_owned(), verb.into())));
                if let Some(path) = rules {
                    let rules: Value =
                        serde_json::from_str(&read(&path, FILE_BYTES_MAX)?).context("the rules")?;
                    members.insert("rules".into(), rules);
                }
            }
            let tested = Api::from_args(&api)?
                .tenant(Method::POST, "content-rules/test", Some(&body))
                .await?;
            print_json(&tested)
        }
    }
}

fn inbound(rules: &Rules) -> Content<'_> {
    Content {
        rules,
        place: Place {
            direction: Direction::Inbound,
            tool: None,
        },
        vault: None,
        roles: None,
    }
}

fn scan(text: &str, rules: &Rules, show: bool, all: bool) {
    let mut line = 1_usize;
    let mut line_start = 0_usize;
    let mut at = 0_usize;
    for hit in inbound(rules).explain(text, "") {
        if hit.confidence == proctor_model::content::Confidence::Low && !all {
            continue;
        }
        let before = text.get(at..hit.range.start).unwrap_or_default();
        line = line.saturating_add(before.matches('\n').count());
        if let Some(newline) = before.rfind('\n') {
            line_start = at.saturating_add(newline).saturating_add(1);
        }
        at = hit.range.start;
        let column = text
            .get(line_start..at)
            .map_or(0, |start| start.chars().count());
        let place = format!("{line}:{}", column.saturating_add(1));
        let bytes = hit.range.len();
        let sure = hit.confidence.as_str();
        match show.then(|| text.get(hit.range.clone())).flatten() {
            Some(value) => println!("{place}\t{}\t{sure}\t{bytes} bytes\t{value:?}", hit.class),
            None => println!("{place}\t{}\t{sure}\t{bytes} bytes", hit.class),
        }
    }
}

/// For programs that measure: positions count characters.
fn scan_lines(path: &Path, rules: &Rules) -> anyhow::Result<()> {
    let reader: Box<dyn std::io::Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(path).with_context(|| path.display().to_string())?),
    };
    for line in BufReader::new(reader).lines() {
        let line = line?;
        // A line may be a JSON text, so that it can have line breaks inside.
        let text = serde_json::from_str::<String>(&line).unwrap_or(line);
        let chars = |end: usize| text.get(..end).map_or(0, |part| part.chars().count());
        let hits: Vec<Value> = inbound(rules)
            .explain(&text, "")
            .into_iter()
            .map(|hit| {
                json!([
                    chars(hit.range.start),
                    chars(hit.range.end),
                    hit.class,
                    hit.confidence.as_str()
                ])
            })
            .collect();
        println!("{}", Value::Array(hits));
    }
    Ok(())
}
