//! Addresses whose checksums are made otherwise than Bitcoin's: Monero's, and Bitcoin Cash's.

use sha3::{Digest as _, Keccak256};

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE32: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Characters of a block, and the bytes that they are; and those of the last, which is shorter.
const BLOCK: (usize, usize) = (11, 8);
const LAST_BYTES: usize = 5;

/// An address of Monero: blocks in base 58, of which the last four bytes check the others.
pub(super) fn monero(word: &[u8]) -> bool {
    if word.len() != 95 || !matches!(word.first(), Some(b'4' | b'8')) {
        return false;
    }
    let mut bytes = Vec::with_capacity(69);
    for block in word.chunks(BLOCK.0) {
        let length = if block.len() == BLOCK.0 {
            BLOCK.1
        } else {
            LAST_BYTES
        };
        let value = block.iter().try_fold(0_u128, |sum, b| {
            let digit = BASE58.iter().position(|known| known == b)?;
            Some(
                sum.saturating_mul(58)
                    .saturating_add(u128::try_from(digit).ok()?),
            )
        });
        let Some(value) = value else { return false };
        let all = value.to_be_bytes();
        let (zeros, written) = all.split_at(all.len().saturating_sub(length));
        if zeros.iter().any(|b| *b != 0) {
            return false;
        }
        bytes.extend_from_slice(written);
    }
    bytes
        .split_last_chunk::<4>()
        .is_some_and(|(payload, check)| Keccak256::digest(payload).starts_with(check))
}

/// An address of Bitcoin Cash, without `bitcoincash:`, which is checked with it.
pub(super) fn bitcoin_cash(word: &[u8]) -> bool {
    const PREFIX: &[u8] = b"bitcoincash";
    if word.len() != 42 || !matches!(word.first(), Some(b'q' | b'p')) {
        return false;
    }
    let prefix = PREFIX.iter().map(|b| Some(u64::from(b & 31)));
    let data = word.iter().map(|b| {
        let digit = BASE32.iter().position(|known| known == b)?;
        u64::try_from(digit).ok()
    });
    let mut all = prefix.chain([Some(0)]).chain(data);
    let sum = all.try_fold(1_u64, |sum, digit| digit.map(|digit| step(sum, digit)));
    sum == Some(1)
}

/// One step of the BCH code of CashAddr.
fn step(sum: u64, digit: u64) -> u64 {
    const GENERATORS: [u64; 5] = [
        0x98_f2bc_8e61,
        0x79_b76d_99e2,
        0xf3_3e5f_b3c4,
        0xae_2eab_e2a8,
        0x1e_4f43_e470,
    ];
    let top = sum >> 35;
    let shifted = ((sum & 0x07_ffff_ffff) << 5) ^ digit;
    GENERATORS
        .iter()
        .enumerate()
        .filter(|(at, _)| {
            top.checked_shr(u32::try_from(*at).unwrap_or(0))
                .unwrap_or(0)
                & 1
                == 1
        })
        .fold(shifted, |sum, (_, generator)| sum ^ generator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_decide() {
        let donations = "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A";
        assert!(monero(donations.as_bytes()));
        assert!(!monero(
            donations.replace("RVGQBEP3A", "RVGQBEP3B").as_bytes()
        ));
        let cash = "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a";
        assert!(bitcoin_cash(cash.as_bytes()));
        assert!(!bitcoin_cash(cash.replace("gdx6a", "gdx6q").as_bytes()));
        assert!(!bitcoin_cash(&cash.as_bytes()[1..]));
    }
}
