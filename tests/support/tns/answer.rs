//! What the server answers, as messages.

use super::codec;
use super::fault::Fault;
use super::parse::Bind;
use super::query::Rows;
use super::value::Value;
use super::wire::Writer;

/// What every answer ends with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub(super) cursor: u64,
    pub(super) count: i64,
    pub(super) in_transaction: bool,
}

impl Writer {
    /// That it is done, or why not.
    pub(super) fn end(&mut self, end: End, fault: Option<&Fault>) -> &mut Self {
        let number = fault.map_or(0, |fault| fault.number.min(65_535));
        self.raw(&[4]).int(if end.in_transaction { 2 } else { 0 }).zeros(1);
        self.zeros(1).int(number.into()).zeros(2).int(end.cursor).zeros(1);
        self.zeros(6).zeros(5).zeros(1).zeros(2).zeros(2).zeros(1).zeros(3);
        self.int(number.into()).int(end.count.max(0) as u64).zeros(2);
        if let Some(fault) = fault {
            self.counted(format!("{}\n", fault.text()).as_bytes());
        }
        self
    }

    /// That it is done, in short.
    pub(super) fn status(&mut self, in_transaction: bool) -> &mut Self {
        self.raw(&[9]).int(if in_transaction { 2 } else { 0 }).zeros(1)
    }

    /// Pairs of a login.
    pub(super) fn pairs(&mut self, pairs: &[(&str, String)]) -> &mut Self {
        self.raw(&[8]).int(pairs.len() as u64);
        for (name, value) in pairs {
            self.twice_counted(name.as_bytes()).twice_counted(value.as_bytes());
            // The kind of the verifier.
            self.int(if *name == "AUTH_VFR_DATA" { 18_453 } else { 0 });
        }
        self.status(false)
    }

    /// The columns of a result.
    pub(super) fn columns(&mut self, rows: &Rows, types: &[u8]) -> &mut Self {
        self.raw(&[16, 0]).zeros(1).int(types.len() as u64).raw(&[1]);
        for (place, (name, of)) in rows.names.iter().zip(types).enumerate() {
            let size = match *of {
                codec::TEXT | codec::BYTES => 4000,
                codec::NUMBER => 22,
                _ => 13,
            };
            let (charset, form) = if *of == codec::TEXT { (873, 1) } else { (0, 0) };
            self.raw(&[*of, 0, 0, 0])
                .int(size)
                .zeros(4)
                .int(charset)
                .raw(&[form])
                .int(size)
                .zeros(1)
                .raw(&[1, 0]);
            self.twice_counted(name.as_bytes()).zeros(2).int(place as u64).zeros(1);
            // A domain, annotations, and what a vector has.
            self.zeros(2).zeros(1).zeros(3);
        }
        self.zeros(6)
    }

    /// A row of a result.
    pub(super) fn row(&mut self, row: &[Value], types: &[u8]) -> Result<(), Fault> {
        self.raw(&[7]);
        for (value, of) in row.iter().zip(types) {
            self.counted(&codec::encode(value, *of)?);
        }
        Ok(())
    }

    /// Which binds go in, and which come out.
    pub(super) fn directions(&mut self, directions: &[u8]) -> &mut Self {
        self.raw(&[11, 0]).int(directions.len() as u64).zeros(1).int(1).zeros(3).raw(directions)
    }

    /// A row of binds that come out: with the length that did not fit.
    pub(super) fn out(
        &mut self,
        values: &[Value],
        types: &[u8],
        directions: &[u8],
    ) -> Result<(), Fault> {
        self.raw(&[7]);
        for ((value, of), direction) in values.iter().zip(types).zip(directions) {
            if direction & 16 != 0 {
                self.counted(&codec::encode(value, *of)?).zeros(1);
            }
        }
        Ok(())
    }

    /// What RETURNING gives, all rows of a bind together.
    pub(super) fn returned(
        &mut self,
        rows: &[Vec<Value>],
        types: &[u8],
        binds: &[Bind],
    ) -> Result<(), Fault> {
        self.raw(&[7]);
        let returning = binds.iter().zip(types).filter(|(bind, _)| bind.returns);
        for (place, (_, of)) in returning.enumerate() {
            self.int(rows.len() as u64);
            for row in rows {
                self.counted(&codec::encode(&row[place], *of)?).zeros(1);
            }
        }
        Ok(())
    }
}

/// The direction of a bind.
pub(super) fn direction(bind: &Bind) -> u8 {
    match (bind.is_written || bind.returns, bind.is_read) {
        (true, false) => 16,
        (true, true) => 48,
        _ => 32,
    }
}

/// The types of a result's columns: those of their first values.
pub(super) fn types(rows: &Rows) -> Vec<u8> {
    let of = |place: usize| rows.rows.iter().find_map(|row| codec::type_of(&row[place]));
    (0..rows.names.len()).map(|place| of(place).unwrap_or(codec::TEXT)).collect()
}
