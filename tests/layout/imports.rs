//! The imports of the runtime crate's files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, UseTree};

/// The modules that each module imports; tests inside the files, and files that only tests have, do not count.
pub(crate) struct Imports(BTreeMap<String, BTreeSet<String>>);

/// The files of the crate by their module's path; without its command line.
pub(crate) fn modules() -> BTreeMap<String, File> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dlock/src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    let module = |path: &Path| {
        let path = path.strip_prefix(&source).unwrap().with_extension("");
        let mut names: Vec<_> =
            path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
            names.pop();
        }
        names.join("::")
    };
    let parsed = |path: &Path| syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    let mut modules: BTreeMap<_, _> =
        files.iter().map(|path| (module(path), parsed(path))).collect();
    let for_tests: Vec<String> =
        modules.iter().flat_map(|(name, file)| for_tests(name, file)).collect();
    modules.remove("");
    modules.retain(|name, _| !for_tests.iter().any(|other| name.starts_with(other)));
    modules
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("bin") && !path.ends_with("tests") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            files.push(path);
        }
    }
}

/// The children of a file that only tests have.
fn for_tests(module: &str, file: &File) -> Vec<String> {
    let children = file.items.iter().filter_map(|item| match item {
        Item::Mod(child) if is_for_tests(item) => Some(&child.ident),
        _ => None,
    });
    children.map(|child| format!("{module}::{child}").trim_start_matches("::").to_owned()).collect()
}

impl Imports {
    pub(crate) fn of(modules: &BTreeMap<String, File>) -> Self {
        let imports = modules.iter().map(|(module, file)| {
            let mut found = Found { module, paths: BTreeSet::new() };
            found.visit_file(file);
            let known = found.paths.iter().filter_map(|path| longest(path, modules));
            (module.clone(), known.filter(|other| other != module).collect())
        });
        Imports(imports.collect())
    }
}

impl IntoIterator for Imports {
    type Item = (String, BTreeSet<String>);
    type IntoIter = std::collections::btree_map::IntoIter<String, BTreeSet<String>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The module that a path is in, whose end is an item.
fn longest(path: &[String], modules: &BTreeMap<String, File>) -> Option<String> {
    (1..=path.len())
        .rev()
        .map(|end| path[..end].join("::"))
        .find(|module| modules.contains_key(module))
}

/// Other crates that a file names in its imports.
pub(crate) fn crates_of(file: &File) -> BTreeSet<String> {
    let mut found = Found { module: "", paths: BTreeSet::new() };
    found.visit_file(file);
    let foreign =
        found.paths.into_iter().filter(|path| path.first().is_some_and(|name| name == "::"));
    foreign.filter_map(|path| path.get(1).cloned()).collect()
}

/// Collects paths inside the crate, from its root; those of other crates begin with `::`. What a file takes from its own
/// children is not an import: they are parts of it.
struct Found<'a> {
    module: &'a str,
    paths: BTreeSet<Vec<String>>,
}

impl Found<'_> {
    fn add(&mut self, path: &[String]) {
        let here: Vec<String> = self.module.split("::").map(str::to_owned).collect();
        let up = path.iter().take_while(|name| *name == "super").count();
        let path = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("super") => [&here[..here.len().saturating_sub(up)], &path[up..]].concat(),
            _ => return,
        };
        self.paths.insert(path);
    }

    fn add_tree(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_tree(&path.tree, before);
                before.pop();
            }
            UseTree::Name(name) => self.add(&[&before[..], &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.add(&[&before[..], &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(tree, before))
            }
        }
        let is_foreign = |name: &&String| !matches!(name.as_str(), "crate" | "self" | "super");
        if let Some(name) = before.first().filter(is_foreign) {
            self.paths.insert(vec!["::".to_owned(), name.clone()]);
        }
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(item) {
            return;
        }
        if let Item::Use(item) = item {
            self.add_tree(&item.tree, &mut Vec::new());
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(
            &path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>(),
        );
        visit::visit_path(self, path);
    }
}

/// Returns `true` if only tests have this.
pub(crate) fn is_for_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        _ => &[],
    };
    let list =
        |attribute: &Attribute| attribute.meta.require_list().map(|list| list.tokens.to_string());
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        list(attribute).is_ok_and(|tokens| tokens == "test" || tokens.starts_with("all (test"))
    })
}

/// The sets of modules that import each other, directly or by way of others.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.0.keys().map(|module| (module, reach(module, imports))).collect();
    let mut circles = BTreeSet::new();
    for (module, others) in &reached {
        let circle: Vec<String> = others
            .iter()
            .filter(|other| reached.get(**other).is_some_and(|back| back.contains(module)))
            .map(|name| (*name).clone())
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reach<'a>(module: &'a String, imports: &'a Imports) -> BTreeSet<&'a String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![module]);
    while let Some(module) = next.pop() {
        for import in imports.0.get(module).into_iter().flatten() {
            if reached.insert(import) {
                next.push(import);
            }
        }
    }
    reached
}
