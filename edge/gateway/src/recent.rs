//! A table of what was used lately: whatever comes is taken in, and the longest unused makes room for it. What leaves it is
//! dropped at once, so that what hangs on it ends with its last user.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How often what is not used any more is looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// The table. Making room reads all of it: for thousands of entries, not for millions.
pub(crate) struct Recent<K, V> {
    entries: HashMap<K, (V, Instant)>,
    /// What is not used for so long is over.
    idle: Duration,
    swept: Instant,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    pub(crate) fn new(idle: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            idle,
            swept: Instant::now(),
        }
    }

    /// Uses one.
    pub(crate) fn get<Q>(&mut self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.sweep(now);
        let (_, used) = self.entries.get(key)?;
        if now.saturating_duration_since(*used) >= self.idle {
            self.entries.remove(key);
        }
        let (value, used) = self.entries.get_mut(key)?;
        *used = now;
        Some(value)
    }

    pub(crate) fn put(&mut self, key: K, value: V, now: Instant) {
        self.sweep(now);
        self.entries.insert(key, (value, now));
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.remove(key).map(|(value, _)| value)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, (value, _)| keep(value));
    }

    /// Takes the longest unused of those out that are like this, if there are as many as may be: one more can come.
    pub(crate) fn make_room(&mut self, most: usize, is_one: impl Fn(&K, &V) -> bool) -> Option<V> {
        let ones = self.entries.iter();
        let ones = ones.filter(|(key, (value, _))| is_one(key, value));
        let (mut count, mut oldest) = (0_usize, None);
        for (key, (_, used)) in ones {
            count = count.saturating_add(1);
            if oldest.is_none_or(|(least, _)| *used < least) {
                oldest = Some((*used, key));
            }
        }
        let key = oldest.filter(|_| count >= most)?.1.clone();
        self.remove(&key)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = now;
            let idle = self.idle;
            self.entries
                .retain(|_, (_, used)| now.saturating_duration_since(*used) < idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_makes_room_and_what_is_idle_goes() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut table = Recent::new(Duration::from_secs(100));
        for n in 0..4_u64 {
            table.put(n, n, at(n));
        }
        assert_eq!(table.get(&0, at(10)), Some(&0));
        assert_eq!(table.make_room(5, |_, _| true), None, "there is room");
        assert_eq!(table.make_room(2, |key, _| key % 2 == 0), Some(2));
        assert_eq!(table.make_room(3, |_, _| true), Some(1));
        assert_eq!(table.get(&3, at(103)), None, "idle");
        assert_eq!(table.get(&0, at(109)), Some(&0));
        assert_eq!(table.len(), 1);
        assert_eq!(table.get(&0, at(300)), None);
        assert_eq!(table.len(), 0);
    }
}
