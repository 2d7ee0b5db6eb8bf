//! `dlock ls --watch`: a list that is redrawn.

use std::io::{self, Write, stdout};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};
use dlock::{LockStatus, Locker};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;
use crate::output::{HEAD, rows, table};

/// How often the server is asked.
const REFRESH: Duration = Duration::from_secs(1);
/// How long a look for a key takes, so that the thread ends soon.
const LOOK: Duration = Duration::from_millis(100);
const HELP: &str = "q quit · s sort by the next column · / filter, Enter to end it";

/// What is shown, and how.
#[derive(Default)]
struct View {
    rows: Vec<[String; 5]>,
    trouble: Option<String>,
    column: usize,
    filter: String,
    /// The filter is being typed.
    typing: bool,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Redraw,
    Quit,
}

/// Shows the locks until q is pressed.
pub(crate) async fn watch(locker: &Locker) -> Result<u8, Failure> {
    let screen = Screen::enter().map_err(broken)?;
    let mut events = read_events();
    let mut view = View::default();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if view.press(key) == Next::Quit {
                        break;
                    }
                }
                // It is drawn anew in its new size.
                Some(_) => {}
                None => break,
            },
            () = sleep_until(due) => {
                view.update(locker.status().await);
                due = Instant::now() + REFRESH;
            }
        }
        view.draw().map_err(broken)?;
    }
    drop(screen);
    Ok(0)
}

fn broken(error: io::Error) -> Failure {
    Failure::refused(format!("cannot use the terminal: {error}"))
}

/// Keys come from a thread: to read them blocks. It ends with its receiver.
fn read_events() -> mpsc::UnboundedReceiver<Event> {
    let (send, events) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while !send.is_closed() {
            match poll(LOOK).and_then(|ready| if ready { read().map(Some) } else { Ok(None) }) {
                Ok(Some(event)) => drop(send.send(event)),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    });
    events
}

impl View {
    fn update(&mut self, statuses: dlock::Result<Vec<LockStatus>>) {
        match statuses {
            Ok(statuses) => {
                self.rows = statuses.iter().flat_map(rows).collect();
                self.trouble = None;
            }
            // What was seen last stays.
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    fn press(&mut self, key: KeyEvent) -> Next {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Next::Quit,
            KeyCode::Enter | KeyCode::Esc if self.typing => self.typing = false,
            KeyCode::Backspace if self.typing => drop(self.filter.pop()),
            KeyCode::Char(c) if self.typing => self.filter.push(c),
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('s') => self.column = (self.column + 1) % HEAD.len(),
            KeyCode::Char('/') => {
                self.filter.clear();
                self.typing = true;
            }
            _ => {}
        }
        Next::Redraw
    }

    /// The lines of a screen of this size.
    fn lines(&self, width: usize, height: usize) -> Vec<String> {
        let wanted = |row: &&[String; 5]| row.iter().any(|cell| cell.contains(&self.filter));
        let mut rows: Vec<_> = self.rows.iter().filter(wanted).cloned().collect();
        rows.sort_by(|a, b| a[self.column].cmp(&b[self.column]));
        let state = match (&self.trouble, self.typing || !self.filter.is_empty()) {
            (Some(trouble), _) => trouble.clone(),
            (None, true) => format!("/{}", self.filter),
            (None, false) => {
                format!("{} locks, by {}", rows.len(), HEAD[self.column].to_lowercase())
            }
        };
        let mut lines = table(&rows);
        lines.truncate(height.saturating_sub(2));
        lines.resize(height.saturating_sub(2), String::new());
        lines.push(state);
        lines.push(HELP.to_owned());
        lines.into_iter().map(|line| line.chars().take(width).collect()).collect()
    }

    fn draw(&self) -> io::Result<()> {
        let (width, height) = match size()? {
            // Nobody has told the terminal how large it is.
            (0, _) | (_, 0) => (80, 24),
            told => told,
        };
        let mut out = stdout().lock();
        for (row, line) in (0..height).zip(self.lines(width.into(), height.into())) {
            queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
            out.write_all(line.as_bytes())?;
        }
        out.flush()
    }
}

/// The terminal while it is ours; it is as before when this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Screen;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs no repair.
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, keys: &str) -> Vec<Next> {
        let code = |c| if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
        keys.chars().map(|c| view.press(KeyEvent::new(code(c), KeyModifiers::NONE))).collect()
    }

    fn view() -> View {
        let row = |key: &str, mode: &str| [key, mode, "pid 1", "2 s", "0"].map(str::to_owned);
        View { rows: vec![row("b", "exclusive"), row("a", "shared")], ..View::default() }
    }

    #[test]
    fn locks_are_sorted_and_filtered() {
        let mut view = view();
        assert!(view.lines(80, 10)[1].starts_with("a "));
        press(&mut view, "s");
        assert!(view.lines(80, 10)[1].starts_with("b "));
        press(&mut view, "/share\n");
        let lines = view.lines(80, 10);
        assert!(lines[1].starts_with("a ") && lines[2].is_empty(), "{lines:?}");
    }

    #[test]
    fn q_ends_it_but_in_a_filter() {
        let mut view = view();
        assert_eq!(press(&mut view, "/q\n").pop(), Some(Next::Redraw));
        assert_eq!(press(&mut view, "q").pop(), Some(Next::Quit));
    }

    #[test]
    fn lines_fit_the_screen() {
        for (width, height) in [(80, 24), (5, 3), (1, 1), (0, 0)] {
            let lines = view().lines(width, height);
            assert!(lines.len() <= height.max(2));
            assert!(lines.iter().all(|line| line.chars().count() <= width));
        }
    }
}
