//! Several messages as one, so that what is asked together goes to the database together: the
//! engine may be quick enough to send the first before the last is posted.

use std::cell::RefCell;

use super::Engine;
use super::mail::Mail;

thread_local! {
    /// For which engine what is posted on this thread is gathered, and what has been.
    static CORKED: RefCell<Option<(u64, Vec<Mail>)>> = const { RefCell::new(None) };
}

/// While it lives, what this thread posts to the engine is gathered; then it goes out as one.
pub(crate) struct Cork<'a>(Option<&'a Engine>);

impl<'a> Cork<'a> {
    /// One inside another, for whatever engine, does nothing.
    pub(crate) fn new(engine: &'a Engine) -> Self {
        // A thread that is ending gathers nothing any more.
        let corked = CORKED.try_with(|corked| {
            let mut corked = corked.borrow_mut();
            let first = corked.is_none();
            if first {
                *corked = Some((engine.id(), Vec::new()));
            }
            first
        });
        Cork(corked.unwrap_or(false).then_some(engine))
    }
}

impl Drop for Cork<'_> {
    fn drop(&mut self) {
        let Some(engine) = self.0 else { return };
        let gathered = CORKED.try_with(|corked| corked.borrow_mut().take());
        if let Ok(Some((_, mail))) = gathered
            && !mail.is_empty()
        {
            // An engine that is gone has told all whom it knew; others see their reply dropped.
            let _ = engine.post(Mail::All(mail));
        }
    }
}

/// Gives the message back, unless what this thread posts to that engine is gathered.
pub(super) fn gather(engine: u64, mail: Mail) -> Option<Mail> {
    let mut mail = Some(mail);
    // A thread that is ending gathers nothing any more.
    let _ = CORKED.try_with(|corked| {
        if let Some((corked, gathered)) = &mut *corked.borrow_mut()
            && *corked == engine
        {
            gathered.extend(mail.take());
        }
    });
    mail
}
