//! Locks that are lost before their release.

use dlock::{Error, LostReason, on};
use dlock_tests::{Site, Witness, eventually_async, is_about};

use crate::db::{Application, SOON, connect, is_free, lock, pool, run};
use crate::run::Failure;

fn reason(error: &Error) -> LostReason {
    let Error::Lost { reason, .. } = error else { panic!("{error:?}") };
    *reason
}

/// The server has ended the session: somebody else may have had the lock since.
pub(crate) async fn ended_session_is_lost<C: Application>(site: Site) {
    let mut witness = Witness::at(&site.url).await;
    let mut conn = connect::<C>(&site).await;
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    let mut other = connect::<C>(&site).await;
    let free = async || is_free(&site, &mut other).await;
    eventually_async("the lock is free", SOON, free).await;
    assert!(held.is_held(), "nobody has asked");
    assert_eq!(reason(&held.release().await.unwrap_err()), LostReason::SessionEnded);
    let error = lock(&site, &mut conn).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    is_about(&error, &site.namespace);
}

/// The body may have gone on without the lock, so `run` is no success; but its own error stays.
pub(crate) async fn ended_session_under_a_body_is_lost<C: Application>(site: Site) {
    for failed in [false, true] {
        let mut conn = connect::<C>(&site).await;
        let site = &site;
        let body = async |_: &mut C| {
            // The session of the round before may still be listed.
            assert!(Witness::at(&site.url).await.terminate(site).await >= 1);
            if failed { Err(Failure::Body(9)) } else { Ok(()) }
        };
        match lock(site, &mut conn).run(body).await {
            Err(Failure::Body(9)) if failed => {}
            Err(Failure::Lock(error)) if !failed => {
                assert_eq!(reason(&error), LostReason::SessionEnded);
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn released_by_hand_is_lost<C: Application>(site: Site) {
    let mut conn = connect::<C>(&site).await;
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    run(held.conn(), C::LET_GO).await;
    assert_eq!(reason(&held.release().await.unwrap_err()), LostReason::NotHeld);
    let body = async |conn: &mut C| {
        run(conn, C::LET_GO).await;
        Ok::<_, Error>(())
    };
    let error = lock(&site, &mut conn).run(body).await.unwrap_err();
    assert_eq!(reason(&error), LostReason::NotHeld);
}

/// A pool has a good connection in that place after.
pub(crate) async fn ended_session_does_not_come_back_to_a_pool<C: Application>(site: Site) {
    let mut witness = Witness::at(&site.url).await;
    let pool = pool::<C>(&site, 1).await;
    let mut conn = pool.acquire().await.unwrap();
    let mut held = on(&mut conn).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    assert_eq!(reason(&held.release().await.unwrap_err()), LostReason::SessionEnded);
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    let mut held = on(&mut conn).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!(held.release().await.unwrap());
}
