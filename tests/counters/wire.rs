//! The way to the server, to be listened in on.

use dlock_tests::{Backend, Site};

/// The site's URL, without encryption: some servers have it on their own.
pub(crate) fn plain(site: &Site) -> String {
    let postgres = site.backend.is_some_and(Backend::is_postgres);
    // There it says so already, or not.
    use Backend::{LeaseMssql, LeaseOracle, Mssql, Oracle};
    if matches!(site.backend, Some(Mssql | LeaseMssql | Oracle | LeaseOracle)) {
        return site.url.clone();
    }
    let option = if postgres { "sslmode=disable" } else { "ssl-mode=disabled" };
    match &site.url {
        url if url.contains(option) => url.clone(),
        url if url.contains('?') => format!("{url}&{option}"),
        url => format!("{url}?{option}"),
    }
}
