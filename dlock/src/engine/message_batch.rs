//! Several messages as one, so that what is asked together goes to the database together: the
//! engine may be quick enough to send the first before the last is posted.

use std::cell::RefCell;

use super::Engine;
use super::message::Message;

thread_local! {
    /// For which engine what is posted on this thread is gathered, and what has been.
    static BATCHED: RefCell<Option<(u64, Vec<Message>)>> = const { RefCell::new(None) };
}

/// While it lives, what this thread posts to the engine is gathered; then it goes out as one.
pub(crate) struct MessageBatch<'a>(Option<&'a Engine>);

impl<'a> MessageBatch<'a> {
    /// One inside another, for whatever engine, does nothing.
    pub(crate) fn new(engine: &'a Engine) -> Self {
        // A thread that is ending gathers nothing any more.
        let batched = BATCHED.try_with(|batched| {
            let mut batched = batched.borrow_mut();
            let first = batched.is_none();
            if first {
                *batched = Some((engine.id(), Vec::new()));
            }
            first
        });
        MessageBatch(batched.unwrap_or(false).then_some(engine))
    }
}

impl Drop for MessageBatch<'_> {
    fn drop(&mut self) {
        let Some(engine) = self.0 else { return };
        let gathered = BATCHED.try_with(|batched| batched.borrow_mut().take());
        if let Ok(Some((_, message))) = gathered
            && !message.is_empty()
        {
            // An engine that is gone has told all whom it knew; others see their reply dropped.
            let _ = engine.send(Message::All(message));
        }
    }
}

/// Gives the message back, unless what this thread posts to that engine is gathered.
pub(super) fn gather(engine: u64, message: Message) -> Option<Message> {
    let mut message = Some(message);
    // A thread that is ending gathers nothing any more.
    let _ = BATCHED.try_with(|batched| {
        if let Some((batched, gathered)) = &mut *batched.borrow_mut()
            && *batched == engine
        {
            gathered.extend(message.take());
        }
    });
    message
}
