//! The one statement of session locks: a block that reads a list of orders, a line for each, and
//! writes a line of answer for each.
//!
//! Its text never changes, so the server parses it once for each session, and any number of tries and
//! releases are one round trip. A failure of one order is its answer, and no matter of the others.
//!
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>

use std::fmt::Write as _;

use crate::backend::SessionTag;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::text::hex;

/// How many bytes one string of orders may have: the driver asks for room of four bytes for each.
const PIECE_MAX: usize = 8_000;
/// How many such strings the blocks take.
pub(super) const PIECES: usize = 4;
/// How many locks a block is about at most: so many names of the greatest length go in, and as many
/// handles come out.
pub(super) const LOCKS_MAX: usize = 100;
/// What every block that reads orders begins with.
pub(super) const DECLARE_ORDERS: &str = "DECLARE \
    ops VARCHAR2(32767) := :ops1 || :ops2 || :ops3 || :ops4; \
    answers VARCHAR2(32767); line VARCHAR2(2000); \
    began PLS_INTEGER := 1; ended PLS_INTEGER; ";
/// How the next order is read.
pub(super) const NEXT_ORDER: &str = "LOOP ended := INSTR(ops, CHR(10), began); \
    EXIT WHEN NVL(ended, 0) = 0; \
    line := SUBSTR(ops, began, ended - began); began := ended + 1; ";

/// Takes a lock, converts it, lets it go, looks whether it is held, or draws a token for it.
///
/// `ALLOCATE_UNIQUE_AUTONOMOUS` commits, and not what the session does. A lock is held if a request
/// for it in the weakest mode says that it is (4); one that is granted by that is given back.
pub(super) fn block(draw: Option<&str>) -> String {
    format!(
        "{DECLARE_ORDERS}what VARCHAR2(1); wanted INTEGER; seconds INTEGER; \
         id INTEGER; handle VARCHAR2(128); code INTEGER; token NUMBER; row_name RAW(255); \
         FUNCTION requested(wanted IN INTEGER, seconds IN INTEGER) RETURN INTEGER IS BEGIN \
         IF handle IS NULL THEN RETURN SYS.DBMS_LOCK.REQUEST(id, wanted, seconds, FALSE); END IF; \
         RETURN SYS.DBMS_LOCK.REQUEST(handle, wanted, seconds, FALSE); END; \
         FUNCTION converted RETURN INTEGER IS BEGIN \
         IF handle IS NULL THEN RETURN SYS.DBMS_LOCK.CONVERT(id, wanted, seconds); END IF; \
         RETURN SYS.DBMS_LOCK.CONVERT(handle, wanted, seconds); END; \
         FUNCTION released RETURN INTEGER IS BEGIN \
         IF handle IS NULL THEN RETURN SYS.DBMS_LOCK.RELEASE(id); END IF; \
         RETURN SYS.DBMS_LOCK.RELEASE(handle); END; \
         FUNCTION is_held RETURN INTEGER IS found INTEGER; BEGIN found := requested(1, 0); \
         IF found = 4 THEN RETURN 0; END IF; \
         IF found = 0 THEN found := released; RETURN 4; END IF; RETURN found; END; \
         {draw}\
         BEGIN {NEXT_ORDER}\
         id := NULL; handle := NULL; code := NULL; token := NULL; row_name := NULL; \
         BEGIN ended := INSTR(line, CHR(9)); \
         IF ended > 0 THEN row_name := HEXTORAW(SUBSTR(line, ended + 1)); \
         line := SUBSTR(line, 1, ended - 1); END IF; \
         what := SUBSTR(line, 1, 1); wanted := TO_NUMBER(SUBSTR(line, 2, 1)); \
         seconds := TO_NUMBER(SUBSTR(line, 4, 5)); \
         IF SUBSTR(line, 3, 1) = 'i' THEN id := TO_NUMBER(SUBSTR(line, 9)); \
         ELSIF SUBSTR(line, 3, 1) = 'h' THEN handle := SUBSTR(line, 9); \
         ELSE SYS.DBMS_LOCK.ALLOCATE_UNIQUE_AUTONOMOUS(SUBSTR(line, 9), handle); END IF; \
         IF what = 'R' THEN code := requested(wanted, seconds); \
         ELSIF what = 'C' THEN code := converted; \
         ELSIF what = 'U' THEN code := released; \
         ELSIF what = 'H' THEN code := is_held; \
         ELSIF what = 'A' THEN code := 0; END IF; \
         {drawn}\
         EXCEPTION WHEN OTHERS THEN code := SQLCODE; END; \
         answers := answers || code || ' ' || handle || ' ' || token || CHR(10); \
         END LOOP; \
         :session_id := DBMS_SESSION.UNIQUE_SESSION_ID; :answers := answers; END;",
        draw = draw.unwrap_or_default(),
        drawn = if draw.is_some() { DRAWN } else { "" },
    )
}

/// A token for what is held now. Without one, what was granted for it is given back.
const DRAWN: &str = "IF row_name IS NOT NULL AND code = 0 THEN \
    BEGIN draw(row_name, token); EXCEPTION WHEN OTHERS THEN \
    IF what = 'R' THEN code := released; END IF; code := SQLCODE; token := NULL; END; END IF; ";

/// Opens a session: so that names are compared by their bytes, and what database it is. It compiles
/// only for who may use the package.
pub(super) const OPEN: &str = "DECLARE handle VARCHAR2(128); BEGIN \
    IF 1 = 0 THEN SYS.DBMS_LOCK.ALLOCATE_UNIQUE_AUTONOMOUS('dlock', handle); END IF; \
    EXECUTE IMMEDIATE 'ALTER SESSION SET NLS_COMP=BINARY NLS_SORT=BINARY'; \
    :database := SYS_CONTEXT('USERENV','DB_NAME'); :container := SYS_CONTEXT('USERENV','CON_NAME'); \
    :role := SYS_CONTEXT('USERENV','DATABASE_ROLE'); :instance := SYS_CONTEXT('USERENV','INSTANCE'); \
    :session_id := DBMS_SESSION.UNIQUE_SESSION_ID; END;";

