//! Where `autocommit` is off, everything is in a transaction of the caller's.

use dlock_tests::Site;

use crate::db::{Conn, connect, is_free, lock, number, rows, run, table};
use crate::run::Failure;

pub(crate) async fn off_leaves_the_end_to_the_caller(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    table(&mut conn).await;
    run(&mut conn, "SET autocommit = 0").await;
    for result in [Ok(()), Err(Failure::Body(5))] {
        let failed = result.is_err();
        let body = async |conn: &mut Conn| {
            run(conn, "INSERT INTO done VALUES (1)").await;
            result
        };
        assert_eq!(lock(&site, &mut conn).run(body).await.is_err(), failed);
        assert!(is_free(&site, &mut other).await);
        assert_eq!(number(&mut conn, "SELECT CAST(@@autocommit AS SIGNED)").await, 0);
    }
    assert_eq!(rows(&mut conn).await, 2);
    run(&mut conn, "ROLLBACK").await;
    assert_eq!(rows(&mut conn).await, 0);
}
