//! What a child process may use: limits of the kernel.
//!
//! They are set from outside, at once after the program was started and before it is told anything. In the child, before it
//! becomes the program, it would take code between `fork` and `exec`, which can't be had without `unsafe`; a wrapper
//! (`prlimit`, a shell's `ulimit`) is another program that has to be there, and a shell has variables of its own. In the
//! moment between the two the program is free, and another one that it starts in it stays so: a platform's operator chose
//! the program. If a limit can't be set, the child is ended.

use proctor_model::catalogue::ChildLimits;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::io;

/// Sets the limits of a child; what it starts inherits them.
pub(super) fn set(child: u32, limits: &ChildLimits) -> io::Result<()> {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    for (resource, most) in wanted(limits) {
        let Some(most) = most else { continue };
        // More than we have ourselves would be refused.
        let own = getrlimit(resource).maximum;
        let most = own.map_or(most, |own| own.min(most));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        prlimit(Some(pid), resource, limit)?;
    }
    Ok(())
}

fn wanted(limits: &ChildLimits) -> [(Resource, Option<u64>); 6] {
    [
        (Resource::Data, Some(limits.memory_bytes_max)),
        (Resource::As, limits.address_space_bytes_max),
        (Resource::Nofile, Some(limits.open_files_max)),
        (Resource::Nproc, Some(limits.processes_max)),
        (Resource::Cpu, limits.cpu_seconds_max),
        // What it works on is not to be left on a disk when it crashes.
        (Resource::Core, Some(0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_the_limits_that_were_set() {
        let limits = ChildLimits {
            memory_bytes_max: 64 << 20,
            address_space_bytes_max: Some(128 << 20),
            open_files_max: 32,
            processes_max: 77,
            cpu_seconds_max: Some(9),
        };
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let set = set(child.id(), &limits);
        let said = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        set.unwrap();
        let said = said.unwrap();
        for (name, most) in [
            ("Max data size", "67108864"),
            ("Max address space", "134217728"),
            ("Max open files", "32"),
            ("Max processes", "77"),
            ("Max cpu time", "9"),
            ("Max core file size", "0"),
        ] {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            let mut columns = line.unwrap().split_whitespace();
            let (soft, hard) = (columns.next(), columns.next());
            assert_eq!((soft, hard), (Some(most), Some(most)), "{name}: {said}");
        }
    }

    #[test]
    fn nobody_to_limit_is_an_error() {
        assert!(set(0, &ChildLimits::default()).is_err());
    }
}
