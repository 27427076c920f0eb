//! The same bytes, read by the parsers that tool servers are written with: they must see what was decided.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// A call that went through: the request as the agent wrote it, and what the tool server got.
pub(super) struct Case {
    pub(super) sent: String,
    pub(super) came: String,
}

const READERS: [(&str, &str); 2] = [
    (
        "python3",
        concat!(env!("CARGO_MANIFEST_DIR"), "/forwarded/read.py"),
    ),
    (
        "node",
        concat!(env!("CARGO_MANIFEST_DIR"), "/forwarded/read.js"),
    ),
];

/// A value in a form that no language has an opinion of its own about: numbers as the bits of a double, texts in hex.
fn neutral(value: &Value) -> String {
    match value {
        Value::Null => "n".to_owned(),
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::Number(number) => {
            // A number of JSON is a double (RFC 8785); zero has no sign.
            let double = number.as_f64().unwrap_or(f64::NAN) + 0.0;
            format!("#{:016x}", double.to_bits())
        }
        Value::String(text) => format!("'{}", hex::encode(text)),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(neutral).collect();
            format!("[{}]", elements.join(","))
        }
        Value::Object(members) => {
            let members = members.iter();
            let mut members: Vec<String> = members
                .map(|(key, value)| format!("{}:{}", hex::encode(key), neutral(value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// What serde sees in each of both.
fn by_serde(case: &Case) -> anyhow::Result<[String; 2]> {
    let sent: Value = serde_json::from_str(&case.sent)?;
    let came: Value = serde_json::from_str(&case.came)?;
    let (sent, came) = (&sent["arguments"], &came["params"]["arguments"]);
    Ok([neutral(sent), neutral(came)])
}

/// Checks that every reader that is installed sees the same in both; says which do.
pub(super) fn agree(cases: &[Case], dir: &Path) -> anyhow::Result<Vec<&'static str>> {
    let file = dir.join("cases.jsonl");
    let mut text = String::new();
    let mut expected = Vec::new();
    for case in cases {
        let line = json!({ "sent": case.sent, "came": case.came });
        writeln!(text, "{line}")?;
        let [sent, came] = by_serde(case)?;
        ensure!(sent == came, "serde: {} became {}", case.sent, case.came);
        expected.push(format!("{sent} {came}"));
    }
    std::fs::write(&file, text)?;
    let mut readers = vec!["serde"];
    for (program, script) in READERS {
        let there = Command::new(program).arg("--version").output();
        if !there.is_ok_and(|there| there.status.success()) {
            continue;
        }
        let read = Command::new(program).arg(script).arg(&file).output();
        let read = read.with_context(|| format!("starting {program}"))?;
        let said = String::from_utf8_lossy(&read.stderr);
        ensure!(read.status.success(), "{program}: {said}");
        let read = String::from_utf8(read.stdout)?;
        let lines: Vec<&str> = read.lines().collect();
        ensure!(lines.len() == cases.len(), "{program}: {}", lines.len());
        for ((line, expected), case) in lines.iter().zip(&expected).zip(cases) {
            ensure!(
                line == expected,
                "{program}: {} became {}",
                case.sent,
                case.came
            );
        }
        readers.push(program);
    }
    Ok(readers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let case = |sent: &str, came: &str| Case {
            sent: format!(r#"{{"arguments":{sent}}}"#),
            came: format!(r#"{{"params":{{"arguments":{came}}}}}"#),
        };
        // Spelled otherwise, and the same.
        let same = case(
            r#"{"a":1e3,"b":[-0.0,"\u00e4"],"__proto__":{}}"#,
            r#"{"__proto__":{},"b":[0,"ä"],"a":1000}"#,
        );
        agree(&[same], dir.path()).unwrap();
        for (sent, came) in [
            ("1", "1.0000000000000002"),
            ("1", "true"),
            ("{}", "[]"),
            (r#""1""#, "1"),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            ("\"\u{e9}\"", "\"e\u{301}\""),
        ] {
            let case = case(sent, came);
            let [sent, came] = by_serde(&case).unwrap();
            assert_ne!(sent, came);
            assert!(agree(&[case], dir.path()).is_err(), "{sent}");
        }
    }
}
