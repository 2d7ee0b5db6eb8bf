//! What errors say.

use dlock::Error;

/// Makes sure that an error is one line, for a person: about this key, with what to do.
pub fn is_about(error: &Error, key: &str) {
    let text = error.to_string();
    assert!(text.contains(&format!("\"{key}\"")), "no key {key}: {text}");
    assert!(!text.contains('\n'), "several lines: {text}");
    assert!(text.contains(';'), "nothing to do: {text}");
    if error.is_retryable() {
        let again = ["again", "try later", "wait longer"].iter().any(|word| text.contains(word));
        assert!(again, "it may be tried again, and does not say so: {text}");
    }
}
