//! The variables `CONFD_*`: one for each option, named as its flag is. Pure.

use super::flags::{boolean, number};
use super::layer::Layer;
use super::options::{Name, OPTIONS, Takes, Value};
use crate::config::Environment;

/// confd's own name of `CONFD_CLIENT_CA_KEYS`.
const CA_KEYS: &str = "CONFD_CLIENT_CAKEYS";

/// Reads the variables. An empty one counts as not set.
///
/// # Errors
/// Which one cannot be used, and why.
pub fn read(environment: &Environment) -> Result<Layer, String> {
    let mut layer = Layer::default();
    for option in OPTIONS {
        let variable = option.variable();
        let older = (option.name == Name::ClientCaKeys).then_some(CA_KEYS);
        let Some(text) = environment.get(&variable).or_else(|| environment.get(older?)) else { continue };
        if text.is_empty() {
            continue;
        }
        let wrong = |wanted: &str| format!("{variable}={:?} is not {wanted}", text);
        let value = match option.takes {
            Takes::Switch => Value::Switch(boolean(text).ok_or_else(|| wrong("true or false"))?),
            Takes::Number => Value::Number(number(text).ok_or_else(|| wrong("a whole number"))?),
            Takes::Text => Value::Text(text.to_owned()),
            Takes::List => Value::List(text.split(',').map(|one| one.trim().to_owned()).collect()),
        };
        layer.set(option.name, value);
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn layer(variables: &[(&str, &str)]) -> Result<Layer, String> {
        read(&variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect())
    }

    #[test]
    fn every_option_has_a_variable() {
        let layer = layer(&[
            ("CONFD_ONETIME", "true"),
            ("CONFD_INTERVAL", "5"),
            ("CONFD_PREFIX", "/a"),
            ("CONFD_NODE", "a:1, b:2"),
            ("CONFD_CLIENT_CAKEYS", "/ca"),
            ("CONFD_LOG_LEVEL", ""),
            ("CONFD_SOMETHING_ELSE", "x"),
        ])
        .unwrap();
        assert_eq!(layer.switch(Name::Onetime), Some(true));
        assert_eq!(layer.number(Name::Interval), Some(5));
        assert_eq!(layer.text(Name::Prefix), Some("/a"));
        assert_eq!(layer.list(Name::Node), Some(&["a:1".to_owned(), "b:2".to_owned()][..]));
        assert_eq!(layer.text(Name::ClientCaKeys), Some("/ca"));
        assert_eq!(layer.text(Name::LogLevel), None);
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        assert_eq!(layer(&[("CONFD_WATCH", "yes")]), Err("CONFD_WATCH=\"yes\" is not true or false".to_owned()));
        assert_eq!(layer(&[("CONFD_INTERVAL", "5s")]), Err("CONFD_INTERVAL=\"5s\" is not a whole number".to_owned()));
    }
}
