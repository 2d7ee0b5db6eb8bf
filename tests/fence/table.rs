//! The table that tokens are drawn from.

use dlock::Error;
use dlock_tests::{Backend, Site, Witness, is_about};

use crate::counter::Counter;

pub(crate) async fn is_made_when_the_first_token_is_wanted(site: Site) {
    let counter = Counter::new(&site);
    let mut witness = Witness::at(&site.url).await;
    let locker = counter.locker(&site).await;
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    assert!(!counter.is_there(&mut witness).await);
    // Several want it at once.
    let mut taking = tokio::task::JoinSet::new();
    for n in 0..4 {
        let locker = counter.locker(&site).await;
        taking.spawn(async move {
            let guard = locker.lock(n).fenced().acquire().await.unwrap();
            assert!(guard.fence().is_some());
            guard.release().await.unwrap();
        });
    }
    taking.join_all().await;
    assert!(counter.is_there(&mut witness).await);
    assert_eq!(counter.number(&mut witness, "SELECT count(*) FROM {}").await, 4);
    // Seen as leases, nothing is held.
    let held = "SELECT count(*) FROM {} WHERE expires_at > '2001-01-01' OR owner <> ''";
    assert_eq!(counter.number(&mut witness, held).await, 0);
    let row = counter.row(&locker, "0");
    let named = format!("SELECT count(*) FROM {{}} WHERE name = '{row}'");
    assert_eq!(counter.number(&mut witness, &named).await, 1);
}

/// A user of the site's database who may do nothing in it but connect; the url.
async fn stranger(site: &Site, counter: &Counter, witness: &mut Witness) -> (String, String) {
    let role = counter.name.replace("fences", "stranger");
    // MySQL's names of users are short.
    let role = role[role.len().saturating_sub(30)..].trim_start_matches('_').to_owned();
    let (_, rest) = site.url.rsplit_once('@').unwrap();
    let scheme = if counter.is_postgres() { "postgres" } else { "mysql" };
    if counter.is_postgres() {
        witness.run(&format!("CREATE ROLE {role} LOGIN")).await;
        // Before version 15 everybody may make tables there.
        witness.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    } else {
        let database = site.url.rsplit_once('/').unwrap().1;
        let database = database.split('?').next().unwrap();
        witness.run(&format!("CREATE USER {role}")).await;
        // Some right is needed to connect to it.
        witness.run(&format!("GRANT CREATE TEMPORARY TABLES ON `{database}`.* TO {role}")).await;
    }
    (format!("{scheme}://{role}@{rest}"), role)
}

pub(crate) async fn that_cannot_be_made_is_told_with_its_text(site: Site) {
    let counter = Counter::new(&site);
    let mut witness = Witness::at(&site.url).await;
    let (url, role) = stranger(&site, &counter, &mut witness).await;
    let site = site.through(&url);
    let locker = counter.locker(&site).await;
    let plain = locker.lock("plain").acquire().await.unwrap();
    for _ in 0..2 {
        let error = locker.lock("k").fenced().acquire().await.unwrap_err();
        assert!(matches!(error, Error::Permission { .. }), "{error:?}");
        let (text, all) = (error.to_string(), format!("{error:#}"));
        assert!(text.contains(&counter.name) && text.contains("GRANT"), "{text}");
        is_about(&error, "k");
        assert!(all.contains("CREATE TABLE") && all.contains("PRIMARY KEY"), "{all}");
    }
    // Nothing is held for it, and the others go on.
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    plain.verify().await.unwrap();
    plain.release().await.unwrap();
    locker.close().await;
    witness.run(&format!("DROP USER {role}")).await;
}

