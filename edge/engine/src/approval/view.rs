//! The arguments as an approver is to see them: enough to judge by, and no secret.

use super::Cause;
use crate::limits::{VIEW_ELEMENTS_MAX, VIEW_LEADS_MAX, VIEW_TEXT_BYTES_MAX};
use crate::provenance::{Pattern, Place};
use proctor_model::catalogue::{CatalogueEntry, Role};
use proctor_model::limits::APPROVAL_VIEW_BYTES_MAX;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

const MASK: &str = "(hidden)";

/// The view of a call's arguments, at most [`APPROVAL_VIEW_BYTES_MAX`] of JSON. `None`: what an approver would be asked
/// about, or what the call's effect hangs on by the operator's labels, can't be shown in that.
pub(super) fn of(arguments: &Value, entry: &CatalogueEntry, causes: &[Cause]) -> Option<Value> {
    let mut view = View::new(entry);
    view.note_labelled(arguments, &mut Vec::new(), &mut String::new());
    for place in causes.iter().flat_map(|cause| &cause.places) {
        if place.leads.len() > VIEW_LEADS_MAX {
            return None;
        }
        view.note(place);
    }
    // Long texts first, then everything that is long: names and numbers are what is judged by. At last all that may be
    // missing.
    let sizes = [
        (VIEW_TEXT_BYTES_MAX, VIEW_ELEMENTS_MAX),
        (VIEW_TEXT_BYTES_MAX / 16, VIEW_ELEMENTS_MAX),
        (16, VIEW_ELEMENTS_MAX),
        (16, 0),
    ];
    for (text_max, elements_max) in sizes {
        view.text_max = text_max;
        view.elements_max = elements_max;
        let seen = view.show(arguments, &mut Vec::new(), &mut String::new())?;
        if seen.to_string().len() <= APPROVAL_VIEW_BYTES_MAX {
            return Some(seen);
        }
    }
    None
}

/// How one argument has to be seen.
enum Must {
    Whole,
    /// A long text may be cut, if these are shown.
    Leads(Vec<String>),
}

struct View {
    credentials: Vec<Pattern>,
    /// What the call's effect hangs on: whom it is for, how much, where.
    judged: Vec<Pattern>,
    must: HashMap<String, Must>,
    /// Pointers to those, and of all that they are in.
    ways: HashSet<String>,
    /// The same of those with a label.
    labelled: HashSet<String>,
    text_max: usize,
    elements_max: usize,
}

impl View {
    fn new(entry: &CatalogueEntry) -> Self {
        let with = |is: fn(&Role) -> bool| {
            let roles = entry.roles.iter().filter(move |(_, role)| is(role));
            roles.map(|(pointer, _)| Pattern::new(pointer))
        };
        let consequential = entry.consequential.iter().flatten();
        let judged = with(|role| !matches!(role, Role::Credential | Role::Content));
        Self {
            credentials: with(|role| *role == Role::Credential).collect(),
            judged: judged
                .chain(consequential.map(|pointer| Pattern::new(pointer)))
                .collect(),
            must: HashMap::new(),
            ways: HashSet::new(),
            labelled: HashSet::new(),
            text_max: 0,
            elements_max: 0,
        }
    }

