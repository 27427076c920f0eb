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

/// Verifies bundles; the platform's first, for it says what the others have to be.
pub(super) fn verify(
    paths: &[PathBuf],
    keys: &[String],
    checkpoints: &[PathBuf],
) -> anyhow::Result<ExitCode> {
    if keys.is_empty() {
        bail!("--key: a bundle is only as good as a key that you know from somewhere else");
    }
    let keys = keys.iter().map(|key| VerifierKey::parse(key, ""));
    let mut trust = Trust {
        keys: keys.collect::<Result<_, _>>().context("--key")?,
        known: Vec::new(),
    };
    for path in checkpoints {
        let note =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        trust
            .remember(&note)
            .with_context(|| format!("in {}", path.display()))?;
    }
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
    match all(&sources, &mut trust, |path| open(path))? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err((name, finding)) => {
            println!("NOT SOUND: {name}: {}", tell(&finding));
            Ok(ExitCode::from(UNSOUND))
        }
    }
}

fn tell(finding: &Finding) -> String {
    match finding.seq {
        0 => finding.to_string(),
        seq => format!("entry {seq}: {finding}"),
    }
}

/// The first thing that is wrong, with the name of its bundle.
type Verdict = Result<(), (String, Finding)>;

fn all<P>(
    sources: &[(bool, String, P)],
    trust: &mut Trust,
    open: impl Fn(&P) -> anyhow::Result<Box<dyn BufRead>>,
) -> anyhow::Result<Verdict> {
    let (mut named, mut seen): (BTreeMap<String, Known>, Vec<String>) = Default::default();
    for (_, name, source) in sources {
        match bundle::verify(open(source)?, trust).with_context(|| format!("reading {name}"))? {
            Ok(report) => {
                show(name, &report);
                trust.known.extend(report.tenants.values().cloned());
                named.extend(report.tenants);
                seen.push(report.tenant);
            }
            Err(finding) => return Ok(Err((name.clone(), finding))),
        }
    }
    // Somebody who checks the platform's log alone does not ask for the others.
    let missing = named.values().find(|known| !seen.contains(&known.tenant));
    Ok(match missing.filter(|_| seen.len() > 1) {
        Some(known) => {
            let message = format!(
                "the platform's log names tenant {} with {} entries, and its log is not here",
                known.tenant, known.size
            );
            let finding = Finding {
                fault: Fault::TenantMissing,
                seq: 0,
                message,
            };
            Err(("all".to_owned(), finding))
        }
        None => Ok(()),
    })
}

fn show(name: &str, report: &Report) {
    let sealed = report
        .sealed_s
        .and_then(|seconds| i64::try_from(seconds).ok());
    let sealed = sealed.map_or_else(
        || "at an unsigned time".to_owned(),
        |seconds| format!("at {}", proctor_model::Timestamp::from_secs(seconds)),
    );
    println!(
        "sound: {name}: entries {} to {} of {} of tenant {}, root {}, sealed {sealed} by {}; {} calls without an outcome, {} lane faults",
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
        known: Vec::new(),
    };
    if let Some(note) = &case.checkpoint {
        trust.remember(note)?;
    }
    let (mut named, mut seen): (Vec<Known>, Vec<String>) = Default::default();
    for bundle in &case.bundles {
        match bundle::verify(bundle.as_slice(), &trust)? {
            Ok(report) => {
                trust.known.extend(report.tenants.values().cloned());
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
