//! `dlock`: locks of a database for scripts and for people.

#[cfg(not(unix))]
compile_error!("the command dlock needs process groups and signals: it runs on Unix only");

mod args;
mod child;
mod failure;
mod held;
mod hold;
mod inspect;
mod list;
mod locker;
mod output;
mod run;
mod shim;
mod signals;
mod terminal;
mod waiting;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};
use self::failure::{Failure, USAGE};

fn main() -> ExitCode {
    if let Some(code) = shim::run_if_asked() {
        return code;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nobody is there to be told that it cannot be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(args)),
        Err(error) => Err(Failure::refused(format!("cannot start: {error}"))),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}

async fn dispatch(args: Args) -> Result<u8, Failure> {
    let Args { common, command } = args;
    match command {
        Command::Run(what) => run::run(&common, &what).await,
        Command::Hold(what) => hold::hold(&common, &what).await,
        Command::Ls(what) => list::ls(&common, &what).await,
        Command::Who { key } => list::who(&common, &key).await,
        Command::Test { key } => list::test(&common, &key).await,
        Command::Wait(what) => list::wait(&common, &what).await,
        Command::Break(what) => list::break_lock(&common, &what).await,
        Command::Explain { key } => inspect::explain(&common, &key).await,
        Command::Check => inspect::check(&common).await,
        Command::Ddl { table } => inspect::ddl(&common, &table),
        Command::Completions { shell } => inspect::completions(shell),
        Command::Man => inspect::man(),
    }
}
