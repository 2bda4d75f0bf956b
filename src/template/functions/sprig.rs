//! Sprig's functions under consul-template's names: `sprig_` and the name, with Sprig's order of arguments.

use gtmpl_ng::Value;

use super::args::{Args, Given, at_least, exactly, functions};
use super::list::{sorted, unique};
use super::logic::{coalesce, default, is_empty, ternary};
use super::map::{map, sorted_keys};
use super::math::{divide, modulo, numbers, whole};
use super::regex;
use super::text::{
    indented, join, lower, quoted, repeated, replace, split, title, upper, without_prefix, without_suffix,
};
use crate::template::engine::{self, Table};

pub(in crate::template) static TABLE: Table = functions! {
    "sprig_upper", exactly(1), |args| Ok(Value::from(upper(args.text(0)?)));
    "sprig_lower", exactly(1), |args| Ok(Value::from(lower(args.text(0)?)));
    "sprig_title", exactly(1), |args| Ok(Value::from(title(args.text(0)?)));
    "sprig_trim", exactly(1), |args| Ok(Value::from(args.text(0)?.trim()));
    "sprig_trimPrefix", exactly(2), |args| Ok(Value::from(without_prefix(args.text(1)?, args.text(0)?)));
    "sprig_trimSuffix", exactly(2), |args| Ok(Value::from(without_suffix(args.text(1)?, args.text(0)?)));
    "sprig_hasPrefix", exactly(2), |args| Ok(Value::from(args.text(1)?.starts_with(args.text(0)?)));
    "sprig_hasSuffix", exactly(2), |args| Ok(Value::from(args.text(1)?.ends_with(args.text(0)?)));
    "sprig_contains", exactly(2), |args| Ok(Value::from(args.text(1)?.contains(args.text(0)?)));
    "sprig_replace", exactly(3), |args| replace(args.text(2)?, args.text(0)?, args.text(1)?, -1);
    "sprig_repeat", exactly(2), |args| repeated(args.count(0)?, args.text(1)?);
    "sprig_nospace", exactly(1), |args| Ok(Value::from(args.text(0)?.replace(char::is_whitespace, "")));
    "sprig_indent", exactly(2), |args| indented(args.count(0)?, args.text(1)?, "");
    "sprig_nindent", exactly(2), |args| indented(args.count(0)?, args.text(1)?, "\n");
    "sprig_quote", exactly(1), |args| quoted(args.value(0));
    // Sprig, unlike confd's fork, does not double the quotes within.
    "sprig_squote", exactly(1), |args| Ok(Value::from(format!("'{}'", engine::shown(args.value(0)))));
    "sprig_toString", exactly(1), |args| Ok(Value::from(engine::shown(args.value(0))));
    "sprig_join", exactly(2), sprig_join;
    "sprig_splitList", exactly(2), |args| split(args.text(1)?, args.text(0)?);
    "sprig_default", exactly(2), default;
    "sprig_empty", exactly(1), |args| Ok(Value::from(is_empty(args.value(0))));
    "sprig_coalesce", at_least(0), coalesce;
    "sprig_ternary", exactly(3), ternary;
    "sprig_list", at_least(0), |args| Ok(Value::from(args.all().to_vec()));
    "sprig_first", exactly(1), |args| Ok(args.list(0)?.first().cloned().unwrap_or(Value::NoValue));
    "sprig_last", exactly(1), |args| Ok(args.list(0)?.last().cloned().unwrap_or(Value::NoValue));
    "sprig_uniq", exactly(1), |args| Ok(unique(args.list(0)?));
    "sprig_sortAlpha", exactly(1), |args| sorted(args.list(0)?);
    "sprig_dict", at_least(0), map;
    "sprig_get", exactly(2), |args| Ok(args.map(0)?.get(args.text(1)?).cloned().unwrap_or(Value::from("")));
    "sprig_hasKey", exactly(2), |args| Ok(Value::from(args.map(0)?.contains_key(args.text(1)?)));
    "sprig_keys", exactly(1), |args| Ok(Value::from(sorted_keys(args.map(0)?)));
    "sprig_add", at_least(0), add;
    "sprig_sub", exactly(2), |args| numbers(args, i64::wrapping_sub);
    "sprig_mul", exactly(2), |args| numbers(args, i64::wrapping_mul);
    "sprig_div", exactly(2), |args| divide(args.int(0)?, args.int(1)?);
    "sprig_mod", exactly(2), |args| modulo(args.int(0)?, args.int(1)?);
    "sprig_min", exactly(2), |args| numbers(args, i64::min);
    "sprig_max", exactly(2), |args| numbers(args, i64::max);
    "sprig_atoi", exactly(1), |args| whole("Atoi", args.text(0)?).or(Ok(Value::from(0)));
    "sprig_regexMatch", exactly(2), regex::matches;
    "sprig_regexFind", exactly(2), regex::find;
    "sprig_regexReplaceAll", exactly(3), regex::replace_all;
};

/// `sprig_join SEPARATOR LIST`: of any values.
fn sprig_join(args: &Args<'_>) -> Given {
    let texts: Vec<String> = args.list(1)?.iter().map(engine::shown).collect();
    join(&texts.iter().map(String::as_str).collect::<Vec<_>>(), args.text(0)?)
}

fn add(args: &Args<'_>) -> Given {
    let sum =
        (0..args.all().len()).try_fold(0_i64, |sum, position| args.int(position).map(|each| sum.wrapping_add(each)));
    sum.map(Value::from)
}
