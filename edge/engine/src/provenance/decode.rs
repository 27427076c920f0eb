//! What is said in another writing: percent- and base64-encoded text, one level deep at a time.

use crate::limits::PROVENANCE_TEXT_BYTES_MAX;
use base64::Engine as _;

/// Fewest letters of a chunk that is taken for base64, whatever it says.
const BASE64_BYTES_MIN: usize = 8;
/// Fewest letters of one that says an amount.
const AMOUNT_BYTES_MIN: usize = 3;
/// What base64 of a digit, a `$` or a `£` begins with.
const AMOUNT_STARTS: [char; 5] = ['M', 'N', 'O', 'J', 'w'];

/// What a chunk says that is percent- or base64-encoded as a whole or behind its last colon or equals sign.
pub(super) fn decoded(chunk: &str) -> impl Iterator<Item = String> {
    let bare = chunk.trim_end_matches('=');
    let value = bare.rfind([':', '=']);
    let value = value.and_then(|at| chunk.get(at.saturating_add(1)..));
    [Some(chunk), value].into_iter().flatten().filter_map(whole)
}

fn whole(chunk: &str) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
    if chunk.contains('%') {
        let decoded = percent_decoded(chunk)?;
        return (decoded != chunk).then_some(decoded);
    }
    let bare = chunk.trim_end_matches('=');
    let short = bare.len() < BASE64_BYTES_MIN;
    if short && !(bare.len() >= AMOUNT_BYTES_MIN && bare.starts_with(AMOUNT_STARTS)) {
        return None;
    }
    let plausible = |b: u8| b.is_ascii_alphanumeric() || b"+/-_".contains(&b);
    if bare.len() > PROVENANCE_TEXT_BYTES_MAX || !bare.bytes().all(plausible) {
        return None;
    }
    let bytes = BASE64_STANDARD_NO_PAD
        .decode(bare)
        .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(bare))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let readable = !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    (readable && (!short || is_amount(&text))).then_some(text)
}

/// Whether a short text is an amount: nearly any word of a few letters can be read as base64 of something.
fn is_amount(text: &str) -> bool {
    let part = |c: char| c.is_ascii_digit() || ".,'+-$£€ ".contains(c);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits >= 2 && text.chars().all(part)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = || -> Option<u8> {
            let high = char::from(ahead.next()?).to_digit(16)?;
            let low = char::from(ahead.next()?).to_digit(16)?;
            u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()
        };
        match (byte == b'%').then(digits).flatten() {
            Some(decoded) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_another_way_is_read() {
        let all = |chunk: &str| decoded(chunk).collect::<Vec<_>>();
        for (chunk, says) in [
            ("NTAwMA==", "5000"),
            ("OTAw", "900"),
            ("JDkwMA", "$900"),
            ("wqM5MDA=", "£900"),
            ("pay:NTAwMA==", "5000"),
            ("amount=OTAw", "900"),
            ("to=ZXZlQGV2aWwuZXhhbXBsZQ", "eve@evil.example"),
            ("eve%40evil.example", "eve@evil.example"),
            ("to:eve%40evil.example", "eve@evil.example"),
        ] {
            assert!(
                all(chunk).contains(&says.to_owned()),
                "{chunk}: {:?}",
                all(chunk)
            );
        }
        for word in [
            "Mail",
            "Note",
            "OK",
            "Java",
            "wait",
            "hello",
            "https://a.example/x",
        ] {
            assert_eq!(all(word), [""; 0], "{word}");
        }
    }
}
