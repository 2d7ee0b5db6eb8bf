//! Token: a held lock that is handed over to another process.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use blake2::{Blake2b512, Digest};
use tokio::sync::oneshot;

use crate::blocking::block_for;
use crate::engine::{Adoption, Engine, HandedOver, Message, Request};
use crate::error::{Error, Result};
use crate::lock::guard::{Ending, Guard};
use crate::lock::scope::LONGEST_RELEASE;
use crate::locker::core::Core;
use crate::observe::Label;
use crate::random::random;
use crate::spec::key::{Key, Repr};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::spec::wait::Wait;
use crate::status::lost::{LostInfo, LostReason};
use crate::switch;
use crate::text::{hex, unhexed};

/// What the text of a token begins with.
const PREFIX: &str = "dlock1";
/// What the row of a lease belongs to meanwhile.
const OWNER: &str = "handed-over/";

/// A held lock that is handed over to another process. Made by [`Guard::into_token`].
/// [`Locker::adopt`](crate::Locker::adopt) makes it a guard again, once. It is a short text for a job's payload
/// ([`Display`], [`FromStr`]).
///
/// Anybody who knows the text can take over the lock, so treat it like a password. It cannot be
/// made from anything that the database, [`status`](crate::Locker::status) or an error shows, and `Debug`
/// does not show it.
/// ```no_run
/// # #[cfg(feature = "sqlite")]
/// # async fn hand_over(here: dlock::Locker, there: dlock::Locker) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use dlock::Token;
///
/// // The request takes the lock. Nobody renews it until the job is adopted: ten minutes are enough for that.
/// let guard = here.lock("export:7").ttl(Duration::from_secs(600)).acquire().await?;
/// let payload = guard.into_token().await?.to_string();
///
/// // The worker that gets the job has it from there on, and releases it.
/// let token: Token = payload.parse()?;
/// let guard = there.adopt(token).await?;
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[must_use = "the lock stays taken until its ttl is over, unless the token is adopted: pass its text on, and \
              call `Locker::adopt` there"]
#[derive(Clone)]
pub struct Token {
    key: Key,
    /// What the row is called.
    name: Box<str>,
    secret: Secret,
    fence: Option<u64>,
    ttl: Duration,
    /// In milliseconds since 1970, by the clock of the process that made it; `None`: never.
    expires_at: Option<u64>,
}

/// What nobody can guess.
#[derive(Clone, Copy)]
struct Secret([u8; 16]);

impl Secret {
    /// What the row shows of it.
    fn owner(self) -> Arc<str> {
        let mut owner = String::from(OWNER);
        Blake2b512::digest(self.0).iter().take(16).for_each(|byte| hex(*byte, &mut owner));
        owner.into()
    }
}

impl Token {
    /// Returns the key of the lock.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the fencing token of the grant. The guard has the same one before and after.
    pub fn fence(&self) -> Option<u64> {
        self.fence
    }

