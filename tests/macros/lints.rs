//! No lint of the user's crate fires on what the attribute makes of a function. There is nothing
//! to run here: it must compile, and pass clippy.
#![deny(warnings, clippy::all, clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, single_use_lifetimes, unused_qualifications, let_underscore_drop)]
#![deny(unused_results, unused_lifetimes, keyword_idents, unit_bindings)]
// And what some houses turn on.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::min_ident_chars)]
#![deny(clippy::shadow_same, clippy::shadow_reuse, clippy::shadow_unrelated)]
#![deny(clippy::let_underscore_untyped, clippy::let_underscore_must_use, clippy::str_to_string)]
#![deny(clippy::pattern_type_mismatch, clippy::ref_patterns, clippy::default_numeric_fallback)]
#![deny(clippy::same_name_method, clippy::absolute_paths)]
#![deny(clippy::std_instead_of_core, clippy::arithmetic_side_effects)]
#![deny(clippy::allow_attributes, clippy::allow_attributes_without_reason)]
#![deny(clippy::wildcard_enum_match_arm, clippy::else_if_without_else)]
#![deny(clippy::semicolon_outside_block, clippy::redundant_type_annotations)]
#![expect(unreachable_pub, reason = "a test is no library")]

use core::fmt::Display;
use core::time::Duration;
use std::borrow::Cow;
use std::process::abort;

use dlock::{Error, Locker, locked};

/// Nothing.
#[locked(on_busy = skip, on_error = drop)]
pub async fn unit() {}

/// Nothing, without a runtime.
#[locked(on_busy = skip, on_error = drop, timeout = 1.5)]
pub fn unit_blocking() {}

/// Owned and borrowed parameters, one of them for the key only.
///
/// # Errors
/// Those of the lock.
#[locked(key = "user:<id:05>:<name>", timeout = 10, release = background)]
pub async fn parameters(id: i64, name: &str, text: String) -> Result<String, Error> {
    Ok(text)
}

/// Unused parameters on purpose.
///
/// # Errors
/// Those of the lock.
#[locked(key = "unused", on_lost = ignore)]
pub async fn unused(_id: i64, _name: &str, _text: String) -> Result<(), Error> {
    Ok(())
}

/// Early return, a diverging tail.
///
/// # Errors
/// Those of the lock.
#[locked(on_lost = report)]
pub async fn diverging(early: bool) -> Result<(), Error> {
    if early {
        return Ok(());
    }
    abort()
}

/// As [`diverging`], without a runtime.
///
/// # Errors
/// Those of the lock.
#[locked]
pub fn diverging_blocking(early: bool) -> Result<(), Error> {
    if early {
        return Ok(());
    }
    abort()
}

/// Items and uses at the start of a body, and an attribute that is meant for all of it.
///
/// # Errors
/// Those of the lock.
#[locked(key = String::from("items"), timeout = Duration::from_secs(1))]
pub async fn items() -> Result<u8, Error> {
    #![expect(clippy::decimal_literal_representation, reason = "it moves to the function")]
    use core::mem::size_of;
    const SIZE: usize = size_of::<u8>();
    Ok(u8::try_from(SIZE + 65280).unwrap_or(1))
}

/// Bodies on one line.
pub mod short {
    use dlock::locked;

    #[rustfmt::skip]
    #[locked(key = "k", on_busy = skip, on_error = drop)]
    pub(super) async fn empty() {}

    #[rustfmt::skip]
    #[locked]
    pub(super) fn value() -> Result<u8, dlock::Error> { Ok(1) }

    #[rustfmt::skip]
    #[locked(on_lost = ignore, key = "<text>")]
    pub(super) async fn text(text: String) -> Result<String, dlock::Error> { Ok(text) }
}

/// Lints for the function itself stay on.
#[expect(dead_code, reason = "it is never called")]
#[locked]
fn never_called(
    #[expect(unused_variables, reason = "it is never used")] id: u8,
) -> Result<(), Error> {
    Ok(())
}

