//! What a value of a record stands for beside itself: the address of `Name <address>`, each element of a list of addresses, the day
//! of a date in words. Nothing that stands amid other words.

use super::join::LIST_SIGNS;
use super::quantity::whole_date;
use super::query::Spelled;
use super::value::{Kind, whole};

/// Longest value that is taken apart, in bytes.
const BYTES_MAX: usize = 2_048;
/// Most words of a name before an address.
const NAME_WORDS_MAX: usize = 6;

/// The values that a text is put together of, if it is made of nothing else, each as it would stand by itself.
pub(super) fn parts_of(value: &Spelled) -> Vec<String> {
    let text = value.as_written().trim();
    if text.len() > BYTES_MAX || !value.is_recognised() {
        return Vec::new();
    }
    // The agent may have asked for it in this writing.
    let date = whole_date(value.normal()).filter(|date| date != value.normal());
    if let Some(date) = date {
        return vec![date];
    }
    if value.is_typed() {
        return Vec::new();
    }
    let elements = || text.split(LIST_SIGNS).map(str::trim);
    let parts = match address_of(text) {
        Some(address) => Some(vec![address]),
        None if !text.contains(LIST_SIGNS) => None,
        None => same_kind(elements()).or_else(|| elements().map(address_of).collect()),
    };
    let parts = parts.unwrap_or_default();
    parts.into_iter().map(str::to_owned).collect()
}

/// The elements of a list, if each is a value of the same kind that leads out.
fn same_kind<'t>(elements: impl Iterator<Item = &'t str>) -> Option<Vec<&'t str>> {
    let mut kinds = None;
    let known = |element: &'t str| {
        let (kind, _) = whole(element)?;
        (*kinds.get_or_insert(kind) == kind && kind.leads_out()).then_some(element)
    };
    elements.map(known).collect()
}

/// The address of `Alice Miller <alice@acme.example>`.
fn address_of(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once('<')?;
    let (name, address) = (name.trim(), rest.strip_suffix('>')?.trim());
    let quoted = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    let named = match quoted {
        Some(name) => !name.contains(['"', '@']),
        None => is_name(name),
    };
    let known = whole(address).is_some_and(|(kind, _)| kind == Kind::Email);
    (named && known).then_some(address)
}

/// Whether a text is no more than a name may be, or nothing.
fn is_name(text: &str) -> bool {
    !text.contains(['"', '@', ':', '>'])
        && !text.contains(LIST_SIGNS)
        && text.split_whitespace().count() <= NAME_WORDS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        parts_of(&Spelled::text(text.to_owned()))
    }

    #[test]
    fn each_part_of_what_is_made_of_nothing_else() {
        for (text, expected) in [
            (
                "Alice Miller <alice@acme.example>",
                &["alice@acme.example"][..],
            ),
            (
                "\"Miller, Alice\" <alice@acme.example>",
                &["alice@acme.example"],
            ),
            ("<alice@acme.example>", &["alice@acme.example"]),
            ("a@x.example, b@x.example", &["a@x.example", "b@x.example"]),
            ("a@x.example;b@x.example", &["a@x.example", "b@x.example"]),
            (
                "Alice <a@x.example>, Bob <b@x.example>",
                &["a@x.example", "b@x.example"],
            ),
            (
                "https://x.example/a, https://x.example/b",
                &["https://x.example/a", "https://x.example/b"],
            ),
            (
                "GB29 NWBK 6016 1331 9268 19; DE89370400440532013000",
                &["GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000"],
            ),
            ("May 16, 2024", &["2024-05-16"]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_of_what_has_other_words_in_it() {
        for text in [
            "alice@acme.example",
            "2024-05-16",
            "https://x.example/a?b=c,d",
            "write to a@x.example, or to b@x.example",
            "a@x.example, please",
            "a@x.example,",
            "a@x.example, DE89370400440532013000",
            "eve@evil.example, Bob <b@x.example>",
            "alice@acme.example <eve@evil.example>",
            "Alice <a@x.example> and more",
            "Alice <a@x.example> <b@x.example>",
            "Alice <Bob>",
            "contact: Alice <a@x.example>",
            "for all that is still open please write to <a@x.example>",
            "1,500",
            "on May 16, 2024",
            "Alice, Bob",
            "",
        ] {
            assert_eq!(parts(text), [""; 0], "{text}");
        }
    }
}
