//! The directory that the spool keeps its files in. All that it changes there goes through here, so that a test can say what
//! the disk does, and what a power cut leaves of it.

#[cfg(test)]
pub(super) mod image;
#[cfg(test)]
pub(super) mod trace;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    #[cfg(test)]
    pub(super) trace: trace::Trace,
}

/// A file in it that is written to.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: File,
    #[cfg(test)]
    trace: trace::TracedFile,
}

impl Disk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            #[cfg(test)]
            trace: trace::Trace::default(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a file that must not be there yet, for its owner only.
    pub(super) fn create(&self, name: &str) -> std::io::Result<DiskFile> {
        #[cfg(test)]
        let trace = self.trace.create(name)?;
        let mut options = OpenOptions::new();
        options.create_new(true).read(true).write(true).mode(0o600);
        Ok(DiskFile {
            file: options.open(self.path(name))?,
            #[cfg(test)]
            trace,
        })
    }

    /// A file that is there, to write over what is in it.
    pub(super) fn open(&self, name: &str) -> std::io::Result<DiskFile> {
        Ok(DiskFile {
            file: OpenOptions::new().write(true).open(self.path(name))?,
            #[cfg(test)]
            trace: self.trace.open(name),
        })
    }

    pub(super) fn remove(&self, name: &str) -> std::io::Result<()> {
        std::fs::remove_file(self.path(name))?;
        #[cfg(test)]
        self.trace.remove(name);
        Ok(())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))?;
        #[cfg(test)]
        self.trace.rename(from, to);
        Ok(())
    }

    /// Makes durable which files there are.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        File::open(&self.dir)?.sync_all()?;
        #[cfg(test)]
        self.trace.sync_names();
        Ok(())
    }
}

impl DiskFile {
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        #[cfg(test)]
        self.trace.write(&self.file, bytes, at)?;
        self.file.write_all_at(bytes, at)
    }

    /// Makes durable what is in it, and how long it is.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()?;
        #[cfg(test)]
        self.trace.sync()?;
        Ok(())
    }

    /// The same file, to read from.
    pub(super) fn reader(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }
}
