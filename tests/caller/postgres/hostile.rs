//! A search path with things in it that look like the server's own.

use std::time::Duration;

use dlock::{Key, on, within};
use dlock_tests::{Site, Witness};

use super::connect;
use crate::db::run;

/// Every function, operator and type that dlock uses, with the very arguments it is used with.
const FUNCTIONS: &[(&str, &str)] = &[
    ("pg_try_advisory_lock", "bigint"),
    ("pg_try_advisory_lock", "integer, integer"),
    ("pg_try_advisory_lock_shared", "bigint"),
    ("pg_advisory_lock", "bigint"),
    ("pg_advisory_lock_shared", "bigint"),
    ("pg_advisory_unlock", "bigint"),
    ("pg_advisory_unlock", "integer, integer"),
    ("pg_advisory_xact_lock", "bigint"),
    ("pg_advisory_xact_lock", "integer, integer"),
    ("pg_try_advisory_xact_lock", "bigint"),
    ("set_config", "text, text, boolean"),
    ("current_setting", "text"),
    ("current_setting", "text, boolean"),
    ("split_part", "text, text, integer"),
    ("concat", "text"),
    ("host", "inet"),
    ("version", ""),
    ("now", ""),
    ("statement_timestamp", ""),
    ("clock_timestamp", ""),
    ("pg_backend_pid", ""),
    ("pg_is_in_recovery", ""),
    ("current_database", ""),
    ("pg_postmaster_start_time", ""),
    ("inet_client_addr", ""),
    ("inet_client_port", ""),
];
const OPERATORS: &[(&str, &str, &str)] = &[
    ("~", "text", "text"),
    ("=", "text", "text"),
    ("<>", "text", "text"),
    ("||", "text", "text"),
    ("=", "oid", "oid"),
    ("=", "integer", "integer"),
    ("<>", "integer", "integer"),
    ("=", "smallint", "smallint"),
    ("=", "smallint", "integer"),
    ("=", "name", "name"),
    ("<>", "timestamptz", "timestamptz"),
    ("-", "timestamptz", "timestamptz"),
    ("*", "numeric", "integer"),
    ("*", "numeric", "numeric"),
    ("-", "integer", "bigint"),
    ("-", "bigint", "bigint"),
];

async fn set_trap(witness: &mut Witness, evil: &str) {
    let mut sql = format!(
        "CREATE SCHEMA {evil}; SET search_path = pg_catalog; CREATE SEQUENCE {evil}.calls;"
    );
    for (name, args) in FUNCTIONS {
        sql += &format!(
            "CREATE FUNCTION {evil}.{name}({args}) RETURNS text LANGUAGE sql \
             AS $$ SELECT pg_catalog.nextval('{evil}.calls')::text $$;"
        );
    }
    for (n, (name, left, right)) in OPERATORS.iter().enumerate() {
        sql += &format!(
            "CREATE FUNCTION {evil}.op{n}({left}, {right}) RETURNS boolean LANGUAGE sql \
             AS $$ SELECT pg_catalog.nextval('{evil}.calls') IS NULL $$; \
             CREATE OPERATOR {evil}.{name} (FUNCTION = {evil}.op{n}, LEFTARG = {left}, RIGHTARG = {right});"
        );
    }
    for name in ["int4", "int8", "text"] {
        sql += &format!("CREATE DOMAIN {evil}.{name} AS pg_catalog.bool;");
    }
    for view in ["pg_locks", "pg_stat_activity", "pg_database"] {
        sql += &format!("CREATE VIEW {evil}.{view} AS SELECT pg_catalog.nextval('{evil}.calls');");
    }
    witness.run(&sql).await;
}

pub(crate) async fn functions_of_the_search_path_are_not_called(site: Site) {
    let evil = format!("{}_evil", site.name.replace('-', "_"));
    let mut witness = Witness::at(&site.url).await;
    set_trap(&mut witness, &evil).await;
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    run(&mut conn, &format!("SET search_path = {evil}, pg_catalog")).await;
    let wait = Duration::from_millis(20);
    for key in [Key::from(&site.namespace), Key::pair(fastrand::i32(..), 7)] {
        for begin in ["SELECT", "BEGIN"] {
            run(&mut conn, begin).await;
            let mut lock = on(&mut conn).lock(&key);
            lock.acquire().await.unwrap();
            assert!(on(lock.conn()).lock(&key).acquire().await.is_err(), "reentrant");
            assert!(lock.release().await.unwrap());
            on(&mut conn).lock(&key).run(async |_| Ok::<_, dlock::Error>(())).await.unwrap();
            let mut held = on(&mut other).lock(&key);
            held.acquire().await.unwrap();
            let error = on(&mut conn).lock(&key).timeout(wait).acquire().await.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            if begin == "BEGIN" {
                let keys = [key.clone(), Key::native(fastrand::i64(..))];
                let both = within(&mut conn).lock_all(keys).timeout(wait).acquire().await;
                assert!(both.unwrap_err().is_timeout());
                assert!(!within(&mut conn).lock(&key).try_acquire().await.unwrap());
            }
            held.release().await.unwrap();
        }
        within(&mut conn).lock(&key).acquire().await.unwrap();
        run(&mut conn, "ROLLBACK").await;
    }
    let calls = format!(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {evil}.calls WHERE $1::pg_catalog.text IS NOT NULL"
    );
    assert_eq!(witness.number(&calls, &site).await, 0);
    witness.run(&format!("DROP SCHEMA {evil} CASCADE")).await;
}

/// A role that may do nothing but connect.
pub(crate) async fn role_needs_no_rights(site: Site) {
    let role = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let (_, rest) = site.url.rsplit_once('@').unwrap();
    let theirs = site.through(&format!("postgres://{role}@{rest}"));
    let (mut conn, mut other) = (connect(&theirs).await, connect(&site).await);
    run(&mut conn, "SET default_transaction_read_only = on").await;
    let key = &site.namespace;
    let mut lock = on(&mut conn).lock(key);
    lock.acquire().await.unwrap();
    assert!(lock.release().await.unwrap());
    let mut held = on(&mut other).lock(key);
    held.acquire().await.unwrap();
    for begin in ["SELECT", "BEGIN"] {
        run(&mut conn, begin).await;
        let busy = on(&mut conn).lock(key).timeout(Duration::from_millis(20)).acquire().await;
        assert!(busy.unwrap_err().is_timeout());
    }
    let busy = within(&mut conn).lock(key).timeout(Duration::from_millis(20)).acquire().await;
    assert!(busy.unwrap_err().is_timeout());
    held.release().await.unwrap();
    within(&mut conn).lock(key).acquire().await.unwrap();
    drop(conn);
    let gone = async || witness.sessions(&site).await == 1;
    dlock_tests::eventually_async("it has gone", crate::db::SOON, gone).await;
    witness.run(&format!("DROP ROLE {role}")).await;
}
