//! Any bytes as an engine's list, and as its word on one container: no panic.

use registrator::docker::decode;

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    let _ = decode::list(bytes);
    let kept = decode::inspect(bytes, true);
    if let Ok(Some(container)) = kept {
        assert!(container.inspect.is_some());
        assert!(!container.id.as_str().contains('/'));
    }
}
