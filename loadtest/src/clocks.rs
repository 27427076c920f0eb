//! Wrong clocks (drill D13), of processes that are started under libfaketime.

use crate::load::mix;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Debian's `faketime` has its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The ways in which a clock is wrong, as libfaketime says it: ahead, behind, and twice as fast.
pub const WRONG: [&str; 5] = ["+1h", "-10y", "+10y", "-1h", "+0 x2"];
/// How a clock is right.
pub const RIGHT: &str = "+0";
/// A process looks so often how its clock is to be.
const LOOKS: Duration = Duration::from_secs(1);
/// The same in the library's words.
const LOOKS_S: &str = "1";

/// Whether clocks can be set wrong here.
#[must_use]
pub fn may_fake_time() -> bool {
    Path::new(FAKETIME).exists()
}

/// One of [`WRONG`].
#[must_use]
pub fn wrong(seed: u64, number: u64) -> &'static str {
    let many = u64::try_from(WRONG.len()).unwrap_or(1);
    let index = usize::try_from(mix(seed, 0).wrapping_add(number) % many);
    WRONG[index.unwrap_or(0)]
}

/// The environment of a process whose wall clock is off from its start on. Timers go on as they are.
#[must_use]
pub fn off(offset: &str) -> [(&'static str, &str); 3] {
    [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME", offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
}

/// The environment of a process for which all time passes twice as fast, that of its timers too.
#[must_use]
pub fn fast() -> [(&'static str, &'static str); 2] {
    [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+0 x2")]
}

/// The wall clock of a process, that can be set while it runs.
#[derive(Debug)]
pub struct Hand {
    file: PathBuf,
}

impl Hand {
    /// A clock that is right; `name` is its file in `dir`.
    ///
    /// # Errors
    /// If there is no file.
    pub fn new(dir: &Path, name: &str) -> std::io::Result<Self> {
        let hand = Self {
            file: dir.join(format!("{name}.clock")),
        };
        std::fs::write(&hand.file, RIGHT)?;
        Ok(hand)
    }

    /// The environment of the process.
    #[must_use]
    pub fn env(&self) -> [(&'static str, &str); 5] {
        [
            ("LD_PRELOAD", FAKETIME),
            (
                "FAKETIME_TIMESTAMP_FILE",
                self.file.to_str().unwrap_or_default(),
            ),
            ("FAKETIME_CACHE_DURATION", LOOKS_S),
            // Twice as fast from when it is set on, not from the start.
            ("FAKETIME_XRESET", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    /// Sets it, as one of [`WRONG`] or [`RIGHT`] says; returns when the process has looked.
    ///
    /// # Errors
    /// If the file can't be written.
    pub async fn set(&self, how: &str) -> std::io::Result<()> {
        // In one step: half a file would be another time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, how)?;
        std::fs::rename(new, &self.file)?;
        tokio::time::sleep(LOOKS * 2).await;
        Ok(())
    }
}
