//! Several hosts in one URL, `scheme://user@a,b:3307,c/database`: tried one after the other, and
//! beside each other when they do not answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::lease::Failure;
use crate::error::Error;

/// How long one host of several may take.
const EACH: Duration = Duration::from_secs(3);
/// How long the next one is not tried yet.
const STAGGER: Duration = Duration::from_millis(250);

/// One URL for each host of this one.
pub(crate) fn urls(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password may have anything in it but what ends the authority.
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

/// Whether it has more than one host.
pub(crate) fn are_several(url: &str) -> bool {
    urls(url).len() > 1
}

/// The first of these that can be had: each next one is tried too when those before have not answered
/// for a moment, or at once when they have failed. A host that is away, or that has no part in its
/// cluster, is passed over. If none can be had, the first error that says more than that, or else the
/// first.
pub(crate) async fn first<'h, H, T, F>(
    hosts: &'h [H],
    label: &str,
    connect: impl Fn(&'h H) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    if let [host] = hosts {
        return connect(host).await;
    }
    let mut left = hosts.iter();
    let mut tried = Vec::new();
    let mut failed = None;
    loop {
        let started = left.next().map(|host| tried.push(Box::pin(timeout(EACH, connect(host)))));
        if started.is_none() && tried.is_empty() {
            break;
        }
        let patience = if started.is_some() { STAGGER } else { EACH * 2 };
        let Ok(ended) = timeout(patience, any(&mut tried)).await else { continue };
        let failure = match ended {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(failure)) => failure,
            Err(late) => Failure::Failed(Error::unavailable(label, late)),
        };
        if failed.as_ref().is_none_or(|failed| is_away(failed) && !is_away(&failure)) {
            failed = Some(failure);
        }
    }
    Err(failed.unwrap_or_else(|| {
        Failure::Failed(Error::config(
            "the url has no host; name one, as in postgres://user@host/db",
        ))
    }))
}

/// The first of these that ends, and that is none of them then.
async fn any<F: Future>(all: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        for index in 0..all.len() {
            if let Some(one) = all.get_mut(index)
                && let Poll::Ready(output) = one.as_mut().poll(context)
            {
                drop(all.swap_remove(index));
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

fn is_away(failure: &Failure) -> bool {
    matches!(failure, Failure::Failed(Error::Unavailable { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_says_more_is_the_answer() {
        let away = || Failure::Failed(Error::unavailable("a", Error::Closed));
        let busy = || Failure::Busy(Error::unavailable("b", Error::Closed));
        let bad = || Failure::Failed(Error::config("c"));
        let first = async |hosts: &[fn() -> Failure]| {
            first(hosts, "", |host| std::future::ready(Err::<(), _>(host()))).await
        };
        assert!(matches!(first(&[away, busy]).await, Err(Failure::Busy(_))));
        assert!(matches!(first(&[busy, bad, away]).await, Err(Failure::Busy(_))));
        assert!(matches!(first(&[away, bad]).await, Err(Failure::Failed(Error::Config { .. }))));
        assert!(matches!(first(&[away, away]).await, Err(failure) if is_away(&failure)));
    }

    /// Of four hosts three are silent, and two of those come before the one that answers.
    #[tokio::test]
    async fn silent_hosts_do_not_hide_one_that_answers() {
        let start = tokio::time::Instant::now();
        let connect = |host: &&'static str| {
            let host = *host;
            async move {
                if host == "silent" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Failure>(host)
            }
        };
        let hosts = ["silent", "silent", "good", "silent"];
        assert!(matches!(first(&hosts, "", connect).await, Ok("good")));
        assert!((STAGGER * 2..EACH).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[test]
    fn every_host_has_a_url_of_its_own() {
        assert_eq!(
            urls("mysql://u:p,w@a,b:3307,c/db?x=1,2"),
            [
                "mysql://u:p,w@a/db?x=1,2",
                "mysql://u:p,w@b:3307/db?x=1,2",
                "mysql://u:p,w@c/db?x=1,2"
            ]
        );
        assert_eq!(urls("postgres://a,b"), ["postgres://a", "postgres://b"]);
        for alone in ["mysql://a/db", "memory:", "mysql:///db?socket=/a,b"] {
            assert_eq!(urls(alone), [alone]);
        }
    }
}
