//! Who holds a lease: a name that the user has chosen, or a token of one grant.
//!
//! A token is `billing@web-3:4711/` and 32 hex digits: the application's name, the host, the process,
//! and what makes it the token of this grant. What [`Lock::data`](crate::Lock::data) says of the
//! grant follows, after a space. All of it stands in the column `owner`, which is compared as a whole
//! and not read by other versions.

use std::sync::Arc;

use crate::random::random;
use crate::text::{Text, hex};

/// The columns of MySQL and SQL Server have room for 255 bytes: for two such parts, a process id, the
/// random part, and [`DATA_LEN_MAX`](crate::spec::options::DATA_LEN_MAX).
const PART_LEN_MAX: usize = 48;
/// Hex digits of the random part.
const RANDOM_LEN: usize = 32;

/// What the owners of a lock's leases are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerSpec {
    /// A name that the user has chosen, which others may have too.
    Named(Arc<str>),
    /// A token for each grant.
    Token {
        /// Who this is, as its tokens begin.
        process: Arc<str>,
        /// What the row says about the grant.
        data: Option<Text>,
    },
}

/// Who has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A token of one grant, so that its row can never be taken for that of another.
    Token(Arc<str>),
    /// A name that the user has chosen, which others may have too.
    Named(Arc<str>),
}

impl Owner {
    /// The one of that name, or a new one.
    pub(crate) fn new(spec: &OwnerSpec) -> Self {
        match spec {
            OwnerSpec::Named(name) => Owner::Named(Arc::clone(name)),
            OwnerSpec::Token { process, data } => Owner::Token(token(process, data.as_deref())),
        }
    }

    /// As it stands in the row.
    pub fn as_str(&self) -> &str {
        match self {
            Owner::Token(owner) | Owner::Named(owner) => owner,
        }
    }
}

/// This process, as tokens begin: `application@host:pid`. ASCII, for not every database has every
/// character.
pub(crate) fn process(application_name: Option<&str>) -> Arc<str> {
    let application = part(application_name.unwrap_or("dlock"));
    format!("{application}@{}:{}", part(&host()), std::process::id()).into()
}

fn part(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | ':' | '/');
    let text = text.chars().map(|c| if plain(c) { c } else { '_' });
    text.take(PART_LEN_MAX).collect()
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".into())
}

/// What an owner says: who it is, and what a grant's data are.
pub(super) fn read(owner: &str) -> (&str, Option<&str>) {
    match owner.split_once(' ') {
        Some((who, data)) if is_token(who) => (who, Some(data)),
        _ => (owner, None),
    }
}

fn is_token(text: &str) -> bool {
    let Some((process, random)) = text.split_once('/') else { return false };
    let pid = process.split_once('@').and_then(|(_, rest)| rest.split_once(':'));
    pid.is_some_and(|(_, pid)| pid.parse::<u32>().is_ok())
        && random.len() == RANDOM_LEN
        && random.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn token(process: &str, data: Option<&str>) -> Arc<str> {
    let data = data.unwrap_or_default();
    let mut token = String::with_capacity(process.len() + RANDOM_LEN + data.len() + 2);
    token.push_str(process);
    token.push('/');
    random().iter().for_each(|byte| hex(*byte, &mut token));
    if !data.is_empty() {
        token.push(' ');
        token.push_str(data);
    }
    token.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let process = process(None);
        let mut tokens: Vec<_> = (0..1000).map(|_| token(&process, None)).collect();
        assert!(tokens.iter().all(|token| is_token(token)), "{}", tokens[0]);
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 1000);
    }

    #[test]
    fn token_says_who_it_is_in_what_a_column_can_hold() {
        let pid = std::process::id();
        let of = |name| process(Some(name)).to_string();
        assert!(of("billing").starts_with("billing@"), "{}", of("billing"));
        assert!(of("billing").ends_with(&format!(":{pid}")));
        assert!(of("a b/c@d:é\0").starts_with("a_b_c_d___@"), "{}", of("a b/c@d:é\0"));
        let data = "x".repeat(crate::spec::options::DATA_LEN_MAX);
        let longest = token(&process(Some(&"n".repeat(300))), Some(&data));
        let host = PART_LEN_MAX - host().len().min(PART_LEN_MAX);
        assert!(longest.len() + host + 10 <= 255, "{}", longest.len());
    }

    #[test]
    fn data_are_read_from_tokens_alone() {
        let process = process(Some("billing"));
        let plain = token(&process, None);
        assert_eq!(read(&plain), (&*plain, None));
        let told = token(&process, Some("page 7, of 9"));
        let (who, data) = read(&told);
        assert!(is_token(who));
        assert_eq!(data, Some("page 7, of 9"));
        for other in ["", "ada", "ada lovelace", "python.7 x", "a@h:1/0 x"] {
            assert_eq!(read(other), (other, None));
        }
    }
}
