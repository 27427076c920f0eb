//! What needs no network: verifying bundles, and the tamper drill.

use super::UNSOUND;
use anyhow::{Context, bail};
use proctor_ledger::bundle::{self, Fault, Finding, Known, Report, Trust};
use proctor_ledger::checkpoint::VerifierKey;
use proctor_ledger::drill::{self, Case};
use proctor_model::signed::Signer;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes that are read from a bundle at a time.
const BUFFER: usize = 1 << 20;

/// What whoever verifies brings along.
#[derive(clap::Args)]
pub(crate) struct Given {
    /// The log's key, which each checkpoint has to be signed with (`NAME+ID+BASE64`, or the bare public key). Get it from
    /// somewhere else than the bundle
    #[arg(long = "key", value_name = "KEY", allow_hyphen_values = true)]
    keys: Vec<String>,
    /// A witness's key (`NAME+ID+BASE64`): it has to have cosigned the last checkpoint
    #[arg(long = "witness", value_name = "KEY")]
    witnesses: Vec<String>,
    /// A checkpoint that you kept, or a witness's file: the log has to contain it
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Fail unless the bundles hold each log whole, from its first sealed entry to the last
    #[arg(long)]
    whole: bool,
}

impl Given {
    fn trust(&self) -> anyhow::Result<Trust> {
        if self.keys.is_empty() {
            bail!("--key: a bundle is only as good as a key that you know from somewhere else");
        }
        let parse = |key: &String| VerifierKey::parse(key, "");
        let keys = self.keys.iter().map(parse).collect::<Result<_, _>>();
        let witnesses = self
            .witnesses
            .iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>();
        let mut trust = Trust {
            keys: keys.context("--key")?,
            witnesses: witnesses.context("--witness")?,
            ..Trust::default()
        };
        if trust
            .witnesses
            .iter()
            .any(|witness| witness.name.is_empty())
        {
            bail!("--witness: a witness signs under its own name: NAME+ID+BASE64");
        }
        for path in &self.checkpoints {
            let note = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}", path.display()))?;
            trust
                .remember(&note)
                .with_context(|| format!("in {}", path.display()))?;
        }
        Ok(trust)
    }
}

/// Verifies bundles; the platform's first, for it says what the others have to be.
pub(super) fn verify(paths: &[PathBuf], given: &Given) -> anyhow::Result<ExitCode> {
    let mut trust = given.trust()?;
    let open = |path: &PathBuf| -> anyhow::Result<Box<dyn BufRead>> {
        if path == Path::new("-") {
            return Ok(Box::new(std::io::stdin().lock()));
        }
        let file =
            std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
    };
    let mut sources = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        // The header tells which is the platform's; standard input can be read only once.
        let platform = path != Path::new("-") && {
            let mut line = String::new();
            open(path)?.read_line(&mut line)?;
            line.contains("\"tenant\":\"_platform\"")
        };
        sources.push((!platform, name, path));
    }
    sources.sort();
    let mut verdict = Verdict::default();
    for (_, name, path) in sources {
        let checked = bundle::verify(open(path)?, &trust);
        match checked.with_context(|| format!("reading {name}"))? {
            Ok(report) => verdict.take(name, report, &mut trust),
            Err(finding) => {
                verdict.wrong.push((name, finding));
                break;
            }
        }
    }
    if verdict
        .wrong
        .iter()
        .all(|(_, finding)| finding.fault == Fault::Double)
    {
        // Somebody who checks the platform's log alone does not ask for the others.
        if verdict.seen.len() > 1 {
            verdict.missing();
        }
        if given.whole {
            verdict.parts();
        }
    }
    for (name, finding) in &verdict.wrong {
        println!("NOT SOUND: {name}: {}", tell(finding));
    }
    Ok(if verdict.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNSOUND)
    })
}

/// What some bundles come to.
#[derive(Default)]
struct Verdict {
    /// What the platform's log says of the others.
    named: BTreeMap<String, Known>,
    /// First and last entry, and size, of each bundle that is sound by itself, by tenant.
    seen: BTreeMap<String, Vec<(u64, u64, u64)>>,
    /// What is wrong, with the name of its bundle.
    wrong: Vec<(String, Finding)>,
}

impl Verdict {
    fn take(&mut self, name: String, mut report: Report, trust: &mut Trust) {
        show(&name, &report);
        let doubles = report.doubles.into_iter();
        self.wrong
            .extend(doubles.map(|finding| (name.clone(), finding)));
        trust.known.extend(report.tenants.values().cloned());
        trust.seals.append(&mut report.seals);
        self.named.extend(report.tenants);
        let stretch = (report.first, report.last, report.size);
        self.seen.entry(report.tenant).or_default().push(stretch);
    }

    /// A tenant whose log is named and is not here.
    fn missing(&mut self) {
        let mut named = self.named.values();
        if let Some(known) = named.find(|known| !self.seen.contains_key(&known.tenant)) {
            let message = format!(
                "the platform's log names tenant {} with {} entries, and its log is not here",
                known.tenant, known.size
            );
            self.of_all(Fault::TenantMissing, 0, message);
        }
    }

