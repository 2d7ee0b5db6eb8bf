//! What a locked function returns when the lock stands in the way of its body.

use std::marker::PhantomData;

use crate::error::Error;

/// A return type with room for the failure of a lock.
#[diagnostic::on_unimplemented(
    message = "`#[locked]` has no way to return the failure of a lock from this function",
    label = "`{Self}` has no room for a `dlock::Error`",
    note = "either return a `Result` whose error is `From<dlock::Error>`",
    note = "or say what to return instead, both when the lock is busy and after any other failure: \
            `#[locked(on_busy = skip, on_error = |error| ..)]`"
)]
pub trait Carries: Sized {
    fn run_or_error(error: Error) -> Self;
    /// Whether this is an error of the body's own.
    fn is_err(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<Error>> Carries for Result<T, E> {
    fn run_or_error(error: Error) -> Self {
        Err(error.into())
    }

    fn is_err(&self) -> bool {
        self.is_err()
    }
}

pub fn failed<R: Carries>(error: Error) -> R {
    R::run_or_error(error)
}

/// Gives the handler its types: `|error|` alone would not know its own.
pub fn on_error<R>(error: Error, handler: impl FnOnce(Error) -> R) -> R {
    handler(error)
}

/// For a return that is never reached.
pub fn never<R>() -> R {
    std::process::abort()
}

/// What `skip` returns: the default, and of a `Result` the default as `Ok`.
pub struct Skip<R>(PhantomData<fn() -> R>);

impl<R> Skip<R> {
    #[expect(clippy::new_without_default, reason = "it is called by its name")]
    pub fn new() -> Self {
        Skip(PhantomData)
    }
}

impl<T, E> Skip<Result<T, E>> {
    pub fn skipped(self) -> Result<T, E>
    where
        T: Default,
    {
        Ok(T::default())
    }
}

/// For all that is no `Result`: of two methods, an inherent one goes first.
pub trait SkipOther<R> {
    fn skipped(self) -> R
    where
        R: Default;
}

impl<R> SkipOther<R> for Skip<R> {
    fn skipped(self) -> R
    where
        R: Default,
    {
        R::default()
    }
}

/// Whether a body's output is an error of its own.
pub struct Output<'a, R>(pub &'a R);

impl<T, E> Output<'_, Result<T, E>> {
    pub fn is_err(&self) -> bool {
        self.0.is_err()
    }
}

/// For all that is no `Result`.
pub trait OtherOutput {
    fn is_err(&self) -> bool {
        false
    }
}

impl<R> OtherOutput for Output<'_, R> {}
