//! Method calls with arguments, such as `$time.Format "15:04"`. The engine knows those without arguments only.

use gtmpl_ng::{FuncError, Value};

/// `_call NAME RECEIVER [ARGUMENT…]`: what the receiver's function of this name makes of the arguments.
pub(super) fn call(args: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(name), method @ ..] = args else { return Err(FuncError::AtLeastXArgs("_call".to_owned(), 2)) };
    let refuse = |reason: &str| Err(FuncError::Generic(reason.to_owned()));
    match method.first() {
        // As in Go, what is not there has no fields, and no methods.
        None | Some(Value::NoValue) => Ok(Value::NoValue),
        Some(Value::Object(fields) | Value::Map(fields)) => match fields.get(name) {
            Some(Value::Function(function)) => (function.f)(method),
            Some(_) => refuse(&format!("{name} has arguments but cannot be invoked as function")),
            None => refuse(&format!("{name} is not a method of this value")),
        },
        Some(_) => refuse(&format!("{name} is not a method of this value")),
    }
}
