//! Random input for all that reads what somebody else has written: URLs, keys, names that a server shows, tokens. Each
//! test makes pieces that mean something into texts, changes them at random, and looks for a panic and for what must
//! always be true. `./tests/run fuzz`; with `--long` it is ten million inputs each. The seed is printed, and
//! `DLOCK_TEST_SEED` sets it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod keys;
mod rows;
mod texts;
mod urls;

use fastrand::Rng;

/// How many inputs a test gets.
fn count() -> u64 {
    if std::env::var_os("DLOCK_TEST_LONG").is_some() { 10_000_000 } else { 20_000 }
}

/// Runs a test for each input.
fn each(what: &str, mut test: impl FnMut(&mut Rng)) {
    let mut random = seeded(what);
    for _ in 0..count() {
        test(&mut random);
    }
    println!("fuzz: {what}: {} inputs", count());
}

/// The source of a test's input.
fn seeded(what: &str) -> Rng {
    let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("fuzz: {what}: DLOCK_TEST_SEED={seed}");
    Rng::with_seed(seed)
}

/// One of these.
fn one<'a>(random: &mut Rng, of: &[&'a str]) -> &'a str {
    of.get(random.usize(..of.len())).copied().unwrap_or_default()
}

/// Some of these pieces in a row, and then some changes.
fn text(random: &mut Rng, pieces: &[&str]) -> String {
    let mut text = String::new();
    for _ in 0..random.usize(0..8) {
        text.push_str(one(random, pieces));
    }
    for _ in 0..random.usize(0..3) {
        change(random, &mut text);
    }
    text
}

/// One random change: a character comes, goes, becomes another one, or a part comes twice.
fn change(random: &mut Rng, text: &mut String) {
    const ODD: [char; 12] =
        ['\0', '\n', '%', '\'', '"', '\\', ' ', 'é', '\u{202e}', '🔒', '\u{7f}', '~'];
    let mut chars: Vec<char> = text.chars().collect();
    let at = random.usize(0..=chars.len());
    let any = match random.u8(0..4) {
        0 => ODD[random.usize(..ODD.len())],
        1 => random.char(..),
        _ => char::from(random.u8(b' '..=b'~')),
    };
    match random.u8(0..4) {
        0 => chars.insert(at, any),
        1 if at < chars.len() => drop(chars.remove(at)),
        2 if at < chars.len() => chars[at] = any,
        _ => {
            let part: Vec<char> = chars[random.usize(0..=at)..at].to_vec();
            chars.splice(at..at, part);
        }
    }
    *text = chars.into_iter().collect();
}
