//! Channel × control: whatever way a tool server takes to reach an agent, a planted credential is redacted or blocked, what is too
//! large is kept back, what was read is known as that server's word, and the audit chain has counts of it alone. A channel
//! that misses a control fails here; a new channel is one more row.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "channel_controls/client.rs"]
mod client;
#[path = "channel_controls/server.rs"]
mod server;

use client::{Family, System};
use serde_json::{Value, json};

/// Redacted by the standard rules.
pub(crate) const REDACTED: &str = "AKIAQWERTYUIOP234567";
/// Blocked by a rule of the tenant's own.
pub(crate) const BLOCKED: &str = "ghp_R4nd0mT0kenV4lue1234567890abcdEFGH12";
/// Beside what is planted: shows that the channel was used at all.
const BESIDE: &str = "beside-the-planted";
/// A piece of what is too large: none of it may pass.
const LARGE: &str = "yyyyyyyy";
/// Tools, templates and prompts of a server that have its description.
const DESCRIBED: usize = 7;
/// Largest answer that the tenant's policy allows, in bytes.
pub(crate) const BYTES_MAX: usize = 20_000;

/// What a channel's words count as for where values come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tracked {
    /// Of the tool that said them.
    Yes,
    /// Not at all, and why.
    No(&'static str),
}
use Tracked::{No, Yes};

const NOT_SAID: Tracked = No("it does not reach the agent");

/// What comes back for a `tools/call`, in both families of revisions.
const BOTH: [(&str, Tracked); 18] = [
    ("text", Yes),
    (
        "image",
        No("the data of a picture is no text that a model reads"),
    ),
    (
        "audio",
        No("the data of a sound is no text that a model reads"),
    ),
    ("link", Yes),
    ("embedded text", Yes),
    ("embedded blob", No("bytes are no text that a model reads")),
    ("unknown block", Yes),
    ("structured", Yes),
    ("key", Yes),
    ("meta", Yes),
    ("unknown member", Yes),
    ("tool error", Yes),
    ("error message", Yes),
    ("error data", Yes),
    ("progress", Yes),
    ("log", Yes),
    ("logger", Yes),
    // It is told anew, without its server's words.
    ("list changed", NOT_SAID),
];

/// What there is of tasks, in both.
const TASKS: [(&str, Tracked); 5] = [
    ("task begun", Yes),
    ("task status", Yes),
    ("task meta", Yes),
    ("task result", Yes),
    ("task error", Yes),
];

fn rows() -> Vec<(Family, &'static str, Tracked)> {
    let mut rows = Vec::new();
    for family in [Family::Modern, Family::Legacy] {
        let both = BOTH.into_iter().chain(TASKS);
        rows.extend(both.map(|(channel, tracked)| (family, channel, tracked)));
        rows.push((family, "task structured", Yes));
        rows.push((family, "resource", Yes));
        rows.push((
            family,
            "resource blob",
            No("bytes are no text that a model reads"),
        ));
        rows.push((family, "prompt", Yes));
        rows.push((family, "completion", Yes));
        rows.push((family, "header", NOT_SAID));
        rows.push((family, "task id", NOT_SAID));
    }
    rows.push((Family::Modern, "input_required", Yes));
    rows.push((Family::Modern, "task question", Yes));
    rows.push((Family::Modern, "task notification", Yes));
    let older = TASKS.into_iter().chain([
        ("task structured", Yes),
        ("task question", Yes),
        ("task id", NOT_SAID),
    ]);
    rows.extend(older.map(|(channel, tracked)| (Family::Older, channel, tracked)));
    rows.push((Family::Legacy, "stream question", Yes));
    rows.push((Family::Legacy, "task notification", Yes));
    rows
}

