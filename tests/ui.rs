//! Every mistake with `#[locked]` gets an answer that a person can act on.
//!
//! Each file of `tests/ui` is compiled by itself, against the library that these tests are linked with:
//! nothing else is compiled for it. What the compiler says must be what the file's `.stderr` says.
//!
//! DLOCK_TEST_UI=name       only the files with this in their name
//! DLOCK_TEST_UI_WRITE=1    write what the compiler says into the `.stderr` files

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use dlock_tests::Temp;

/// The compiler words half of each answer, and words it differently with each version: that half is
/// compared by this one only.
const RUSTC: &str = "rustc 1.95.";

/// Compiles with a library that has all features, and with the sqlx that it uses.
const PROBE: &str = "use dlock::{oracledb as _, testing as _, tiberius as _};
fn main() {
    let same: fn(sqlx::PgConnection) -> dlock::sqlx::PgConnection = |one| one;
    let same_of_mysql: fn(sqlx::MySqlConnection) -> dlock::sqlx::MySqlConnection = |one| one;
    let _ = (same, same_of_mysql);
}";

#[test]
fn mistakes_are_explained() {
    let wanted = std::env::var("DLOCK_TEST_UI").unwrap_or_default();
    let overwrites = std::env::var_os("DLOCK_TEST_UI_WRITE").is_some();
    let compiler = Compiler::of_this_build();
    let folder = workspace().join("tests/ui");
    let cases = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_wanted = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "rs") && path.to_str().unwrap().contains(&wanted)
    };
    let cases = Mutex::new(cases.filter(is_wanted).collect::<Vec<_>>());
    let (done, failures) = (Mutex::new(0), Mutex::new(Vec::new()));
    // The list is not locked while a case is compiled.
    let next = || cases.lock().unwrap().pop();
    let work = || {
        while let Some(case) = next() {
            *done.lock().unwrap() += 1;
            if let Err(failure) = compiler.check(&case, overwrites) {
                failures.lock().unwrap().push(format!("{}: {failure}", case.display()));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (done, mut failures) = (done.into_inner().unwrap(), failures.into_inner().unwrap());
    failures.sort();
    assert!(failures.is_empty(), "{} of {done}:\n{}", failures.len(), failures.join("\n"));
    assert!(done > 0, "no file has {wanted:?} in its name");
}

struct Compiler {
    rustc: String,
    /// It is the one whose words are written down.
    words_as_written: bool,
    /// What a case can use: `name=path of the library`.
    libraries: Vec<String>,
    /// Where they and what they depend on are.
    folder: PathBuf,
    outputs: Temp,
}

impl Compiler {
    fn of_this_build() -> Self {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let version = Command::new(&rustc).arg("--version").output().unwrap().stdout;
        let words_as_written = String::from_utf8(version).unwrap().starts_with(RUSTC);
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let mut this = Compiler {
            rustc,
            words_as_written,
            libraries: Vec::new(),
            folder,
            outputs: Temp::new(),
        };
        let probe = this.outputs.file("probe.rs");
        std::fs::write(&probe, PROBE).unwrap();
        // A folder may have builds with other features: the newest that has all is this one's.
        let sqlx = builds(&this.folder, "sqlx");
        let pairs = builds(&this.folder, "dlock").into_iter().flat_map(|dlock| {
            sqlx.iter().map(move |sqlx| [format!("dlock={dlock}"), format!("sqlx={sqlx}")])
        });
        let mut said = String::new();
        for pair in pairs {
            this.libraries = pair.into();
            match this.compile(&probe) {
                Ok(()) => return this,
                Err(why) => said = why,
            }
        }
        panic!("no build of dlock with all features in {}:\n{said}", this.folder.display());
    }

    /// Compiles a file; an error is what the compiler said.
    fn compile(&self, file: &Path) -> Result<(), String> {
        let mut rustc = Command::new(&self.rustc);
        rustc.args(["--edition=2024", "--emit=metadata", "--color=never", "-Adead_code"]);
        rustc.arg("-L").arg(format!("dependency={}", self.folder.display()));
        for library in &self.libraries {
            rustc.arg("--extern").arg(library);
        }
        let output = self.outputs.file(file.file_stem().unwrap().to_str().unwrap());
        // The library's own files are named as its build named them, from there.
        let compiled =
            rustc.arg("-o").arg(output).arg(file).current_dir(workspace()).output().unwrap();
        if compiled.status.success() {
            return Ok(());
        }
        Err(String::from_utf8(compiled.stderr).unwrap())
    }

    /// Compiles a case, which must fail, with the answer that is written down.
    fn check(&self, case: &Path, overwrites: bool) -> Result<(), String> {
        let Err(said) = self.compile(case.strip_prefix(workspace()).unwrap()) else {
            return Err("it compiles".into());
        };
        let said = normalized(&said);
        let written = case.with_extension("stderr");
        if overwrites {
            std::fs::write(&written, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&written).unwrap_or_default();
        let same = if self.words_as_written {
            said == expected
        } else {
            headlines(&said) == headlines(&expected)
        };
        let differs = || format!("it says\n{said}\nand should say\n{expected}");
        if same { Ok(()) } else { Err(differs()) }
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The builds of this library, the newest first.
fn builds(folder: &Path, name: &str) -> Vec<String> {
    let start = format!("lib{name}-");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut builds: Vec<_> = files
        .filter(|file| {
            let file = file.file_name().into_string().unwrap();
            file.starts_with(&start) && file.ends_with(".rlib")
        })
        .map(|file| (file.metadata().unwrap().modified().unwrap(), file.path()))
        .collect();
    builds.sort_by(|a, b| b.cmp(a));
    builds.into_iter().map(|(_, path)| path.to_str().unwrap().to_owned()).collect()
}

/// What the compiler said, without what depends on the machine, or on where something stands in the
/// library's own files.
fn normalized(said: &str) -> String {
    let said = said.replace(workspace().to_str().unwrap(), "$WORKSPACE");
    let said = said.replace(" dlock/src/", " $WORKSPACE/dlock/src/").replace(" tests/ui/", " ui/");
    let messages = said.split("\n\n").filter(|message| {
        !["error: aborting due to", "For more information about", "Some errors have detailed"]
            .iter()
            .any(|start| message.starts_with(start))
    });
    let messages: Vec<_> = messages.map(without_line_numbers).collect();
    messages.join("\n\n").trim_end().to_owned() + "\n"
}

/// A message without the numbers of lines of the library's files, and without the room for them.
fn without_line_numbers(message: &str) -> String {
    let arrow = message.lines().find(|line| line.trim_start().starts_with("-->"));
    let width = arrow.map_or(0, |line| line.len() - line.trim_start().len());
    let mut in_library = false;
    let mut lines = Vec::new();
    for line in message.lines() {
        let place = line.trim_start();
        if place.starts_with("--> ") || place.starts_with("::: ") {
            in_library = place.contains("$WORKSPACE");
            let end = if in_library { line.find(".rs:").map(|at| at + 3) } else { None };
            lines.push((line[..end.unwrap_or(line.len())].to_owned(), None));
        } else if let Some(number) = line_number(line) {
            let number = if in_library { String::new() } else { number.to_string() };
            lines.push((line[width..].to_owned(), Some(number)));
        } else {
            // A note or a help without a place says what to do in the case itself.
            in_library &= line.starts_with(' ') || line.starts_with('.');
            lines.push((line.to_owned(), None));
        }
    }
    let numbers = lines.iter().filter_map(|(_, number)| number.as_ref().map(String::len));
    let new_width = numbers.max().unwrap_or(0).max(1);
    let lines = lines.into_iter().map(|(line, number)| match number {
        Some(number) => format!("{number:new_width$}{line}"),
        None if line.starts_with(&" ".repeat(width)) && width > 0 => {
            " ".repeat(new_width) + &line[width..]
        }
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The number that a line of source begins with; one that the compiler proposes is marked.
fn line_number(line: &str) -> Option<u64> {
    let (number, rest) = line.trim_start().split_once(' ')?;
    if rest.starts_with(['|', '+', '-', '~']) { number.parse().ok() } else { None }
}

/// What does not depend on the compiler's version: each error of the library's own with its place, and
/// of the compiler's own errors the codes.
fn headlines(said: &str) -> Vec<String> {
    let lines = said.lines().zip(said.lines().skip(1));
    let errors = lines.filter(|(line, _)| line.starts_with("error"));
    let mut headlines: Vec<_> = errors
        .map(|(line, place)| match line.strip_prefix("error[") {
            Some(coded) => coded.split(']').next().unwrap().to_owned(),
            None => format!("{line}{place}"),
        })
        .collect();
    headlines.dedup();
    headlines
}
