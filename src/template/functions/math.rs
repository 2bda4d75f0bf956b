//! Whole numbers, and texts that are numbers or booleans.

use std::num::IntErrorKind;

use gtmpl_ng::{Number, Value};

use super::args::{Args, Failed, Given, exactly, functions};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "add", exactly(2), |args| numbers(args, i64::wrapping_add);
    "sub", exactly(2), |args| numbers(args, i64::wrapping_sub);
    "mul", exactly(2), |args| numbers(args, i64::wrapping_mul);
    "div", exactly(2), |args| divide(args.int(0)?, args.int(1)?);
    "mod", exactly(2), |args| modulo(args.int(0)?, args.int(1)?);
    "subtract", exactly(2), |args| numbers(args, |by, number| number.wrapping_sub(by));
    "multiply", exactly(2), |args| numbers(args, i64::wrapping_mul);
    "divide", exactly(2), |args| divide(args.int(1)?, args.int(0)?);
    "modulo", exactly(2), |args| modulo(args.int(1)?, args.int(0)?);
    "minimum", exactly(2), |args| numbers(args, i64::min);
    "maximum", exactly(2), |args| numbers(args, i64::max);
    "atoi", exactly(1), |args| whole("Atoi", args.text(0)?);
    "parseInt", exactly(1), |args| whole("ParseInt", args.text(0)?);
    "parseFloat", exactly(1), parse_float;
    "parseBool", exactly(1), parse_bool;
};

/// As in Go, a sum that is too large wraps around.
pub(super) fn numbers(args: &Args<'_>, work: impl Fn(i64, i64) -> i64) -> Given {
    Ok(Value::from(work(args.int(0)?, args.int(1)?)))
}

/// Toward zero.
pub(super) fn divide(number: i64, by: i64) -> Given {
    if by == 0 { Err(Failed::new("division by zero")) } else { Ok(Value::from(number.wrapping_div(by))) }
}

/// With the sign of the number.
pub(super) fn modulo(number: i64, by: i64) -> Given {
    if by == 0 { Err(Failed::new("modulo by zero")) } else { Ok(Value::from(number.wrapping_rem(by))) }
}

/// A decimal number with a sign or none.
pub(super) fn whole(function: &str, text: &str) -> Given {
    text.parse::<i64>().map(Value::from).map_err(|error| {
        let is_large = matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
        unparsed(function, text, if is_large { "value out of range" } else { "invalid syntax" })
    })
}

fn parse_float(args: &Args<'_>) -> Given {
    let text = args.text(0)?;
    let number: f64 = text.parse().map_err(|_| unparsed("ParseFloat", text, "invalid syntax"))?;
    Ok(Value::Number(Number::from(number)))
}

fn parse_bool(args: &Args<'_>) -> Given {
    match args.text(0)? {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::from(true)),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::from(false)),
        other => Err(unparsed("ParseBool", other, "invalid syntax")),
    }
}

fn unparsed(function: &str, text: &str, reason: &str) -> Failed {
    Failed::new(format_args!("strconv.{function}: parsing {text:?}: {reason}"))
}
