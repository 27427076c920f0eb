//! Putting values back into a text, wherever and however what stands for them is written there.
//!
//! A program that was handed a placeholder passes it on in a URL, in JSON inside of a text, in base64. The value takes its
//! place in the same encoding.

use super::ESCAPES_MAX;
use super::armoured::{self, encode_base64_like};
use super::view::{self, View};
use std::fmt::Write as _;

/// Told of each placeholder in a text: its range, and what goes in its place.
pub(super) type Told<'f> = dyn FnMut(usize, usize, String) + 'f;
/// Looks for placeholders in a text.
pub(super) type Look<'l> = dyn Fn(&str, &mut Told<'_>) + 'l;

/// The text with values in place of what stands for them; `None` if nothing does.
pub(super) fn put_back(text: &str, look: &Look<'_>) -> Option<String> {
    let mut places = Places::default();
    plainly(text, look, &mut places);
    armoured::base64(text, &mut |run| {
        let mut inside = Places::default();
        plainly(&run.text, look, &mut inside);
        let armour = text.get(run.start..run.end).unwrap_or_default();
        if let Some(new) = inside.filled(&run.text).filter(|_| run.is_exact) {
            places.add(run.start, run.end, encode_base64_like(armour, &new));
        }
    });
    for view in [view::percent_decoded(text), view::form(text)]
        .iter()
        .flatten()
    {
        look(&view.text, &mut |start, end, value| {
            let (start, end) = view.original(start, end);
            places.add(start, end, percent_encoded(&value));
        });
    }
    in_escapes(text, 1, look, &mut |start, end, value| {
        places.add(start, end, value);
    });
    places.filled(text)
}

/// Placeholders as they are.
fn plainly(text: &str, look: &Look<'_>, places: &mut Places) {
    // Where the text is JSON, the value has to stay within its quotes.
    let is_json = text.trim_start().starts_with(['{', '[']);
    look(text, &mut |start, end, value| {
        let with = match is_json {
            true => escaped(&value),
            false => value,
        };
        places.add(start, end, with);
    });
}

/// Placeholders inside of JSON escapes, of so many levels.
fn in_escapes(text: &str, level: u8, look: &Look<'_>, told: &mut Told<'_>) {
    let Some(view) = view::unescaped(text) else {
        return;
    };
    let mut outside = |view: &View, start, end, value: String| {
        let (start, end) = view.original(start, end);
        told(start, end, escaped(&value));
    };
    look(&view.text, &mut |start, end, value| {
        outside(&view, start, end, value);
    });
    if level < ESCAPES_MAX {
        let deeper = level.saturating_add(1);
        in_escapes(&view.text, deeper, look, &mut |start, end, value| {
            outside(&view, start, end, value);
        });
    }
}

/// Ranges of a text, and what goes there.
#[derive(Default)]
struct Places(Vec<(usize, usize, String)>);

impl Places {
    fn add(&mut self, start: usize, end: usize, with: String) {
        self.0.push((start, end, with));
    }

    /// Of places that overlap, the one that was added first.
    fn filled(mut self, text: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by_key(|(start, ..)| *start);
        let mut new = String::with_capacity(text.len());
        let mut at = 0;
        for (start, end, with) in self.0 {
            if start >= at {
                new.push_str(text.get(at..start)?);
                new.push_str(&with);
                at = end;
            }
        }
        new.push_str(text.get(at..)?);
        Some(new)
    }
}

/// Whether a range is a word of its own: `1234` is not in `91234`.
pub(super) fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let joined = |inside: Option<char>, outside: Option<char>| {
        inside.is_some_and(char::is_alphanumeric) && outside.is_some_and(char::is_alphanumeric)
    };
    let word = text.get(start..end).unwrap_or_default();
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let behind = text.get(end..).and_then(|text| text.chars().next());
    // The `n` of `\nword` is not joined to it.
    let escape = start
        .checked_sub(1)
        .and_then(|at| view::escape_around(text, at))
        .filter(|at| text.as_bytes().get(at.saturating_add(1)) != Some(&b'u'));
    let before = before.filter(|_| escape.is_none());
    !joined(word.chars().next(), before) && !joined(word.chars().next_back(), behind)
}

/// As a text of JSON has it between its quotes.
fn escaped(value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    let inside = quoted.get(1..quoted.len().saturating_sub(1));
    inside.unwrap_or_default().to_owned()
}

/// As it can stand anywhere in a URL.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for b in value.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(b));
        } else {
            // Writing to a text does not fail.
            let _ = write!(encoded, "%{b:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `k7@p.invalid` stands for `a"b@x.org`.
    fn restored(text: &str) -> Option<String> {
        let look = |text: &str, told: &mut Told<'_>| {
            for (at, word) in text.match_indices("k7@p.invalid") {
                if is_whole(text, at, at + word.len()) {
                    told(at, at + word.len(), "a\"b@x.org".to_owned());
                }
            }
        };
        put_back(text, &look)
    }

    #[test]
    fn values_are_put_back_as_it_is_written_there() {
        for (text, expect) in [
            (
                "to k7@p.invalid, k7@p.invalid!",
                "to a\"b@x.org, a\"b@x.org!",
            ),
            ("?to=k7%40p.invalid&x=1", "?to=a%22b%40x.org&x=1"),
            ("?to=k7@p.invalid&x=%20", "?to=a\"b@x.org&x=%20"),
            (r#"{"to":"k7@p.invalid"}"#, r#"{"to":"a\"b@x.org"}"#),
            (r#"{"to":"k7\u0040p.invalid"}"#, r#"{"to":"a\"b@x.org"}"#),
            (
                r#"{"to":"Hi,\nk7@p.invalid"}"#,
                r#"{"to":"Hi,\na\"b@x.org"}"#,
            ),
            (
                r#"{"in":"{\"to\":\"k7\\u0040p.invalid\"}"}"#,
                r#"{"in":"{\"to\":\"a\\\"b@x.org\"}"}"#,
            ),
            // `to k7@p.invalid` and `to a"b@x.org`
            ("x dG8gazdAcC5pbnZhbGlk y", "x dG8gYSJiQHgub3Jn y"),
        ] {
            assert_eq!(restored(text).as_deref(), Some(expect), "{text}");
        }
        for text in ["", "to ak7@p.invalid", "k7@p.invalids", "9k7%40p.invalid"] {
            assert_eq!(restored(text), None, "{text}");
        }
    }
}
