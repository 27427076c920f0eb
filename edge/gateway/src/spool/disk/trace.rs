//! A disk that is full when a test says so.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a test has to say of a disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::spool) struct Trace {
    full: Arc<AtomicBool>,
}

impl Trace {
    /// From now on there is room for nothing more.
    pub(in crate::spool) fn fill(&self) {
        self.full.store(true, Ordering::Release);
    }

    /// There is room again.
    pub(in crate::spool) fn make_room(&self) {
        self.full.store(false, Ordering::Release);
    }

    pub(super) fn take_room(&self) -> Result<(), Error> {
        match self.full.load(Ordering::Acquire) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    /// What is written over something takes no room.
    pub(super) fn write(&self, file: &File, bytes: &[u8], at: u64) -> Result<(), Error> {
        let end = at + u64::try_from(bytes.len()).unwrap();
        match end > file.metadata()?.len() {
            true => self.take_room(),
            false => Ok(()),
        }
    }
}
