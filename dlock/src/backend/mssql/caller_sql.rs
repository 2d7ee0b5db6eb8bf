//! What statements on the caller's connection are made of. There they are text, for that is what all of
//! its drivers have in common.

use super::session::name;
use super::status;
use crate::spec::native::NativeKey;

/// What the server knows a key by, as it stands in a statement.
pub(crate) fn literal(key: &NativeKey) -> String {
    quoted(&name(key))
}

/// A string that means the same whatever the session's settings are.
pub(super) fn quoted(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// Who holds a key: a row `holder` and a text, if anybody does.
pub(crate) fn holder(key: &NativeKey) -> String {
    format!(
        "SELECT TOP (1) N'holder',CONCAT(s.program_name,N', ',s.login_name,N'@',s.host_name,\
         N', session ',l.request_session_id) FROM {}",
        status::holders_of(&name(key))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let key = NativeKey::Name("it's [é]".into());
        assert_eq!(literal(&key), "N'it''s [é]'");
        assert!(holder(&key).contains("N'0:[it''s [é]]:('"), "{}", holder(&key));
    }
}