    /// Notes each value with a label by which calls are judged.
    fn note_labelled<'a>(
        &mut self,
        value: &'a Value,
        path: &mut Vec<&'a str>,
        pointer: &mut String,
    ) {
        let length = pointer.len();
        match value {
            Value::Array(elements) => {
                path.push("*");
                for (at, element) in elements.iter().enumerate() {
                    pointer.push_str(&format!("/{at}"));
                    self.note_labelled(element, path, pointer);
                    pointer.truncate(length);
                }
                path.pop();
            }
            Value::Object(members) => {
                for (key, member) in members {
                    path.push(key);
                    pointer.push_str(&step(key));
                    self.note_labelled(member, path, pointer);
                    pointer.truncate(length);
                    path.pop();
                }
            }
            _ if self.judged.iter().any(|pattern| pattern.covers(path)) => {
                self.must.insert(pointer.clone(), Must::Whole);
                self.labelled.extend(ways(pointer));
                self.ways.extend(ways(pointer));
            }
            _ => {}
        }
    }

    /// Notes what the question is about.
    fn note(&mut self, place: &Place) {
        self.ways.extend(ways(&place.pointer));
        match (self.must.get_mut(&place.pointer), place.leads.is_empty()) {
            (Some(Must::Whole), _) => {}
            (_, true) => drop(self.must.insert(place.pointer.clone(), Must::Whole)),
            (Some(Must::Leads(leads)), false) => leads.extend(place.leads.iter().cloned()),
            (None, false) => {
                let leads = Must::Leads(place.leads.clone());
                self.must.insert(place.pointer.clone(), leads);
            }
        }
    }

    /// `None`: what has to be seen is hidden for the name that it has.
    fn show<'a>(
        &self,
        value: &'a Value,
        path: &mut Vec<&'a str>,
        pointer: &mut String,
    ) -> Option<Value> {
        if !path.is_empty() && self.credentials.iter().any(|pattern| pattern.covers(path)) {
            return Some(MASK.into());
        }
        let length = pointer.len();
        Some(match value {
            Value::Object(members) => {
                let mut shown = Map::new();
                let mut others = 0_usize;
                for (key, value) in members {
                    pointer.push_str(&step(key));
                    let must = self.ways.contains(pointer);
                    others = others.saturating_add(usize::from(!must));
                    if must || others <= self.elements_max {
                        path.push(key);
                        let (name, seen) = self.member(key, value, path, pointer)?;
                        shown.insert(own_key(&shown, name), seen);
                        path.pop();
                    }
                    pointer.truncate(length);
                }
                if let Some(more) = more(others, self.elements_max) {
                    shown.insert(own_key(&shown, "(more)".to_owned()), more.into());
                }
                Value::Object(shown)
            }
            Value::Array(elements) => {
                path.push("*");
                let mut shown = Vec::new();
                let mut others = 0_usize;
                for (at, element) in elements.iter().enumerate() {
                    pointer.push_str(&format!("/{at}"));
                    let must = self.ways.contains(pointer);
                    others = others.saturating_add(usize::from(!must));
                    if must || others <= self.elements_max {
                        shown.push(self.show(element, path, pointer)?);
                    }
                    pointer.truncate(length);
                }
                path.pop();
                shown.extend(more(others, self.elements_max).map(Value::from));
                Value::Array(shown)
            }
            // A secret in a text, in JSON or in whatever form: the label goes on into it.
            Value::String(_) if self.has_credential_in(path) => {
                return (!self.must.contains_key(pointer)).then(|| MASK.into());
            }
            Value::String(text) => self.text(text, pointer).into(),
            other => other.clone(),
        })
    }

    fn member<'a>(
        &self,
        key: &'a str,
        value: &'a Value,
        path: &mut Vec<&'a str>,
        pointer: &mut String,
    ) -> Option<(String, Value)> {
        let name = match self.ways.contains(pointer) {
            true => plain(&without_secrets(key)),
            false => cut(&plain(key), self.text_max),
        };
        if !names_secret(key) {
            return Some((name, self.show(value, path, pointer)?));
        }
        let hidden = (name, MASK.into());
        (!self.labelled.contains(pointer)).then_some(hidden)
    }

    fn has_credential_in(&self, path: &[&str]) -> bool {
        self.credentials.iter().any(|it| it.leads_below(path))
    }

    /// Masked before it is cut: half a key is no key to the pattern, and half of it is given away.
    fn text(&self, text: &str, pointer: &str) -> String {
        let masked = plain(&without_secrets(text));
        let leads = match self.must.get(pointer) {
            Some(Must::Whole) => return masked,
            Some(Must::Leads(leads)) if masked.len() > self.text_max => leads.join(", "),
            _ => String::new(),
        };
        let shown = cut(&masked, self.text_max);
        match leads.as_str() {
            "" => shown,
            leads => format!("{shown} (in it: {})", plain(&without_secrets(leads))),
        }
    }
}

