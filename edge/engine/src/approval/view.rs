//! The arguments as an approver is to see them: enough to judge by, and no secret.

use crate::limits::{VIEW_ELEMENTS_MAX, VIEW_TEXT_BYTES_MAX};
use crate::provenance::Pattern;
use proctor_model::catalogue::{CatalogueEntry, Role};
use proctor_model::limits::APPROVAL_VIEW_BYTES_MAX;
use serde_json::{Map, Value};
use std::sync::LazyLock;

const MASK: &str = "(hidden)";

/// The view of a call's arguments, at most [`APPROVAL_VIEW_BYTES_MAX`] of JSON.
pub(super) fn of(arguments: &Value, entry: &CatalogueEntry) -> Value {
    let credentials: Vec<Pattern> = entry
        .roles
        .iter()
        .filter(|(_, role)| **role == Role::Credential)
        .map(|(pointer, _)| Pattern::new(pointer))
        .collect();
    // Long texts first, then everything that is long: names and numbers are what is judged by.
    for text_max in [VIEW_TEXT_BYTES_MAX, VIEW_TEXT_BYTES_MAX / 16, 16] {
        let seen = show(arguments, &mut Vec::new(), &credentials, text_max);
        if seen.to_string().len() <= APPROVAL_VIEW_BYTES_MAX {
            return seen;
        }
    }
    Value::String("(too large to be shown)".to_owned())
}

fn show<'a>(
    value: &'a Value,
    path: &mut Vec<&'a str>,
    credentials: &[Pattern],
    text_max: usize,
) -> Value {
    if !path.is_empty() && credentials.iter().any(|pattern| pattern.covers(path)) {
        return MASK.into();
    }
    match value {
        Value::Object(members) => {
            let mut shown = Map::new();
            for (key, value) in members.iter().take(VIEW_ELEMENTS_MAX) {
                let seen = if names_secret(key) {
                    MASK.into()
                } else {
                    path.push(key);
                    let seen = show(value, path, credentials, text_max);
                    path.pop();
                    seen
                };
                shown.insert(own_key(&shown, cut(&plain(key), text_max)), seen);
            }
            if let Some(more) = more(members.len()) {
                shown.insert("(more)".to_owned(), more.into());
            }
            Value::Object(shown)
        }
        Value::Array(elements) => {
            path.push("*");
            let mut shown: Vec<Value> = elements
                .iter()
                .take(VIEW_ELEMENTS_MAX)
                .map(|element| show(element, path, credentials, text_max))
                .collect();
            path.pop();
            shown.extend(more(elements.len()).map(Value::from));
            Value::Array(shown)
        }
        // Masked before it is cut: half a key is no key to the pattern, and half of it is given away.
        Value::String(text) => cut(&plain(&without_secrets(text)), text_max).into(),
        other => other.clone(),
    }
}

/// A key that stands for one member alone: two that look the same once cut or spelled out are both shown.
fn own_key(shown: &Map<String, Value>, key: String) -> String {
    if !shown.contains_key(&key) {
        return key;
    }
    (2_usize..)
        .map(|number| format!("{key} (another, {number})"))
        .find(|key| !shown.contains_key(key))
        .unwrap_or(key)
}

fn more(length: usize) -> Option<String> {
    let more = length.checked_sub(VIEW_ELEMENTS_MAX)?;
    (more > 0).then(|| format!("(and {more} more)"))
}

/// With every character that can't be seen, or changes how others are seen, spelled out: whom a value names must not look
/// like somebody else, on a page or in a terminal.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(c)) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown
}

/// Unicode's format characters (bidirectional marks, zero widths, tags), line separators, fillers, variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn cut(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    match (text.get(..end), text.len().saturating_sub(end)) {
        (Some(start), left) if left > 0 => format!("{start}… ({left} more bytes)"),
        _ => text.to_owned(),
    }
}

/// A key whose value is a secret whatever it looks like.
fn names_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "accesstoken",
        "authtoken",
        "bearertoken",
        "refreshtoken",
        "credential",
        "authorization",
    ]
    .iter()
    .any(|name| plain.contains(name))
}

