//! Questions to a task that owns a state: a function that the task calls with its state, between two messages.
//!
//! The state stays with its task, without a lock, and nothing has to be kept for questions that nobody asks. A question
//! must be short, because the task does nothing else meanwhile; a long one is asked in parts.

use tokio::sync::{mpsc, oneshot};

/// How many questions wait at most; further askers wait for a place.
const WAITING: usize = 16;

type Question<T> = Box<dyn FnOnce(&T) + Send>;

/// Asks. Clones ask the same task.
pub struct Asker<T>(mpsc::Sender<Question<T>>);

/// The questions, for the task that answers.
pub struct Questions<T>(mpsc::Receiver<Question<T>>);

/// A pair of both.
#[must_use]
pub fn asking<T>() -> (Asker<T>, Questions<T>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Asker(sender), Questions(receiver))
}

impl<T: 'static> Asker<T> {
    /// The answer; `None` if the task has ended.
    pub async fn ask<R: Send + 'static>(&self, question: impl FnOnce(&T) -> R + Send + 'static) -> Option<R> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone away.
        let question: Question<T> = Box::new(move |state| drop(answer.send(question(state))));
        self.0.send(question).await.ok()?;
        answered.await.ok()
    }
}

impl<T> Clone for Asker<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Questions<T> {
    /// The next question; waits for ever when nobody can ask any more. Safe to cancel.
    pub async fn next(&mut self) -> Question<T> {
        match self.0.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_answers_from_its_state_until_it_ends() {
        let (asker, mut questions) = asking::<Vec<u8>>();
        let task = tokio::spawn(async move {
            let mut state = vec![1];
            for _ in 0..2 {
                let question = questions.next().await;
                question(&state);
                state.push(2);
            }
        });
        assert_eq!(asker.ask(Vec::len).await, Some(1));
        assert_eq!(asker.ask(|state| state.iter().sum::<u8>()).await, Some(3));
        task.await.unwrap();
        assert_eq!(asker.ask(Vec::len).await, None);
    }

    #[tokio::test]
    async fn whoever_asked_and_went_away_stops_nobody() {
        let (asker, mut questions) = asking::<u8>();
        let lost = asker.clone();
        tokio::spawn(async move { lost.ask(|state| *state).await }).abort();
        let (answer, ()) = tokio::join!(asker.ask(|state| *state), async {
            let mut served = 0;
            while served < 1 {
                questions.next().await(&7);
                served += 1;
            }
        });
        assert_eq!(answer, Some(7));
    }
}
