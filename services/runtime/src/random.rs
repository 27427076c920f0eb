//! Randomness, handed in as a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use proctor_model::Timestamp;
use uuid::Uuid;

/// Random bytes: the system's, or a repeatable sequence for a test.
#[derive(Debug, Clone)]
pub struct Random(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Seeded { seed: u64, used: Arc<AtomicU64> },
}

/// The system gives no random bytes. Nothing that needs them may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct RandomError;

impl Random {
    /// The system's generator: for keys, nonces and tokens.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A sequence that `seed` repeats: for tests only, it protects nothing.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded {
            seed,
            used: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Fills a buffer.
    ///
    /// # Errors
    /// [`RandomError`] if the system gives none.
    pub fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        match &self.0 {
            Source::System => getrandom::fill(buffer).map_err(|_| RandomError),
            Source::Seeded { seed, used } => {
                for chunk in buffer.chunks_mut(32) {
                    let number = used.fetch_add(1, Ordering::Relaxed);
                    let block = digest(
                        &SHA256,
                        &[seed.to_le_bytes(), number.to_le_bytes()].concat(),
                    );
                    for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
                        *to = *from;
                    }
                }
                Ok(())
            }
        }
    }

    /// An array of random bytes.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn array<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut bytes = [0u8; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A UUIDv7 (RFC 9562) of the given time.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn uuid_v7(&self, now: Timestamp) -> Result<Uuid, RandomError> {
        let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &self.array()?).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_the_system_does_not() {
        let twice = || Random::seeded(7).array::<100>();
        assert_eq!(twice(), twice());
        assert_ne!(
            Random::seeded(7).array::<100>(),
            Random::seeded(8).array::<100>()
        );
        let seeded = Random::seeded(7);
        assert_ne!(seeded.array::<32>(), seeded.array::<32>());
        assert_ne!(
            Random::system().array::<32>(),
            Random::system().array::<32>()
        );
    }

    #[test]
    fn uuids_carry_the_time_they_were_given() {
        let now: Timestamp = "2026-11-23T21:00:00.123Z".parse().unwrap();
        let id = Random::system().uuid_v7(now).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let (secs, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((secs, nanos), (1_795_467_600, 123_000_000));
    }
}
