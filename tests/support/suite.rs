//! One behaviour, many backends.

/// Makes a test of each behaviour on each backend: `postgres::waiting::timeout_is_exact`.
///
/// A behaviour is an async function of the module that is named before it; it gets a
/// [`Site`](crate::Site). That module is in the crate's root, or in the module that `of` names.
/// Where the behaviours have a type parameter, `with` says what it is on a backend.
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "the behaviours are the tests' own")]
macro_rules! suite {
    ($suite:literal $(of $folder:ident)? on $backends:tt $behaviours:tt) => {
        $crate::suite! { @on $suite [crate $(::$folder)?] $backends $behaviours }
    };
    (@on $suite:literal $root:tt [
        $($module:ident $backend:ident $(with $parameter:ty)?),* $(,)?
    ] $behaviours:tt) => {
        $($crate::suite! {
            @in $suite $root $module ($backend $(::<$parameter>)?) $behaviours
        })*
    };
    (@in $suite:literal $root:tt $module:ident $backend:tt {
        $($topic:ident: [$($behaviour:ident),* $(,)?])*
    }) => {
        mod $module {
            $(mod $topic {
                $($crate::suite! { @test $suite $root $backend $topic $behaviour })*
            })*
        }
    };
    (
        @test $suite:literal [$($root:tt)*] ($backend:ident $(::<$parameter:ty>)?)
        $topic:ident $behaviour:ident
    ) => {
        #[test]
        fn $behaviour() {
            let backend = $crate::Backend::$backend;
            let name = concat!(module_path!(), "::", stringify!($behaviour));
            $crate::check($suite, backend, name, $($root)*::$topic::$behaviour$(::<$parameter>)?);
        }
    };
}
