//! Some lines a minute in the log, however many there would be: with thousands of tenants an outage would be thousands.

use std::time::Duration;
use tokio::time::Instant;

/// Most lines …
const LINES_MAX: u32 = 20;
/// … in this time.
const PERIOD: Duration = Duration::from_secs(60);

/// What the log got of one kind of line in this minute.
#[derive(Debug, Default)]
pub struct Lines {
    since: Option<Instant>,
    count: u32,
    /// What they were about, where that was said: at most `LINES_MAX`.
    about: Vec<String>,
}

impl Lines {
    /// Takes room for a line, if there is any.
    #[must_use]
    pub fn take(&mut self, now: Instant) -> bool {
        self.look(now);
        self.count = self.count.saturating_add(1);
        self.count <= LINES_MAX
    }

    /// Takes room for a line about something of which there was none in this minute: what there is much to say of leaves room for
    /// others.
    #[must_use]
    pub fn take_about(&mut self, what: &str, now: Instant) -> bool {
        self.look(now);
        if self.about.iter().any(|about| about == what) {
            return false;
        }
        let has_room = self.take(now);
        if has_room {
            self.about.push(what.to_owned());
        }
        has_room
    }

    /// Begins another minute when it is time.
    fn look(&mut self, now: Instant) {
        let is_over = |since| now.duration_since(since) >= PERIOD;
        if self.since.is_none_or(is_over) {
            (self.since, self.count) = (Some(now), 0);
            self.about.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_gets_some_lines_a_minute_however_many_there_are() {
        let start = Instant::now();
        let mut lines = Lines::default();
        let mut said = |now| (0..10_000).filter(|_| lines.take(now)).count();
        assert_eq!(said(start), 20);
        assert_eq!(said(start + Duration::from_secs(59)), 0);
        assert_eq!(said(start + Duration::from_secs(60)), 20);
    }

    #[test]
    fn what_there_is_much_to_say_of_leaves_room_for_others() {
        let start = Instant::now();
        let mut lines = Lines::default();
        for minute in [start, start + PERIOD] {
            let said = |what: &str, lines: &mut Lines| lines.take_about(what, minute);
            assert!(said("loud", &mut lines));
            assert!((0..10_000).all(|_| !said("loud", &mut lines)));
            let others = (0..10_000).filter(|other| said(&other.to_string(), &mut lines));
            assert_eq!(others.count(), 19);
        }
        assert_eq!(lines.about.len(), 20, "no more are kept");
    }
}
