//! Room for calls under way: so many at this edge, and no more than its share for one tenant.

use crate::world::TenantState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All the room of an edge.
pub(crate) struct Room {
    all: Arc<Semaphore>,
    /// What one tenant may take of it.
    share: usize,
}

/// Calls of one tenant that are under way.
pub(crate) type UnderWay = Arc<AtomicUsize>;

/// A place, until it is dropped.
pub(crate) struct Place {
    under_way: UnderWay,
    _place: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            share,
        }
    }

    /// None if there is no place left, for anybody or for this tenant.
    pub(crate) fn enter(&self, tenant: &TenantState) -> Option<Place> {
        self.place(&tenant.under_way)
    }

    fn place(&self, under_way: &UnderWay) -> Option<Place> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let more = |calls: usize| (calls < self.share).then_some(calls.saturating_add(1));
        under_way
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Place {
            under_way: Arc::clone(under_way),
            _place: place,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_leaves_room_for_another() {
        let room = Room::new(4, 3);
        let (busy, other) = (UnderWay::default(), UnderWay::default());
        let mut places: Vec<_> = (0..3).map(|_| room.place(&busy).unwrap()).collect();
        assert!(room.place(&busy).is_none(), "its share");
        let one = room.place(&other).unwrap();
        assert!(room.place(&other).is_none(), "all of it");
        places.pop();
        assert!(room.place(&busy).is_some());
        drop((one, places));
        assert_eq!(room.all.available_permits(), 4);
        assert_eq!(busy.load(Ordering::Relaxed), 0);
    }
}
