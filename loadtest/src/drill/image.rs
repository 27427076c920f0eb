//! A disk in a file: what has reached it can be copied, and the installation started on the copy, as after a power cut.

use super::{HEAL, pause};
use crate::cluster::Cluster;
use crate::load::Load;
use anyhow::{Context, bail, ensure};
use nix::mount::{MntFlags, umount2};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most that the disk holds; the file takes what is really on it. NATS promises a stream no more than three quarters of it.
const BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Power cuts in one drill.
const ROUNDS: u64 = 2;
/// How often a copy is tried during which nothing was written.
const COPIES_MAX: u32 = 20;

/// The disk: an ext4 file system on a loop device.
pub(super) struct ImageDisk {
    dir: tempfile::TempDir,
    /// Which copy is mounted.
    number: u64,
}

/// What a disk has written, and what it is about to write.
#[derive(PartialEq, Eq)]
struct Writes {
    done: u64,
    under_way: u64,
}

impl ImageDisk {
    pub(super) fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        // Servers that run as another user have to get through.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o711))?;
        let disk = Self { dir, number: 0 };
        let file = disk.file();
        std::fs::File::create(&file)?.set_len(BYTES)?;
        run(
            "mkfs.ext4",
            [
                OsStr::new("-q"),
                OsStr::new("-F"),
                OsStr::new("-J"),
                OsStr::new("size=64"),
                OsStr::new("-E"),
                OsStr::new("lazy_itable_init=1,lazy_journal_init=1"),
                file.as_ref(),
            ],
        )?;
        std::fs::create_dir(disk.path())?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(format!("disk-{}", self.number))
    }

    fn mount(&self) -> anyhow::Result<()> {
        // Without a thread that writes empty tables in the background, and would have nothing stand still.
        let options = OsStr::new("loop,noinit_itable");
        let (file, path) = (self.file(), self.path());
        run(
            "mount",
            [OsStr::new("-o"), options, file.as_ref(), path.as_ref()],
        )
        .context("mounting a file (this drill has to run as root, with loop devices)")
    }

    /// Whatever was written is on the disk.
    fn sync(&self) -> anyhow::Result<()> {
        run("sync", [OsStr::new("-f"), self.path().as_ref()])
    }

    /// Copies what has reached the disk, as it was at one moment; what the kernel still holds has not. The file of the copy.
    fn copy(&self) -> anyhow::Result<PathBuf> {
        let (file, copy) = (self.file(), self.dir.path().join("copy"));
        let device = self.device()?;
        let sparse = OsStr::new("--sparse=always");
        for _ in 0..COPIES_MAX {
            let before = writes(&device)?;
            run("cp", [sparse, file.as_ref(), copy.as_ref()])?;
            // The kernel itself may have written meanwhile, and parts of it would be missing.
            if before.under_way == 0 && before == writes(&device)? {
                return Ok(copy);
            }
        }
        bail!("the disk does not come to rest")
    }

    /// Mounts a copy in place of the disk, which is gone then.
    fn replace(&mut self, copy: &Path) -> anyhow::Result<()> {
        // This process has files of it open as well.
        umount2(&self.path(), MntFlags::MNT_DETACH)?;
        std::fs::remove_file(self.file())?;
        self.number += 1;
        std::fs::rename(copy, self.file())?;
        self.mount()
    }

    /// The name of its device.
    fn device(&self) -> anyhow::Result<String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let path = self.path().canonicalize()?;
        let mut devices = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, at) = (fields.next()?, fields.next()?);
            (Path::new(at) == path).then(|| device.strip_prefix("/dev/"))?
        });
        let device = devices.next_back().context("the disk is mounted")?;
        Ok(device.to_owned())
    }
}

impl Drop for ImageDisk {
    fn drop(&mut self) {
        // Lazily: a process that is still ending may hold it.
        let _ = umount2(&self.path(), MntFlags::MNT_DETACH);
    }
}

/// What `/sys/block` says (the kernel's `Documentation/block/stat.rst`).
fn writes(device: &str) -> anyhow::Result<Writes> {
    let stat = std::fs::read_to_string(format!("/sys/block/{device}/stat"))?;
    let mut fields = stat.split_whitespace().map(str::parse::<u64>);
    let done = fields.nth(4).context("the writes of a device")??;
    let under_way = fields.nth(3).context("its requests")??;
    Ok(Writes { done, under_way })
}

fn run<const N: usize>(program: &str, arguments: [&OsStr; N]) -> anyhow::Result<()> {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.with_context(|| program.to_owned())?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{program}: {said}");
    Ok(())
}

/// Whether this process may mount files (the drill of the crash image).
#[must_use]
pub fn may_loop() -> bool {
    ImageDisk::new().is_ok()
}

pub(super) async fn strike(
    seed: u64,
    disk: &mut ImageDisk,
    cluster: &mut Cluster,
    load: &Load,
) -> anyhow::Result<()> {
    // What the installation is made of is there. From now on each makes durable what it promises.
    disk.sync()?;
    for round in 0..ROUNDS {
        pause(seed, round, 5_000).await;
        cluster.halt_all();
        let copy = disk.copy();
        // Where there is none, too: what stands still does not end by itself.
        cluster.kill_all().await?;
        disk.replace(&copy?)?;
        cluster.start_all().await?;
        load.wait_done(20, HEAL).await?;
    }
    Ok(())
}
