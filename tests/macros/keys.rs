//! What is locked.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::net::Ipv4Addr;

use dlock::{Error, Key, Locker, locked};

use super::memory;

type Taken = Result<Key, Error>;

struct User {
    id: u64,
    name: String,
}

struct Request {
    user: User,
    at: (u8, (u8, u8)),
}

impl Request {
    fn tenant(&self) -> &str {
        "acme"
    }
}

#[locked(key = "plain > {text}", locker = at, guard = lock)]
async fn constant(at: &Locker) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = "user:<id>", locker = at, guard = lock)]
async fn one_value(at: &Locker, id: impl Display) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = "<a>:<b>", locker = at, guard = lock)]
async fn two_values(at: &Locker, a: &str, b: &str) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = "<<<a>é<b>>{}", locker = at, guard = lock)]
fn odd_text(at: &Locker, a: &str, b: &str) -> Taken {
    Ok(lock.key().clone())
}

#[locked(
    key = "<req.tenant()>/<req.user.name>/<req.user.id:05>/<req.at.1.0:#x>",
    locker = at,
    guard = lock
)]
async fn paths(at: &Locker, req: Request) -> Taken {
    drop(req);
    Ok(lock.key().clone())
}

#[locked(key = "<id:>5>|<id:*^5>|<id:?>", locker = at, guard = lock)]
fn formats(at: &Locker, id: u8) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = "<id>-<b>-<rest>-<x>", locker = at, guard = lock)]
async fn patterns(
    at: &Locker,
    User { id, .. }: User,
    (_, [_a, b]): (u8, [u8; 2]),
    (rest, x): (u8, u8),
) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = "<type>:<r#match>", locker = at, guard = lock)]
fn keywords(at: &Locker, r#type: u8, r#match: u8) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = format!("{}/{}", cell.borrow(), id), locker = at, guard = lock)]
async fn expression(at: &Locker, cell: RefCell<u8>, id: u8) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = id, locker = at, guard = lock)]
fn number(at: &Locker, id: u64) -> Taken {
    Ok(lock.key().clone())
}

#[locked(key = "name:<name>", locker = at, guard = lock)]
async fn moved(at: &Locker, name: String) -> Taken {
    let held = std::thread::spawn(move || drop(name));
    held.join().expect("it only drops");
    Ok(lock.key().clone())
}

#[tokio::test]
async fn templates_are_filled_in() {
    let at = memory("keys-templates");
    let key = |text: &str| Key::from(text);
    assert_eq!(constant(&at).await.unwrap(), key("plain > {text}"));
    assert_eq!(one_value(&at, 7).await.unwrap(), key("user:7"));
    assert_eq!(one_value(&at, Ipv4Addr::LOCALHOST).await.unwrap(), key("user:127.0.0.1"));
    let user = User { id: 42, name: "a/b".to_owned() };
    let req = Request { user, at: (1, (255, 0)) };
    assert_eq!(paths(&at, req).await.unwrap(), key("acme/a%2Fb/00042/0xff"));
    assert_eq!(formats(&at, 7).unwrap(), key("    7|**7**|7"));
    assert_eq!(keywords(&at, 1, 2).unwrap(), key("1:2"));
    assert_eq!(moved(&at, "Ada".to_owned()).await.unwrap(), key("name:Ada"));
}

#[tokio::test]
async fn parameters_bound_by_patterns_have_names() {
    let at = memory("keys-patterns");
    let user = User { id: 1, name: String::new() };
    assert_eq!(patterns(&at, user, (0, [0, 2]), (3, 4)).await.unwrap(), Key::from("1-2-3-4"));
}

#[tokio::test]
async fn expressions_are_keys() {
    let at = memory("keys-expressions");
    assert_eq!(expression(&at, RefCell::new(1), 2).await.unwrap(), Key::from("1/2"));
    assert_eq!(number(&at, 7).unwrap(), Key::from("7"));
}

/// A value that is written in several pieces, and never twice the same way.
struct Pieces(&'static [&'static str]);

impl Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(piece))
    }
}

#[tokio::test]
async fn different_values_are_different_keys() {
    let at = memory("keys-collisions");
    assert_eq!(two_values(&at, "a", "b").await.unwrap(), Key::from("a:b"));
    assert_eq!(two_values(&at, "a:b", "c").await.unwrap(), Key::from("a%3Ab:c"));
    assert_eq!(two_values(&at, "a", "b:c").await.unwrap(), Key::from("a:b:c"));
    assert_eq!(two_values(&at, "50%", "50%").await.unwrap(), Key::from("50%25:50%"));
    assert_eq!(one_value(&at, "50%: a").await.unwrap(), Key::from("user:50%: a"));
    assert_eq!(one_value(&at, Pieces(&["a", "", ":%"])).await.unwrap(), Key::from("user:a:%"));
    assert_eq!(odd_text(&at, "né", "x>").unwrap(), Key::from("<n%C3%A9éx%3E>{}"));

    let texts = ["", ":", "%", "%3A", "%3a", "a", "a:", ":a", "3A", "%25"];
    let mut keys = std::collections::HashSet::new();
    for a in texts {
        for b in texts {
            let key = two_values(&at, a, b).await.unwrap();
            assert!(keys.insert(key), "{a:?} and {b:?} make a key that others make too");
        }
    }
}

macro_rules! function_of {
    ($name:ident, $key:literal, $param:ident: $type:ty, $body:block) => {
        #[locked(key = $key, locker = at, guard = lock)]
        async fn $name(at: &Locker, $param: $type) -> Taken {
            let _ = $body;
            Ok(lock.key().clone())
        }
    };
}
function_of!(made, "made:<id>", id: u8, { 1 + 1 });

#[tokio::test]
async fn functions_made_by_macros_have_parameters_too() {
    let at = memory("keys-macros");
    assert_eq!(made(&at, 7).await.unwrap(), Key::from("made:7"));
}
