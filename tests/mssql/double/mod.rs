//! What the double does, as a client sees it: by the driver, and by nothing of dlock.

mod applocks;
mod faults;
mod sql;
mod tables;

use std::time::Duration;

use dlock_tests::{in_time, tds};
use tiberius::{Config, EncryptionLevel, Row};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

pub(crate) type Client = tiberius::Client<Compat<TcpStream>>;
pub(crate) type Result<T = ()> = std::result::Result<T, tiberius::error::Error>;

/// What must come soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A double of the test's own.
#[derive(Clone, Copy)]
pub(crate) struct Double {
    pub(crate) port: u16,
}

impl Double {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(tds::serve(listener));
        Double { port }
    }

    pub(crate) async fn client(self) -> Client {
        self.login("sa", "any", "test").await.unwrap()
    }

    /// Where it is.
    pub(crate) fn url(self) -> String {
        self.url_of("sa", "any")
    }

    /// The same for another login.
    pub(crate) fn url_of(self, login: &str, password: &str) -> String {
        let port = self.port;
        format!("mssql://{login}:{password}@127.0.0.1:{port}/test?encrypt=DANGER_PLAINTEXT")
    }

    async fn login(self, login: &str, password: &str, database: &str) -> Result<Client> {
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
async fn client() -> Client {
    Double::new().await.client().await
}

/// The rows of the first answer.
pub(crate) async fn rows(client: &mut Client, sql: &str) -> Result<Vec<Row>> {
    in_time(sql, SOON, client.simple_query(sql)).await?.into_first_result().await
}

/// The one number that a batch answers.
pub(crate) async fn number(client: &mut Client, sql: &str) -> i32 {
    let rows = rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(rows.len(), 1, "{sql}");
    rows[0].get(0).unwrap_or_else(|| panic!("{sql} is NULL"))
}

/// The one text.
async fn text(client: &mut Client, sql: &str) -> String {
    let rows = rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows[0].get::<&str, _>(0).unwrap().to_owned()
}

/// The number of the error that a batch ends with.
async fn error(client: &mut Client, sql: &str) -> u32 {
    match rows(client, sql).await {
        Err(tiberius::error::Error::Server(error)) => error.code(),
        other => panic!("{sql}: {other:?}"),
    }
}

async fn run(client: &mut Client, sql: &str) {
    rows(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
