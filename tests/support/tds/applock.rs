//! `sp_getapplock` and `sp_releaseapplock`.

use super::error::Fault;
use super::locks::Owner;
use super::metadata;
use super::modes::Mode;
use super::scope::Locals;
use super::value::Value;
use super::world::Shared;
use crate::doubles::waiting::Outcome;

/// A procedure's arguments, by name, or in their order.
pub(super) struct Arguments(pub(super) Vec<(Option<String>, Value)>);

const INVALID: i64 = -999;

impl Arguments {
    /// The argument of that name, which comes in that place.
    pub(super) fn get(&self, name: &str, place: usize) -> Option<&Value> {
        let named = self
            .0
            .iter()
            .find(|(own, _)| own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)));
        let placed = self.0.get(place).filter(|(own, _)| own.is_none());
        named.or(placed).map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str, place: usize) -> Result<Option<String>, Fault> {
        self.get(name, place).map_or(Ok(None), |value| value.clone().into_text())
    }
}

/// Whose lock it is to be; none: nobody's, for there is no such owner, or no transaction.
fn owner(arguments: &Arguments, place: usize, locals: &Locals) -> Result<Option<Owner>, Fault> {
    let name = arguments.text("@LockOwner", place)?.unwrap_or_else(|| "Transaction".into());
    let is_transaction = name.eq_ignore_ascii_case("transaction");
    let is_one = is_transaction || name.eq_ignore_ascii_case("session");
    let is_there = !is_transaction || locals.transactions > 0;
    Ok((is_one && is_there).then_some(Owner { session: locals.id, is_transaction }))
}

fn allowed(locals: &Locals) -> Result<(), Fault> {
    if locals.login == metadata::POWERLESS { Err(Fault::numbered(229)) } else { Ok(()) }
}

/// Takes a lock; what it returns is its return code.
pub(super) async fn get(
    shared: &Shared,
    locals: &Locals,
    arguments: &Arguments,
) -> Result<i64, Fault> {
    allowed(locals)?;
    let mode = arguments.text("@LockMode", 1)?.as_deref().and_then(Mode::parse);
    let owner = owner(arguments, 2, locals)?;
    let timeout = match arguments.get("@LockTimeout", 3) {
        None | Some(Value::Null) => locals.lock_timeout,
        Some(value) => value.int()?.unwrap_or(INVALID),
    };
    let name = arguments.text("@Resource", 0)?;
    let principal = arguments.text("@DbPrincipal", 4)?.unwrap_or_else(|| "public".into());
    let (Some(mode), Some(owner), Some(name)) = (mode, owner, name) else { return Ok(INVALID) };
    if timeout < -1 || i32::try_from(timeout).is_err() {
        return Ok(INVALID);
    }
    let (resource, busy) = {
        let world = shared.world();
        let busy = if timeout == 0 && world.is("babelfish") { INVALID } else { -1 };
        (world.application(locals.database, &principal, &name), busy)
    };
    Ok(match shared.lock(&resource, owner, mode, timeout).await {
        Outcome::AtOnce => 0,
        Outcome::AfterWait => i64::from(!shared.world().is("babelfish")),
        Outcome::Timeout => busy,
        Outcome::Deadlock => -3,
    })
}

/// Gives a lock back. One that is not held is an error as well as a code.
pub(super) fn release(
    shared: &Shared,
    locals: &Locals,
    arguments: &Arguments,
) -> Result<(i64, Option<Fault>), Fault> {
    allowed(locals)?;
    let owner = owner(arguments, 1, locals)?;
    let name = arguments.text("@Resource", 0)?;
    let principal = arguments.text("@DbPrincipal", 2)?.unwrap_or_else(|| "public".into());
    let (Some(owner), Some(name)) = (owner, name) else { return Ok((INVALID, None)) };
    let mut world = shared.world();
    let resource = world.application(locals.database, &principal, &name);
    if world.locks.release(&resource, owner) {
        return Ok((0, None));
    }
    let error = Fault::new(
        1223,
        format!(
            "Cannot release the application lock (Database Principal: '{principal}', Resource: '{name}') because it is not currently held."
        ),
    );
    Ok((INVALID, Some(error)))
}
