//! A double of Oracle in the test's own process, and its clients: by the driver, and by nothing of dlock.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use oracledb::{Config, Connection, DB_TYPE_NUMBER, Error, ErrorKind, ToDbValue};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::tns;

/// What must come soon.
pub const SOON: Duration = Duration::from_secs(10);
/// Of all users.
pub const PASSWORD: &str = "Dlock_1234";

/// A double of the test's own.
#[derive(Debug, Clone, Copy)]
pub struct Double {
    port: u16,
}

impl Double {
    /// Starts one.
    pub fn start() -> Self {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                tns::serve(listener).await.unwrap();
            });
        });
        Double { port: told.recv().unwrap() }
    }

    /// A connection of its own.
    pub fn client(self) -> Connection {
        self.login("scott", "FREEPDB1").unwrap()
    }

    /// Where it is.
    pub fn url(self) -> String {
        self.url_of("scott", PASSWORD)
    }

    /// The same for another user.
    pub fn url_of(self, user: &str, password: &str) -> String {
        format!("oracle://{user}:{password}@127.0.0.1:{}/FREEPDB1", self.port)
    }

    /// Has the server behave in another way.
    pub fn set(self, option: &str, value: &str) {
        let sql = "BEGIN DLOCK_DOUBLE.OPTION(:option, :value); END;";
        self.client().execute(sql, &[&option, &value]).unwrap();
    }

    /// Connects as this user, to that service.
    pub fn login(self, user: &str, service: &str) -> Result<Connection, Error> {
        self.enter(user, PASSWORD, service)
    }

    /// Connects with another password.
    pub fn enter(self, user: &str, password: &str, service: &str) -> Result<Connection, Error> {
        let config = Config::default().set_credentials(user, password);
        let place = format!("127.0.0.1:{}/{service}", self.port);
        oracledb::connect(config.set_connect_string(&place)?)
    }

    /// The next calls that say this go wrong so.
    pub fn fault(self, kind: &str, matching: &str) {
        let sql = "BEGIN DLOCK_DOUBLE.FAULT(:kind, :matching, 1); END;";
        self.client().execute(sql, &[&kind, &matching]).unwrap();
    }
}

/// The number of the server's error.
pub fn code(error: &Error) -> usize {
    match error.kind() {
        ErrorKind::DbError(error) => error.code(),
        other => panic!("{other:?}"),
    }
}

/// What a block assigns to `:result`, its last bind.
pub fn number(client: &Connection, block: &str, binds: &[&dyn ToDbValue]) -> Result<i64, Error> {
    let mut all = binds.to_vec();
    all.push(&DB_TYPE_NUMBER);
    client.execute(block, &all)?.out_bind_data().get(0)
}

/// The one number that a query answers.
pub fn count(client: &Connection, sql: &str) -> i64 {
    client.query_row(sql, &[]).unwrap().get(0).unwrap()
}

/// Waits for what must come soon.
pub fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
