//! Where a server is, and how it is connected to.

use sqlx::ConnectOptions as _;
use sqlx::mysql::MySqlConnectOptions;

use crate::backend::url::unreadable;
use crate::error::Result;

/// Connects without a statement.
pub(crate) fn as_it_is(options: MySqlConnectOptions) -> MySqlConnectOptions {
    options
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .set_names(false)
        .timezone(None)
        // A wait is not a slow statement.
        .disable_statement_logging()
}

pub(crate) fn parse(url: &str) -> Result<MySqlConnectOptions> {
    // The parser's own words may repeat the url, and so the password.
    url.parse().map_err(|_| unreadable(kind(url), "3306"))
}

/// What the url calls the server.
pub(crate) fn kind(url: &str) -> &'static str {
    if url.starts_with("mariadb:") { "mariadb" } else { "mysql" }
}

/// The server, or servers, and their address, for messages.
pub(crate) fn label(kind: &str, hosts: &[MySqlConnectOptions]) -> Box<str> {
    let at = |options: &MySqlConnectOptions| match options.get_socket() {
        Some(path) => path.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let all: Vec<String> = hosts.iter().map(at).collect();
    let database = hosts.first().and_then(MySqlConnectOptions::get_database).unwrap_or_default();
    format!("{kind} ({}/{database})", all.join(",")).into()
}
