//! A private Postgres on the real server.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helper functions too"
)]

use proctor_devstack::{
    DevstackError, Durability, Postgres, PostgresOptions, Supervision, TestPostgres,
};
use sqlx::{Connection, PgConnection};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/tmp").unwrap()
}

fn fast(dir: &tempfile::TempDir) -> PostgresOptions {
    PostgresOptions {
        durability: Durability::Fast,
        ..PostgresOptions::new(dir.path())
    }
}

async fn one(url: &str, sql: &'static str) -> i32 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn serves_a_database_that_survives_a_stop_and_a_new_owner() {
    let dir = dir();
    let postgres = Postgres::start(PostgresOptions::new(dir.path()))
        .await
        .unwrap();
    postgres.create_database("books").await.unwrap();
    postgres.create_database("books").await.unwrap();
    postgres
        .execute("books", "create table t as select 42 as n")
        .await
        .unwrap();
    let url = postgres.url("books");
    assert_eq!(one(&url, "select n from t").await, 42);
    postgres.stop().await;
    assert_eq!(postgres.pid(), None);
    assert!(PgConnection::connect(&url).await.is_err());
    drop(postgres);

    let postgres = Postgres::start(PostgresOptions::new(dir.path()))
        .await
        .unwrap();
    assert_eq!(one(&postgres.url("books"), "select n from t").await, 42);
}

#[tokio::test]
async fn a_committed_row_survives_kill_9_even_without_fsync() {
    let stack = TestPostgres::private().await.unwrap();
    let server = stack.server().unwrap();
    let mut connection = PgConnection::connect(stack.url()).await.unwrap();
    sqlx::query("create table t (n integer)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("insert into t values (7)")
        .execute(&mut connection)
        .await
        .unwrap();
    let pid = server.pid().unwrap();
    server.kill9().await;
    assert_eq!(server.pid(), None);
    server.restart().await.unwrap();
    assert_ne!(server.pid(), Some(pid));
    assert_eq!(one(stack.url(), "select n from t").await, 7);
}

/// A backend that is busy does not notice that the postmaster is gone, and holds up the next one.
#[tokio::test]
async fn a_busy_backend_does_not_hold_up_the_restart() {
    let stack = TestPostgres::private().await.unwrap();
    let server = stack.server().unwrap();
    let mut busy = PgConnection::connect(stack.url()).await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut busy)
        .await
        .unwrap();
    let endless = tokio::spawn(async move {
        sqlx::raw_sql("do $$ begin loop end loop; end $$")
            .execute(&mut busy)
            .await
    });
    let mut watch = PgConnection::connect(stack.url()).await.unwrap();
    let active = "select count(*) from pg_stat_activity where pid = $1 and query like 'do%'";
    let mut running = 0i64;
    while running == 0 {
        running = sqlx::query_scalar(active)
            .bind(pid)
            .fetch_one(&mut watch)
            .await
            .unwrap();
    }
    server.kill9().await;
    server.restart().await.unwrap();
    assert!(endless.await.unwrap().is_err());
    assert_eq!(one(stack.url(), "select 1").await, 1);
}

#[tokio::test]
async fn kill_9_of_all_leaves_nobody_who_could_still_write() {
    let stack = TestPostgres::private().await.unwrap();
    let server = stack.server().unwrap();
    let mut busy = PgConnection::connect(stack.url()).await.unwrap();
    let endless = tokio::spawn(async move {
        sqlx::raw_sql("do $$ begin loop end loop; end $$")
            .execute(&mut busy)
            .await
    });
    assert!(server.pids().contains(&server.pid().unwrap()));
    assert!(server.pids().len() > 1, "and its backends");
    server.kill9_all().await;
    assert!(endless.await.unwrap().is_err());
    assert_eq!(server.pid(), None);
    let started = std::time::Instant::now();
    while !server.pids().is_empty() {
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
    server.restart().await.unwrap();
    server.stop_immediately().await;
    assert_eq!(server.pid(), None);
    server.restart().await.unwrap();
    assert_eq!(one(stack.url(), "select 1").await, 1);
}

#[tokio::test]
async fn a_supervised_server_comes_back_on_the_same_port() {
    let dir = dir();
    let options = PostgresOptions {
        supervision: Supervision::Restart,
        ..fast(&dir)
    };
    let postgres = Postgres::start(options).await.unwrap();
    for round in 2..4 {
        postgres.kill9().await;
        postgres.wait_ready().await.unwrap();
        assert_eq!(postgres.starts(), round);
        assert_eq!(one(&postgres.url("postgres"), "select 1").await, 1);
    }
    postgres.stop().await;
    assert_eq!(postgres.pid(), None);
    postgres.restart().await.unwrap();
    postgres.kill9().await;
    postgres.wait_ready().await.unwrap();
}

#[tokio::test]
async fn only_the_password_opens_it_and_only_over_loopback() {
    let dir = dir();
    let postgres = Postgres::start(fast(&dir)).await.unwrap();
    let url = postgres.url("postgres");
    let (before, after) = url.split_once('@').unwrap();
    let user = before.rsplit_once(':').unwrap().0;
    for password in [":wrong", ":", ""] {
        let error = PgConnection::connect(&format!("{user}{password}@{after}"))
            .await
            .unwrap_err();
        assert!(matches!(error, sqlx::Error::Database(_)), "{error}");
    }
    let connection = &mut PgConnection::connect(&url).await.unwrap();
    let listen: String = sqlx::query_scalar("show listen_addresses")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let sockets: String = sqlx::query_scalar("show unix_socket_directories")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!((listen.as_str(), sockets.as_str()), ("127.0.0.1", ""));
    let secret = before.rsplit_once(':').unwrap().1;
    assert!(!format!("{postgres:?}").contains(secret));
    assert!(
        !std::fs::read_to_string(postgres.log())
            .unwrap()
            .contains(secret)
    );
}

/// `initdb` gives each cluster a number of its own, which a copy shares.
#[tokio::test]
async fn only_clusters_that_may_be_lost_are_copies() {
    let (first, second, durable) = (dir(), dir(), dir());
    let mut numbers = Vec::new();
    for options in [
        fast(&first),
        fast(&second),
        PostgresOptions::new(durable.path()),
    ] {
        let postgres = Postgres::start(options).await.unwrap();
        let mut connection = PgConnection::connect(&postgres.url("postgres"))
            .await
            .unwrap();
        let number: i64 = sqlx::query_scalar("select system_identifier from pg_control_system()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        numbers.push(number);
    }
    assert_eq!(numbers[0], numbers[1]);
    assert_ne!(numbers[0], numbers[2]);
}

#[tokio::test]
async fn secrets_on_disk_are_for_the_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let (copied, made) = (dir(), dir());
    for options in [fast(&copied), PostgresOptions::new(made.path())] {
        let dir = options.data_dir.clone();
        let _postgres = Postgres::start(options).await.unwrap();
        for (name, mode) in [
            ("superuser.password", 0o600),
            ("postgres.log", 0o600),
            ("cluster", 0o700),
        ] {
            let meta = std::fs::metadata(dir.join(name)).unwrap();
            assert_eq!(meta.mode() & 0o777, mode, "{name}");
        }
        let left: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            !left
                .iter()
                .any(|name| name.to_string_lossy().ends_with(".pw")),
            "{left:?}"
        );
    }
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = dir();
    let _first = Postgres::start(fast(&dir)).await.unwrap();
    let second = Postgres::start(fast(&dir)).await.unwrap_err();
    assert!(
        matches!(second, DevstackError::DirectoryInUse { .. }),
        "{second}"
    );
}

