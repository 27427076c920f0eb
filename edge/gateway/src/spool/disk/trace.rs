//! What a test does to the disk, and what it knows of it: all changes, in their order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A change to the directory or to a file. Files are numbers: names come and go.
#[derive(Debug)]
pub(super) enum Change {
    Create {
        name: String,
        file: usize,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    SyncNames,
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Sync {
        file: usize,
    },
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) changes: Vec<Change>,
    names: HashMap<String, usize>,
    files: usize,
}

/// What a test has to say of a disk, and what was done to it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::spool) struct Trace(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    full: AtomicBool,
    /// Syncs that are to fail.
    failing: AtomicUsize,
    log: Mutex<Log>,
}

/// A file that is written to.
#[derive(Debug)]
pub(super) struct TracedFile {
    trace: Trace,
    file: usize,
}

impl Trace {
    /// From now on there is room for nothing more.
    pub(in crate::spool) fn fill(&self) {
        self.0.full.store(true, Ordering::Release);
    }

    /// There is room again.
    pub(in crate::spool) fn make_room(&self) {
        self.0.full.store(false, Ordering::Release);
    }

    /// The next syncs of files fail, and nobody knows what they did.
    pub(in crate::spool) fn fail_syncs(&self, many: usize) {
        self.0.failing.store(many, Ordering::Release);
    }

    /// How many changes there were.
    pub(in crate::spool) fn position(&self) -> usize {
        self.log().changes.len()
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap()
    }

    fn take_room(&self) -> Result<(), Error> {
        match self.0.full.load(Ordering::Acquire) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn note(&self, change: Change) {
        self.log().changes.push(change);
    }

    pub(super) fn create(&self, name: &str) -> Result<TracedFile, Error> {
        self.take_room()?;
        let file = self.log().add(name);
        let name = name.to_owned();
        self.note(Change::Create { name, file });
        Ok(self.traced(file))
    }

    /// Of a file that was there before the test looked nothing is known.
    pub(super) fn open(&self, name: &str) -> TracedFile {
        let mut log = self.log();
        let known = log.names.get(name).copied();
        let file = known.unwrap_or_else(|| log.add(name));
        drop(log);
        self.traced(file)
    }

    fn traced(&self, file: usize) -> TracedFile {
        TracedFile {
            trace: self.clone(),
            file,
        }
    }

    pub(super) fn remove(&self, name: &str) {
        self.log().names.remove(name);
        let name = name.to_owned();
        self.note(Change::Remove { name });
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        let mut log = self.log();
        if let Some(file) = log.names.remove(from) {
            log.names.insert(to.to_owned(), file);
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        log.changes.push(Change::Rename { from, to });
    }

    pub(super) fn sync_names(&self) {
        self.note(Change::SyncNames);
    }
}

impl Log {
    fn add(&mut self, name: &str) -> usize {
        let file = self.files;
        self.files += 1;
        self.names.insert(name.to_owned(), file);
        file
    }
}

impl TracedFile {
    /// What is written over something takes no room.
    pub(super) fn write(&self, file: &File, bytes: &[u8], at: u64) -> Result<(), Error> {
        let at = usize::try_from(at).unwrap();
        let length = usize::try_from(file.metadata()?.len()).unwrap();
        if at + bytes.len() > length {
            self.trace.take_room()?;
        }
        self.trace.note(Change::Write {
            file: self.file,
            at,
            bytes: bytes.to_vec(),
        });
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        let failing = &self.trace.0.failing;
        let left = failing.load(Ordering::Acquire);
        if left > 0 {
            failing.store(left - 1, Ordering::Release);
            return Err(Error::other("a sync that was to fail"));
        }
        self.trace.note(Change::Sync { file: self.file });
        Ok(())
    }
}
