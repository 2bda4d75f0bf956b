//! The values of options that come from one place, and how those of several places are combined.

use std::collections::BTreeMap;

use super::options::{Name, Value};

/// The values of one place: the command line, the environment, or the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer(BTreeMap<Name, Value>);

impl Layer {
    /// Sets a value, in the place of one that is there.
    pub fn set(&mut self, name: Name, value: Value) {
        self.0.insert(name, value);
    }

    /// Sets a value; a list grows.
    pub fn add(&mut self, name: Name, value: Value) {
        match (self.0.get_mut(&name), value) {
            (Some(Value::List(all)), Value::List(more)) => all.extend(more),
            (_, value) => drop(self.0.insert(name, value)),
        }
    }

    /// The values of this layer and, where it has none, those of a lower one.
    #[must_use]
    pub fn over(mut self, lower: Self) -> Self {
        for (name, value) in lower.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// A switch, if it is set.
    #[must_use]
    pub fn switch(&self, name: Name) -> Option<bool> {
        if let Some(Value::Switch(on)) = self.0.get(&name) { Some(*on) } else { None }
    }

    /// A number, if it is set.
    #[must_use]
    pub fn number(&self, name: Name) -> Option<i64> {
        if let Some(Value::Number(number)) = self.0.get(&name) { Some(*number) } else { None }
    }

    /// A text, if it is set and not empty.
    #[must_use]
    pub fn text(&self, name: Name) -> Option<&str> {
        if let Some(Value::Text(text)) = self.0.get(&name) {
            Some(text).filter(|text| !text.is_empty()).map(String::as_str)
        } else {
            None
        }
    }

    /// A list, if it is set and not empty.
    #[must_use]
    pub fn list(&self, name: Name) -> Option<&[String]> {
        if let Some(Value::List(list)) = self.0.get(&name) {
            Some(list).filter(|list| !list.is_empty()).map(Vec::as_slice)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_higher_place_says_counts_and_a_lower_one_fills_the_gaps() {
        let text = |text: &str| Value::Text(text.to_owned());
        let (mut flags, mut file) = (Layer::default(), Layer::default());
        flags.set(Name::Prefix, text("/flags"));
        flags.set(Name::Watch, Value::Switch(false));
        file.set(Name::Prefix, text("/file"));
        file.set(Name::Watch, Value::Switch(true));
        file.set(Name::Interval, Value::Number(5));
        let both = flags.over(file);
        assert_eq!(both.text(Name::Prefix), Some("/flags"));
        assert_eq!(both.switch(Name::Watch), Some(false));
        assert_eq!(both.number(Name::Interval), Some(5));
        assert_eq!(both.list(Name::Node), None);
    }
}