    /// Returns the time until which the token can be adopted, by the clock of the machine that made
    /// it. After that, others can get the lock. Returns `None` if the lock's
    /// [`ttl`](crate::Lock::ttl) is [`Duration::MAX`]: the token can then be adopted for ever.
    pub fn expires_at(&self) -> Option<SystemTime> {
        let since = Duration::from_millis(self.expires_at?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    /// It was adopted already, or has run out.
    fn not_held(&self) -> Error {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let made = self.expires_at.map(|at| Duration::from_millis(at).saturating_sub(self.ttl));
        let held_for = made.map_or(Duration::ZERO, |made| now.saturating_sub(made));
        LostInfo { key: self.key.clone(), reason: LostReason::NotHeld, held_for }.into()
    }
}

impl Guard {
    /// Turns the guard into a token, with which another process goes on holding the lock: see
    /// [`Locker::adopt`](crate::Locker::adopt). Until the token is adopted, nobody renews the lease, which lasts for one
    /// ttl from now on ([`Token::expires_at`]). The fencing token stays the same. The lock's
    /// [`data`](crate::Lock::data), [`min_hold`](crate::Lock::min_hold),
    /// [`once_per`](crate::Lock::once_per) and [`on_lost`](crate::Lock::on_lost) do not pass to the
    /// next holder.
    ///
    /// For leases only. Costs one round trip.
    ///
    /// # Errors
    /// The lock is released after each of these errors:
    ///
    /// * [`Error::Lost`] if the lock was lost before.
    /// * [`Error::Unsupported`] where locks are not leases.
    /// * [`Error::Config`] if the grant has other guards ([`reentrant`](crate::Lock::reentrant)),
    ///   which keep it, and while locking is switched off.
    /// * [`Error::Unavailable`] if the server does not answer.
    ///
    /// # Cancel safety
    /// The lock is released when the future is dropped.
    pub async fn into_token(mut self) -> Result<Token> {
        self.check_held()?;
        let Some(engine) = self.take_engine() else {
            return Err(Error::config(
                "locking is switched off (set_enabled), so there is no lock to hand over",
            ));
        };
        let grant = Arc::clone(self.grant());
        if !grant.remove_guard() {
            return Err(Error::config(format!(
                "lock \"{}\" was taken again under itself and is still held by another guard, which \
                 keeps it; hand over the last one",
                self.key()
            )));
        }
        let _ending = Ending(&grant);
        let secret = Secret(random());
        let (reply, answer) = oneshot::channel();
        let owner = secret.owner();
        engine.send(Message::IntoToken { hold: grant.id, owner: Arc::clone(&owner), reply })?;
        let mut halfway = Halfway { engine: &engine, token: Some((grant.native(), owner)) };
        let made = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let answer = answer.await.unwrap_or(Err(Error::Closed));
        let HandedOver { fence, ttl } = answer.map_err(|error| match error {
            Error::Lost { reason, .. } => self.lost_by(reason),
            error => error.about(self.key()),
        })?;
        halfway.token = None;
        let expires_at = made.checked_add(ttl).filter(|_| ttl != Duration::MAX);
        Ok(Token {
            key: self.key().clone(),
            name: grant.native().to_string().into(),
            secret,
            fence,
            ttl,
            expires_at: expires_at.and_then(|at| u64::try_from(at.as_millis()).ok()),
        })
    }

    /// Does the same as [`into_token`](Guard::into_token), and blocks the thread instead of
    /// awaiting.
    ///
    /// # Errors
    /// Those of [`into_token`](Guard::into_token), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn into_token_blocking(self) -> Result<Token> {
        self.engine().map_or(Ok(()), Engine::check_blocking)?;
        block_for(LONGEST_RELEASE, self.into_token()).unwrap_or(Err(Error::Closed))
    }
}

impl Token {
    /// Takes over the lock that the token stands for.
    pub(crate) async fn adopt(self, core: &Core) -> Result<Guard> {
        let key = self.key.clone();
        let mode = Mode::Exclusive;
        let lock_id = LockId { key: NativeKey::Name(self.name.to_string()), mode };
        if !switch::enabled() {
            return Ok(Guard::while_off(key, mode, true));
        }
        let engine = core.engine();
        let (reply, answer) = oneshot::channel();
        let (refused, refusal) = oneshot::channel();
        let id = engine.next_request();
        let options = LockOptions { ttl: Some(self.ttl), ..LockOptions::default() };
        let request = Box::new(Request {
            id,
            key,
            lock_id,
            family: None,
            #[cfg(feature = "test-util")]
            permits: 1,
            patient: false,
            asked: engine.deadline(Wait::NoWait).asked().into(),
            end: None,
            options,
            on_lost: None,
            waiting: None,
            reply,
        });
        let asked = Instant::now();
        let (owner, fence) = (self.secret.owner(), self.fence);
        engine.send(Message::Adopt(Box::new(Adoption { request, owner, fence, refused })))?;
        let mut asking = Asking { engine, id: Some(id) };
        let answer = tokio::select! {
            biased;
            answer = answer => answer.unwrap_or(Err(Error::Closed)),
            Ok(error) = refusal => Err(error),
        };
        if answer.is_ok() {
            asking.id = None;
        }
        let delivery = answer.map_err(|error| match error {
            Error::Lost { .. } => self.not_held(),
            error => error.about(&self.key),
        })?;
        Ok(Guard::of(delivery, engine)?.claimed(&Label::NONE, asked.elapsed()))
    }

    /// Does the same, and blocks the thread.
    pub(crate) fn adopt_blocking(self, core: &Core) -> Result<Guard> {
        core.may_block()?;
        block_for(LONGEST_RELEASE, self.adopt(core)).unwrap_or_else(|| Err(core.does_not_run()))
    }
}

/// Gives the lock back when the caller goes before it knows the token.
struct Halfway<'a> {
    engine: &'a Engine,
    token: Option<(&'a NativeKey, Arc<str>)>,
}

impl Drop for Halfway<'_> {
    fn drop(&mut self) {
        if let Some((key, owner)) = self.token.take() {
            // An engine that is gone has given back what it could.
            let _ = self.engine.send(Message::DropToken { key: key.clone(), owner });
        }
    }
}

/// Tells the engine when the caller goes before it has an answer.
struct Asking<'a> {
    engine: &'a Engine,
    id: Option<u64>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // An engine that is gone has forgotten it anyway.
            let _ = self.engine.send(Message::Abandon(id));
        }
    }
}

/// The complete text of the token: printable ASCII without spaces, quotes or slashes. Its length is
/// about 100 characters plus the key.
impl Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, key) = match &self.key.0 {
            // Most rows are called as the key is.
            Repr::Bytes(bytes) if **bytes == *self.name.as_bytes() => ("s", String::new()),
            Repr::Bytes(bytes) => ("b", escaped(bytes)),
            Repr::Native(id) => ("n", id.to_string()),
            Repr::Pair(a, b) => ("p", format!("{a}_{b}")),
            Repr::Name(name) => ("m", escaped(name.as_bytes())),
        };
        write!(f, "{PREFIX}.{}.{kind}{key}.", escaped(self.name.as_bytes()))?;
        self.secret.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        let ttl = if self.ttl == Duration::MAX { 0 } else { self.ttl.as_millis() };
        let fence = self.fence.unwrap_or(0);
        write!(f, ".{fence}.{ttl}.{}", self.expires_at.unwrap_or(0))
    }
}

