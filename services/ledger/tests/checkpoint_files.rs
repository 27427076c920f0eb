//! Checkpoints as files: on a directory that lets nothing be renamed or removed, and after a crash in the middle of one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_devstack::skipped;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Ledger, PATIENCE, World};

async fn ledger_with_files(world: &World, dir: &Path) -> Ledger {
    let dir = dir.to_owned();
    let ledger = world.ledger_with(|config| config.seals.checkpoint_dir = Some(dir));
    ledger.await
}

/// Names of what is in the directory, in order; none while there is no such directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.checkpoint"))
}

/// Waits until the file holds a whole checkpoint of this size; what it holds.
async fn checkpoint(path: &Path, size: u64) -> String {
    let whole = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.starts_with(&format!("test/audit/acme\n{size}\n"))
                && text.ends_with('\n')
                && text.contains('\u{2014}')
            {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, whole)
        .await
        .unwrap_or_else(|_| panic!("{} is not there", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_half_written_is_written_once_more() {
    let world = World::start().await;
    let files = tempfile::tempdir().unwrap();
    let ledger = ledger_with_files(&world, files.path()).await;
    let dir = files.path().join("acme");
    let lane = world.lane("acme", "edge_a").grow(4);
    // All at once: one checkpoint.
    world.ship(&lane, 4, ledger.keys()).await;
    let first = file(&dir, "00000000000000000004");
    let whole = checkpoint(&first, 4).await;
    ledger.stop().await;

    let half = &whole[..whole.len() / 2];
    std::fs::write(&first, half).unwrap();
    let ledger = ledger_with_files(&world, files.path()).await;
    let again = file(&dir, "00000000000000000004.1");
    assert_eq!(checkpoint(&again, 4).await, whole);
    assert_eq!(std::fs::read_to_string(&first).unwrap(), half);
    // It goes on behind it, and makes no more of what is whole.
    let lane = lane.grow(3);
    world.ship(&lane, 7, ledger.keys()).await;
    checkpoint(&file(&dir, "00000000000000000007"), 7).await;
    ledger.stop().await;
    let ledger = ledger_with_files(&world, files.path()).await;
    let lane = lane.grow(1);
    world.ship(&lane, 8, ledger.keys()).await;
    checkpoint(&file(&dir, "00000000000000000008"), 8).await;
    ledger.stop().await;
    let sizes = ["4.1", "4", "7", "8"];
    let expected = sizes.map(|size| format!("{}{size}.checkpoint", "0".repeat(19)));
    assert_eq!(names(&dir), expected);
}

/// A directory in which files can be made, and neither renamed nor removed.
struct AppendOnly(PathBuf);

impl AppendOnly {
    /// None if that can't be had here.
    fn make(dir: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&dir).unwrap();
        chattr("+a", &dir).then_some(Self(dir))
    }
}

impl Drop for AppendOnly {
    fn drop(&mut self) {
        chattr("-a", &self.0);
    }
}

fn chattr(change: &str, dir: &Path) -> bool {
    let status = Command::new("chattr").arg(change).arg(dir).output();
    status.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_renames_will_do() {
    let files = tempfile::tempdir().unwrap();
    let Some(locked) = AppendOnly::make(files.path().join("acme")) else {
        skipped("an append-only directory takes root and a file system that has them");
        return;
    };
    std::fs::write(locked.0.join("probe"), b"").unwrap();
    let renamed = std::fs::rename(locked.0.join("probe"), locked.0.join("renamed"));
    if renamed.is_ok() {
        skipped("the file system takes the flag and renames all the same");
        return;
    }
    let world = World::start().await;
    let ledger = ledger_with_files(&world, files.path()).await;
    let lane = world.lane("acme", "edge_a").grow(4);
    world.ship(&lane, 4, ledger.keys()).await;
    checkpoint(&file(&locked.0, "00000000000000000004"), 4).await;
    ledger.stop().await;
}