/// A value that nobody has seen before; each channel has its own.
fn fresh(row: usize) -> String {
    format!("ACCOUNT-{}-QZX", 7_310_000 + row)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_is_under_every_control() {
    let system = System::start().await;
    let mut missing = Vec::new();
    for (row, (family, channel, tracked)) in rows().into_iter().enumerate() {
        let mut lacks = |control: &str, out: &str| {
            let out: String = out.chars().take(600).collect();
            missing.push(format!("{family:?}, {channel}: {control}\n    {out}"));
        };
        let planted = format!("{BESIDE} {REDACTED} {BESIDE}");
        let out = system.hear(family, channel, "redact", &planted).await;
        if out.contains(REDACTED) {
            lacks("what is to be redacted passes", &out);
        }
        // That the channel works at all: else nothing would be shown by what does not come.
        if out.contains(BESIDE) == (tracked == NOT_SAID) {
            lacks("the words beside", &out);
        }
        let planted = format!("{BESIDE} {BLOCKED}");
        let out = system.hear(family, channel, "block", &planted).await;
        if out.contains(BLOCKED) || out.contains(BESIDE) {
            lacks("what is to be blocked passes", &out);
        }
        let out = system
            .hear(family, channel, "large", &"y".repeat(BYTES_MAX))
            .await;
        // Not by the length of all that came: a list of tasks is long by itself, by the ids in it.
        if out.contains(LARGE) {
            lacks("what is too large passes", &out);
        }
        if tracked == Yes {
            let value = fresh(row);
            let out = system.hear(family, channel, "seen", &value).await;
            if !out.contains(&value) {
                lacks("a value", &out);
            }
            let origins = system.origins(family, &value).await;
            if origins != json!([format!("tool:{}", family.source(channel))]) {
                lacks("where a value came from", &origins.to_string());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{} missing:\n{}",
        missing.len(),
        missing.join("\n")
    );

    let chain = system.chain().await;
    for value in [REDACTED, BLOCKED, BESIDE, "ACCOUNT-", "theirs-", LARGE] {
        let text = serde_json::to_string(&chain).unwrap();
        assert!(!text.contains(value), "{value} is in the audit chain");
    }
    let counted = |class: &str| {
        let found = |event: &&Value| {
            let content = event["content"].as_array();
            content
                .into_iter()
                .flatten()
                .any(|one| one["class"] == class)
        };
        chain.iter().filter(found).count()
    };
    // Each channel that is an answer is counted in its own outcome; what is heard before it is counted by a metric.
    assert!(
        counted("aws_key") >= rows().len() / 2,
        "{}",
        counted("aws_key")
    );
    assert!(
        counted("github_token") >= rows().len() / 2,
        "{}",
        counted("github_token")
    );
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_changed_is_not_shown() {
    let system = System::start().await;
    for family in [Family::Modern, Family::Legacy] {
        assert!(system.list(family).await.contains("shown"), "{family:?}");
    }
    system.describe(&format!("{BESIDE} {REDACTED}")).await;
    for family in [Family::Modern, Family::Legacy] {
        let listed = system.list(family).await;
        assert!(
            !listed.contains(BESIDE) && !listed.contains(REDACTED),
            "{listed}"
        );
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_description_is_under_the_content_rules() {
    let system = System::start().await;
    let planted = format!("{BESIDE} {REDACTED} {BESIDE}");
    let shown = |lists: &str| lists.matches(BESIDE).count() >= 2 * DESCRIBED;
    system.approve(&planted, shown, REDACTED).await;
    // What has something in it that is blocked is not listed, whoever approved it.
    let planted = format!("{BESIDE} {BLOCKED}");
    let hidden = |lists: &str| !lists.contains(BESIDE) && lists.contains("\"say\"");
    system.approve(&planted, hidden, BLOCKED).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_list_is_told_without_its_servers_words() {
    let system = System::start().await;
    for family in [Family::Modern, Family::Legacy] {
        for planted in [REDACTED, BLOCKED] {
            let why = format!("{BESIDE} {planted}");
            let told = system.told_of_a_change(family, &why).await;
            assert!(told.contains("notifications/tools/list_changed"), "{told}");
            assert!(!told.contains(BESIDE), "{family:?}: {told}");
        }
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_by_a_key_or_a_header_either() {
    let system = System::start().await;
    for family in [Family::Modern, Family::Legacy] {
        for arguments in [
            json!({ "text": REDACTED }),
            json!({ "a": { "b": [format!("x {REDACTED} x")] } }),
            json!({ REDACTED: 1 }),
            json!({ "a": { REDACTED: 1 } }),
            json!({ "region": REDACTED }),
        ] {
            let out = system.take(family, arguments.clone()).await;
            assert!(
                out.contains("content_blocked"),
                "{family:?} {arguments}: {out}"
            );
        }
        let out = system.take(family, json!({ "region": "eu" })).await;
        assert!(out.contains("taken"), "{family:?}: {out}");
    }
    let heard = system.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.iter().all(|heard| !heard.contains(REDACTED)));
    system.stop().await;
}
