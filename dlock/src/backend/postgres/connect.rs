//! Where the server is, and how to connect to it.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};

use crate::backend::pool::{self, LikePool as _};
use crate::backend::url::unreadable;
use crate::error::Result;

/// See the [module](self).
pub(crate) struct Address {
    from: From,
    application_name: Option<String>,
}

enum From {
    Url(Box<PgConnectOptions>),
    /// Its options are read at each connect.
    Pool(PgPool),
}

impl Address {
    /// Where that URL says. The connection's name in the server's views is the URL's, if there is no
    /// other.
    pub(crate) fn of_url(url: &str, application_name: Option<&str>) -> Result<Self> {
        // The parser's own words may repeat the url, and so the password.
        let parsed: PgConnectOptions = url.parse().map_err(|_| unreadable("postgres", "5432"))?;
        Ok(Address::new(From::Url(Box::new(parsed)), application_name))
    }

    /// Where that pool connects to.
    pub(crate) fn of_pool(pool: PgPool, application_name: Option<&str>) -> Self {
        Address::new(From::Pool(pool), application_name)
    }

    fn new(from: From, application_name: Option<&str>) -> Self {
        Address { from, application_name: application_name.map(Into::into) }
    }

    /// The server's host, its port and the database, for messages.
    pub(crate) fn label(&self) -> Box<str> {
        let connect = self.from.options();
        let host = connect.get_host();
        let database = connect.get_database().unwrap_or(connect.get_username());
        format!("postgres ({host}:{}/{database})", connect.get_port()).into()
    }

    /// Of a pool whose connections are made like those of the pool that this is of, if it is.
    pub(super) fn pool_options(&self) -> PgPoolOptions {
        match &self.from {
            From::Url(_) => PgPoolOptions::new(),
            From::Pool(pool) => PgPoolOptions::like(pool),
        }
    }

    /// Connects; with what the pool does to its connections, if this is of one.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgConnection> {
        let options = self.connect_options();
        match &self.from {
            From::Url(_) => options.connect().await,
            From::Pool(pool) => pool::connect(pool, options).await,
        }
    }

    /// What the URL or the pool says.
    pub(crate) fn application_name(&self) -> Option<String> {
        self.from.options().get_application_name().map(Into::into)
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        // A wait is not a slow statement. We read no floats that need more digits, and poolers
        // refuse the setting.
        let options = self.from.options().disable_statement_logging().extra_float_digits(None);
        match (&self.application_name, options.get_application_name()) {
            (Some(name), _) => options.application_name(name),
            (None, None) => options.application_name("dlock"),
            (None, Some(_)) => options,
        }
    }
}

impl From {
    fn options(&self) -> PgConnectOptions {
        match self {
            From::Url(options) => (**options).clone(),
            From::Pool(pool) => (*pool.connect_options()).clone(),
        }
    }
}
