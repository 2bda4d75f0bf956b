//! consul-template's `scratch`: named values that a template keeps while it runs, also from one loop to the next.

use gtmpl_ng::{Func, Value};

use super::args::{Args, Failed, Given, exactly, functions, method};
use super::map::sorted_keys;
use crate::template::engine::Table;
use crate::template::scope::{self, Kept};

pub(in crate::template) static TABLE: Table = functions! {
    "scratch", exactly(0), |_| Ok(methods());
};

static METHODS: &[(&str, Func)] = functions! {
    "Key", method(1), |args| with(|kept| Ok(Value::from(kept.contains_key(args.text(1)?))));
    "Get", method(1), |args| with(|kept| Ok(kept.get(args.text(1)?).cloned().unwrap_or(Value::NoValue)));
    "Set", method(2), |args| set(args, true);
    "SetX", method(2), |args| set(args, false);
    "MapSet", method(3), |args| map_set(args, true);
    "MapSetX", method(3), |args| map_set(args, false);
    "MapValues", method(1), map_values;
};

fn methods() -> Value {
    Value::Object(METHODS.iter().map(|(name, method)| ((*name).to_owned(), Value::from(*method))).collect())
}

fn with(work: impl FnOnce(&mut Kept) -> Given) -> Given {
    scope::with(|scope| work(&mut scope.scratch.borrow_mut())).unwrap_or_else(|| Err(Failed::new("no template runs")))
}

/// `Set NAME VALUE`, which prints nothing. `SetX` keeps a value that is there.
fn set(args: &Args<'_>, replaces: bool) -> Given {
    let name = args.text(1)?;
    with(|kept| {
        if replaces || !kept.contains_key(name) {
            kept.insert(name.to_owned(), args.value(2).clone());
        }
        Ok(Value::from(""))
    })
}

/// `MapSet NAME KEY VALUE`
fn map_set(args: &Args<'_>, replaces: bool) -> Given {
    let (name, key) = (args.text(1)?, args.text(2)?);
    with(|kept| match kept.entry(name.to_owned()).or_insert_with(|| Value::Map(Default::default())) {
        Value::Map(entries) => {
            if replaces || !entries.contains_key(key) {
                entries.insert(key.to_owned(), args.value(3).clone());
            }
            Ok(Value::from(""))
        }
        other => Err(Failed::new(format_args!("{name} is no map, but {}", crate::template::engine::type_name(other)))),
    })
}

/// The values of a map, in the order of its keys.
fn map_values(args: &Args<'_>) -> Given {
    let name = args.text(1)?;
    with(|kept| match kept.get(name) {
        Some(Value::Map(entries)) => {
            Ok(Value::Array(sorted_keys(entries).into_iter().filter_map(|key| entries.get(key)).cloned().collect()))
        }
        _ => Err(Failed::new(format_args!("{name} is no map"))),
    })
}
