//! Growing, jittered pauses between attempts.

use std::time::Duration;

/// Pauses that double from `min` to `max`, each shortened by a random part of up to a half, so
/// that many clients do not come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempts: usize,
}

impl Backoff {
    /// The first pause is at most `min`, none is longer than `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            attempts: 0,
        }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        Self::pause(self.min, self.max, self.attempts)
    }

    /// After a success: begin again with the shortest pause.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Waits for the next pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    /// The pause before the `attempt`-th try, counted from 1.
    #[must_use]
    pub fn pause(min: Duration, max: Duration, attempt: usize) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(31);
        let full = min.saturating_mul(2u32.saturating_pow(doublings)).min(max);
        let mut byte = [0u8; 1];
        // Without randomness the pause is merely not jittered.
        let _ = getrandom::fill(&mut byte);
        full.saturating_sub(full.saturating_mul(u32::from(byte[0])) / 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_keep_within_half() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(100));
        let mut backoff = Backoff::new(min, max);
        for full in [10, 20, 40, 80, 100, 100] {
            let pause = backoff.next_pause();
            let full = Duration::from_millis(full);
            assert!(pause <= full && pause >= full / 2, "{pause:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= min);
        assert!(Backoff::pause(min, max, usize::MAX) <= max);
    }
}
