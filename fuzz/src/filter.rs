//! Whatever a client sends as a filter is an expression or is refused in one line.

use registrator_embedded::check_filter;

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(refused) = check_filter(text) {
        let refused = refused.to_string();
        assert!(refused.starts_with("Failed to create boolean expression evaluator: "));
        assert!(!refused.contains('\n'), "{refused:?}");
    }
}
