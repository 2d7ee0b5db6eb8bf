//! Connections that are to be encrypted, and cannot be.

use super::handshake;
use crate::error::Error;
#[cfg(feature = "postgres")]
use crate::error::Source;

/// What turns encryption on.
pub(super) const FEATURES: &str =
    "turn on dlock's feature tls-rustls or tls-native-tls in Cargo.toml";

/// What to say of an error of the driver's about TLS, if it is one that goes on until something is
/// changed: the connection cannot be encrypted, or a certificate is not trusted.
pub(super) fn error(label: &str, error: &sqlx::Error) -> Option<Error> {
    refused(label, error).or_else(|| handshake::error(label, error))
}

/// What to say if one side has no encryption.
fn refused(label: &str, error: &sqlx::Error) -> Option<Error> {
    let sqlx::Error::Tls(said) = error else { return None };
    let said = said.to_string();
    // The application's sqlx may have what dlock's features have not: so the driver is asked.
    if said.contains("without TLS support") {
        return Some(Error::config(format!(
            "{label}: the url or the pool asks for an encrypted connection, and this program has been \
             built without; {FEATURES}"
        )));
    }
    said.contains("does not support TLS").then(|| {
        Error::config(format!(
            "{label}: the url or the pool asks for an encrypted connection, and the server has none; \
             set up TLS there, or do not ask for it (sslmode, ssl-mode)"
        ))
    })
}

/// What to do about a refusal of PostgreSQL's, if the reason may be that the connection is not
/// encrypted.
#[cfg(feature = "postgres")]
pub(super) fn remedy(said: &Source) -> Option<String> {
    let said = said.to_string();
    let unencrypted = ["no encryption", "SSL off", "SSL required"];
    unencrypted.iter().any(|part| said.contains(part)).then(|| {
        format!(
            "the server takes no unencrypted connection from here as this user: {FEATURES}, and leave \
             sslmode=disable out of the url; if that is done, look into its pg_hba.conf"
        )
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// The tests' own build has the features: what is said without is asked for directly.
    #[test]
    fn feature_that_is_off_is_named() {
        let said = "TLS upgrade required by connect options but SQLx was built without TLS support \
                    enabled";
        let error = refused("postgres (h:5432/db)", &sqlx::Error::Tls(said.into())).unwrap();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("tls-rustls") && text.contains("h:5432"), "{text}");
        assert!(refused("", &sqlx::Error::Tls("bad certificate".into())).is_none());
        assert!(refused("", &sqlx::Error::PoolClosed).is_none());
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn server_that_insists_is_understood() {
        use std::sync::Arc;

        use crate::backend::postgres::of_code;

        let said = "no pg_hba.conf entry for host \"127.0.0.1\", user \"app\", database \"db\", no encryption";
        for (code, said) in [("28000", said), ("08P01", "SSL required")] {
            let error = of_code("postgres", Some(code), Arc::from(Box::from(said)));
            assert!(!error.is_retryable(), "{error}");
            assert!(error.to_string().contains("tls-rustls"), "{error}");
        }
    }
}
