//! What the functions of the template that runs on this thread can see.
//!
//! Template functions are bare `fn`s, so what they read is put here for the time of one execution.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use gtmpl_ng::Value;
use jiff::Timestamp;

use super::instance::Data;

/// The values that a template keeps with `scratch`.
pub(super) type Kept = BTreeMap<String, Value>;

/// All that a running template can see besides its dot.
pub(super) struct Scope {
    pub(super) data: Arc<Data>,
    /// Where `include` finds files.
    pub(super) folder: PathBuf,
    /// The files whose templates run, the innermost last.
    pub(super) including: Vec<PathBuf>,
    /// What `scratch` keeps.
    pub(super) scratch: RefCell<Kept>,
    /// The present time, if it is not the machine's: the examples of the documentation have their own.
    pub(super) now: Option<Timestamp>,
}

impl Scope {
    pub(super) fn new(data: Arc<Data>, folder: PathBuf) -> Self {
        Self { data, folder, including: Vec::new(), scratch: RefCell::default(), now: None }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Scope>>> = const { RefCell::new(None) };
}

/// Does the work with this scope. The former one is there again afterwards, also after a panic.
pub(super) fn within<T>(scope: Scope, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<Scope>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(Rc::new(scope))));
    work()
}

/// Does the work with the scope of the template that runs; `None` if there is none.
pub(super) fn with<T>(work: impl FnOnce(&Scope) -> T) -> Option<T> {
    let scope = CURRENT.with_borrow(Clone::clone);
    scope.map(|scope| work(&scope))
}
