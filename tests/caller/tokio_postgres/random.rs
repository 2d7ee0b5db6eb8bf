//! Random programs on the clients of a pool of two.

use dlock::{Connection, on};
use dlock_tests::{Rounds, Site, Witness, eventually_async};

use super::db::{SOON, deadpool_of};

/// Whatever becomes of them: what is held is held, and nothing else, as the server sees it.
pub(crate) async fn programs_leave_what_they_hold(site: Site) {
    let pool = deadpool_of(&site, 2);
    let mut witness = Witness::at(&site.url).await;
    let rounds = Rounds::new(&site);
    for _ in 0..Rounds::count() {
        let mut other = pool.get().await.unwrap();
        let mut client = pool.get().await.unwrap();
        let blocked = rounds.block();
        let more = i64::from(blocked.is_some());
        let mut block = on(&mut **other).lock(blocked.unwrap_or_else(|| "nothing".to_owned()));
        if more > 0 {
            block.acquire().await.unwrap();
        }
        let witness = tokio::sync::Mutex::new(&mut witness);
        let see = async || {
            let seen = witness.lock().await.locks(&site).await;
            assert_eq!(seen, rounds.held() + more);
        };
        match rounds.one_of(4) {
            0 => {
                let mut tx = client.transaction().await.unwrap();
                rounds.run(&mut *tx, true, async |_| {}).await;
            }
            _ => {
                let it = &mut **client;
                rounds.run(it, false, async |it| settled(&rounds, it, &see).await).await;
            }
        }
        settled(&rounds, &mut **client, &see).await;
        if rounds.held() > 0 {
            // What was forgotten is held as long as its session is there.
            drop(deadpool_postgres::Object::take(client));
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
