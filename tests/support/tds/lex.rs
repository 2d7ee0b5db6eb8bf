//! T-SQL's words.

use super::error::Fault;

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A keyword, a name, a variable.
    Word(String),
    /// A name in brackets or double quotes: never a keyword.
    Name(String),
    Text(String),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 23] = [
    "<>", "!=", "<=", ">=", "+=", "-=", "::", "(", ")", ",", ";", ".", "=", "<", ">", "+", "-",
    "*", "/", "%", "&", "|", "^",
];

/// Cuts a batch into words.
pub(super) fn tokens(sql: &str) -> Result<Vec<Token>, Fault> {
    let mut rest = sql;
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
            continue;
        }
        let Some(first) = rest.chars().next() else { break };
        let (token, length) = match first {
            '\'' => quoted(rest, 1, '\'').map(|(text, length)| (Token::Text(text), length))?,
            'N' | 'n' if rest[1..].starts_with('\'') => {
                quoted(rest, 2, '\'').map(|(text, length)| (Token::Text(text), length))?
            }
            '[' => quoted(rest, 1, ']').map(|(name, length)| (Token::Name(name), length))?,
            '"' => quoted(rest, 1, '"').map(|(name, length)| (Token::Name(name), length))?,
            '0'..='9' => number(rest)?,
            _ if first.is_alphanumeric() || "@#_$".contains(first) => {
                let is_part = |c: char| c.is_alphanumeric() || "@#_$".contains(c);
                let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| Fault::syntax(&format!("'{first}'")))?;
                (Token::Symbol(symbol), symbol.len())
            }
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// What stands between quotes, where two of them are one; and how long all of it is.
fn quoted(rest: &str, begin: usize, quote: char) -> Result<(String, usize), Fault> {
    let mut text = String::new();
    let mut chars = rest[begin..].char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        if char != quote {
            text.push(char);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Ok((text, begin + at + quote.len_utf8()));
        }
    }
    Err(Fault::new(105, "Unclosed quotation mark after the character string."))
}

fn number(rest: &str) -> Result<(Token, usize), Fault> {
    if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let length = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let digits = format!("{}{}", if length % 2 == 1 { "0" } else { "" }, &hex[..length]);
        let bytes =
            (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16));
        let bytes = bytes.collect::<Result<_, _>>().map_err(|_| Fault::syntax(rest))?;
        return Ok((Token::Bytes(bytes), length + 2));
    }
    let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let text = &rest[..length];
    let token = match text.contains('.') {
        true => text.parse().ok().map(Token::Float),
        false => text.parse().ok().map(Token::Int),
    };
    token.map(|token| (token, length)).ok_or_else(|| Fault::syntax(text))
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    #[test]
    fn of_all_kinds() {
        let sql = "SELECT [a]]b], N'it''s' -- no\n, 0x0aF, @@SPID<>1.5/* no */;";
        let expected = [
            Token::Word("SELECT".into()),
            Token::Name("a]b".into()),
            Token::Symbol(","),
            Token::Text("it's".into()),
            Token::Symbol(","),
            Token::Bytes(vec![0, 0xaf]),
            Token::Symbol(","),
            Token::Word("@@SPID".into()),
            Token::Symbol("<>"),
            Token::Float(1.5),
            Token::Symbol(";"),
            Token::End,
        ];
        assert_eq!(tokens(sql).unwrap(), expected);
        assert_eq!(tokens("'open").unwrap_err().number, 105);
    }
}
