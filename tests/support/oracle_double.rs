//! The double of Oracle: `oracle-double [PORT]`.

fn main() -> std::io::Result<()> {
    dlock_tests::run_double(dlock_tests::tns::serve)
}