#[tokio::test]
async fn a_taken_port_is_named_by_the_servers_own_words() {
    let dir = dir();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Postgres::start(PostgresOptions {
        port: Some(port),
        ..fast(&dir)
    })
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("Address already in use"),
        "{error}"
    );
}

#[tokio::test]
async fn a_lost_password_is_an_error_and_destroys_nothing() {
    let dir = dir();
    drop(Postgres::start(fast(&dir)).await.unwrap());
    std::fs::remove_file(dir.path().join("superuser.password")).unwrap();
    let error = Postgres::start(fast(&dir)).await.unwrap_err();
    assert!(
        matches!(error, DevstackError::PasswordMissing { .. }),
        "{error}"
    );
    assert!(dir.path().join("cluster/PG_VERSION").is_file());
}

#[tokio::test]
async fn a_half_made_cluster_is_made_again() {
    let (copied, made) = (dir(), dir());
    for options in [fast(&copied), PostgresOptions::new(made.path())] {
        let dir = &options.data_dir;
        std::fs::create_dir_all(dir.join("cluster.new/base")).unwrap();
        std::fs::write(dir.join("superuser.password"), "left over").unwrap();
        let postgres = Postgres::start(options).await.unwrap();
        assert_eq!(one(&postgres.url("postgres"), "select 1").await, 1);
    }
}

#[tokio::test]
async fn database_names_are_not_sql() {
    let stack = TestPostgres::private().await.unwrap();
    for name in ["", "1a", "a b", "a;drop table t", "A", &"a".repeat(64)] {
        let error = stack
            .server()
            .unwrap()
            .create_database(name)
            .await
            .unwrap_err();
        assert!(
            matches!(error, DevstackError::BadDatabaseName),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn dropping_it_ends_the_server_and_its_children() {
    let stack = TestPostgres::private().await.unwrap();
    let pid = stack.server().unwrap().pid().unwrap();
    let cluster = stack.server().unwrap().log().with_file_name("cluster");
    drop(stack);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(!cluster.exists());
}

/// As root the server must run as somebody else, in directories of that account.
#[tokio::test]
async fn as_root_it_runs_unprivileged_even_below_a_closed_directory() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let outer = dir();
    // Like root's home: nobody else may pass.
    std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = outer.path().join("project/.proctor/pg");
    let options = PostgresOptions::new(&data_dir);
    let postgres = Postgres::start(options.clone()).await.unwrap();
    postgres
        .execute("postgres", "create table t as select 5 as n")
        .await
        .unwrap();
    let owner = std::fs::metadata(format!("/proc/{}", postgres.pid().unwrap()))
        .unwrap()
        .uid();
    assert_ne!(owner, 0, "Postgres runs as root");
    postgres.stop().await;
    drop(postgres);
    let postgres = Postgres::start(options.clone()).await.unwrap();
    assert_eq!(one(&postgres.url("postgres"), "select n from t").await, 5);
    let directory = PgConnection::connect(&postgres.url("postgres")).await;
    let directory: String = sqlx::query_scalar("show data_directory")
        .fetch_one(&mut directory.unwrap())
        .await
        .unwrap();
    drop(postgres);
    if !directory.starts_with(outer.path().to_str().unwrap()) {
        // The data directory was deleted by hand: what lies elsewhere is stale, and made anew.
        std::fs::remove_dir_all(&data_dir).unwrap();
        let postgres = Postgres::start(options).await.unwrap();
        assert!(
            postgres
                .execute("postgres", "select n from t")
                .await
                .is_err()
        );
        drop(postgres);
        std::fs::remove_dir_all(std::path::Path::new(&directory).parent().unwrap()).unwrap();
    }
}
