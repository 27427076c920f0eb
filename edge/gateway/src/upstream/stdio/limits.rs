//! What a child process may use: limits of the kernel.
//!
//! A program can't be given limits from outside before it runs: between `fork` and `exec` there is no room for code without
//! `unsafe`, and set after the start they come late: what the program starts at once would be free. So what is started is
//! our own program, as a wrapper: it sets the limits on itself and then becomes the program ([`become_limited`]), which
//! never runs without them. Where there is no wrapper (unit tests), the limits are set from outside at once after the start,
//! and a child that can't be held to them is ended.

use proctor_model::catalogue::ChildLimits;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use tokio::process::{Child, Command};

/// The first argument with which our program is the wrapper of a child.
pub const LIMITED: &str = "__limited";

/// Before the names of the child's variables, while they are the wrapper's: what they would do to the program that finds
/// them (`LD_PRELOAD`) is to happen in the child alone.
const VARIABLE: &str = "PROCTOR_CHILD_";
/// Between the limits and the program.
const PROGRAM: &str = "--";

/// What is to be started, in which environment, within which limits.
pub(super) struct Program<'a> {
    pub(super) command: &'a str,
    pub(super) args: &'a [String],
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) limits: &'a ChildLimits,
}

impl Program<'_> {
    /// The command that starts it: by the wrapper, if there is one.
    pub(super) fn command(self, wrapper: Option<&Path>) -> Command {
        let Some(wrapper) = wrapper else {
            let mut command = Command::new(self.command);
            command.args(self.args).env_clear().envs(self.env);
            return command;
        };
        let mut command = Command::new(wrapper);
        command.arg(LIMITED);
        for (name, _, most) in wanted(self.limits) {
            if let Some(most) = most {
                command.arg(format!("{name}={most}"));
            }
        }
        command.arg(PROGRAM).arg(self.command).args(self.args);
        let named = |(name, value): (OsString, OsString)| {
            let mut prefixed = OsString::from(VARIABLE);
            prefixed.push(name);
            (prefixed, value)
        };
        command.env_clear().envs(self.env.into_iter().map(named));
        command
    }
}

/// Sets the limits of a child that was started without the wrapper; what it starts from then on inherits them.
pub(super) fn set(child: &Child, limits: &ChildLimits) -> io::Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(Pid::from_raw);
    set_on(pid, limits)
}

fn set_on(pid: Option<Pid>, limits: &ChildLimits) -> io::Result<()> {
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    for (_, resource, most) in wanted(limits) {
        if let Some(most) = most {
            prlimit(Some(pid), resource, within_own(resource, most))?;
        }
    }
    Ok(())
}

/// More than we have ourselves would be refused.
fn within_own(resource: Resource, most: u64) -> Rlimit {
    let own = getrlimit(resource).maximum;
    let most = own.map_or(most, |own| own.min(most));
    Rlimit {
        current: Some(most),
        maximum: Some(most),
    }
}

type Wanted = [(&'static str, Resource, Option<u64>); 6];

/// The memory comes last: the wrapper needs some until then.
fn wanted(limits: &ChildLimits) -> Wanted {
    [
        ("nofile", Resource::Nofile, Some(limits.open_files_max)),
        ("nproc", Resource::Nproc, Some(limits.processes_max)),
        ("cpu", Resource::Cpu, limits.cpu_seconds_max),
        // What it works on is not to be left on a disk when it crashes.
        ("core", Resource::Core, Some(0)),
        ("data", Resource::Data, Some(limits.memory_bytes_max)),
        ("as", Resource::As, limits.address_space_bytes_max),
    ]
}

/// Sets on this process the limits that the arguments name and becomes the program that they name: what our program does
/// that was started with [`LIMITED`]. Returns why it could not.
#[must_use]
pub fn become_limited(arguments: impl IntoIterator<Item = OsString>) -> io::Error {
    let unreadable = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut arguments = arguments.into_iter();
    let mut limits = Vec::new();
    for argument in arguments.by_ref() {
        if argument == PROGRAM {
            break;
        }
        match limit(&argument) {
            Some(limit) => limits.push(limit),
            None => return unreadable(),
        }
    }
    let Some(command) = arguments.next() else {
        return unreadable();
    };
    let mut program = std::process::Command::new(command);
    program.args(arguments).env_clear();
    program.envs(std::env::vars_os().filter_map(|(name, value)| {
        let name = name.as_bytes().strip_prefix(VARIABLE.as_bytes())?;
        Some((OsString::from_vec(name.to_vec()), value))
    }));
    for (resource, most) in limits {
        if let Err(error) = setrlimit(resource, within_own(resource, most)) {
            return error.into();
        }
    }
    program.exec()
}

fn limit(argument: &OsStr) -> Option<(Resource, u64)> {
    let (name, most) = argument.to_str()?.split_once('=')?;
    let known = wanted(&ChildLimits::default());
    let (_, resource, _) = known.into_iter().find(|(known, _, _)| *known == name)?;
    Some((resource, most.parse().ok()?))
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
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let set = set_on(pid, &limits);
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
        assert!(set_on(None, &ChildLimits::default()).is_err());
        assert!(set_on(Pid::from_raw(i32::MAX), &ChildLimits::default()).is_err());
    }

    /// What the wrapper is called with, read as the wrapper reads it.
    #[test]
    fn the_wrapper_is_told_all_limits_and_finds_no_variable_of_the_child() {
        let limits = ChildLimits {
            address_space_bytes_max: Some(128 << 20),
            cpu_seconds_max: Some(9),
            ..ChildLimits::default()
        };
        let program = Program {
            command: "server",
            args: &["--".to_owned(), "x".to_owned()],
            env: BTreeMap::from([("LD_PRELOAD".into(), "x.so".into())]),
            limits: &limits,
        };
        let command = program.command(Some(Path::new("/wrapper")));
        let command = command.as_std();
        assert_eq!(command.get_program(), "/wrapper");
        let arguments: Vec<&OsStr> = command.get_args().collect();
        let (said, program) = arguments.split_at(7);
        assert_eq!(said[0], LIMITED);
        let read: Vec<_> = said[1..].iter().map(|said| limit(said).unwrap()).collect();
        let meant: Vec<_> = wanted(&limits)
            .into_iter()
            .map(|(_, resource, most)| (resource, most.unwrap()))
            .collect();
        assert_eq!(read, meant);
        assert_eq!(program, ["--", "server", "--", "x"]);
        let variables: Vec<_> = command.get_envs().collect();
        let preload = (
            OsStr::new("PROCTOR_CHILD_LD_PRELOAD"),
            Some(OsStr::new("x.so")),
        );
        assert_eq!(variables, [preload]);
    }

    #[test]
    fn a_wrapper_that_is_told_what_it_does_not_know_starts_nothing() {
        for unknown in [
            &["nofile=x", "--", "true"][..],
            &["files=1", "--", "true"],
            &["nofile", "--", "true"],
            &["--"],
            &["nofile=64"],
            &[],
        ] {
            let arguments = unknown.iter().map(OsString::from);
            let error = become_limited(arguments);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{unknown:?}");
        }
    }
}
