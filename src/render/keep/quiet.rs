//! What is refused again at every run is told from time to time only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::render::step::{Step, Steps};

/// What fails or is refused for the same reason is told again after this time.
pub(super) const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The same steps without repeated refusals.
pub(super) fn quiet(steps: Steps) -> Steps {
    let told: Mutex<HashMap<String, Instant>> = Mutex::default();
    Steps::new(move |step| {
        if let Step::Refused { why } = step {
            let now = Instant::now();
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.retain(|_, at| now < *at + TELL_AGAIN);
            if told.contains_key(why) {
                return;
            }
            told.insert(why.clone(), now);
        }
        steps.tell(step);
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_again_after_a_while_and_everything_else_always() {
        let told: Arc<Mutex<Vec<Step>>> = Arc::default();
        let sink = Arc::clone(&told);
        let steps = quiet(Steps::new(move |step| sink.lock().unwrap().push(step.clone())));
        let refused = |why: &str| steps.tell(&Step::Refused { why: why.to_owned() });
        let count = || std::mem::take(&mut *told.lock().unwrap()).len();
        refused("a");
        refused("a");
        refused("b");
        assert_eq!(count(), 2);
        tokio::time::advance(TELL_AGAIN / 2).await;
        refused("a");
        assert_eq!(count(), 0);
        tokio::time::advance(TELL_AGAIN / 2).await;
        refused("a");
        assert_eq!(count(), 1);
        for _ in 0..3 {
            steps.tell(&Step::InSync { dest: "/f".into() });
        }
        assert_eq!(count(), 3);
    }
}
