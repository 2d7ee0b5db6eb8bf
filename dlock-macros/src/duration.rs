//! Timeouts, read at compile time. Never rounded down.

use std::time::Duration;

use syn::{Expr, Lit, Path, UnOp};

/// What stands behind `timeout =`.
pub(crate) enum Timeout {
    /// `none`
    Never,
    /// A number of seconds or a text like "500ms".
    After(Duration),
    /// Whatever this comes to when the function is called.
    Expr(Box<Expr>),
}

/// Reads the value of the argument of that name; the messages are those of `timeout`, said of it.
pub(crate) fn read(value: Expr, name: &str) -> syn::Result<Timeout> {
    let wrong = |message: &str| Err(syn::Error::new_spanned(&value, said_of(message, name)));
    match bare(&value) {
        Expr::Path(path) if path.path.is_ident("none") => Ok(Timeout::Never),
        Expr::Path(path) if path.path.is_ident("None") && name == "timeout" => {
            wrong("write `timeout = none`, in lower case, to wait for ever")
        }
        Expr::Path(path) if is_no_number(&path.path) => {
            wrong("a timeout is a finite number of seconds; `timeout = none` waits for ever")
        }
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match bare(&unary.expr) {
            Expr::Lit(_) => wrong(
                "a timeout cannot be negative; `timeout = 0` is one try, `timeout = none` waits \
                 for ever",
            ),
            Expr::Path(path) if is_no_number(&path.path) => {
                wrong("a timeout is a finite number of seconds; `timeout = 0` is one try")
            }
            _ => Ok(Timeout::Expr(Box::new(value))),
        },
        Expr::Lit(literal) => match literal_timeout(&literal.lit) {
            Ok(timeout) => Ok(Timeout::After(timeout)),
            Err(message) => wrong(&message),
        },
        _ => Ok(Timeout::Expr(Box::new(value))),
    }
}

fn said_of(message: &str, name: &str) -> String {
    if name == "timeout" {
        return message.to_owned();
    }
    // What it is to wait for ever, or to try once, is only a timeout's.
    let message = message.split("; `timeout").next().unwrap_or(message);
    message.replace("a timeout", &format!("`{name}`")).replace("timeout", name)
}

/// The expression inside the invisible groups that `macro_rules!` leaves, and inside parentheses.
pub(crate) fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        other => other,
    }
}

/// The same by value.
pub(crate) fn into_bare(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => into_bare(*group.expr),
        Expr::Paren(paren) => into_bare(*paren.expr),
        other => other,
    }
}

fn is_no_number(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| {
        ["NAN", "INFINITY", "NEG_INFINITY"].iter().any(|name| last.ident == name)
    })
}

fn literal_timeout(literal: &Lit) -> Result<Duration, String> {
    match literal {
        Lit::Int(int) => with_unit(int.base10_digits(), int.suffix()),
        Lit::Float(float) => with_unit(float.base10_digits(), float.suffix()),
        Lit::Str(text) => from_text(&text.value()),
        _ => Err(FORMS.to_owned()),
    }
}

const FORMS: &str = "a timeout is a number of seconds (`10`, `0.5`), a text with a unit \
                     (`\"500ms\"`, `\"10s\"`, `\"2m\"`), `none`, or an expression of type `Duration`";

/// A number literal: `10`, `10u64`, `0.5`, but not `10s`.
fn with_unit(digits: &str, suffix: &str) -> Result<Duration, String> {
    if unit(suffix).is_some() {
        return Err(format!("write a timeout with a unit as text: `\"{digits}{suffix}\"`"));
    }
    number(digits, 1.0).ok_or_else(|| FORMS.to_owned())
}

fn from_text(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("a timeout cannot be negative; `timeout = 0` is one try".to_owned());
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, name) = (&text[..end], text[end..].trim_start());
    match unit(name) {
        Some(seconds) => number(digits, seconds).ok_or_else(|| FORMS.to_owned()),
        None if digits.is_empty() => Err(FORMS.to_owned()),
        None if name.is_empty() => {
            Err(format!("say the unit: `\"{digits}s\"`, or `timeout = {digits}` for seconds"))
        }
        None => Err(format!("there is no unit `{name}`; there are `ms`, `s`, `m`, `h`, `d`")),
    }
}

/// How many seconds a unit has.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    })
}

/// Whole numbers exactly, fractions to the nanosecond above. Too large for a [`Duration`] is its
/// maximum, which waits for ever; what is not finite is nothing.
fn number(digits: &str, unit: f64) -> Option<Duration> {
    if unit >= 1.0
        && let Ok(whole) = digits.parse::<u64>()
    {
        return Some(Duration::from_secs(whole.saturating_mul(unit as u64)));
    }
    let seconds = digits.parse::<f64>().ok().filter(|number| number.is_finite())? * unit;
    let exact = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    // `try_from_secs_f64` rounds to the nearest.
    Some(if exact.as_secs_f64() < seconds {
        exact.saturating_add(Duration::from_nanos(1))
    } else {
        exact
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(text: &str) -> Result<Duration, String> {
        let value: Expr = syn::parse_str(text).map_err(|error| error.to_string())?;
        match read(value, "timeout").map_err(|error| error.to_string())? {
            Timeout::After(duration) => Ok(duration),
            Timeout::Never => Ok(Duration::MAX),
            Timeout::Expr(_) => Err("an expression".to_owned()),
        }
    }

    #[test]
    fn every_form() {
        for (text, duration) in [
            ("10", Duration::from_secs(10)),
            ("10u32", Duration::from_secs(10)),
            ("0", Duration::ZERO),
            ("0.5", Duration::from_millis(500)),
            ("1e-10", Duration::from_nanos(1)),
            ("1e300", Duration::MAX),
            ("\"500ms\"", Duration::from_millis(500)),
            ("\"1.5s\"", Duration::from_millis(1500)),
            ("\"10 s\"", Duration::from_secs(10)),
            ("\"2m\"", Duration::from_secs(120)),
            ("\"1h\"", Duration::from_secs(3600)),
            ("18446744073709551615", Duration::from_secs(u64::MAX)),
            ("99999999999999999999999", Duration::MAX),
            ("none", Duration::MAX),
        ] {
            assert_eq!(timeout(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn what_is_no_timeout_is_refused() {
        for text in [
            "-1",
            "-0.5",
            "f64::NAN",
            "f64::INFINITY",
            "-f64::INFINITY",
            "1e999",
            "\"-5s\"",
            "\"10\"",
            "\"10 parsecs\"",
            "\"\"",
            "\"nan\"",
            "\"inf\"",
            "\"1.2.3s\"",
            "10s",
            "true",
        ] {
            assert!(timeout(text).is_err_and(|message| message != "an expression"), "{text}");
        }
    }
}
