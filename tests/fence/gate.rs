//! What users do with tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dlock::{Error, Locker, LostReason, fence};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

#[test]
fn gate_lets_nobody_pass_who_is_older() {
    let gate = Arc::new(fence::Gate::new(3));
    assert!(!gate.admits(2) && gate.admits(3) && gate.newest() == 3);
    // Each token that passes is the newest so far at that moment.
    let passed = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (gate, passed) = (Arc::clone(&gate), Arc::clone(&passed));
            std::thread::spawn(move || {
                for token in 4..2000 {
                    if gate.admits(token) {
                        passed.fetch_max(token, Ordering::SeqCst);
                    } else {
                        assert!(gate.newest() > token);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((passed.load(Ordering::SeqCst), gate.newest()), (1999, 1999));
}

#[test]
fn tokens_keep_their_order_in_sql() {
    assert_eq!(fence::bind(0), 0);
    assert_eq!(fence::bind(7), 7);
    assert_eq!(fence::bind(u64::MAX), i64::MAX);
}

/// The statement of the docs, run.
#[tokio::test]
async fn stale_write_is_refused() {
    let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for column in ["fence BIGINT NOT NULL DEFAULT 0", "fence BIGINT"] {
        let table = format!(
            "DROP TABLE IF EXISTS documents; CREATE TABLE documents (id INTEGER, body TEXT, {column}); \
             INSERT INTO documents (id) VALUES (7)"
        );
        sqlx::raw_sql(AssertSqlSafe(table)).execute(&mut database).await.unwrap();
        let update = format!(
            "UPDATE documents SET body = $1, fence = $2 WHERE id = $3 AND {}",
            fence::condition("fence", "$2")
        );
        let mut write = async |body: &str, token: u64, id: i64| {
            let update = sqlx::query(AssertSqlSafe(update.clone()));
            let update = update.bind(body.to_owned()).bind(fence::bind(token)).bind(id);
            update.execute(&mut database).await.unwrap().rows_affected()
        };
        let locker = Locker::connect("memory:fence-docs").await.unwrap();
        let earlier = locker.lock("k").fenced().acquire().await.unwrap();
        let stale = fence::token(&earlier).unwrap();
        fence::accepted(write("a", stale, 7).await, &earlier).unwrap();
        fence::accepted(write("b", stale, 7).await, &earlier).unwrap();
        earlier.release().await.unwrap();
        let later = locker.lock("k").fenced().acquire().await.unwrap();
        let token = fence::token(&later).unwrap();
        fence::accepted(write("c", token, 7).await, &later).unwrap();
        let refused = fence::accepted(write("d", stale, 7).await, &later).unwrap_err();
        assert!(
            matches!(refused, Error::Lost { reason: LostReason::Overtaken, .. }),
            "{refused:?}"
        );
        // A row that is not there cannot be told from one that somebody else has written.
        assert!(fence::accepted(write("e", token, 8).await, &later).is_err());
    }
}

#[tokio::test]
async fn lock_without_a_token_says_how_to_have_one() {
    let locker = Locker::connect("memory:fence-none").await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    let error = fence::token(&guard).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(error.to_string().contains("fenced()"), "{error}");
}