pub(crate) async fn that_cannot_be_written_is_told_with_the_grant(site: Site) {
    let counter = Counter::new(&site);
    let mut witness = Witness::at(&site.url).await;
    let (url, role) = stranger(&site, &counter, &mut witness).await;
    witness.run(&counter.ddl()).await;
    witness.run(&format!("GRANT SELECT ON {} TO {role}", counter.name)).await;
    let theirs = site.through(&url);
    let locker = counter.locker(&theirs).await;
    let error = locker.lock("k").fenced().acquire().await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("GRANT SELECT, INSERT, UPDATE ON"), "{text}");
    assert!(text.contains(&counter.name), "{text}");
    let other = counter.locker(&site).await;
    other.lock("k").try_acquire().await.unwrap().expect("nobody has it").release().await.unwrap();
    // Once it is as the text says, it works, without a new connection.
    witness.run(&format!("GRANT SELECT, INSERT, UPDATE ON {} TO {role}", counter.name)).await;
    let guard = locker.lock("k").fenced().acquire().await.unwrap();
    assert!(guard.fence().is_some());
    guard.release().await.unwrap();
    locker.close().await;
    witness.run(&format!("DROP TABLE {}", counter.name)).await;
    witness.run(&format!("DROP USER {role}")).await;
}

/// Where there is no place for a table, plain locks do without.
pub(crate) async fn that_has_no_place_is_told(site: Site) {
    let url = if site.backend.is_some_and(Backend::is_postgres) {
        let separator = if site.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-c%20search_path%3Dnowhere", site.url)
    } else {
        let (server, database) = site.url.rsplit_once('/').unwrap();
        let options = database.split_once('?').map(|(_, options)| format!("/?{options}"));
        format!("{server}{}", options.unwrap_or_default())
    };
    let site = site.through(&url);
    // One session for all: it goes on.
    let locker = site.builder().max_sessions(1).connect().await.unwrap();
    let plain = locker.lock("plain").acquire().await.unwrap();
    let error = locker.lock("k").fenced().acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(error.to_string().contains("LeaseOptions::table"), "{error}");
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    plain.verify().await.unwrap();
    plain.release().await.unwrap();
}

/// Lease and session lock of one name do not exclude each other, but the one does not end the other,
/// and they count together.
pub(crate) async fn row_of_a_lease_stays_that_of_its_owner(site: Site) {
    let counter = Counter::new(&site);
    let mut witness = Witness::at(&site.url).await;
    let locker = counter.locker(&site).await;
    locker.lock("other").fenced().acquire().await.unwrap().release().await.unwrap();
    let (row, table) = (counter.row(&locker, "k"), &counter.name);
    witness
        .run(&format!(
            "INSERT INTO {table} (name, owner, fence, acquired_at, expires_at) \
             VALUES ('{row}', 'somebody', 41, '2020-01-01', '2099-01-01')"
        ))
        .await;
    let guard = locker.lock("k").fenced().acquire().await.unwrap();
    assert_eq!(guard.fence(), Some(42));
    guard.release().await.unwrap();
    let same = "SELECT count(*) FROM {} WHERE owner = 'somebody' AND fence = 42 \
        AND acquired_at = '2020-01-01' AND expires_at = '2099-01-01'";
    assert_eq!(counter.number(&mut witness, same).await, 1);
}

/// A cleanup does not make the tokens begin again.
pub(crate) async fn that_is_emptied_gives_no_token_again(site: Site) {
    let counter = Counter::new(&site);
    let (one, two) = (counter.locker(&site).await, counter.locker(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let mut last = 0;
    for round in 0..6 {
        let locker = if round % 2 == 0 { &one } else { &two };
        for _ in 0..3 {
            let guard = locker.lock("k").fenced().acquire().await.unwrap();
            let token = guard.fence().unwrap();
            assert!(last < token && token < 1 << 53, "{token} after {last}");
            last = token;
            guard.release().await.unwrap();
        }
        let empty = if round % 3 == 0 { "TRUNCATE TABLE" } else { "DELETE FROM" };
        witness.run(&format!("{empty} {}", counter.name)).await;
    }
    witness.run(&format!("DROP TABLE {}", counter.name)).await;
}
