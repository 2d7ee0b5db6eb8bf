//! Several grants as one: it is lost when any of them is.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use super::grant::Grant;
use crate::error::Result;
use crate::status::lost::LostInfo;

/// One grant, or several as one.
#[derive(Debug, Clone)]
pub enum Grants {
    One(Arc<Grant>),
    Many(Arc<[Arc<Grant>]>),
}

impl Grants {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Grant>> {
        match self {
            Grants::One(hold) => std::slice::from_ref(hold).iter(),
            Grants::Many(holds) => holds.iter(),
        }
    }

    /// Whether one of them is lost; all are looked at, for each is to know.
    pub(crate) fn is_lost(&self) -> bool {
        self.iter().fold(false, |lost, hold| hold.is_lost() | lost)
    }

    /// The loss of one of them, as far as this process can know now.
    pub(crate) fn lost_now(&self) -> Option<LostInfo> {
        if self.is_lost() { self.lost_info() } else { None }
    }

    pub(crate) fn lost_info(&self) -> Option<LostInfo> {
        self.iter().find_map(|hold| hold.lost_info()).cloned()
    }

    /// Whether the guards of all have gone.
    pub(crate) fn is_without_guards(&self) -> bool {
        self.iter().all(|hold| hold.is_without_guards())
    }

    /// Ends when all are free again, with a loss when there was one.
    pub(crate) async fn released(&self) -> Result<()> {
        let mut released = Ok(());
        for hold in self.iter() {
            released = released.and(hold.released().await);
        }
        released
    }

    /// Ends when one of them is lost, never when they are released.
    pub(crate) fn lost(&self) -> impl Future<Output = LostInfo> + Send + use<> {
        let holds = self.clone();
        async move {
            let many = match holds {
                Grants::One(hold) => return hold.lost().await,
                Grants::Many(many) => many,
            };
            let mut losses: Vec<_> = many.iter().map(|hold| Box::pin(hold.lost())).collect();
            poll_fn(|cx| {
                let mut losses = losses.iter_mut().map(|lost| lost.as_mut().poll(cx));
                losses.find(Poll::is_ready).unwrap_or(Poll::Pending)
            })
            .await
        }
    }
}
