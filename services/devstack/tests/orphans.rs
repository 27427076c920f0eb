//! What is left when the owner of the servers is killed.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helper functions too"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proctor_devstack::{Durability, Nats, NatsOptions, Postgres, PostgresOptions, TestStack};

/// Starts both servers in another process and returns it with their ports.
fn owner() -> (std::process::Child, Vec<u16>) {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_proctor-with-servers"))
        .args([
            "sh",
            "-c",
            "echo $PROCTOR_TEST_POSTGRES_URL; echo $PROCTOR_TEST_NATS_URL; exec cat",
        ])
        .env_remove("PROCTOR_TEST_POSTGRES_URL")
        .env_remove("PROCTOR_TEST_NATS_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines().take(2);
    let ports = lines.map(|url| port_of(&url.unwrap())).collect();
    (owner, ports)
}

fn port_of(url: &str) -> u16 {
    let after = url.rsplit_once(':').unwrap().1;
    after.split('/').next().unwrap().parse().unwrap()
}

/// Waits for what must come about, but not for ever.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn listening(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn the_servers_die_with_an_owner_that_is_killed() {
    let (mut owner, ports) = owner();
    assert!(ports.len() == 2 && ports.iter().all(|port| listening(*port)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the servers end", || {
        !ports.iter().any(|port| listening(*port))
    });
    // Nobody was left to do this; otherwise a later test would, when they are old enough.
    for entry in std::fs::read_dir("/tmp").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("proctor-test-{}-", owner.id())) {
            // A server that listens no more may still put its files away.
            let path = entry.path();
            eventually("their directories go", || {
                std::fs::remove_dir_all(&path).is_ok() || !path.exists()
            });
        }
    }
}

#[test]
fn the_owner_hands_on_the_exit_code_and_stops_the_servers() {
    let (mut owner, ports) = owner();
    drop(owner.stdin.take());
    assert!(owner.wait().unwrap().success());
    assert!(ports.iter().all(|port| !listening(*port)));
    let status = Command::new(env!("CARGO_BIN_EXE_proctor-with-servers"))
        .args(["sh", "-c", "exit 7"])
        .status();
    assert_eq!(status.unwrap().code(), Some(7));
}

/// Where `setpriv` is missing a server outlives its owner; the next owner ends it first.
#[tokio::test]
async fn a_server_left_behind_is_ended_by_the_next_owner() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    drop(Nats::start(NatsOptions::new(dir.path())).await.unwrap());
    let config = dir.path().canonicalize().unwrap().join("nats.conf");
    let mut orphan = Command::new(
        proctor_devstack::find_program(proctor_devstack::Program::NatsServer).unwrap(),
    )
    .arg("-c")
    .arg(&config)
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let pid_file = dir.path().join("nats.pid");
    let written = || std::fs::read_to_string(&pid_file).ok() == Some(orphan.id().to_string());
    eventually("the orphan writes its pid file", written);
    let nats = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    assert!(nats.pid().is_some());
    assert!(orphan.try_wait().unwrap().is_some());
}

#[tokio::test]
async fn a_postgres_left_behind_is_ended_by_the_next_owner() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let options = PostgresOptions {
        durability: Durability::Fast,
        ..PostgresOptions::new(dir.path())
    };
    let first = Postgres::start(options.clone()).await.unwrap();
    let process = format!("/proc/{}", first.pid().unwrap());
    let meta = std::fs::metadata(&process).unwrap();
    let line = std::fs::read_to_string(format!("{process}/cmdline")).unwrap();
    let port = first.port();
    drop(first);
    let mut words = line.split('\0');
    let mut orphan = Command::new(words.next().unwrap())
        .args(words.filter(|word| !word.is_empty()))
        .gid(meta.gid())
        .uid(meta.uid())
        .current_dir("/")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the orphan listens", || listening(port));
    let next = Postgres::start(options).await.unwrap();
    assert!(orphan.try_wait().unwrap().is_some());
    next.create_database("works").await.unwrap();
}

/// A number in a pid file proves nothing: that process may be anybody today.
#[tokio::test]
async fn a_stranger_with_a_recycled_process_id_is_left_alone() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let mut stranger = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::fs::write(dir.path().join("nats.pid"), stranger.id().to_string()).unwrap();
    let _nats = Nats::start(NatsOptions::new(dir.path())).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none());
    kill(
        Pid::from_raw(i32::try_from(stranger.id()).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_test_stack_leaves_nothing() {
    let stack = TestStack::private().await.unwrap();
    let ports = [
        stack.postgres.server().unwrap().port(),
        stack.nats.server().unwrap().port(),
    ];
    assert!(ports.iter().all(|port| listening(*port)));
    drop(stack);
    assert!(ports.iter().all(|port| !listening(*port)));
}
