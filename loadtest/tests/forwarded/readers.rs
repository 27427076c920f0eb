//! The same bytes, read by the parsers that tool servers are written with (D17): they must see what was decided.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// A call that went through: the request as the agent wrote it, and what the tool server got.
pub(crate) struct Case {
    pub(crate) sent: String,
    pub(crate) came: String,
}

const READERS: [(&str, &str, &str); 2] = [
    (
        "python3",
        "read.py",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forwarded/read.py"),
    ),
    (
        "node",
        "read.js",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forwarded/read.js"),
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
            let double = number.as_f64().unwrap() + 0.0;
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
fn by_serde(case: &Case) -> String {
    let sent: Value = serde_json::from_str(&case.sent).unwrap();
    let came: Value = serde_json::from_str(&case.came).unwrap();
    let (sent, came) = (&sent["arguments"], &came["params"]["arguments"]);
    format!("{} {}", neutral(sent), neutral(came))
}

/// Checks that every reader that is installed sees the same in both; says which do.
pub(crate) fn agree(cases: &[Case], dir: &Path) -> Vec<&'static str> {
    let file = dir.join("cases.jsonl");
    let mut text = String::new();
    let mut expected = Vec::new();
    for case in cases {
        let line = json!({ "sent": case.sent, "came": case.came });
        writeln!(text, "{line}").unwrap();
        let read = by_serde(case);
        let (sent, came) = read.split_once(' ').unwrap();
        assert_eq!(sent, came, "serde: {} became {}", case.sent, case.came);
        expected.push(read);
    }
    std::fs::write(&file, text).unwrap();
    let mut readers = Vec::new();
    for (program, name, script) in READERS {
        let there = Command::new(program).arg("--version").output();
        if !there.is_ok_and(|there| there.status.success()) {
            println!("{program} is absent: {name} is not run");
            continue;
        }
        let read = Command::new(program).arg(script).arg(&file).output();
        let read = read.unwrap();
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{name}: {said}");
        let read = String::from_utf8(read.stdout).unwrap();
        let lines: Vec<&str> = read.lines().collect();
        assert_eq!(lines.len(), cases.len(), "{name}");
        for ((line, expected), case) in lines.iter().zip(&expected).zip(cases) {
            assert_eq!(line, expected, "{name}: {} became {}", case.sent, case.came);
        }
        readers.push(program);
    }
    readers
}

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
    agree(&[same], dir.path());
    for (sent, came) in [
        ("1", "1.0000000000000002"),
        ("1", "true"),
        ("{}", "[]"),
        (r#""1""#, "1"),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
        ("\"\u{e9}\"", "\"e\u{301}\""),
    ] {
        let case = case(sent, came);
        let read = by_serde(&case);
        let (sent, came) = read.split_once(' ').unwrap();
        assert_ne!(sent, came, "{read}");
    }
}
