//! Test stacks on servers that somebody else runs.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helper functions too"
)]

use proctor_devstack::{TestPostgres, TestStack};
use sqlx::{Connection, PgConnection};

/// The environment belongs to the whole process, so the tests run again in a process whose
/// servers are named to it.
#[test]
fn in_a_process_with_shared_servers() {
    let me = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_proctor-with-servers"));
    command
        .arg(me)
        .args(["--exact", "inside::each_stack_has_a_database_of_its_own"])
        .env("PROCTOR_TEST_INSIDE", "1");
    assert!(command.status().unwrap().success());
}

mod inside {
    use super::*;

    #[tokio::test]
    async fn each_stack_has_a_database_of_its_own() {
        if std::env::var_os("PROCTOR_TEST_INSIDE").is_none() {
            return;
        }
        let (first, second) = (
            TestStack::start().await.unwrap(),
            TestStack::start().await.unwrap(),
        );
        assert!(first.postgres.server().is_none() && first.nats.server().is_none());
        assert_eq!(first.nats_url(), second.nats_url());
        for stack in [&first, &second] {
            let mut connection = PgConnection::connect(stack.postgres_url()).await.unwrap();
            sqlx::query("create table mine (n integer)")
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let name = first
            .postgres_url()
            .rsplit(['/', '?'])
            .nth(1)
            .unwrap()
            .to_owned();
        drop(first);
        let mut connection = PgConnection::connect(second.postgres_url()).await.unwrap();
        let left: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(left, 0);
        let private = TestPostgres::private().await.unwrap();
        assert!(private.server().is_some());
    }
}
