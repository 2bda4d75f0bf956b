//! The metrics of rendered files. A label is a file of a resource, or the folder of several, never one of many.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::clock::fractional;
use crate::event::FileEvent;

/// Counts what happens with rendered files.
pub(super) struct Templates {
    pub(super) rendered: IntCounterVec,
    pub(super) reload: IntCounterVec,
    pub(super) last_change: GaugeVec,
    pub(super) right: IntGaugeVec,
    pub(super) told: IntGaugeVec,
}

impl Templates {
    pub(super) fn take(&self, dest: &str, what: &FileEvent) {
        match what {
            FileEvent::Right { unchanged } => {
                let result = if *unchanged { "unchanged" } else { "changed" };
                self.rendered.with_label_values(&[dest, result]).inc();
                self.right.with_label_values(&[dest]).set(1);
            }
            FileEvent::Written { .. } | FileEvent::Removed { .. } => {
                self.last_change.with_label_values(&[dest]).set(fractional());
            }
            FileEvent::Failed { .. } | FileEvent::Refused { .. } => {
                self.rendered.with_label_values(&[dest, "failed"]).inc();
                self.right.with_label_values(&[dest]).set(0);
            }
            FileEvent::Reloaded { .. } => {
                self.reload.with_label_values(&[dest, "ok"]).inc();
                self.told.with_label_values(&[dest]).set(1);
            }
            FileEvent::ReloadFailed { .. } => {
                self.reload.with_label_values(&[dest, "failed"]).inc();
                self.told.with_label_values(&[dest]).set(0);
            }
            FileEvent::Gone => self.forget(dest),
            FileEvent::Guarded { .. }
            | FileEvent::Would { .. }
            | FileEvent::Throttled { .. }
            | FileEvent::Ran { .. }
            | FileEvent::Cleaned { .. } => {}
        }
    }

    /// A file that is no longer rendered is neither right nor wrong. What is not there cannot be removed, which is well.
    fn forget(&self, dest: &str) {
        for result in ["changed", "unchanged", "failed"] {
            let _ = self.rendered.remove_label_values(&[dest, result]);
        }
        for result in ["ok", "failed"] {
            let _ = self.reload.remove_label_values(&[dest, result]);
        }
        let _ = self.last_change.remove_label_values(&[dest]);
        let _ = self.right.remove_label_values(&[dest]);
        let _ = self.told.remove_label_values(&[dest]);
    }
}
