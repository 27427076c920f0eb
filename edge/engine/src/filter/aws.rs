//! The secret of an access key of AWS beside its id, as lists have the two: the console's `accessKeys.csv`, `id:secret`.
//!
//! Nothing in it says what it is; the id before it does, and its length and alphabet, which few other things have.

use super::credible::credible;
use super::names::Kind;
use super::text::{Text, alnum};

/// Characters of a secret.
const LENGTH: usize = 40;
/// Most characters between the two: a separator, with quotation marks around it or a blank behind it.
const BETWEEN_MAX: usize = 4;

/// The secret behind the id that ends at `id_end`.
pub(super) fn beside(text: Text<'_>, id_end: usize) -> Option<(usize, usize)> {
    let separates = |b: u8| matches!(b, b',' | b';' | b':' | b'|' | b'\t');
    let between = |b: u8| separates(b) || matches!(b, b' ' | b'"' | b'\'');
    let start = text.run(id_end, BETWEEN_MAX, between);
    let is_separated = text.bytes(id_end, start).iter().any(|b| separates(*b));
    let inside = |b: u8| alnum(b) || matches!(b, b'+' | b'/');
    let end = text.run(start, LENGTH.saturating_add(1), inside);
    let value = text.bytes(start, end);
    // Of the sums of files that are as long, none has both.
    let is_mixed =
        value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase);
    let fits = is_separated && is_mixed && credible(text.slice(start, end), Kind::Aws, true);
    (fits && text.at(end) != b'=').then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::super::provider::keys;
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        let whole = Text { text, key: "" };
        keys(whole, 0, text.len(), &mut |from, to, _, _| {
            found.push(&text[from..to]);
        });
        found
    }

    #[test]
    fn a_secret_stands_beside_its_id() {
        let (id, secret) = (
            "AKIAQWERTYUIOP234567",
            "wJalrXUtnFEMIaK7MDEN/GabPxRfiCYz+zKEY9Qw",
        );
        for text in [
            format!("Access key ID,Secret access key\r\n{id},{secret}\r\n"),
            format!("bob,{id},{secret},https://x"),
            format!("\"{id}\",\"{secret}\""),
            format!("{id}, {secret}"),
            format!("{id}:{secret}"),
            format!("{id}\t{secret}"),
        ] {
            assert_eq!(found(&text), [id, secret], "{text}");
        }
        for text in [
            format!("{id} {secret}"),
            format!("{id}\n{secret}"),
            format!("{id},{secret}x"),
            format!("{id},{}", &secret[1..]),
            format!("{id},{secret}="),
            format!("{id},3f2a9c81d4e5b6a7089f1e2d3c4b5a6978877665"),
            format!("{id},{}", "aB".repeat(20)),
        ] {
            assert_eq!(found(&text), [id], "{text}");
        }
        assert!(found(&format!("x,{secret}")).is_empty());
    }
}
