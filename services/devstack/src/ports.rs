//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::DevstackError;

/// Below the range from which the kernel takes ports for outgoing connections (32768 and up on
/// Linux), so that no client takes a server's port while the server restarts.
const FIRST: u16 = 15_000;
const LAST: u16 = 31_999;
const COUNT: u16 = LAST - FIRST + 1;
const TRIES: usize = 200;
/// Where nextest says which of the tests that it runs side by side this one is.
const SLOT_VARIABLE: &str = "NEXTEST_TEST_GLOBAL_SLOT";
/// Ports of one of those.
const SLOT: u16 = 2_000;

/// The port of last time where it is free, so that clients which outlive a server's owner find it
/// again; else a free one.
pub(crate) fn pick(last: Option<u16>) -> Result<u16, DevstackError> {
    match last {
        Some(port) if is_free(port) => Ok(port),
        _ => free_port(),
    }
}

/// A port that was free a moment ago, and that this process did not choose before. It goes on from a random one, so that
/// parallel processes rarely meet; parallel tests of nextest have ranges of their own, so that they never do.
///
/// A caller that can try again should expect to lose the race: see [`is_free`].
///
/// # Errors
/// [`DevstackError::NoFreePort`].
pub fn free_port() -> Result<u16, DevstackError> {
    static FIRST_OF_ALL: OnceLock<u16> = OnceLock::new();
    static CHOSEN: AtomicU16 = AtomicU16::new(0);
    let first =
        *FIRST_OF_ALL.get_or_init(|| first(std::env::var(SLOT_VARIABLE).ok().as_deref(), random()));
    for _ in 0..TRIES {
        let offset = first.wrapping_add(CHOSEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = FIRST + offset;
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(DevstackError::NoFreePort {
        from: FIRST,
        to: LAST,
    })
}

/// Whether a server could listen on this loopback port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Where a process begins. In a slot's range there is room behind it for more ports than a test takes.
fn first(slot: Option<&str>, random: u16) -> u16 {
    match slot.and_then(|slot| slot.parse::<u16>().ok()) {
        Some(slot) => slot % (COUNT / SLOT) * SLOT + random % (SLOT / 2),
        None => random,
    }
}

/// By the process' number where there is no randomness.
fn random() -> u16 {
    let mut bytes = [0u8; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_le_bytes(bytes),
        Err(_) => u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_side_by_side_begin_in_ranges_of_their_own() {
        for random in [0, 999, 1_000, 40_000, u16::MAX] {
            for slot in 0..8 {
                let text = slot.to_string();
                let first = first(Some(&text), random);
                assert!(
                    (slot * SLOT..slot * SLOT + SLOT / 2).contains(&first),
                    "{first}"
                );
            }
            assert!(first(Some("8"), random) < SLOT);
            assert_eq!(first(Some("none"), random), random);
            assert_eq!(first(None, random), random);
        }
    }
}
