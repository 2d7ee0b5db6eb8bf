//! Several grants as one: it is lost when any of them is.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use super::hold::Hold;
use crate::error::Result;
use crate::status::lost::LostInfo;

/// One grant, or several as one.
#[derive(Debug, Clone)]
pub enum Holds {
    One(Arc<Hold>),
    Many(Arc<[Arc<Hold>]>),
}

impl Holds {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Hold>> {
        match self {
            Holds::One(hold) => std::slice::from_ref(hold).iter(),
            Holds::Many(holds) => holds.iter(),
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
    pub(crate) fn has_been_let_go(&self) -> bool {
        self.iter().all(|hold| hold.has_been_let_go())
    }

    /// Ends when all are free again, with a loss when there was one.
    pub(crate) async fn settled(&self) -> Result<()> {
        let mut settled = Ok(());
        for hold in self.iter() {
            settled = settled.and(hold.settled().await);
        }
        settled
    }

    /// Ends when one of them is lost, never when they are released.
    pub(crate) fn lost(&self) -> impl Future<Output = LostInfo> + Send + use<> {
        let holds = self.clone();
        async move {
            let many = match holds {
                Holds::One(hold) => return hold.lost().await,
                Holds::Many(many) => many,
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
