//! Addresses of crypto currencies, by their checksums.

use super::monero;
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

/// Longest address, in bytes: Cardano's.
pub(super) const WORD_MAX: usize = 110;

/// Shortest address of Bitcoin's newer form, of which a program may have two bytes only.
const SEGWIT_LEAST: usize = 14;

/// Whether a word is an address whose checksum is right.
pub(super) fn address(word: &str) -> bool {
    let bytes = word.as_bytes();
    match bytes {
        [b'0', b'x', hex @ ..] if hex.len() == 40 => ethereum(hex),
        [b'b' | b'B' | b't' | b'l' | b'L', ..]
            if (SEGWIT_LEAST..=90).contains(&bytes.len()) && segwit(word) =>
        {
            true
        }
        [b'a', b'd', b'd', b'r', ..] if (50..=WORD_MAX).contains(&bytes.len()) => segwit(word),
        [b'4' | b'8', ..] if bytes.len() == 95 => monero::monero(bytes),
        [b'q' | b'p', ..] if bytes.len() == 42 => monero::bitcoin_cash(bytes),
        [b'r', ..] if (26..=35).contains(&bytes.len()) => base58(word, bs58::Alphabet::RIPPLE),
        [
            b'1' | b'3' | b'2' | b'm' | b'n' | b'L' | b'M' | b'D' | b't' | b'X' | b'T',
            ..,
        ] if (26..=35).contains(&bytes.len()) => base58(word, bs58::Alphabet::BITCOIN),
        _ => false,
    }
}

/// EIP-55: the case of the letters is the checksum. An address all in one case has none.
fn ethereum(hex: &[u8]) -> bool {
    if !hex.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let upper = hex.iter().any(u8::is_ascii_uppercase);
    let lower = hex.iter().any(u8::is_ascii_lowercase);
    if !(upper && lower) {
        return hex.iter().any(u8::is_ascii_digit) && (upper || lower);
    }
    let digest = Keccak256::digest(hex.to_ascii_lowercase());
    let nibbles = digest.iter().flat_map(|b| [b >> 4, b & 15]);
    hex.iter()
        .zip(nibbles)
        .all(|(b, nibble)| !b.is_ascii_alphabetic() || b.is_ascii_uppercase() == (nibble >= 8))
}

fn segwit(word: &str) -> bool {
    let known = ["bc1", "tb1", "ltc1", "BC1", "addr1", "addr_test1"]
        .iter()
        .any(|start| word.starts_with(start));
    known && bech32::decode(word).is_ok()
}

fn base58(word: &str, alphabet: &bs58::Alphabet) -> bool {
    let Ok(bytes) = bs58::decode(word).with_alphabet(alphabet).into_vec() else {
        return false;
    };
    let Some((payload, check)) = bytes.split_last_chunk::<4>() else {
        return false;
    };
    let digest = Sha256::digest(Sha256::digest(payload));
    // Zcash has two bytes of version before the hash, the others one.
    let length = if word.starts_with('t') { 22 } else { 21 };
    payload.len() == length && digest.starts_with(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_decide() {
        for good in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
            "bc1sw50qgdz25j",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "TRwRnzx8PxzxNCesXSm1QC2JBV2goPzqGR",
            "t1ZqpoGzYDZfbofe8sbvR1rS5XMUTKd6gNW",
            "t3aXqipUymTyytqLZzhb1SUo1fsmAu5orF3",
            "rGyD8A2QENtrDpbNABfHtsLwG6H4YMvEmw",
            "addr1qxj2h4zy33y4vtvzsy2azwslen4fyl6jkn25ty5hlz6rusk63y3chsfkymjrmjecmkcgyjyfylkfqna5ypt5gwvrazzszqgezs",
            "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
        ] {
            assert!(address(good), "{good}");
        }
        for bad in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp",
            "bc1sw50qgdz25k",
            "TRwRnzx8PxzxNCesXSm1QC2JBV2goPzqGS",
            "t1ZqpoGzYDZfbofe8sbvR1rS5XMUTKd6gNX",
            "rGyD8A2QENtrDpbNABfHtsLwG6H4YMvEmx",
            "addr1qxj2h4zy33y4vtvzsy2azwslen4fyl6jkn25ty5hlz6rusk63y3chsfkymjrmjecmkcgyjyfylkfqna5ypt5gwvrazzszqgezq",
            "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ] {
            assert!(!address(bad), "{bad}");
        }
    }
}
