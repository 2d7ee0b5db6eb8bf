//! One behaviour, many backends.

/// Makes a test of each behaviour on each backend: `postgres::waiting::timeout_is_exact`.
///
/// A behaviour is an async function of the module that is named before it; it gets a
/// [`Site`](crate::Site).
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "the behaviours are the tests' own")]
macro_rules! suite {
    ($suite:literal on [$($module:ident $backend:ident),* $(,)?] $behaviours:tt) => {
        $($crate::suite! { @in $suite $module $backend $behaviours })*
    };
    (@in $suite:literal $module:ident $backend:ident {
        $($topic:ident: [$($behaviour:ident),* $(,)?])*
    }) => {
        mod $module {
            $(mod $topic {
                $(#[test]
                fn $behaviour() {
                    let backend = $crate::Backend::$backend;
                    let name = concat!(module_path!(), "::", stringify!($behaviour));
                    $crate::check($suite, backend, name, crate::$topic::$behaviour);
                })*
            })*
        }
    };
}
