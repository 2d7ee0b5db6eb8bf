//! A password is in no text that leaves dlock.

use std::error::Error as _;
use std::fmt::Debug;

use dlock::{Error, Locker};

use crate::alone;

const SECRET: &str = "s3cr3t";

fn assert_no_secret(shown: &dyn Debug) {
    let text = format!("{shown:?} {shown:#?}");
    assert!(!text.contains(SECRET), "{text}");
}

/// The error in every form, with all its sources.
fn assert_discreet(error: &Error) {
    assert_no_secret(error);
    assert!(!error.to_string().contains(SECRET), "{error}");
    let mut source = error.source();
    while let Some(error) = source {
        assert_no_secret(&error);
        assert!(!error.to_string().contains(SECRET), "{error}");
        source = error.source();
    }
    let io = std::io::Error::from(error.clone());
    assert!(!format!("{io} {io:?}").contains(SECRET), "{io}");
}

#[test]
fn of_urls_that_cannot_be_read() {
    alone(|| async {
        let urls = [
            format!("postgres://user:{SECRET}@host:no-port/db"),
            format!("postgres://user:{SECRET}@"),
            format!("postgres://user:{SECRET}@host/db?sslmode=nonsense"),
            format!("postgres://user@host/db?password={SECRET}&port=x"),
            format!("postgres://user:{SECRET}@[::1/db"),
            format!("postgresql:user:{SECRET}@host"),
            format!("user:{SECRET}@host/db"),
            SECRET.to_owned(),
            format!("nonsense://user:{SECRET}@host"),
            format!("lease+nonsense://user:{SECRET}@host"),
            format!("{SECRET}:user@host/db"),
            format!("sqlite://user:{SECRET}@host/db"),
            format!("sqlite://user:{SECRET}/x@host/db"),
            format!("sqlite:user:x?{SECRET}=1@host/db"),
            format!("sqlite://no/such/locks.db?mode={SECRET}"),
            format!("sqlite://no/such/locks.db?{SECRET}=1"),
            format!("sqlite://no/such/locks.db?synchronous={SECRET}"),
        ];
        // A password with what should be percent-encoded, so that its parts look like a host, a port, a
        // database or a parameter.
        let schemes =
            ["postgres", "postgresql", "mysql", "mariadb", "lease+postgres", "lease+mysql"];
        let passwords = [
            format!("/{SECRET}?x"),
            format!("{SECRET}/x"),
            format!("x/{SECRET}"),
            format!("1/{SECRET}"),
            format!("1?{SECRET}"),
            format!("1#{SECRET}"),
            format!("1?a={SECRET}"),
            format!("1/a?{SECRET}=b"),
            format!("x@{SECRET}/y"),
            format!("{SECRET}@1/y"),
            format!("1\\{SECRET}/"),
        ];
        let broken = schemes.iter().flat_map(|scheme| {
            let urls = |password: &String| {
                [
                    format!("{scheme}://app:{password}@host/db"),
                    format!("{scheme}://app:{password}@a,b/db"),
                    format!("{scheme}:app:{password}@host/db"),
                    format!("{scheme}:/app:{password}@host/db"),
                ]
            };
            passwords.iter().flat_map(urls).collect::<Vec<_>>()
        });
        let broken: Vec<String> = broken.collect();
        for url in &broken {
            let error = Locker::connect(url).await.unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{url}: {error}");
            assert!(error.to_string().contains("%2F"), "{url}: {error}");
        }
        for url in urls.into_iter().chain(broken) {
            assert_no_secret(&Locker::builder(&url));
            let error = Locker::connect(&url).await.unwrap_err();
            assert_discreet(&error);
        }
    });
}

#[test]
fn of_postgres_servers_that_refuse() {
    alone(|| async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // It hangs up on everybody.
        std::thread::spawn(move || listener.incoming().for_each(drop));
        for url in [
            format!("postgres://user:{SECRET}@{address}/db"),
            format!("postgres://{address}/db?user=user&password={SECRET}"),
        ] {
            assert_discreet(&Locker::connect(&url).await.unwrap_err());
        }
    });
}

#[test]
fn of_lockers_that_work_on_postgres() {
    alone(|| async {
        let Ok(site) = dlock_tests::Site::on(dlock_tests::Backend::Postgres) else {
            return dlock_tests::not_run("api", "DLOCK_TEST_POSTGRES is not set");
        };
        let (user, rest) = site.url.rsplit_once('@').unwrap();
        let user = user.rsplit_once("//").unwrap().1.split(':').next().unwrap();
        let site = site.through(&format!("postgres://{user}:{SECRET}@{rest}"));
        // A server that asks for no password takes any.
        let Ok(locker) = site.builder().connect().await else { return };
        let lock = locker.lock("k");
        let guard = lock.acquire().await.unwrap();
        assert_no_secret(&site.builder());
        assert_no_secret(&locker);
        assert_no_secret(&lock);
        assert_no_secret(&guard);
        locker.close().await;
        assert_discreet(&guard.release().await.unwrap_err());
        assert_discreet(&lock.acquire().await.unwrap_err());
    });
}
