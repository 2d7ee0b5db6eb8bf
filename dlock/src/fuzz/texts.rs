//! Other texts of strangers: tokens, what a server shows of statements and programs.

use super::{each, text};
use crate::backend::mysql::read_wait;
use crate::lock::token::Token;
use crate::status::holder::foreign;

#[test]
fn tokens_are_read_or_refused() {
    const PIECES: &[&str] = &[
        "dlock1",
        ".",
        "k",
        "s",
        "b",
        "n-5",
        "p1_-2",
        "m",
        "~25",
        "~",
        "~f",
        "~zz",
        "7",
        "-7",
        "0",
        "18446744073709551615",
        "18446744073709551616",
        "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
        "é",
        "dlock1.export:7.s.a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5.7.10000.1800000000000",
        "dlock1.~25ff.b~ff.a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5.7.0.0",
    ];
    each("tokens", |random| {
        let Ok(token) = text(random, PIECES).parse::<Token>() else { return };
        let _ = (token.expires_at(), format!("{token:?}"));
        let shown = token.to_string();
        assert_eq!(shown.parse::<Token>().unwrap().to_string(), shown);
    });
}

#[test]
fn statements_of_others_are_read() {
    const PIECES: &[&str] = &[
        "SELECT ",
        "SELECT GET_LOCK(",
        "/*+ MAX_EXECUTION_TIME(9) */ ",
        "/*+ ",
        " */ ",
        "GET_LOCK(",
        "'",
        "',",
        "_utf8mb4 x'",
        "6b",
        "f",
        "k",
        "10)",
        "/* app */",
        "/* ",
        " */",
        "é",
        "SELECT GET_LOCK('k', 10) /* app */",
        "SELECT GET_LOCK(_utf8mb4 x'6b', 10)",
    ];
    each("statements", |random| {
        let _ = read_wait(&text(random, PIECES));
    });
}

#[test]
fn names_of_programs_stay_on_their_line() {
    const PIECES: &[&str] = &["app", "\n", "\u{1b}[31m", "\u{202e}", "\u{200d}", "é", "'", "\0"];
    each("names of programs", |random| {
        let shown = foreign(&text(random, PIECES));
        assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.len() < 230, "{shown:?}");
    });
}
