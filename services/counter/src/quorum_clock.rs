//! The time that goes into the log: what most nodes agree it has become.
//!
//! A budget's window must not begin early because one machine's clock is wrong. So the leader does not write its own
//! time. Each answer of another node carries that node's time; the leader sorts what the voters' clocks say now, its
//! own among them, and takes the latest that more than half of all voters have reached. One clock of three (two of
//! five) may be wrong by any amount, the leader's too: ahead it is outvoted, behind it is not needed, or time stands
//! still, which only refuses. Where fewer than half answer there is no time, but then nothing is committed either.
//!
//! A cluster of one node has nobody to ask. There a clock that jumps ahead while the node runs is followed only as
//! fast as real time passes; it is believed at the next start.
//!
//! The book takes the maximum of what it was told, so a new leader never sets time back.

use crate::raft::NodeId;
use crate::window::LogTime;
use proctor_runtime::Clock;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What another node said so long ago says nothing of its clock any more.
const FRESH: Duration = Duration::from_secs(5);
/// So much may a lone node's clock be corrected ahead at once.
const LONE_STEP: Duration = Duration::from_secs(5);

/// Combines the clocks of the voters.
pub(crate) struct QuorumClock {
    own: Clock,
    node: NodeId,
    heard: Mutex<BTreeMap<NodeId, Heard>>,
    /// What a lone node said last, and when by its monotonic clock.
    said: Mutex<Option<(LogTime, Duration)>>,
}

#[derive(Clone, Copy)]
struct Heard {
    clock_us: i64,
    at: Duration,
}

impl QuorumClock {
    pub(crate) fn new(node: NodeId, own: Clock) -> Self {
        Self {
            own,
            node,
            heard: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// This node's own time, for the others.
    pub(crate) fn own_us(&self) -> i64 {
        self.own.now().as_micros()
    }

    /// Another node's time, as its answer just said. It was read before now, so what follows from it is never ahead.
    pub(crate) fn heard(&self, node: NodeId, clock_us: i64) {
        let at = self.own.monotonic();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(node, Heard { clock_us, at });
    }

    /// The time to write into the log; the beginning of time (which changes nothing) where most clocks are unknown.
    pub(crate) fn stamp(&self, voters: &[NodeId]) -> LogTime {
        if let [lone] = voters
            && *lone == self.node
        {
            return self.lone();
        }
        let mut clocks: Vec<i64> = voters
            .iter()
            .filter_map(|node| self.clock_of(*node))
            .collect();
        clocks.sort_unstable_by(|a, b| b.cmp(a));
        LogTime(clocks.get(voters.len() / 2).copied().unwrap_or(0))
    }

    fn clock_of(&self, node: NodeId) -> Option<i64> {
        if node == self.node {
            return Some(self.own_us());
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let Heard { clock_us, at } = *heard.get(&node)?;
        let age = self.own.monotonic().saturating_sub(at);
        (age <= FRESH).then(|| clock_us.saturating_add(micros(age)))
    }

    fn lone(&self) -> LogTime {
        let (wall, monotonic) = (LogTime(self.own_us()), self.own.monotonic());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = said.map_or(wall, |(last, at)| {
            let passed = last.plus(micros(monotonic.saturating_sub(at)));
            let step = wall.0.saturating_sub(passed.0);
            if step > micros(LONE_STEP) {
                passed
            } else {
                wall
            }
        });
        *said = Some((stamp, monotonic));
        stamp
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::Timestamp;

    const NOON: i64 = 1_800_000_000_000_000;
    const HOUR: i64 = 3_600_000_000;

    fn stamp(own: i64, others: &[i64], voters: u64) -> i64 {
        let clock = QuorumClock::new(1, Clock::at(Timestamp::from_micros(own)).0);
        for (node, other) in (2..).zip(others) {
            clock.heard(node, *other);
        }
        clock.stamp(&(1..=voters).collect::<Vec<_>>()).0
    }

    #[test]
    fn one_wrong_clock_of_three_is_outvoted() {
        for (own, others) in [
            (NOON + HOUR, [NOON, NOON + 5]),
            (NOON, [NOON + HOUR, NOON + 5]),
            (NOON + 5, [NOON, NOON + 10 * 8_760 * HOUR]),
        ] {
            let stamp = stamp(own, &others, 3);
            assert!(
                (NOON..=NOON + 5).contains(&stamp),
                "{own} {others:?}: {stamp}"
            );
        }
        // Behind: the two that are right are enough.
        assert_eq!(stamp(NOON - HOUR, &[NOON, NOON + 5], 3), NOON);
        // Of two that answer, the earlier.
        assert_eq!(stamp(NOON + HOUR, &[NOON], 3), NOON);
        assert_eq!(stamp(NOON - HOUR, &[NOON], 3), NOON - HOUR);
        // Two of five.
        assert_eq!(
            stamp(NOON + HOUR, &[NOON + HOUR, NOON, NOON, NOON], 5),
            NOON
        );
        // Of two nodes, neither alone can move time on.
        assert_eq!(stamp(NOON + HOUR, &[NOON], 2), NOON);
    }

    #[test]
    fn without_most_clocks_there_is_no_time() {
        assert_eq!(stamp(NOON, &[], 3), 0);
        assert_eq!(stamp(NOON, &[NOON], 5), 0);
        let (own, hand) = Clock::at(Timestamp::from_micros(NOON));
        let clock = QuorumClock::new(1, own);
        clock.heard(2, NOON);
        hand.advance(FRESH + Duration::from_millis(1));
        assert_eq!(clock.stamp(&[1, 2, 3]), LogTime(0));
    }

    #[test]
    fn a_lone_node_follows_a_jump_only_as_fast_as_time_passes() {
        let (own, hand) = Clock::at(Timestamp::from_micros(NOON));
        let clock = QuorumClock::new(1, own);
        assert_eq!(clock.stamp(&[1]), LogTime(NOON));
        hand.set_wall(Timestamp::from_micros(NOON + HOUR));
        assert_eq!(clock.stamp(&[1]), LogTime(NOON));
        hand.advance(Duration::from_secs(3));
        assert_eq!(clock.stamp(&[1]), LogTime(NOON + 3_000_000));
        // A small correction is taken.
        hand.set_wall(Timestamp::from_micros(NOON + 5_000_000));
        assert_eq!(clock.stamp(&[1]), LogTime(NOON + 5_000_000));
        // One learns of a node that only listens to others nothing.
        assert_eq!(clock.stamp(&[2]), LogTime(0));
    }
}