/// A return type with `impl`, a borrow, a handler.
#[locked(on_busy = None, on_error = |_| None)]
pub fn opaque(text: &str) -> Option<impl Display> {
    Some(text)
}

/// Bindings that are changed.
///
/// # Errors
/// Those of the lock.
#[locked(key = "mutable", locker = at, timeout = patience)]
pub async fn mutable(at: &Locker, patience: Duration, mut text: String) -> Result<String, Error> {
    text.push('!');
    Ok(text)
}

/// As [`mutable`], without a runtime, and with an expression for everything.
///
/// # Errors
/// Those of the lock.
#[locked(key = format!("mutable:{text}"), locker = &at, timeout = Duration::from_secs(1))]
pub fn mutable_blocking(at: Locker, mut text: String) -> Result<String, Error> {
    text.push('!');
    drop(at);
    Ok(text)
}

/// Locks on connections.
#[cfg(feature = "postgres")]
pub mod connections {
    use dlock::{Error, locked};
    use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

    /// A connection that only the attribute uses.
    ///
    /// # Errors
    /// Those of the lock.
    #[locked(key = "user:<id>", on = conn)]
    pub async fn unused(conn: &mut PgConnection, id: i64) -> Result<(), Error> {
        Ok(())
    }

    /// An early return.
    ///
    /// # Errors
    /// Those of the lock.
    #[locked(key = "user:<id>", on = conn, on_busy = skip, timeout = 0)]
    pub async fn early(conn: &mut PgConnection, id: i64) -> Result<u8, Error> {
        if conn.ping().await.is_err() {
            return Ok(1);
        }
        Ok(2)
    }

    /// A transaction that the body ends.
    ///
    /// # Errors
    /// Those of the lock and of the commit.
    #[locked(key = "user:<id>", tx = tx)]
    pub async fn owned(mut tx: Transaction<'_, Postgres>, id: i64) -> sqlx::Result<()> {
        tx.commit().await
    }

    /// A transaction that only the attribute uses.
    #[locked(key = "user:<id>", tx = tx, on_busy = skip, on_error = drop)]
    pub async fn within(tx: &mut Transaction<'_, Postgres>, id: i64) {}
}

/// A method's receiver in the key.
#[derive(Debug)]
pub struct Shop {
    tenant: Cow<'static, str>,
    sold: u32,
}

impl Shop {
    /// Opens it.
    pub const fn new(tenant: Cow<'static, str>) -> Self {
        Self { tenant, sold: 0 }
    }

    /// Takes `&mut self`, with a guard.
    ///
    /// # Errors
    /// Those of the lock.
    #[locked(key = "shop:<self.tenant>", guard = lock, locker = "shops")]
    pub async fn sell(&mut self) -> Result<&mut u32, Error> {
        lock.release().await?;
        self.sold = self.sold.saturating_add(1);
        Ok(&mut self.sold)
    }

    /// Gives `self` back.
    ///
    /// # Errors
    /// Those of the lock.
    #[locked(on_busy = Ok(Self { tenant: Cow::Borrowed("nobody"), sold: 0 }))]
    pub fn take(self) -> Result<Self, Error> {
        Ok(self)
    }
}

#[test]
#[expect(clippy::shadow_reuse, reason = "it only calls them")]
fn nothing_fires() {
    assert_eq!(Shop::new(Cow::Borrowed("acme")).sold, 0);
    let mut shop = Shop::new(Cow::Borrowed("acme"));
    drop((unit(), parameters(1, "", String::new()), unused(1, "", String::new()), items()));
    let at = Locker::connect_blocking("memory:lints");
    drop(at.as_ref().map(|at| mutable(at, Duration::ZERO, String::new())));
    drop(at.map(|at| mutable_blocking(at, String::new())));
    drop((diverging(true), shop.sell(), short::empty(), short::text(String::new())));
    assert!(
        size_of_val(&(unit_blocking, diverging_blocking, opaque, Shop::take, short::value)) == 0
    );
    #[cfg(feature = "postgres")]
    {
        use connections::{early, owned, unused, within};
        assert!(size_of_val(&(early, owned, unused, within)) == 0);
    }
}
