//! What the random tester and its worker processes share: plans, and journals of what came of them.

mod inside;
mod journal;
mod plan;
mod take;
mod words;

pub use self::inside::{Again, Inside};
pub use self::journal::{Entry, Journal, Letting, Outcome, What, read};
pub use self::plan::{End, LockerPlan, Plan, Process, Step, Trouble, What as TroubleKind};
pub use self::take::{Finish, How, Patience, Solo, Take};
