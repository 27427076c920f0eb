//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use crate::DevstackError;

/// Below the range from which the kernel takes ports for outgoing connections (32768 and up on
/// Linux), so that no client takes a server's port while the server restarts.
const FIRST: u16 = 15_000;
const LAST: u16 = 31_999;
const TRIES: usize = 200;

/// The port of last time where it is free, so that clients which outlive a server's owner find it
/// again; else a free one.
pub(crate) fn pick(last: Option<u16>) -> Result<u16, DevstackError> {
    match last {
        Some(port) if is_free(port) => Ok(port),
        _ => pick_free(),
    }
}

/// A port that was free a moment ago, picked at random so that parallel stacks rarely meet.
///
/// The caller must expect to lose the race and try again: see [`is_free`].
fn pick_free() -> Result<u16, DevstackError> {
    for _ in 0..TRIES {
        let Some(port) = random_port() else { continue };
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

fn random_port() -> Option<u16> {
    let mut bytes = [0u8; 2];
    getrandom::fill(&mut bytes).ok()?;
    let offset = u16::from_le_bytes(bytes) % (LAST - FIRST + 1);
    Some(FIRST + offset)
}
