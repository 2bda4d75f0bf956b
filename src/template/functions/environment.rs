//! The program's environment, and the machine's name.

use std::env;

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, at_least, exactly, functions};
use crate::machine;
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "getenv", at_least(1), getenv;
    "env", exactly(1), getenv;
    "envOrDefault", exactly(2), |args| Ok(Value::from(variable(args.text(0)?).unwrap_or(args.text(1)?.to_owned())));
    "mustEnv", exactly(1), must_env;
    "hostname", exactly(0), |_| Ok(Value::from(machine::name()));
};

/// The variable; the default, if there is one and the variable is empty or not set.
fn getenv(args: &Args<'_>) -> Given {
    let value = variable(args.text(0)?).unwrap_or_default();
    let default = args.optional_text(1)?.filter(|_| value.is_empty());
    Ok(Value::from(default.map_or(value, str::to_owned)))
}

fn must_env(args: &Args<'_>) -> Given {
    let name = args.text(0)?;
    variable(name).map(Value::from).ok_or_else(|| Failed::new(format_args!("environment variable {name} is not set")))
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
