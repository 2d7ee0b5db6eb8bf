//! The drivers whose connections `on` and `within` take.

#[cfg(feature = "oracle")]
pub(crate) mod oracledb;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod sqlx;
#[cfg(feature = "mssql")]
pub(crate) mod tiberius;
#[cfg(feature = "tokio-postgres")]
pub(crate) mod tokio_postgres;
