//! Doubles of SQL Server and of Oracle, as processes of a test's own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

/// The driver's client of a server of that kind.
pub type SqlServerClient = Client<Compat<TcpStream>>;

/// A double; it ends on drop, and with the process that has started it.
#[derive(Debug)]
pub(crate) struct Double {
    child: Child,
    url: String,
}

impl Double {
    /// Starts one of SQL Server, on a port of its own.
    pub(crate) fn sql_server() -> Self {
        Self::start("sqlserver-double", |port| {
            format!("mssql://sa:Dlock_1234@127.0.0.1:{port}/test?encrypt=DANGER_PLAINTEXT")
        })
    }

    /// Starts one of Oracle.
    pub(crate) fn oracle() -> Self {
        Self::start("oracle-double", |port| {
            format!("oracle://scott:Dlock_1234@127.0.0.1:{port}/FREEPDB1")
        })
    }

    fn start(name: &str, url: impl Fn(&str) -> String) -> Self {
        let tests = std::env::current_exe().unwrap();
        // Tests are in a folder beside the package's programs.
        let mut folders = tests.ancestors().skip(1).take(2);
        let program = folders.find_map(|folder| {
            let program = folder.join(name);
            program.exists().then_some(program)
        });
        let program = program.unwrap_or_else(|| panic!("cargo has built {name}"));
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(' ').next().unwrap();
        Double { child, url: url(port) }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects to the server of a URL as dlock takes it, by that name.
///
/// # Panics
/// When it cannot.
pub async fn connect(url: &str, application: &str) -> SqlServerClient {
    let url = url.strip_prefix("lease+").unwrap_or(url);
    let (_, rest) = url.split_once("://").unwrap();
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, "master"));
    let (user, address) = authority.rsplit_once('@').unwrap();
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = address.split_once(':').unwrap_or((address, "1433"));
    let mut config = Config::new();
    config.host(host);
    config.port(port.parse().unwrap());
    config.database(database);
    config.authentication(AuthMethod::sql_server(user, password));
    config.application_name(application);
    config.command_timeout(None);
    let options = options.to_ascii_lowercase();
    if options.contains("encrypt=danger_plaintext") {
        config.encryption(EncryptionLevel::NotSupported);
    }
    if options.contains("trustservercertificate=true") {
        config.trust_cert();
    }
    let stream = TcpStream::connect(config.get_addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Client::connect(config, stream.compat_write()).await.unwrap()
}

/// Connects to Oracle, at a URL as dlock takes it, by that name.
///
/// # Panics
/// When it cannot.
pub fn connect_oracle(url: &str, program: &str) -> oracledb::Connection {
    let url = url.strip_prefix("lease+").unwrap_or(url);
    let (_, rest) = url.split_once("://").unwrap();
    let (user, place) = rest.rsplit_once('@').unwrap();
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let config = oracledb::Config::default().set_credentials(user, password);
    let config = config.set_connect_string(place).unwrap().set_program(program).unwrap();
    oracledb::connect(config).unwrap()
}

/// Whether a URL is one of Oracle.
pub(crate) fn is_oracle(url: &str) -> bool {
    url.strip_prefix("lease+").unwrap_or(url).starts_with("oracle:")
}

/// Whether a URL is one of such a server.
pub(crate) fn is_sql_server(url: &str) -> bool {
    let url = url.strip_prefix("lease+").unwrap_or(url);
    url.starts_with("mssql:") || url.starts_with("sqlserver:")
}
