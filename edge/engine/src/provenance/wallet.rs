//! Addresses of crypto currencies inside text.

use super::text::Cut;
use super::value::Kind;
use crate::filter::is_wallet;
use std::borrow::Cow;

/// Fewest letters and digits of one.
const WALLET_BYTES_MIN: usize = 26;
/// Most.
const WALLET_BYTES_MAX: usize = 90;

pub(super) fn wallets(text: &str, words: &Cut<'_>, found: &mut dyn FnMut(Kind, &str)) {
    // Hardly any text has a word of that length.
    if !words.has_word_of(WALLET_BYTES_MIN) {
        return;
    }
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    for canonical in words.filter_map(wallet) {
        found(Kind::Wallet, &canonical);
    }
}

/// The canonical form of an address: as it stands, or in lower case where case says nothing but a checksum.
pub(super) fn wallet(word: &str) -> Option<Cow<'_, str>> {
    let length = (WALLET_BYTES_MIN..=WALLET_BYTES_MAX).contains(&word.len());
    if !length || !is_wallet(word) {
        return None;
    }
    let starts = |with: &&str| {
        let start = word.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    Some(match ["0x", "bc1", "tb1", "ltc1"].iter().any(starts) {
        true => word.to_ascii_lowercase().into(),
        false => word.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::text::normal;
    use super::*;

    #[test]
    fn checksums_decide() {
        let all = |text: &str| {
            let normal = normal(text);
            let mut all = Vec::new();
            wallets(text, &Cut::new(&normal), &mut |_, wallet| {
                all.push(wallet.to_owned());
            });
            all
        };
        for (text, wallet) in [
            (
                "to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa.",
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            ),
            (
                "bitcoin:bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq?amount=1",
                "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
            ),
            (
                "转到0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed吧",
                "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
            ),
        ] {
            assert_eq!(all(text), [wallet], "{text}");
        }
        for text in [
            "to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb.",
            "commit 3e25960a79dbc69b674cd4ec67a72c62e7b2a3f1",
            "antidisestablishmentarianisms",
        ] {
            assert_eq!(all(text), [""; 0], "{text}");
        }
    }
}
