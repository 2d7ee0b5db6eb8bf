//! What the user of the database may do.

use dlock::{Error, Locker};
use dlock_tests::{Site, is_about};

use super::Raw;

/// A user with these rights, on the site's database; its URL.
async fn user(raw: &mut Raw, site: &Site, rights: &str) -> (String, String) {
    let user = site.name.replace('-', "_");
    raw.run(&format!("CREATE USER {user}@localhost IDENTIFIED BY 's3cr3t'")).await;
    let database = raw.row("SELECT DATABASE()").await.remove(0).unwrap();
    raw.run(&format!("GRANT {rights} ON `{database}`.* TO {user}@localhost")).await;
    (site.url.replacen("root@", &format!("{user}:s3cr3t@"), 1), user)
}

async fn refusal(url: &str) -> Error {
    let error = Locker::connect(url).await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains("s3cr3t") && !text.contains('\n'), "{text}");
    error
}

pub(crate) async fn table_that_may_not_be_made(site: Site) {
    let mut raw = Raw::to(&site.url).await;
    let (url, user) = user(&mut raw, &site, "SELECT, INSERT, UPDATE").await;
    let error = refusal(&url).await;
    let Error::Permission { ddl: Some(ddl), .. } = &error else { panic!("{error:?}") };
    assert!(ddl.starts_with("CREATE TABLE IF NOT EXISTS `dlock_leases`"), "{ddl}");
    assert!(format!("{error:#}").ends_with(&**ddl), "{error:#}");
    // What it says is what somebody who may can do.
    raw.run(ddl).await;
    let locker = Locker::connect(&url).await.unwrap();
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    locker.check().await.unwrap();
    // Nothing but this needs the right.
    let error = locker.prune(std::time::Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert!(error.to_string().contains("GRANT DELETE ON `dlock_leases`"), "{error}");
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    locker.close().await;
    raw.run(&format!("DROP USER {user}@localhost")).await;
}

pub(crate) async fn table_that_may_not_be_written(site: Site) {
    let mut raw = Raw::to(&site.url).await;
    raw.run(&dlock::lease::ddl("mysql").unwrap()).await;
    let (url, user) = user(&mut raw, &site, "SELECT, INSERT").await;
    assert!(
        refusal(&url).await.to_string().contains("GRANT SELECT, INSERT, UPDATE ON `dlock_leases`")
    );
    raw.run(&format!("GRANT UPDATE ON dlock_leases TO {user}@localhost")).await;
    let locker = Locker::connect(&url).await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    raw.run(&format!("REVOKE UPDATE ON dlock_leases FROM {user}@localhost")).await;
    let error = locker.lock("other").acquire().await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    is_about(&error, "other");
    drop(guard);
    raw.run(&format!("DROP USER {user}@localhost")).await;
}
