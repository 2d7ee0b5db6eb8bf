//! When leases are renewed.

use super::*;

fn renewed(fake: &Fake) -> Vec<Vec<String>> {
    let renewed = |asked| match asked {
        Asked::Renew(names) => Some(names),
        _ => None,
    };
    fake.asked().into_iter().filter_map(renewed).collect()
}

/// All that a process holds is renewed by one statement, and a round comes once in a third of the
/// ttl.
#[tokio::test]
async fn of_thousand_leases_are_one_statement() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(Duration::from_secs(3))).await;
    let taking: Vec<_> = (0..1000)
        .map(|n| {
            let lock = locker.lock(n);
            tokio::spawn(async move { lock.acquire().await.unwrap() })
        })
        .collect();
    let mut guards = Vec::new();
    for taking in taking {
        guards.push(taking.await.unwrap());
    }
    fake.asked();
    sleep(Duration::from_millis(3300)).await;
    let renewed = renewed(&fake);
    assert!((2..=4).contains(&renewed.len()), "{} statements", renewed.len());
    assert!(renewed.iter().all(|names| names.len() == 1000));
    assert!(guards.iter().all(|guard| !guard.is_lost()));
}

/// A short lease among long ones does not have them renewed as often as itself.
#[tokio::test]
async fn of_long_leases_are_as_rare_as_theirs() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let _long = locker.lock("long").acquire().await.unwrap();
    let short = locker.lock("short").ttl(300 * MS).acquire().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let names = fake::counts(renewed(&fake).into_iter().flatten());
    assert!(names["short"] >= 5, "{names:?}");
    assert_eq!(names.get("long"), None);
    assert!(!short.is_lost());
}

/// What lasts for ever is confirmed once, and not renewed.
#[tokio::test]
async fn of_what_never_ends_are_none() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let guard = locker.lock("k").ttl(Duration::MAX).acquire().await.unwrap();
    assert!(fake.row("k").until.is_none());
    let _short = locker.lock("short").ttl(300 * MS).acquire().await.unwrap();
    sleep(500 * MS).await;
    assert_eq!(fake::counts(renewed(&fake).into_iter().flatten()).get("k"), Some(&1));
    guard.release().await.unwrap();
    assert!(fake.row("k").is_free());
}

/// The first of them are not answered, and it is none the worse.
#[tokio::test]
async fn that_fail_are_survived() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(900 * MS)).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let mut left = 3;
    fake.script(move |asked| match asked {
        Asked::Renew(_) if left > 0 => {
            left -= 1;
            [Fate::Busy, Fate::Ends(false), Fate::Ends(true)][left]
        }
        _ => Fate::Done,
    });
    sleep(Duration::from_secs(2)).await;
    assert!(renewed(&fake).len() > 5);
    guard.release().await.unwrap();
}
