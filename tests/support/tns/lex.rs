//! The words of SQL and PL/SQL.

use super::fault::Fault;

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A keyword or a name, in capitals.
    Word(String),
    /// A name in double quotes: never a keyword.
    Name(String),
    Text(String),
    Int(i64),
    Float(f64),
    /// `:name`, in capitals.
    Bind(String),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 25] = [
    ":=", "=>", "||", "..", "<>", "!=", "<=", ">=", "<<", ">>", "**", "(", ")", ",", ";", ".", "=",
    "<", ">", "+", "-", "*", "/", "%", "@",
];

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || "_$#".contains(c)
}

/// Cuts a statement into words.
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
            'q' | 'Q' if rest[1..].starts_with('\'') => alternative(rest)?,
            'n' | 'N' if rest[1..].starts_with('\'') => {
                quoted(rest, 2, '\'').map(|(text, length)| (Token::Text(text), length))?
            }
            '"' => quoted(rest, 1, '"').map(|(name, length)| (Token::Name(name), length))?,
            '0'..='9' => number(rest)?,
            ':' if rest[1..].starts_with(is_part) => {
                let length =
                    rest[1..].find(|c| !is_part(c)).map_or(rest.len(), |length| length + 1);
                (Token::Bind(rest[1..length].to_uppercase()), length)
            }
            _ if is_part(first) => {
                let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_uppercase()), length)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol =
                    symbol.ok_or_else(|| Fault::new(911, format!("{first}: invalid character")))?;
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
            return Ok((text, begin + at + 1));
        }
    }
    Err(Fault::new(1756, "quoted string not properly terminated"))
}

/// `q'[text]'`.
fn alternative(rest: &str) -> Result<(Token, usize), Fault> {
    let open = rest[2..].chars().next();
    let close = match open {
        Some('[') => ']',
        Some('{') => '}',
        Some('(') => ')',
        Some('<') => '>',
        other => other.unwrap_or(' '),
    };
    let begin = 2 + open.map_or(0, char::len_utf8);
    let end = format!("{close}'");
    let length = rest[begin..].find(&end);
    let length = length.ok_or_else(|| Fault::new(1756, "quoted string not properly terminated"))?;
    Ok((Token::Text(rest[begin..begin + length].to_owned()), begin + length + end.len()))
}

fn number(rest: &str) -> Result<(Token, usize), Fault> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut length = digits(rest);
    // `1..5` is a range.
    if rest[length..].starts_with('.') && !rest[length..].starts_with("..") {
        length += 1 + digits(&rest[length + 1..]);
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        length += 1 + sign + digits(&rest[length + 1 + sign..]);
    }
    let text = &rest[..length];
    let token = match text.contains(['.', 'e', 'E']) {
        true => text.parse().ok().map(Token::Float),
        false => text.parse().ok().map(Token::Int),
    };
    token.map(|token| (token, length)).ok_or_else(|| Fault::numbered(1722))
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    #[test]
    fn of_all_kinds() {
        let sql = "select \"a\"\"b\", 'it''s', q'[x']' -- no\n, :Na_1<>1.5/* no */ 1..2 v$lock :=;";
        let expected = [
            Token::Word("SELECT".into()),
            Token::Name("a\"b".into()),
            Token::Symbol(","),
            Token::Text("it's".into()),
            Token::Symbol(","),
            Token::Text("x'".into()),
            Token::Symbol(","),
            Token::Bind("NA_1".into()),
            Token::Symbol("<>"),
            Token::Float(1.5),
            Token::Int(1),
            Token::Symbol(".."),
            Token::Int(2),
            Token::Word("V$LOCK".into()),
            Token::Symbol(":="),
            Token::Symbol(";"),
            Token::End,
        ];
        assert_eq!(tokens(sql).unwrap(), expected);
        assert_eq!(tokens("'open").unwrap_err().number, 1756);
    }
}
