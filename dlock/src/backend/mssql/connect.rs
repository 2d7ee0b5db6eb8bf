//! Where a server is, and how it is connected to.

use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use super::errors::error_of;
use super::socket::Socket;
use crate::backend::url::{Parts, unreadable};
use crate::error::{Error, Result};

pub(super) type Connection = Client<Compat<Socket>>;

/// How often a server may send us on to another address.
const REDIRECTS_MAX: usize = 3;

/// A server, and how to log in there.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    label: Box<str>,
}

impl Target {
    /// Reads a URL: `mssql://user:password@host:port/database?encrypt=true`.
    pub(crate) fn of_url(url: &str, application: Option<&str>) -> Result<Self> {
        let scheme = if url.starts_with("sqlserver:") { "sqlserver" } else { "mssql" };
        let parts = Parts::of(url, 1433).ok_or_else(|| unreadable(scheme, "1433"))?;
        let host = parts.host;
        if host.contains(',') {
            return Err(Error::config(format!(
                "the {scheme}:// url has several hosts, and a session's locks are those of one server: \
                 name one, or the listener of the availability group"
            )));
        }
        let mut config = base();
        config.host(host);
        config.port(parts.port);
        config.authentication(AuthMethod::sql_server(parts.user, parts.password));
        if !parts.database.is_empty() {
            config.database(&parts.database);
        }
        let mut trust = Trust::default();
        for (name, value) in &parts.parameters {
            set(&mut config, &mut trust, name, value)?;
        }
        trust.apply(&mut config)?;
        if let Some(name) = application {
            config.application_name(name);
        }
        let label = format!("mssql ({host}:{}/{})", parts.port, parts.database);
        Ok(Target { config, label: label.into() })
    }

    /// Reads an ADO.NET connection string: `Server=tcp:host,port;Database=…;User ID=…;Password=…`.
    pub(crate) fn of_ado(text: &str, application: Option<&str>) -> Result<Self> {
        let read = Config::from_ado_string(text);
        // The driver's own words may repeat the string, and so the password.
        let mut config = read.map_err(|_| {
            Error::config(
                "the ADO connection string cannot be read, and is not shown here for the password it \
                 may have; it should look like Server=tcp:host,port;Database=app;User ID=app;\
                 Password=…;Encrypt=true, with quotes around values that have ; or quotes in them",
            )
        })?;
        config.command_timeout(None);
        if let Some(name) = application {
            config.application_name(name);
        }
        let address = config.get_addr();
        if address.ends_with(":1434") && text.contains('\\') {
            return Err(Error::config(
                "the ADO connection string names an instance without its port, which only the SQL \
                 Server Browser knows; write Server=tcp:host,port",
            ));
        }
        Ok(Target { config, label: format!("mssql ({address})").into() })
    }

    /// The server and its address, for messages.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Connects and logs in.
    pub(super) async fn connect(&self) -> Result<(Connection, Socket)> {
        let mut config = self.config.clone();
        for _ in 0..REDIRECTS_MAX {
            let stream = TcpStream::connect(config.get_addr()).await;
            let stream = stream.map_err(|error| Error::unavailable(&self.label, error))?;
            // Requests are small, and each waits for its answer.
            stream.set_nodelay(true).map_err(|error| Error::unavailable(&self.label, error))?;
            let socket = Socket::new(stream);
            // A large future: moved on the stack, it overflows that of a thread in a debug build.
            let login = Box::pin(Client::connect(config.clone(), socket.clone().compat_write()));
            match login.await {
                Ok(client) => return Ok((client, socket)),
                // Azure's gateway.
                Err(tiberius::error::Error::Routing { host, port }) => {
                    config.host(host);
                    config.port(port);
                }
                Err(error) => return Err(error_of(&self.label, error)),
            }
        }
        Err(Error::config(format!("{} sends its clients around in a circle", self.label)))
    }
}

/// What every connection needs.
fn base() -> Config {
    let mut config = Config::new();
    // A wait for a lock ends by its own time, and what is too late is the engine's to judge.
    config.command_timeout(None);
    config.application_name("dlock");
    config
}

/// Which certificates are good.
#[derive(Default)]
struct Trust {
    any: bool,
    ca: Option<String>,
}

impl Trust {
    fn apply(self, config: &mut Config) -> Result<()> {
        match self {
            Trust { any: true, ca: Some(_) } => {
                return Err(Error::config(
                    "the url has trustServerCertificate=true and a CA: the first trusts any \
                     certificate; leave one of them out",
                ));
            }
            Trust { any: true, ca: None } => config.trust_cert(),
            Trust { any: false, ca: Some(path) } => config.trust_cert_ca(path),
            Trust { any: false, ca: None } => {}
        }
        Ok(())
    }
}

fn set(config: &mut Config, trust: &mut Trust, name: &str, value: &str) -> Result<()> {
    let lower = value.to_ascii_lowercase();
    match name.to_ascii_lowercase().as_str() {
        "encrypt" => config.encryption(match lower.as_str() {
            "true" | "yes" | "on" | "mandatory" | "required" => EncryptionLevel::Required,
            "false" | "no" | "off" | "optional" => EncryptionLevel::Off,
            "danger_plaintext" => EncryptionLevel::NotSupported,
            _ => {
                return Err(Error::config(format!(
                    "encrypt={value} in the url: it is true (default), false (the login only) or \
                     DANGER_PLAINTEXT (nothing, for servers without TLS)"
                )));
            }
        }),
        "trustservercertificate" => trust.any = matches!(lower.as_str(), "true" | "yes" | "on"),
        "trustservercertificateca" | "ca" => trust.ca = Some(value.to_owned()),
        "hostnameincertificate" => config.hostname_in_certificate(value),
        "applicationname" | "application_name" => config.application_name(value),
        _ => {
            return Err(Error::config(format!(
                "the url has a parameter {name:?}; there are encrypt, trustServerCertificate, ca, \
                 hostNameInCertificate and applicationName"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn set_up_that_cannot_be_is_refused_without_the_password() {
        for (url, part) in [
            ("mssql://u:secret@h/db?encrypt=perhaps", "DANGER_PLAINTEXT"),
            ("mssql://u:secret@h/db?wait=1", "applicationName"),
            ("mssql://u:secret@a,b/db", "several hosts"),
            ("mssql://u:secret@h/db?ca=x&trustServerCertificate=true", "leave one"),
            ("mssql://u:secret@h:x/db", "cannot be read"),
        ] {
            let text = Target::of_url(url, None).err().unwrap().to_string();
            assert!(text.contains(part) && !text.contains("secret"), "{url}: {text}");
        }
        for (ado, part) in [
            ("Server=tcp:h\\one;User ID=u;Password=secret", "names an instance"),
            ("Server=tcp:h,1433;User ID=u;Password=\"secret", "cannot be read"),
            ("Server=tcp:h,1433;Encrypt=perhaps;Password=secret", "cannot be read"),
        ] {
            let text = Target::of_ado(ado, None).err().unwrap().to_string();
            assert!(text.contains(part) && !text.contains("secret"), "{ado}: {text}");
        }
    }
}
