//! Questions of a person at the keyboard. Each is answered by a value that prints as a table or as JSON.

pub mod check;
pub mod doctor;
pub mod dump;
pub mod rights;
