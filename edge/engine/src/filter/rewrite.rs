//! What is put in place of matches.

use super::armoured::{decode_base64, encode_base64_like};
use super::view::unescaped;
use super::{Carrier, Class, Filter, Match};
use std::borrow::Cow;

/// A match, and the text that stands in for it.
pub(super) struct Edit<'m> {
    pub(super) hit: &'m Match,
    pub(super) with: String,
}

/// The text with its edits made; they are in order of place and do not overlap, except within one run of base64.
/// `again` makes the same edits in the decoded text of such a run.
pub(super) fn rewrite(
    text: &str,
    edits: &[Edit<'_>],
    again: &mut dyn FnMut(&str) -> String,
) -> String {
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    let mut quotes = Quotes::default();
    for edit in edits {
        let range = edit.hit.range.clone();
        if range.start < at {
            continue;
        }
        new.push_str(text.get(at..range.start).unwrap_or_default());
        let run = text.get(range.clone()).unwrap_or_default();
        match edit.hit.carrier {
            Carrier::Plain { escapes, percent } => {
                let bare = escapes == 0
                    && !percent
                    && is_bare_number(text, range.start, range.end)
                    && !quotes.are_open_at(text, range.start);
                let quote = if bare { "\"" } else { "" };
                new.push_str(quote);
                match percent {
                    true => new.push_str(&percent_encoded(&edit.with)),
                    false => new.push_str(&edit.with),
                }
                new.push_str(quote);
            }
            Carrier::Base64 => {
                let inside = decode_base64(run).map(|inside| again(&inside));
                let encoded = inside.map(|inside| encode_base64_like(run, &inside));
                // Its lines may have been those of another decoding.
                new.push_str(encoded.as_deref().unwrap_or(&edit.with));
            }
            Carrier::Run { percent: true } => new.push_str(&percent_encoded(&edit.with)),
            Carrier::Run { percent: false } => new.push_str(&edit.with),
        }
        at = range.end;
    }
    new.push_str(text.get(at..).unwrap_or_default());
    new
}

/// The quotation marks of a JSON text, up to a place that only moves on: each byte is looked at once for all edits.
#[derive(Default)]
struct Quotes {
    at: usize,
    in_string: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether this place, which is behind the last one, is inside of a string.
    fn are_open_at(&mut self, text: &str, place: usize) -> bool {
        let bytes = text.as_bytes().get(self.at..place);
        for byte in bytes.unwrap_or_default() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.in_string,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
        }
        self.at = place;
        self.in_string
    }
}

/// Whether a range outside of strings is a number of a JSON text, whose place only a quoted text can take.
fn is_bare_number(text: &str, start: usize, end: usize) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    let before = text.get(..start).unwrap_or_default().trim_end();
    let behind = text.get(end..).unwrap_or_default().trim_start();
    before.ends_with([':', '[', ',']) && behind.starts_with([',', ']', '}'])
}

fn percent_encoded(text: &str) -> String {
    text.replace('[', "%5B").replace(']', "%5D")
}

/// `[EMAIL]`
pub(super) fn label(filter: &Filter, class: Class) -> String {
    match class {
        Class::Known(class) => format!("[{}]", class.label()),
        Class::Custom(at) => format!("[{}]", filter.custom_name(at).to_ascii_uppercase()),
    }
}

/// A value without the JSON escapes that it was found inside of. As it is if it would need one.
pub(super) fn plain(value: &str, carrier: Carrier) -> Cow<'_, str> {
    let Carrier::Plain { escapes, .. } = carrier else {
        return Cow::Borrowed(value);
    };
    let mut plain = Cow::Borrowed(value);
    for _ in 0..escapes {
        let Some(view) = unescaped(&plain) else {
            break;
        };
        plain = Cow::Owned(view.text);
    }
    match plain.contains(|c: char| matches!(c, '"' | '\\') || c.is_control()) {
        true => Cow::Borrowed(value),
        false => plain,
    }
}

/// Whether there are still JSON escapes in what [`plain`] made of a value.
pub(super) fn has_escapes(plain: &str, carrier: Carrier) -> bool {
    matches!(carrier, Carrier::Plain { escapes: 1.., .. }) && plain.contains('\\')
}

/// Letters and digits as `*`, but for the last four; of a short value all.
pub(super) fn mask(value: &str) -> String {
    let count = value.chars().filter(|c| c.is_alphanumeric()).count();
    let hidden = if count > 8 {
        count.saturating_sub(4)
    } else {
        count
    };
    let mut seen = 0_usize;
    value
        .chars()
        .map(|c| {
            if !c.is_alphanumeric() {
                return c;
            }
            seen = seen.saturating_add(1);
            if seen <= hidden { '*' } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{everything_redacted, inbound};
    use serde_json::Value;

    #[test]
    fn what_was_json_is_json_afterwards() {
        let rules = everything_redacted();
        let redacted = |text: &str| -> Value {
            let altered = inbound(&rules).treat_text(text).altered.unwrap();
            assert!(!altered.contains("4111111111111111"), "{altered}");
            serde_json::from_str(&altered).unwrap()
        };
        let bare = redacted(r#"{"card":4111111111111111,"cards":[4111111111111111]}"#);
        assert!(bare["card"].is_string() && bare["cards"][0].is_string());
        let inside = redacted(r#"{"note":"cards: 4111111111111111, exp 12/30"}"#);
        assert!(inside["note"].as_str().unwrap().starts_with("cards: ["));
    }

    #[test]
    fn quotation_marks_are_counted_along() {
        let text = r#"{"a\\":1,"b \"c":2}"#;
        let mut quotes = Quotes::default();
        let open: Vec<bool> = ["1", "\"c", "c", "2"]
            .iter()
            .map(|part| quotes.are_open_at(text, text.find(part).unwrap()))
            .collect();
        assert_eq!(open, [false, true, true, false]);
    }

    #[test]
    fn the_last_four_stay() {
        assert_eq!(mask("4111 1111 1111 1234"), "**** **** **** 1234");
        assert_eq!(mask("hunter2"), "*******");
    }
}
