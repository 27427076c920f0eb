//! What time it has become by control's clock, as its heartbeats say.
//!
//! This edge's own clock may be wrong. What is forgotten because its time is over must be over by control's clock, too:
//! a clock that jumps ahead and comes back would else have made a used-up ceiling new, and a revoked token good.

use proctor_model::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// So many seconds this edge's clock may be behind control's; where it is more, calls are refused. A token is so much
/// longer good, at most, than it should be.
pub(crate) const BEHIND_MAX_S: i64 = 300;

/// The latest of control's times that was heard. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlTime(Arc<AtomicI64>);

impl ControlTime {
    pub(crate) fn heard(&self, at: Timestamp) {
        self.0.fetch_max(at.as_micros(), Ordering::AcqRel);
    }

    /// What was over by then is over whatever becomes of this edge's clock, which says `now`: it is behind both clocks,
    /// and behind what this edge would still take for the present. Before the first heartbeat nothing is over.
    pub(crate) fn over(&self, now: Timestamp) -> Timestamp {
        let heard = Timestamp::from_micros(self.0.load(Ordering::Acquire));
        heard.min(now).plus_secs(-BEHIND_MAX_S)
    }
}

/// Whether a clock that says `now` is so far behind control's that times can't be judged by it.
pub(crate) fn is_behind(now: Timestamp, control: Timestamp) -> bool {
    control.micros_since(now) > BEHIND_MAX_S * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_over_by_one_clock_alone() {
        let noon = Timestamp::from_secs(1_700_000_000);
        let control = ControlTime::default();
        assert_eq!(control.over(noon), Timestamp::from_secs(0), "none heard");
        control.heard(noon);
        assert_eq!(control.over(noon), noon.plus_secs(-300));
        for years in [1, 10] {
            let off = 365 * 86_400 * years;
            assert_eq!(control.over(noon.plus_secs(off)), noon.plus_secs(-300));
            assert_eq!(
                control.over(noon.plus_secs(-off)),
                noon.plus_secs(-300 - off)
            );
        }
        control.heard(noon.plus_secs(-60));
        assert_eq!(
            control.over(noon),
            noon.plus_secs(-300),
            "it goes ahead only"
        );
    }

    #[test]
    fn a_clock_may_be_five_minutes_behind() {
        let noon = Timestamp::from_secs(1_700_000_000);
        assert!(!is_behind(noon.plus_secs(-300), noon));
        assert!(is_behind(noon.plus_secs(-301), noon));
        assert!(!is_behind(noon.plus_secs(3_600), noon));
    }
}
