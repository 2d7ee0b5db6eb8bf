//! The pages in `docs`.

/// The recipe of the page is that of the example, which `tests/run` runs.
#[test]
fn migrations_show_what_the_example_does() {
    let example = include_str!("../../examples/migrate.rs");
    let page = include_str!("../../docs/migrations.md");
    let (_, recipe) = example.split_once("/// Brings the database").unwrap();
    let (recipe, _) = recipe.split_once("\n}\n").unwrap();
    assert!(recipe.contains("retry_every"), "{recipe}");
    assert!(page.contains(recipe), "not in docs/migrations.md: {recipe}");
}
