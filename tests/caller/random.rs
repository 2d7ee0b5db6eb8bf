//! Random programs on the connections of a pool of two.

use dlock::{Connection, on};
use dlock_tests::{Rounds, Site, Witness, eventually_async};

use crate::db::{Application, SOON, pool};

/// Whatever becomes of them: what is held is held, and nothing else, as the server sees it.
pub(crate) async fn programs_leave_what_they_hold<C: Application>(site: Site) {
    let pool = pool::<C>(&site, 2).await;
    let mut witness = Witness::at(&site.url).await;
    let rounds = Rounds::new(&site);
    for _ in 0..Rounds::count() {
        let mut other = pool.acquire().await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        let blocked = rounds.block();
        let more = i64::from(blocked.is_some());
        let mut block = on(&mut *other).lock(blocked.unwrap_or_else(|| "nothing".to_owned()));
        if more > 0 {
            block.acquire().await.unwrap();
        }
        let witness = tokio::sync::Mutex::new(&mut witness);
        let see = async || {
            let seen = witness.lock().await.locks(&site).await;
            assert_eq!(seen, rounds.held() + more, "{rounds:?}");
        };
        match rounds.one_of(8) {
            0 => rounds.run(&mut conn, false, async |it| settled(&rounds, it, &see).await).await,
            1 | 2 => {
                let mut tx = conn.begin().await.unwrap();
                rounds.run(&mut tx, true, async |_| {}).await;
            }
            _ => rounds.run(&mut *conn, false, async |it| settled(&rounds, it, &see).await).await,
        }
        settled(&rounds, &mut *conn, &see).await;
        if rounds.held() > 0 {
            // What was forgotten is held as long as its session is there.
            conn.close().await.unwrap();
            rounds.forget();
            eventually_async("it is free", SOON, async || {
                witness.lock().await.locks(&site).await == more
            })
            .await;
        }
        assert_eq!(block.release().await.unwrap(), more > 0);
    }
    rounds.tell();
}

/// The next use of dlock on a connection puts right what was left behind.
async fn settled<C: Connection>(rounds: &Rounds, conn: &mut C, see: &impl AsyncFn()) {
    let mut lock = on(conn).lock(rounds.probe());
    lock.acquire().await.unwrap();
    assert!(lock.release().await.unwrap());
    see().await;
}