/// Secrets that are recognised by their shape, wherever they stand.
const SHAPES: &str = concat!(
    r"(?s-u:-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"|(?:sk|pk|rk)[-_](?:live|test|ant|proj)?[-_]?[A-Za-z0-9_-]{16,}",
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}",
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|xox[abeprs]-[A-Za-z0-9-]{10,}",
    r"|(?:pct|pak|pjt)_[A-Za-z0-9._-]{16,}",
    r"|[Bb]earer +[A-Za-z0-9._~+/=-]{16,})",
);

static SECRETS: LazyLock<Option<regex::bytes::Regex>> =
    LazyLock::new(|| regex::bytes::Regex::new(SHAPES).ok());

fn without_secrets(text: &str) -> String {
    // Without the pattern nothing is known to be free of secrets.
    let Some(secrets) = &*SECRETS else {
        return MASK.to_owned();
    };
    let masked = secrets.replace_all(text.as_bytes(), MASK.as_bytes());
    String::from_utf8_lossy(&masked).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(arguments: &Value, roles: &Value) -> Value {
        let entry = json!({
            "definition": { "name": "t", "input_schema": { "type": "object" } }, "roles": roles,
        });
        of(arguments, &serde_json::from_value(entry).unwrap())
    }

    #[test]
    fn members_that_look_the_same_are_all_shown() {
        let arguments = json!({ "to": { "a\u{200b}": 9999, "a\\u{200b}": 1 } });
        let shown = view(&arguments, &json!({}));
        assert_eq!(shown["to"].as_object().unwrap().len(), 2, "{shown}");
    }

    #[test]
    fn what_is_judged_by_is_shown_and_secrets_are_not() {
        let arguments = json!({
            "to": "bob@partner.example", "amount": 98.7, "pin": "1234", "logins": [{ "word": "hunter2" }],
            "db_password": "x", "note": format!("use sk-live-{} for it", "a1".repeat(16)),
            "key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        });
        let roles = json!({ "/pin": "credential", "/logins/*/word": "credential" });
        assert_eq!(
            view(&arguments, &roles),
            json!({
                "to": "bob@partner.example", "amount": 98.7, "pin": MASK, "logins": [{ "word": MASK }],
                "db_password": MASK, "note": format!("use {MASK} for it"), "key": MASK,
            })
        );
    }

    #[test]
    fn nothing_hides_in_it() {
        let seen = view(
            &json!({ "to": "alice\u{202e}moc.live", "b\u{200b}cc": "\u{1b}[2Jx\ny", "tag": "a\u{e0041}" }),
            &json!({}),
        );
        let spelled = json!({ "to": "alice\\u{202e}moc.live", "b\\u{200b}cc": "\\u{1b}[2Jx\ny", "tag": "a\\u{e0041}" });
        assert_eq!(seen, spelled);
    }

    #[test]
    fn it_is_bounded_and_a_cut_shows_no_half_secret() {
        let token = format!("ghp_{}", "Ab1".repeat(12));
        let text = format!("{}{token}", "x".repeat(VIEW_TEXT_BYTES_MAX - 10));
        let seen = view(&json!({ "text": text }), &json!({})).to_string();
        assert!(!seen.contains("ghp_"), "{seen}");
        let many: Vec<String> = (0..1000).map(|n| n.to_string().repeat(2000)).collect();
        let nested = json!({ "a": many, "b": { "c": "é".repeat(100_000) } });
        assert!(view(&nested, &json!({})).to_string().len() <= APPROVAL_VIEW_BYTES_MAX);
        let wide: Map<String, Value> = (0..5000).map(|n| (format!("k{n}"), n.into())).collect();
        let seen = view(&Value::Object(wide), &json!({}));
        assert_eq!(
            seen["(more)"],
            format!("(and {} more)", 5000 - VIEW_ELEMENTS_MAX)
        );
    }
}
