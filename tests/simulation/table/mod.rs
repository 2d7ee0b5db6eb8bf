//! What must be true of the table, whatever drives it: the simulations of the sessions do, and some cases here that a
//! reader should see by themselves.

#![expect(clippy::panic, reason = "a test that fails panics")]

mod conversions;
mod directed;
mod ledger;
mod model_id;
mod page;
mod readers;
mod seen;

pub(crate) use self::ledger::Ledger;
pub(crate) use self::model_id::ModelId;
pub(crate) use self::seen::RARE;
