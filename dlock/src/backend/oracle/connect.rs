//! Where a server is, and how it is connected to.

use std::sync::Arc;
use std::time::Duration;

use oracledb::{Config, Error as DriverError};

use super::connection::Connection;
use super::errors::Stuck;
use crate::backend::url::{Parts, unreadable};
use crate::error::{Error, Result};

/// How many threads a locker may have, those included that hang in a call which has no end.
const THREADS_MAX: usize = 64;

/// A server, and how to log in there.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    label: Arc<str>,
    /// One more for each thread that is alive.
    threads: Arc<()>,
}

impl Target {
    /// Reads a URL: `oracle://user:password@host:1521/service`.
    pub(crate) fn of_url(url: &str, application: Option<&str>) -> Result<Self> {
        let parts = Parts::of(url, 1521).ok_or_else(|| unreadable("oracle", "1521"))?;
        let (host, port) = (parts.host, parts.port);
        if host.contains(',') {
            return Err(Error::config(
                "the oracle:// url has several hosts, and locks are those of one database: name one, \
                 or the SCAN listener of the cluster",
            ));
        }
        let mut settings = Settings::default();
        for (name, value) in &parts.parameters {
            settings.set(name, value)?;
        }
        let service = &*parts.database;
        let place = match (&settings.sid, service) {
            (Some(sid), _) => format!("(SID={})", checked("sid", sid)?),
            (None, "") => {
                return Err(Error::config(
                    "the oracle:// url names no service; write oracle://user@host:1521/service",
                ));
            }
            (None, service) => format!("(SERVICE_NAME={})", checked("service", service)?),
        };
        // A shared server that waits for a lock serves nobody else, and a pooled one keeps no locks.
        let descriptor = format!(
            "(DESCRIPTION=(ADDRESS=(PROTOCOL={})(HOST={})(PORT={port}))\
             (CONNECT_DATA=(SERVER=dedicated){place}))",
            if settings.tls { "tcps" } else { "tcp" },
            checked("host", host)?,
        );
        let application = application.or(settings.application.as_deref()).unwrap_or("dlock");
        // What the driver lets through.
        let application = application.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let wrong = |error: DriverError| {
            Error::config(format!("the oracle:// url cannot be used: {error}"))
        };
        let mut config = Config::default()
            .set_credentials(&parts.user, &parts.password)
            .set_connect_string(&descriptor)
            .and_then(|config| config.set_program(application))
            .map_err(wrong)?;
        if let Some(wallet) = settings.wallet {
            config = config.set_wallet_location(wallet);
        }
        if let Some(password) = settings.wallet_password {
            config = config.set_wallet_password(&password);
        }
        let label = format!("oracle ({host}:{port}/{service})");
        Ok(Target { config, label: label.into(), threads: Arc::new(()) })
    }

    /// The server and its address, for messages.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Connects and logs in, on a thread of its own. Dropped before it is done, it has the thread
    /// disconnect when it is.
    pub(super) async fn connect(&self, limit: Duration) -> Result<Connection> {
        if Arc::strong_count(&self.threads) > THREADS_MAX {
            return Err(Error::unavailable(&self.label, Stuck(THREADS_MAX)));
        }
        let config = self.config.clone().set_transport_connect_timeout(Some(limit));
        Connection::open(config, &self.label, Arc::clone(&self.threads)).await
    }
}

/// The parameters of a URL.
#[derive(Default)]
struct Settings {
    tls: bool,
    wallet: Option<String>,
    wallet_password: Option<String>,
    sid: Option<String>,
    application: Option<String>,
}

impl Settings {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let value = value.to_owned();
        match (name.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
            ("protocol", "tcp") => self.tls = false,
            ("protocol", "tcps") => self.tls = true,
            ("protocol", _) => {
                return Err(Error::config(format!(
                    "protocol={value} in the url: it is tcp (default) or tcps"
                )));
            }
            ("wallet", _) => self.wallet = Some(value),
            ("wallet_password", _) => self.wallet_password = Some(value),
            ("sid", _) => self.sid = Some(value),
            ("application_name", _) => self.application = Some(value),
            ("server", "dedicated") => {}
            ("server", _) => {
                return Err(Error::config(format!(
                    "server={value} in the url: session locks need a dedicated server, for a pooled \
                     one (DRCP) is another session's next, and a shared one that waits serves nobody \
                     else; leave it out, or put lease+ before the url"
                )));
            }
            _ => {
                return Err(Error::config(format!(
                    "the url has a parameter {name:?}; there are protocol, wallet, wallet_password, \
                     sid, server and application_name"
                )));
            }
        }
        Ok(())
    }
}

/// Refuses what would be more than a name in a connect descriptor.
fn checked<'a>(what: &str, value: &'a str) -> Result<&'a str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-$#:".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(value);
    }
    Err(Error::config(format!(
        "the {what} in the oracle:// url may have letters, digits and . _ - $ # in it, and no others"
    )))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn set_up_that_cannot_be_is_refused_without_the_password() {
        for (url, part) in [
            ("oracle://u:secret@h/s?server=pooled", "dedicated"),
            ("oracle://u:secret@h/s?server=shared", "dedicated"),
            ("oracle://u:secret@h/s?wait=1", "wallet_password"),
            ("oracle://u:secret@h/s?protocol=http", "tcps"),
            ("oracle://u:secret@h", "names no service"),
            ("oracle://u:secret@a,b/s", "several hosts"),
            ("oracle://u:secret@h/s)(SERVER=pooled", "no others"),
            ("oracle://u:secret@h:x/s", "cannot be read"),
        ] {
            let text = Target::of_url(url, None).err().unwrap().to_string();
            assert!(text.contains(part) && !text.contains("secret"), "{url}: {text}");
        }
    }

    #[test]
    fn connects_to_a_dedicated_server() {
        let url = "oracle://scott:p%40ss@db:1522/app.example.com?protocol=tcps&wallet=/etc/w";
        let target = Target::of_url(url, Some("billing (eu)")).unwrap();
        assert_eq!(target.label(), "oracle (db:1522/app.example.com)");
        assert_eq!(target.config.program(), "billing--eu-");
        assert_eq!(target.config.wallet_location(), Some("/etc/w"));
        let descriptor = target.config.get_connect_descriptor();
        for part in ["(PROTOCOL=tcps)", "(PORT=1522)", "SERVER=dedicated", "app.example.com"] {
            assert!(descriptor.contains(part), "{descriptor}");
        }
        let target = Target::of_url("oracle://scott@[::1]/?sid=ORCL", None).unwrap();
        assert!(target.config.get_connect_descriptor().contains("(SID=ORCL)"));
    }
}
