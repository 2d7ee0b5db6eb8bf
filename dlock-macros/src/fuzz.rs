//! Random key templates: whatever is written is read, and every mistake has its place. `./tests/run fuzz`; with `--long`
//! it is ten million inputs. The seed is printed, and `DLOCK_TEST_SEED` sets it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use fastrand::Rng;

use crate::spec;
use crate::template::{Part, Placeholder, Step, Template, parse};

const PIECES: &[&str] = &[
    "<",
    "<<",
    ">",
    ":",
    ".",
    "%",
    "(",
    ")",
    "()",
    "<id>",
    "<req.user.id>",
    "<id:05>",
    "<id:>8>",
    "<self.tenant()>",
    "<t.0.1>",
    "<id:*<8>",
    "<größe>",
    "user:",
    "id",
    "self",
    "type",
    "_",
    "r#",
    "/**/",
    "//",
    "'",
    "\"",
    "0",
    "5",
    "4294967296",
    "#?",
    "+.2",
    "x?",
    "$",
    "*",
    "{",
    "}",
    "é",
    "²",
    " ",
    "\n",
    "\0",
];

fn text(random: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..random.usize(0..7) {
        match random.u8(0..8) {
            0 => text.push(random.char(..)),
            1 => text.push(char::from(random.u8(b' '..=b'~'))),
            _ => text.push_str(PIECES[random.usize(..PIECES.len())]),
        }
    }
    text
}

/// The template as it would be written.
fn written(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.replace('<', "<<"),
        Part::Value(value) => placeholder(value),
    };
    template.parts.iter().map(part).collect()
}

fn placeholder(value: &Placeholder) -> String {
    let step = |step: &Step| match step {
        Step::Field(name) => format!(".{name}"),
        Step::Index(index) => format!(".{index}"),
        Step::Call(method) => format!(".{method}()"),
    };
    let path: String = value.path.iter().map(step).collect();
    let spec = if value.spec.is_empty() { String::new() } else { format!(":{}", value.spec) };
    format!("<{}{path}{spec}>", value.root)
}

#[test]
fn templates_are_read_to_their_end() {
    let count = if std::env::var_os("DLOCK_TEST_LONG").is_some() { 10_000_000 } else { 20_000 };
    let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("fuzz: templates: DLOCK_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let (mut good, mut values) = (0, 0);
    for _ in 0..count {
        let text = text(&mut random);
        let (template, mistakes) = parse(&text);
        for (index, value) in template.values().enumerate() {
            assert!(text.get(value.at.clone()).is_some_and(|name| name == value.root), "{text:?}");
            assert!(spec::is_valid(&value.spec), "{text:?}");
            let _ = template.stop(index);
        }
        for mistake in &mistakes {
            let part = text.get(mistake.at.clone());
            assert!(part.is_some_and(|part| part.starts_with('<')), "{text:?}");
        }
        if mistakes.is_empty() {
            // What was understood is what was written, apart from how an index is.
            let again = written(&template);
            let (same, none) = parse(&again);
            assert!(none.is_empty() && written(&same) == again, "{text:?}, {again:?}");
            (good, values) = (good + 1, values + template.values().count());
        }
    }
    println!("fuzz: templates: {count} inputs, {good} without mistakes, {values} values");
    assert!(good > count / 10 && values > count / 10, "{good} of {count}, {values} values");
}