    /// What of a log is in none of the bundles.
    fn parts(&mut self) {
        let mut absent = Vec::new();
        for (tenant, stretches) in &mut self.seen {
            stretches.sort_unstable();
            let mut next = 1;
            for (first, last, _) in stretches.iter() {
                if *first <= next {
                    next = next.max(last.saturating_add(1));
                }
            }
            let size = stretches.iter().map(|(.., size)| *size).max().unwrap_or(0);
            if next <= size {
                absent.push((
                    next,
                    format!("of {tenant}'s {size} entries, this one is in no bundle"),
                ));
            }
        }
        for (seq, message) in absent {
            self.of_all(Fault::Partial, seq, message);
        }
    }

    fn of_all(&mut self, fault: Fault, seq: u64, message: String) {
        let finding = Finding {
            fault,
            seq,
            message,
        };
        self.wrong.push(("all".to_owned(), finding));
    }
}

fn tell(finding: &Finding) -> String {
    match finding.seq {
        0 => finding.to_string(),
        seq => format!("entry {seq}: {finding}"),
    }
}

fn show(name: &str, report: &Report) {
    let sealed = report
        .sealed_s
        .and_then(|seconds| i64::try_from(seconds).ok());
    let sealed = sealed.map_or_else(
        || "at an unsigned time".to_owned(),
        |seconds| format!("at {}", proctor_model::Timestamp::from_secs(seconds)),
    );
    // Nothing is said of the entries before and behind a stretch but that they were sealed.
    let what = match (report.first, report.last == report.size) {
        (1, true) => "the whole log",
        _ => "a stretch",
    };
    let verdict = if report.doubles.is_empty() {
        "sound"
    } else {
        "as it was sealed"
    };
    println!(
        "{verdict}: {name}: {what}: entries {} to {} of {} of tenant {}, root {}, sealed {sealed} by {}; {} calls without an outcome, {} lane faults",
        report.first,
        report.last,
        report.size,
        report.tenant,
        hex::encode(report.root),
        report.signers.join(", "),
        report.open_calls,
        report.alarms,
    );
}

/// Tampers with copies; fails if one is not named as it should be.
pub(super) fn drill(path: &Path, dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let bodies: Vec<Vec<u8>> = text
        .split(|byte| *byte == b'\n')
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let seed: [u8; 32] = proctor_runtime::Random::system().array()?;
    let signer = Signer::from_seed(&seed)?;
    let key = VerifierKey::of("", &signer);
    let cases = drill::cases(&bodies, &signer)?;
    if let Some(dir) = dir {
        write(dir, &cases, &signer)?;
    }
    println!(
        "{:<28} {:<14} {:<20} {:<16} found",
        "what was done", "by", "checked with", "to be found"
    );
    let mut failed = false;
    for case in &cases {
        let found = check(case, &key)?;
        let with = if case.checkpoint.is_some() {
            "a kept checkpoint"
        } else {
            "the bundle alone"
        };
        let words = |fault: Option<Fault>| fault.map_or("sound", Fault::as_str);
        let right = found.as_ref().map(|finding| finding.fault) == case.fault;
        failed |= !right;
        println!(
            "{:<28} {:<14} {with:<20} {:<16} {}{}",
            case.name,
            case.who,
            words(case.fault),
            found.as_ref().map_or_else(|| "sound".to_owned(), tell),
            if right { "" } else { "   <-- WRONG" }
        );
    }
    Ok(if failed {
        ExitCode::from(UNSOUND)
    } else {
        ExitCode::SUCCESS
    })
}

fn check(case: &Case, key: &VerifierKey) -> anyhow::Result<Option<Finding>> {
    let mut trust = Trust {
        keys: vec![key.clone()],
        ..Trust::default()
    };
    if let Some(note) = &case.checkpoint {
        trust.remember(note)?;
    }
    let (mut named, mut seen): (Vec<Known>, Vec<String>) = Default::default();
    for bundle in &case.bundles {
        match bundle::verify(bundle.as_slice(), &trust)? {
            Ok(mut report) => {
                if !report.doubles.is_empty() {
                    return Ok(Some(report.doubles.swap_remove(0)));
                }
                trust.known.extend(report.tenants.values().cloned());
                trust.seals.append(&mut report.seals);
                named.extend(report.tenants.into_values());
                seen.push(report.tenant);
            }
            Err(finding) => return Ok(Some(finding)),
        }
    }
    let missing = named.iter().find(|known| !seen.contains(&known.tenant));
    Ok(missing.map(|known| Finding {
        fault: Fault::TenantMissing,
        seq: 0,
        message: format!("the log of tenant {} is not there", known.tenant),
    }))
}

/// The copies, and what is to be found in each, for other verifiers.
fn write(dir: &Path, cases: &[Case], signer: &Signer) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut listed = Vec::new();
    for case in cases {
        let mut files = Vec::new();
        for (number, bundle) in case.bundles.iter().enumerate() {
            let file = format!("{}-{number}.ndjson", case.name);
            std::fs::write(dir.join(&file), bundle)?;
            files.push(file);
        }
        let checkpoint = match &case.checkpoint {
            Some(note) => {
                let file = format!("{}.checkpoint", case.name);
                std::fs::write(dir.join(&file), note)?;
                Some(file)
            }
            None => None,
        };
        listed.push(json!({
            "name": case.name, "bundles": files, "checkpoint": checkpoint,
            "fault": case.fault.map(Fault::as_str),
        }));
    }
    let drill = json!({ "key": signer.public_key().key, "cases": listed });
    std::fs::write(dir.join("drill.json"), serde_json::to_vec_pretty(&drill)?)?;
    Ok(())
}
