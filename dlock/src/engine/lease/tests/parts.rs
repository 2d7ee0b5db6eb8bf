//! One that is refused does not spoil what travels with it.

use tokio::task::JoinSet;

use super::*;

/// Whether this is about that row.
fn is_about(asked: &Asked, bad: &str) -> bool {
    match asked {
        Asked::Apply { takes, .. } => takes.iter().any(|name| name == bad),
        Asked::Renew(names) => names.iter().any(|name| name == bad),
        Asked::Open | Asked::Check(_) => false,
    }
}

#[tokio::test]
async fn one_bad_row_fails_alone() {
    let fake = Fake::new();
    // Renewed after 300 ms, and far from its end.
    let locker = fake.locker(ttl(30_000 * MS).renew_before(29_700 * MS)).await;
    fake.script(|asked| if is_about(asked, "bad") { Fate::Refused } else { Fate::Done });
    fake.inside().delay = 5 * MS;
    let mut guards = Vec::new();
    for round in 0..3 {
        let mut crowd = JoinSet::new();
        for n in 0..50 {
            let lock = locker.lock(round * 50 + n);
            crowd.spawn(async move { lock.acquire().await });
        }
        let error = timeout(LIMIT, locker.lock("bad").acquire()).await.unwrap().unwrap_err();
        assert!(matches!(error, crate::Error::Backend { .. }), "{error}");
        let answers = timeout(LIMIT, crowd.join_all()).await.unwrap();
        guards.extend(answers.into_iter().map(|answer| answer.unwrap()));
    }
    // One that cannot be renewed is no reason for the others.
    fake.script(|asked| if is_about(asked, "7") { Fate::Refused } else { Fate::Done });
    fake.asked();
    let renewed = |name: &str| fake.inside().asked.iter().any(|asked| is_about(asked, name));
    let alone = || {
        let is_alone = |asked: &Asked| matches!(asked, Asked::Renew(names) if names.len() == 1);
        fake.inside().asked.iter().any(|asked| is_alone(asked) && is_about(asked, "7"))
    };
    eventually("it is found out", || alone() && renewed("149")).await;
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    fake.script(|_| Fate::Done);
    for guard in guards {
        timeout(LIMIT, guard.release()).await.unwrap().unwrap();
    }
}

/// When nothing can be had, that is found out soon.
#[tokio::test]
async fn all_of_many_fail_soon() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    fake.script(|asked| if takes(asked) { Fate::Refused } else { Fate::Done });
    let error = timeout(LIMIT, locker.lock_all(0..300).acquire()).await.unwrap().unwrap_err();
    assert!(matches!(error, crate::Error::Backend { .. }), "{error}");
}