/// What is to be done with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Request,
    /// Have it in this mode, which is had in another one.
    Convert,
    Release,
    /// Whether it is held.
    IsHeld,
    /// Has its name go on meaning the same lock.
    Allocate,
}

/// An order, as a line. `handle`: what the session knows the name by already; `row`: the row that a
/// token is drawn from.
pub(super) struct Order<'a> {
    pub(super) what: What,
    pub(super) key: &'a NativeKey,
    pub(super) mode: Mode,
    pub(super) seconds: u32,
    pub(super) handle: Option<&'a str>,
    pub(super) row: Option<&'a [u8]>,
}

impl Order<'_> {
    pub(super) fn write(&self, orders: &mut String) {
        let what = match self.what {
            What::Request => 'R',
            What::Convert => 'C',
            What::Release => 'U',
            What::IsHeld => 'H',
            What::Allocate => 'A',
        };
        let (mode, seconds) = (mode(self.mode), self.seconds);
        // Writing to a String cannot fail.
        let _ = match (self.handle, self.key) {
            (Some(handle), _) => write!(orders, "{what}{mode}h{seconds:05}{handle}"),
            (None, NativeKey::Id(id)) => write!(orders, "{what}{mode}i{seconds:05}{id}"),
            (None, NativeKey::Name(name)) => write!(orders, "{what}{mode}n{seconds:05}{name}"),
            // Not what this backend is asked for.
            (None, NativeKey::Pair(a, b)) => write!(orders, "{what}{mode}n{seconds:05}%p{a},{b}"),
        };
        if let Some(row) = self.row {
            orders.push('\t');
            row.iter().for_each(|byte| hex(*byte, orders));
        }
        orders.push('\n');
    }
}

/// How the server calls a mode.
pub(crate) fn mode(mode: Mode) -> u8 {
    match mode {
        Mode::Null => 1,
        Mode::SubShared => 2,
        Mode::SubExclusive => 3,
        Mode::Shared => 4,
        Mode::SharedSubExclusive => 5,
        Mode::Update | Mode::Exclusive => 6,
    }
}

/// The mode that the server calls so; no mode holds nothing.
pub(super) fn mode_of(number: i64) -> Option<Mode> {
    MODES.iter().copied().find(|known| i64::from(mode(*known)) == number)
}

/// The locks that Oracle has.
pub(crate) const MODES: &[Mode] = &[
    Mode::Null,
    Mode::SubShared,
    Mode::SubExclusive,
    Mode::Shared,
    Mode::SharedSubExclusive,
    Mode::Exclusive,
];

/// Orders, in the strings that a block takes.
pub(super) fn pieces(orders: &str) -> [Option<String>; PIECES] {
    let mut rest = orders;
    std::array::from_fn(|_| {
        let (piece, behind) = rest.split_at_checked(PIECE_MAX).unwrap_or((rest, ""));
        rest = behind;
        (!piece.is_empty()).then(|| piece.to_owned())
    })
}

/// How many bytes of orders go in at once.
pub(super) const ORDERS_MAX: usize = PIECES * PIECE_MAX;

/// Ends another session, if it is the one that had this number then.
/// <https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/ALTER-SYSTEM.html>
pub(super) fn end(SessionTag { id, birth }: SessionTag) -> String {
    let (sid, instance) = place_of(id);
    format!("ALTER SYSTEM KILL SESSION '{sid},{birth},@{instance}' IMMEDIATE")
}

/// A number that tells the sessions of all instances of a cluster apart. That of the first instance
/// is the server's own.
pub(super) fn number_of(sid: i64, instance: i64) -> i64 {
    sid + (instance.max(1) - 1) * INSTANCE
}

/// The server's number, and the instance.
fn place_of(id: i64) -> (i64, i64) {
    (id % INSTANCE, id / INSTANCE + 1)
}

/// More than there are sessions in an instance.
const INSTANCE: i64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_line() {
        let (name, id) = (NativeKey::Name("it's".into()), NativeKey::Id(7));
        let mut orders = String::new();
        let order =
            |what, key, mode, handle| Order { what, key, mode, seconds: 0, handle, row: None };
        order(What::Request, &name, Mode::Shared, None).write(&mut orders);
        order(What::Release, &name, Mode::Exclusive, Some("1073")).write(&mut orders);
        let row = Some(&b"k"[..]);
        Order { seconds: 5, row, ..order(What::Request, &id, Mode::Null, None) }.write(&mut orders);
        assert_eq!(orders, "R4n00000it's\nU6h000001073\nR1i000057\t6b\n");
    }

    #[test]
    fn orders_go_in_whole() {
        let orders = "x".repeat(PIECE_MAX + 1);
        let pieces = pieces(&orders);
        assert_eq!(pieces.iter().flatten().map(String::len).collect::<Vec<_>>(), [PIECE_MAX, 1]);
        const { assert!(LOCKS_MAX * (9 + 128 + 1) <= ORDERS_MAX) };
    }

    #[test]
    fn modes_and_sessions_are_told_apart() {
        for mode in MODES {
            assert_eq!(mode_of(super::mode(*mode).into()), Some(*mode));
        }
        assert_eq!(mode_of(0), None);
        assert_eq!(number_of(12, 1), 12);
        assert_eq!(
            end(SessionTag { id: number_of(12, 3), birth: 9 }),
            "ALTER SYSTEM KILL SESSION '12,9,@3' IMMEDIATE"
        );
    }
}
