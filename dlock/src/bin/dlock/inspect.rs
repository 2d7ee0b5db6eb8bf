//! `dlock explain`, `check`, `ddl`, `completions` and `man`.

use std::io::{self, stdout};

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::args::{Args, Common};
use crate::failure::{Failure, REFUSED};
use crate::locker::{close, connect};
use crate::output::{self, print};

/// `dlock explain`
pub(crate) async fn explain(common: &Common, key: &str) -> Result<u8, Failure> {
    let locker = connect(common).await?;
    let explained = locker.explain(key);
    close(locker, Ok(())).await?;
    let (native, sql) = (explained.native.to_string(), explained.sql);
    if common.json {
        print([json!({ "key": key, "native": native, "sql": sql }).to_string()]);
    } else {
        print([native, sql]);
    }
    Ok(0)
}

/// `dlock check`
pub(crate) async fn check(common: &Common) -> Result<u8, Failure> {
    let locker = connect(common).await?;
    let report = locker.check().await.map_err(Failure::from);
    let report = close(locker, report).await?;
    if common.json {
        print(report.findings.iter().map(output::json));
    } else if !(common.quiet && report.findings.is_empty()) {
        print([report.to_string()]);
    }
    Ok(if report.is_ok() { 0 } else { REFUSED })
}

/// `dlock ddl`
pub(crate) fn ddl(common: &Common, table: &str) -> Result<u8, Failure> {
    let Some(url) = common.url.as_deref() else {
        return Err(Failure::usage("whose statements? give --url, or set DLOCK_URL"));
    };
    let scheme = url.split(':').next().unwrap_or(url);
    let backend = scheme.strip_prefix("lease+").unwrap_or(scheme);
    let options = dlock::LeaseOptions::new().table(table);
    print([options.ddl(backend)?]);
    Ok(0)
}

/// `dlock completions`
pub(crate) fn completions(shell: Shell) -> Result<u8, Failure> {
    clap_complete::generate(shell, &mut Args::command(), "dlock", &mut stdout());
    Ok(0)
}

/// `dlock man`
pub(crate) fn man() -> Result<u8, Failure> {
    let printed: io::Result<()> = clap_mangen::Man::new(Args::command()).render(&mut stdout());
    printed.map(|()| 0).map_err(|error| Failure::refused(error.to_string()))
}
