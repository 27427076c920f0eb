//! The kinds of an operation's answers: what is asked for.

use super::Document;
use super::body::essence;
use proctor_model::catalogue::{ACCEPT_MAX, is_json_kind, is_media_range};
use serde_json::Value;

/// What is asked for where nothing is said, and before all else where it is there.
const JSON: &str = "application/json";
/// Most names of kinds that are looked at, of one operation: many may be of one kind, by their parameters.
const NAMES_MAX: usize = 64;

impl Document<'_> {
    /// The kinds that its answers have where all is well, JSON first; none if that is all.
    pub(super) fn accepted(&self, operation: &Value) -> Vec<String> {
        let statuses = (200..300_u16).map(|status| status.to_string());
        let statuses = statuses.chain(["2XX".to_owned()]);
        let answers = statuses.filter_map(|status| operation.get("responses")?.get(&status));
        // A reference to nothing says nothing of them; the request is none the worse for it.
        let answers = answers.filter_map(|answer| self.resolved(answer).ok());
        let contents = answers.filter_map(|answer| answer.get("content")?.as_object());
        let mut kinds: Vec<String> = Vec::new();
        for name in contents.flat_map(|content| content.keys()).take(NAMES_MAX) {
            let kind = match essence(name) {
                // JSON is among them.
                range if range == "*/*" || range == "application/*" => JSON.to_owned(),
                kind => kind,
            };
            if is_media_range(&kind) && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.sort_by_key(|kind| rank(kind));
        kinds.truncate(ACCEPT_MAX);
        if kinds == [JSON] {
            kinds.clear();
        }
        kinds
    }
}

/// Structured content is made of JSON alone; else the order is the document's.
fn rank(kind: &str) -> u8 {
    match kind {
        JSON => 0,
        kind if is_json_kind(kind) => 1,
        _ => 2,
    }
}
