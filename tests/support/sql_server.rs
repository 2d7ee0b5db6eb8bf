//! A double of SQL Server in the test's own process, and its clients: by the driver, and by nothing of dlock.

use std::time::Duration;

use tiberius::{Config, EncryptionLevel, Row};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

pub use crate::double::SqlServerClient as Client;
use crate::{in_time, tds};

/// What the driver answers.
pub type Result<T = ()> = std::result::Result<T, tiberius::error::Error>;

/// What must come soon.
pub const SOON: Duration = Duration::from_secs(10);

/// A double of the test's own.
#[derive(Debug, Clone, Copy)]
pub struct Double {
    /// Where it listens.
    pub port: u16,
}

impl Double {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(tds::serve(listener));
        Double { port }
    }

    /// A client of its own.
    pub async fn client(self) -> Client {
        self.login("sa", "any", "test").await.unwrap()
    }

    /// Where it is.
    pub fn url(self) -> String {
        self.url_of("sa", "any")
    }

    /// The same for another login.
    pub fn url_of(self, login: &str, password: &str) -> String {
        let port = self.port;
        format!("mssql://{login}:{password}@127.0.0.1:{port}/test?encrypt=DANGER_PLAINTEXT")
    }

    /// A client of this login, in that database.
    pub async fn login(self, login: &str, password: &str, database: &str) -> Result<Client> {
        let mut config = Config::new();
        config.host("127.0.0.1");
        config.port(self.port);
        config.authentication(tiberius::AuthMethod::sql_server(login, password));
        config.database(database);
        config.application_name("a test");
        config.encryption(EncryptionLevel::NotSupported);
        config.command_timeout(None);
        let stream = TcpStream::connect(config.get_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        tiberius::Client::connect(config, stream.compat_write()).await
    }
}

/// A client of a double that nobody else has.
pub async fn client() -> Client {
    Double::start().await.client().await
}

/// The rows of the first answer.
pub async fn rows(client: &mut Client, sql: &str) -> Result<Vec<Row>> {
    in_time(sql, SOON, client.simple_query(sql)).await?.into_first_result().await
}

/// The one number that a batch answers.
pub async fn number(client: &mut Client, sql: &str) -> i32 {
    let rows = rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(rows.len(), 1, "{sql}");
    rows[0].get(0).unwrap_or_else(|| panic!("{sql} is NULL"))
}

/// The one text.
pub async fn text(client: &mut Client, sql: &str) -> String {
    let rows = rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows[0].get::<&str, _>(0).unwrap().to_owned()
}

/// The number of the error that a batch ends with.
pub async fn error(client: &mut Client, sql: &str) -> u32 {
    match rows(client, sql).await {
        Err(tiberius::error::Error::Server(error)) => error.code(),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Runs a batch whose answer is another matter.
pub async fn run(client: &mut Client, sql: &str) {
    rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
