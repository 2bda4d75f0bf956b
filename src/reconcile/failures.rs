//! Limits the log lines about failed writes: the first few in a window have their own line, the rest one count.

use std::time::Duration;

use tokio::time::Instant;

/// This many lines are written in one window.
const LINES: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// The lines of one registry.
#[derive(Debug, Default)]
pub(super) struct FailureLines {
    /// When the window ends.
    until: Option<Instant>,
    written: usize,
    /// How many failures had no line, and the line that the last of them would have had.
    left_out: usize,
    example: String,
}

impl FailureLines {
    /// Whether this failure gets a line.
    pub(super) fn permit(&mut self, example: impl FnOnce() -> String, now: Instant) -> bool {
        if self.until.is_none_or(|until| until <= now) {
            self.until = Some(now + WINDOW);
            self.written = 0;
        }
        if self.written < LINES {
            self.written += 1;
            return true;
        }
        self.left_out += 1;
        self.example = example();
        false
    }

    /// The failures without a line. Taken when the registry is idle, so that a flood has a single count.
    pub(super) fn take_left_out(&mut self) -> Option<(usize, String)> {
        let count = std::mem::take(&mut self.left_out);
        (count > 0).then(|| (count, std::mem::take(&mut self.example)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_a_few_lines_and_a_count_and_the_next_minute_has_lines_again() {
        let mut lines = FailureLines::default();
        let now = Instant::now();
        let permitted = |lines: &mut FailureLines, now| {
            (0..100).filter(|number| lines.permit(|| format!("failure {number}"), now)).count()
        };
        assert_eq!(permitted(&mut lines, now), LINES);
        assert_eq!(lines.take_left_out(), Some((100 - LINES, "failure 99".to_owned())));
        assert_eq!(lines.take_left_out(), None);
        assert_eq!(permitted(&mut lines, now + WINDOW), LINES);
    }
}