impl FromStr for Token {
    type Err = Error;

    /// Parses the text of a token.
    ///
    /// # Errors
    /// [`Error::Config`] if the text is not a token.
    fn from_str(text: &str) -> Result<Self> {
        read(text.trim()).ok_or_else(|| {
            Error::config(
                "this is no token of a lock: it must be the whole text that Token's Display writes, of this \
                 version of dlock or an older one",
            )
        })
    }
}

fn read(text: &str) -> Option<Token> {
    let parts: Vec<&str> = text.split('.').collect();
    let [PREFIX, name, key, secret, fence, ttl, expires_at] = parts[..] else { return None };
    let name = String::from_utf8(unescaped(name)?).ok()?;
    let (kind, key) = key.split_at_checked(1)?;
    let key = match kind {
        "s" if key.is_empty() => Key::from(name.as_str()),
        "b" => Key::from(unescaped(key)?),
        "n" => Key::native(key.parse().ok()?),
        "p" => {
            let (a, b) = key.split_once('_')?;
            Key::pair(a.parse().ok()?, b.parse().ok()?)
        }
        "m" => Key::of_native(&NativeKey::Name(String::from_utf8(unescaped(key)?).ok()?)),
        _ => return None,
    };
    let bytes = unhexed(secret)?;
    let number = |text: &str| text.parse::<u64>().ok();
    let ttl = number(ttl)?;
    Some(Token {
        key,
        name: name.into(),
        secret: Secret(bytes.try_into().ok()?),
        fence: Some(number(fence)?).filter(|fence| *fence > 0),
        ttl: if ttl == 0 { Duration::MAX } else { Duration::from_millis(ttl) },
        expires_at: Some(number(expires_at)?).filter(|at| *at > 0),
    })
}

/// Letters, digits, `-`, `_` and `:` stand for themselves.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':') {
            text.push(byte.into());
        } else {
            text.push('~');
            hex(byte, &mut text);
        }
    }
    text
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'~' => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.extend(unhexed(std::str::from_utf8(digits).ok()?)?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}

/// Shows the token without its secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("key", &self.key)
            .field("fence", &self.fence)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: Key, name: &str) -> Token {
        let (secret, ttl) = (Secret([0xa5; 16]), Duration::from_secs(10));
        let expires_at = Some(1_800_000_000_000);
        Token { key, name: name.into(), secret, fence: Some(7), ttl, expires_at }
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    fn text_is_pinned_and_read_again() {
        let secret = "a5".repeat(16);
        for (token, text) in [
            (token("export:7".into(), "export:7"), format!("export:7.s.{secret}.7.10000")),
            (token("k".into(), "a%:k"), format!("a~25:k.bk.{secret}.7.10000")),
            (token(Key::from(b"\xff."), "%ff."), format!("~25ff~2e.b~ff~2e.{secret}.7.10000")),
            (token(Key::native(-5), "%n-5"), format!("~25n-5.n-5.{secret}.7.10000")),
            (token(Key::pair(1, -2), "%p1,-2"), format!("~25p1~2c-2.p1_-2.{secret}.7.10000")),
        ] {
            let text = format!("dlock1.{text}.1800000000000");
            assert_eq!(token.to_string(), text);
            let again: Token = text.parse().unwrap();
            assert_eq!((again.key(), again.fence()), (token.key(), Some(7)));
            assert_eq!(again.to_string(), text);
            assert!(!format!("{again:?}").contains("a5a5"), "{again:?}");
        }
        let endless =
            Token { ttl: Duration::MAX, expires_at: None, fence: None, ..token("k".into(), "k") };
        let again =
            endless.to_string().parse::<Token>().map(|token| (token.ttl, token.expires_at()));
        assert!(matches!(again, Ok((Duration::MAX, None))), "{again:?}");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = token("k".into(), "k").to_string();
        for bad in [
            "",
            "dlock1",
            &good.replace("dlock1", "dlock2"),
            &good.replace("a5", "g5"),
            &good[..good.len() - 14],
            &format!("{good}.1"),
            &good.replace(".s.", ".x."),
            &good.replace(".k.", ".~4."),
        ] {
            assert!(matches!(bad.parse::<Token>(), Err(Error::Config { .. })), "{bad}");
        }
        assert!(format!(" {good}\n").parse::<Token>().is_ok());
    }

    #[test]
    fn row_does_not_show_the_secret() {
        let owner = Secret([0xa5; 16]).owner();
        assert!(owner.starts_with(OWNER) && owner.len() == OWNER.len() + 32, "{owner}");
        assert!(!owner.contains("a5a5"), "{owner}");
    }
}
