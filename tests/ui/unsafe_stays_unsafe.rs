use dlock::locked;

#[locked(key = "k:<index>")]
unsafe fn get(values: &[u8], index: usize) -> Result<&u8, dlock::Error> {
    Ok(unsafe { values.get_unchecked(index) })
}

fn main() {
    let _ = get(&[1], 0);
}
