//! What operators are shown of the content filter: where something is and of which class, and the values only where they
//! ask for them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

const MAIL: &str = "bob@example.org";
const CARD: &str = "4111 1111 1111 1111";

/// A key that nobody has, put together here so that it is in no source text.
fn key() -> String {
    format!("AKIA{}", "QWERTYUIOP234567")
}

/// What the command line prints, on either channel.
async fn prints(args: &[&str], file: &Path) -> (String, String) {
    let mut command = Command::new(proctor_binary().unwrap());
    command.args(["content", "scan"]).args(args).arg(file);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out} {err}");
    (out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_shows_places_and_values_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    let key = key();
    let text = format!("hello {MAIL},\n\u{e9} key {key} here\npay {CARD}\n");
    std::fs::write(&file, text).unwrap();

    let (out, err) = prints(&[], &file).await;
    let places = [
        "1:7\temail\thigh\t15 bytes",
        "2:7\taws_key\thigh\t20 bytes",
        "3:5\tpayment_card\thigh\t19 bytes",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), places);
    let values = [MAIL, CARD, key.as_str()];
    for value in values {
        assert!(!out.contains(value) && !err.contains(value), "{out} {err}");
    }

    let (out, err) = prints(&["--show"], &file).await;
    let shown = places.iter().zip([MAIL, key.as_str(), CARD]);
    let shown = shown.map(|(place, value)| format!("{place}\t{value:?}"));
    assert_eq!(
        out.lines().map(str::to_owned).collect::<Vec<_>>(),
        shown.collect::<Vec<_>>()
    );
    for value in values {
        assert!(!err.contains(value), "{err}");
    }

    // For programs: positions are characters of the line.
    let (out, err) = prints(&["--lines"], &file).await;
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expect = [
        json!([[6, 21, "email", "high"]]),
        json!([[6, 26, "aws_key", "high"]]),
        json!([[4, 23, "payment_card", "high"]]),
    ];
    assert_eq!(lines, expect);
    for value in values {
        assert!(!out.contains(value) && !err.contains(value), "{out} {err}");
    }
}

async fn tested(cluster: &Cluster, body: &Value) -> Value {
    let answer = cluster.acme(Method::POST, "content-rules/test", Some(body.clone()));
    answer.await.unwrap()
}

/// How many matches of a class there are.
fn count(answer: &Value, class: &str) -> usize {
    let matches = answer["matches"].as_array().unwrap();
    matches.iter().filter(|hit| hit["class"] == class).count()
}

/// What the matches of an answer stand for in the text that was sent.
fn values<'t>(answer: &Value, text: &'t str) -> Vec<&'t str> {
    let at = |hit: &Value, member: &str| usize::try_from(hit[member].as_u64().unwrap()).unwrap();
    let matches = answer["matches"].as_array().unwrap();
    matches
        .iter()
        .map(|hit| &text[at(hit, "start")..at(hit, "end")])
        .collect()
}

fn tells_nothing(answer: &str) {
    for value in [MAIL, CARD, key().as_str()] {
        assert!(!answer.contains(value), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_tested_without_a_value_in_the_answer() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let key = key();
    let text = format!("\u{e9} mail {MAIL} the key {key} and {CARD}, then {MAIL}");
    let expect = [MAIL, key.as_str(), CARD, MAIL];

    // The standard rules stop a key on its way out: there is no text that would go on.
    let body = json!({ "text": text, "direction": "outbound" });
    let answer = tested(&cluster, &body).await;
    let counts = ["email", "aws_key", "payment_card"].map(|class| count(&answer, class));
    assert_eq!(counts, [2, 1, 1], "{answer}");
    assert_eq!(values(&answer, &text), expect, "{answer}");
    assert_eq!(answer["action"], "block", "{answer}");
    assert!(answer.get("text").is_none(), "{answer}");
    tells_nothing(&answer.to_string());

    // Rules that are not put yet, by the API and by the command line.
    let rules = json!({ "standard": false, "rules": [{ "classes": ["all"], "action": "redact" }] });
    let body = json!({ "text": text, "direction": "inbound", "rules": rules });
    let answer = tested(&cluster, &body).await;
    assert_eq!(values(&answer, &text), expect, "{answer}");
    assert_eq!(answer["action"], "redact", "{answer}");
    let went_on = "\u{e9} mail [EMAIL] the key [AWS_KEY] and [CARD], then [EMAIL]";
    assert_eq!(answer["text"], went_on);
    tells_nothing(&answer.to_string());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.json");
    std::fs::write(&file, rules.to_string()).unwrap();
    let mut command = Command::new(proctor_binary().unwrap());
    command.args(["content", "rules", "test", &text, "--direction", "inbound"]);
    let command = command.arg("--rules").arg(&file);
    let command = command
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, answer);
    tells_nothing(&String::from_utf8_lossy(&output.stderr));

    // What is refused is not repeated either.
    for (member, value) in [
        ("text", json!(format!("{MAIL} {key} ").repeat(2_000))),
        ("direction", json!("sideways")),
        (
            "rules",
            json!({ "rules": [{ "classes": ["nope"], "action": "block" }] }),
        ),
    ] {
        let mut body = body.clone();
        body[member] = value;
        let refused = cluster.acme(Method::POST, "content-rules/test", Some(body));
        let refused = refused.await.unwrap_err().to_string();
        assert!(refused.contains("400"), "{member}: {refused}");
        tells_nothing(&refused);
    }
    cluster.stop().await;
}
