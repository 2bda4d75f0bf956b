//! Keys of environment variables: `/a/b` reads those that begin with `A_B`, each as a key in lower case, with slashes
//! for underscores. They never change while the program runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Reading, Source, SourceError, Wanted, Watch};
use crate::config::Environment;

/// The variables of this process.
pub(super) struct Variables(pub(super) Arc<Environment>);

/// Begins with a return, and never returns again.
#[derive(Default)]
pub(super) struct Once {
    returned: bool,
}

#[async_trait]
impl Watch for Once {
    async fn changed(&mut self) -> Result<(), SourceError> {
        if std::mem::replace(&mut self.returned, true) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Variables {
    async fn fetch(&self, wanted: &Wanted) -> Result<Reading, SourceError> {
        Ok(Reading { keys: keys(self.0.iter(), &wanted.keys), ..Reading::default() })
    }

    fn watch(&self, _wanted: &Wanted) -> Box<dyn Watch> {
        Box::<Once>::default()
    }
}

fn keys<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>, wanted: &[String]) -> BTreeMap<String, String> {
    let beginnings: Vec<_> =
        wanted.iter().map(|key| key.trim_start_matches('/').replace('/', "_").to_uppercase()).collect();
    variables
        .filter(|(name, _)| beginnings.iter().any(|beginning| name.starts_with(beginning.as_str())))
        .map(|(name, value)| (format!("/{}", name.to_lowercase().replace('_', "/")), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_begin_with_the_key_are_keys_in_lower_case() {
        let variables = [
            ("DATABASE_HOST", "127.0.0.1"),
            ("DATABASE_PORT", "3306"),
            ("DATABASES", "2"),
            ("KEY", ""),
            ("database_host", "not in capitals"),
        ];
        let read = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|key| (*key).to_owned()).collect();
            keys(variables.into_iter(), &wanted)
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&["/database/host"]), ["/database/host=127.0.0.1"]);
        assert_eq!(
            read(&["/database", "/key"]),
            ["/database/host=127.0.0.1", "/database/port=3306", "/databases=2", "/key="]
        );
        assert_eq!(read(&["/nothing"]), [""; 0]);
        // Two variables that differ only in case are one key.
        assert_eq!(read(&["/"]).len(), 4);
    }
}
