//! Row-level security: the second fence between tenants, asked of Postgres itself.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

use proctor_devstack::TestPostgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};

async fn database() -> (TestPostgres, PgPool) {
    let postgres = TestPostgres::start().await.unwrap();
    proctor_control::migrate(&postgres.url().into())
        .await
        .unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(postgres.url())
        .await
        .unwrap();
    (postgres, pool)
}

#[tokio::test]
async fn each_tenant_table_has_forced_row_security_and_an_index_that_leads_with_the_tenant() {
    let (_postgres, pool) = database().await;
    let tables: Vec<(String, bool, bool)> = sqlx::query_as(
        "select c.relname::text, c.relrowsecurity and c.relforcerowsecurity
                and exists (select from pg_policy p where p.polrelid = c.oid),
                exists (select from pg_index i where i.indrelid = c.oid and i.indkey[0] = a.attnum)
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant'
         where c.relnamespace = 'control'::regnamespace and c.relkind = 'r' order by 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(tables.len() >= 10, "{tables:?}");
    for (table, fenced, indexed) in tables {
        assert!(fenced, "{table} has no forced row-level security");
        // The outbox is read by the publisher alone, in its own order.
        assert!(
            indexed || table == "outbox",
            "{table} has no index that leads with the tenant"
        );
    }
}

#[tokio::test]
async fn each_table_and_column_has_a_comment() {
    let (_postgres, pool) = database().await;
    let bare: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'control'::regnamespace and c.relkind = 'r' and c.relname !~ '^_'
           and a.attnum > 0 and not a.attisdropped and col_description(c.oid, a.attnum) is null",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(bare.is_empty(), "{bare:?}");
}

async fn tenants_seen(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select tenant from control.tenants union select tenant from control.objects order by 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_service_sees_and_writes_only_the_tenant_it_has_named() {
    let (postgres, pool) = database().await;
    for tenant in ["a", "b"] {
        sqlx::query(
            "insert into control.tenants (tenant, settings, digest_key) values ($1, '{}', '')",
        )
        .bind(tenant)
        .execute(&pool)
        .await
        .unwrap();
        sqlx::query("insert into control.objects (tenant, kind, id, document) values ($1, 'agent', 'x', '{}')")
            .bind(tenant)
            .execute(&pool)
            .await
            .unwrap();
    }
    let mut service = PgConnection::connect(postgres.url()).await.unwrap();
    sqlx::query("set role proctor_control")
        .execute(&mut service)
        .await
        .unwrap();
    assert!(
        tenants_seen(&mut service).await.is_empty(),
        "nobody was named"
    );

    let mut tx = service.begin().await.unwrap();
    sqlx::query("select set_config('proctor.tenant', 'a', true)")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(tenants_seen(&mut tx).await, ["a"]);
    let changed = sqlx::query("update control.objects set version = 2 where tenant = 'b'")
        .execute(&mut *tx)
        .await;
    assert_eq!(changed.unwrap().rows_affected(), 0);
    let planted = sqlx::query(
        "insert into control.objects (tenant, kind, id, document) values ('b', 'agent', 'y', '{}')",
    )
    .execute(&mut *tx)
    .await;
    assert_eq!(
        planted
            .unwrap_err()
            .into_database_error()
            .unwrap()
            .code()
            .unwrap(),
        "42501"
    );
    tx.rollback().await.unwrap();

    assert!(
        tenants_seen(&mut service).await.is_empty(),
        "the name ends with the transaction"
    );
    let dropped = sqlx::query("drop table control.outbox")
        .execute(&mut service)
        .await;
    assert!(dropped.is_err(), "the service owns nothing");
}
