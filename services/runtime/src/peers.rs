//! Who is connected: no peer may hold all connections, nor keep a server busy with new ones.
//!
//! A peer is an IPv4 address, of IPv6 a /64 network: whoever has one address of it has all (RFC 4291 section 2.5.4).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Peers that are remembered; while so many have connections, no other gets one.
const PEERS_MAX: usize = 65_536;

/// How often one peer may connect. Each new connection costs a handshake and its state, also where all that it sends is
/// what ends it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Connections that it may open at once.
    pub burst: u32,
    /// After them, how far apart they have to be.
    pub apart: Duration,
}

/// The peers of one listener.
#[derive(Debug)]
pub struct Peers {
    open_max: usize,
    pace: Option<Pace>,
    known: Mutex<HashMap<IpAddr, Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    open: usize,
    /// When all that it opened would have been in its pace (the "theoretical arrival time" of the generic cell rate
    /// algorithm, ITU-T I.371).
    paid: Instant,
}

/// A connection of a peer, until it is dropped.
#[derive(Debug)]
pub struct Peer {
    peers: Arc<Peers>,
    ip: IpAddr,
}

impl Peers {
    /// Peers each of which may have so many connections at once, and new ones in this pace.
    #[must_use]
    pub fn new(open_max: usize, pace: Option<Pace>) -> Arc<Self> {
        Arc::new(Self {
            open_max,
            pace,
            known: Mutex::default(),
        })
    }

    /// A connection from there, now; none if it is one too many: nothing was read from it, it is to be closed.
    #[must_use]
    pub fn enter(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Option<Peer> {
        let ip = network(ip);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PEERS_MAX && !known.contains_key(&ip) {
            known.retain(|_, peer| peer.open > 0 || peer.paid > now);
            if known.len() >= PEERS_MAX {
                return None;
            }
        }
        let peer = known.entry(ip).or_insert(Known { open: 0, paid: now });
        let paid = match self.pace {
            None => now,
            Some(pace) => pace.next(peer.paid, now)?,
        };
        if peer.open >= self.open_max {
            return None;
        }
        peer.paid = paid;
        peer.open = peer.open.saturating_add(1);
        Some(Peer {
            peers: Arc::clone(self),
            ip,
        })
    }
}

impl Pace {
    /// When another connection is paid for; none if it comes too soon.
    fn next(self, paid: Instant, now: Instant) -> Option<Instant> {
        let paid = paid.max(now);
        let next = paid.checked_add(self.apart)?;
        let ahead = next.saturating_duration_since(now);
        (ahead <= self.apart.saturating_mul(self.burst)).then_some(next)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let known = &self.peers.known;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = known.entry(self.ip) {
            let peer = entry.get_mut();
            peer.open = peer.open.saturating_sub(1);
            // With a pace it is forgotten when room is needed: what it opened still counts.
            if peer.open == 0 && self.peers.pace.is_none() {
                entry.remove();
            }
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_leaves_room_for_others() {
        let peers = Peers::new(2, None);
        let now = Instant::now();
        let enter = |ip: &str| peers.enter(ip.parse().unwrap(), now);
        let first = enter("10.0.0.1");
        let _second = enter("::ffff:10.0.0.1").unwrap();
        assert!(enter("10.0.0.1").is_none());
        assert!(enter("10.0.0.2").is_some());
        drop(first);
        assert!(enter("10.0.0.1").is_some());
        let _v6 = [enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap()];
        assert!(enter("2001:db8::3").is_none(), "one network");
        assert!(enter("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn who_connects_again_and_again_has_to_wait() {
        let pace = Pace {
            burst: 3,
            apart: Duration::from_secs(1),
        };
        let peers = Peers::new(100, Some(pace));
        let began = Instant::now();
        let enter = |ip: &str, ms| {
            let at = began + Duration::from_millis(ms);
            peers.enter(ip.parse().unwrap(), at).is_some()
        };
        assert!((0..3).all(|_| enter("10.0.0.1", 0)), "a burst");
        assert!(!enter("10.0.0.1", 900), "too soon");
        assert!(enter("10.0.0.2", 900), "another's");
        assert!(enter("10.0.0.1", 1_000));
        assert!(!enter("10.0.0.1", 1_500), "the next");
        assert!(!enter("10.0.0.1", 1_999), "refused ones cost nothing");
        assert!(enter("10.0.0.1", 2_000));
        assert!((0..3).all(|_| enter("10.0.0.1", 60_000)), "a burst again");
        assert!(!enter("10.0.0.1", 60_000), "not two");
    }

    #[test]
    fn who_left_is_forgotten_when_room_is_needed() {
        let pace = Pace {
            burst: 1,
            apart: Duration::from_secs(1),
        };
        let peers = Peers::new(1, Some(pace));
        let began = Instant::now();
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        let mut open: Vec<_> = (0..PEERS_MAX)
            .map(|number| peers.enter(address(number), began))
            .collect();
        let later = began + Duration::from_secs(2);
        assert!(peers.enter(address(PEERS_MAX), later).is_none(), "full");
        open.clear();
        assert!(peers.enter(address(PEERS_MAX), later).is_some());
        assert_eq!(peers.known.lock().unwrap().len(), 1);
    }
}
