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

/// What a page names of the repository, as where something is tested, is there.
#[test]
fn pages_name_files_that_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|page| page.unwrap().path());
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];
    let pages = docs.chain(others.map(|page| root.join(page)));
    let mut named = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|is| is == "md")) {
        let text = std::fs::read_to_string(&page).unwrap();
        let folders = ["tests/", "docs/", "examples/", "dlock/", "dlock-macros/"];
        let is_path = |text: &&str| {
            folders.iter().any(|folder| text.starts_with(folder)) && !text.contains([' ', '…', '*'])
        };
        for path in text.split('`').skip(1).step_by(2).filter(is_path) {
            named += 1;
            assert!(root.join(path).exists(), "{}: there is no {path}", page.display());
        }
    }
    assert!(named > 20, "only {named} paths");
}
