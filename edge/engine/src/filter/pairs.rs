//! Keys in two parts with a colon between, of which the first is an id: Telegram's bots, fal.ai, DataStax, Tableau.

use super::text::{Text, alnum, entropy};
use proctor_model::content::{Confidence, ContentClass as Class};

fn dashed(b: u8) -> bool {
    alnum(b) || matches!(b, b'_' | b'-')
}

fn hex_dashed(b: u8) -> bool {
    b.is_ascii_hexdigit() || b == b'-'
}

/// A first part: its characters, how many there are, and those of the second.
struct Pair {
    first: fn(u8) -> bool,
    first_lens: std::ops::RangeInclusive<usize>,
    second: fn(u8) -> bool,
    second_lens: std::ops::RangeInclusive<usize>,
    /// What the two begin with.
    begin: (&'static str, &'static str),
}

const PAIRS: &[Pair] = &[
    // Telegram.
    Pair {
        first: |b| b.is_ascii_digit(),
        first_lens: 5..=16,
        second: dashed,
        second_lens: 35..=35,
        begin: ("", "A"),
    },
    // fal.ai.
    Pair {
        first: hex_dashed,
        first_lens: 36..=36,
        second: |b| b.is_ascii_hexdigit(),
        second_lens: 32..=32,
        begin: ("", ""),
    },
    // DataStax.
    Pair {
        first: alnum,
        first_lens: 7..=7,
        second: alnum,
        second_lens: 20..=40,
        begin: ("AstraCS", ""),
    },
    // Tableau.
    Pair {
        first: |b| alnum(b) || matches!(b, b'+' | b'/' | b'='),
        first_lens: 24..=24,
        second: alnum,
        second_lens: 32..=32,
        begin: ("", ""),
    },
];

/// The key around the colon at `at`.
pub(super) fn pair(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let from = at.saturating_add(1);
    // Most colons have a blank behind them.
    if text.at(at) != b':' || text.run(from, 20, dashed) < from.saturating_add(20) {
        return None;
    }
    PAIRS.iter().find_map(|pair| {
        let start = text.run_back(at, pair.first_lens.end().saturating_add(1), pair.first);
        let end = text.run(from, pair.second_lens.end().saturating_add(1), pair.second);
        let (first, second) = (text.slice(start, at), text.slice(from, end));
        let fits = pair.first_lens.contains(&first.len())
            && pair.second_lens.contains(&second.len())
            && first.starts_with(pair.begin.0)
            && second.starts_with(pair.begin.1);
        // Of 24 characters only base64 that was padded is an id.
        let id = first.len() != 24 || first.ends_with("==");
        let uuid = first.len() != 36 || first.matches('-').count() == 4;
        let begins = !alnum(text.before(start)) || is_bot(text, start);
        let bounded = begins && !dashed(text.at(end));
        let random = entropy(second.as_bytes()) >= 2.9;
        (fits && id && uuid && bounded && random).then_some((
            start,
            end,
            Class::GenericSecret,
            Confidence::High,
        ))
    })
}

/// Whether the word before a place is the one that Telegram's addresses have before a token:
/// `https://api.telegram.org/bot…`.
fn is_bot(text: Text<'_>, at: usize) -> bool {
    let start = at.saturating_sub("bot".len());
    text.bytes(start, at) == b"bot" && !alnum(text.before(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_have_to_fit() {
        let found = |text: &str| {
            memchr::memchr_iter(b':', text.as_bytes())
                .find_map(|at| pair(Text { text, key: "" }, at))
                .map(|(a, b, ..)| text[a..b].to_owned())
        };
        let tail = |n: usize| "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"[..n].to_owned();
        let hex = "9f8e7d6c5b4a39281706e5d4c3b2a1f0";
        for yes in [
            format!("1234567890:A{}", tail(34)),
            format!("f02a4efa-6f86-a3ee-c2fa-00c3695583a6:{hex}"),
            format!("AstraCS:{}", tail(28)),
            format!("{}==:{}", tail(22), tail(32)),
        ] {
            assert_eq!(found(&format!("have {yes} here")), Some(yes));
        }
        let token = format!("1234567890:A{}", tail(34));
        for before in ["https://api.telegram.org/bot", "/file/bot", "bot"] {
            let address = format!("{before}{token}/getMe?x=1");
            assert_eq!(found(&address).as_ref(), Some(&token), "{address}");
        }
        for no in [
            format!("robot{token}"),
            format!("/bots{token}"),
            format!("1234567890:B{}", tail(34)),
            format!("1234567890:A{}", tail(36)),
            format!("sha256:{hex}{hex}"),
            format!("f02a4efa6f86a3eec2fa00c3695583a6abcd:{hex}"),
            format!("{}:{}", tail(24), tail(32)),
            format!("{}==: {}", tail(22), tail(32)),
        ] {
            assert_eq!(found(&no), None, "{no}");
        }
    }
}