/// A step of a JSON Pointer.
fn step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A pointer, and those of all that it leads through.
fn ways(pointer: &str) -> impl Iterator<Item = String> {
    let steps = pointer.match_indices('/').skip(1).map(|(at, _)| at);
    let ends = steps.chain([pointer.len()]);
    ends.filter_map(|end| pointer.get(..end).map(str::to_owned))
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

fn more(length: usize, shown: usize) -> Option<String> {
    let more = length.checked_sub(shown)?;
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

/// Secrets that are recognised by their shape, wherever they stand. What is between the first and the last line of a private key
/// may be a place for one: that is hidden, too.
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
    let shapes = secrets.find_iter(text.as_bytes()).map(|hit| hit.range());
    // A last line may stand in a comment amid a key: where the key ends, the filter knows.
    let keys = crate::filter::private_keys(text);
    let mut hidden: Vec<Range<usize>> = shapes.chain(keys).collect();
    hidden.sort_by_key(|range| range.start);
    let (mut shown, mut from) = (String::new(), 0);
    for range in hidden {
        if range.start >= from {
            shown.push_str(text.get(from..range.start).unwrap_or_default());
            shown.push_str(MASK);
        }
        from = from.max(range.end);
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(arguments: &Value, roles: &Value, places: Vec<Place>) -> Option<Value> {
        let entry = json!({
            "definition": { "name": "t", "input_schema": { "type": "object" } }, "roles": roles,
        });
        let cause = Cause {
            keys: Vec::new(),
            text: String::new(),
            reason: proctor_model::Reason::OriginNotAccepted,
            places,
        };
        of(arguments, &serde_json::from_value(entry).unwrap(), &[cause])
    }

    fn view(arguments: &Value, roles: &Value) -> Value {
        asked(arguments, roles, Vec::new()).unwrap()
    }

    fn place(pointer: &str, leads: &[&str]) -> Place {
        Place {
            pointer: pointer.to_owned(),
            leads: leads.iter().map(|lead| (*lead).to_owned()).collect(),
        }
    }

    #[test]
    fn nothing_pushes_out_what_is_asked_about_or_labelled() {
        let mut members: Map<String, Value> = (0..5000)
            .map(|n| (format!("a{n}"), "junk".repeat(100).into()))
            .collect();
        members.insert("recipient".to_owned(), "mallory".into());
        members.insert("cc".to_owned(), json!(["x", "eve@evil.example"]));
        members.insert("sums".to_owned(), json!([{ "amount": 5000 }]));
        let arguments = Value::Object(members);
        let roles = json!({ "/recipient": "target", "/sums/*/amount": "amount" });
        let seen = asked(&arguments, &roles, vec![place("/cc/1", &[])]).unwrap();
        assert_eq!(seen["recipient"], "mallory", "{seen}");
        assert_eq!(seen["sums"][0]["amount"], 5000, "{seen}");
        let cc = seen["cc"].to_string();
        assert!(cc.contains("eve@evil.example"), "{cc}");
    }

    #[test]
    fn a_long_text_shows_the_link_that_is_asked_about() {
        let body = format!("{} evil.example/login", "word ".repeat(20_000));
        let places = vec![place("/body", &["evil.example/login"])];
        let seen = asked(&json!({ "body": body }), &json!({}), places).unwrap();
        let shown = seen["body"].as_str().unwrap();
        assert!(shown.ends_with("(in it: evil.example/login)"), "{shown}");
    }

    #[test]
    fn what_cannot_be_seen_is_not_asked() {
        let long = json!({ "command": "x".repeat(20_000) });
        assert!(asked(&long, &json!({ "/command": "command" }), Vec::new()).is_none());
        assert!(asked(&long, &json!({}), vec![place("/command", &[])]).is_none());
        assert!(asked(&long, &json!({}), Vec::new()).is_some());
        let hidden = json!({ "to": { "secret": "mallory" } });
        assert!(asked(&hidden, &json!({ "/to": "target" }), Vec::new()).is_none());
        let many = vec!["evil.example"; VIEW_LEADS_MAX + 1];
        let places = vec![place("/b", &many)];
        assert!(asked(&json!({ "b": "x" }), &json!({}), places).is_none());
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
    fn no_line_amid_a_private_key_ends_it() {
        let row = "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r";
        let [first, last] = ["BEGIN", "END"].map(|word| format!("-----{word} PRIVATE KEY-----"));
        let ended = format!("{first}\n{row}\n# {last}\n{row}\n{row}\n{last}");
        let seen = view(&json!({ "key": format!("{ended} and more") }), &json!({}));
        assert_eq!(seen, json!({ "key": format!("{MASK} and more") }));
        let pgp = |word: &str| format!("-----{word} PGP PRIVATE KEY BLOCK-----");
        for key in [
            format!("{first}\n# {last}\n{row}\n{row}\n{last}"),
            format!("{first}\n{row}\n# {first}\n# {last}\n{row}\n{last}"),
            format!("{}\n\n{row}\n=aB3d\n{}", pgp("BEGIN"), pgp("END")),
        ] {
            let seen = view(&json!({ "key": key }), &json!({})).to_string();
            assert!(!seen.contains("OF/2NxAp"), "{seen}");
        }
    }

    /// Each of them goes on to the end: read for each, it would be read thousands of times.
    #[test]
    fn many_keys_that_are_cut_off_are_read_once() {
        let row = "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r";
        let keys = format!("-----BEGIN PRIVATE KEY-----\n{row}\n").repeat(10_000);
        let all = 0..keys.len();
        assert_eq!(crate::filter::private_keys(&keys), [all]);
    }

    #[test]
    fn a_secret_in_a_text_that_is_json_is_none_to_be_shown() {
        let text = r#"[{"word": "hunter2"}]"#;
        let arguments = json!({ "logins": text, "note": text });
        let roles = json!({ "/logins/*/word": "credential" });
        let seen = json!({ "logins": MASK, "note": text });
        assert_eq!(view(&arguments, &roles), seen);
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
