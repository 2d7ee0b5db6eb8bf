//! The locker that a command uses.

use dlock::{Error, Locker};

use crate::args::Common;
use crate::failure::Failure;

/// Connects with what the command line and the environment say.
pub(crate) async fn connect(common: &Common) -> Result<Locker, Failure> {
    let Some(url) = common.url.as_deref().filter(|url| !url.is_empty()) else {
        return Err(Failure::usage(
            "no database: set DLOCK_URL, or give --url, such as postgres://user@host/database",
        ));
    };
    let mut builder = Locker::builder(url);
    if let Some(namespace) = &common.namespace {
        builder = builder.namespace(namespace);
    }
    if let Some(scheme) = &common.scheme {
        builder = builder.key_scheme(scheme.clone());
    }
    Ok(builder.connect().await?)
}

/// Releases all and disconnects; a command says what it has to say all the same.
pub(crate) async fn close<T>(locker: Locker, ended: Result<T, Failure>) -> Result<T, Failure> {
    locker.close().await;
    ended
}

/// The URL without its password, for the environment of others.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may have been written with characters that end the host: then none of it is shown.
    let Some(at) = rest.rfind('@') else { return strip_query(url) };
    let (who, host) = rest.split_at(at);
    let user = who.split_once(':').map_or(who, |(user, _)| user);
    let user = if at > end && user.contains(['/', '?', '#']) { "" } else { user };
    strip_query(&format!("{scheme}://{user}{host}"))
}

/// Some drivers take the password as a parameter.
fn strip_query(url: &str) -> String {
    let Some((address, query)) = url.split_once('?') else { return url.to_owned() };
    let is_secret = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        name.contains("password") || name.contains("secret") || name == "pwd"
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_secret(pair)).collect();
    if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) }
}

/// Whether the wait was in vain because somebody else has it.
pub(crate) fn is_busy(error: &Error) -> bool {
    error.is_timeout() || matches!(error, Error::Deadlock { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        for (url, shown) in [
            (
                "postgres://app:secret@db:5432/app?sslmode=require",
                "postgres://app@db:5432/app?sslmode=require",
            ),
            ("postgres://app@db/app", "postgres://app@db/app"),
            ("postgres://app:sec/ret@db/app", "postgres://app@db/app"),
            ("postgres://db/app?user=a&password=secret", "postgres://db/app?user=a"),
            ("sqlite://locks.db", "sqlite://locks.db"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
