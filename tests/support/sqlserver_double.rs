//! The double of SQL Server: `sqlserver-double [PORT]`.

fn main() -> std::io::Result<()> {
    dlock_tests::run_double(dlock_tests::tds::serve)
}
