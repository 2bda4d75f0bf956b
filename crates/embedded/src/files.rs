//! Open files: every connection is one, and clients may never have the last that Docker, a check or another
//! registry needs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::notice::Notice;

/// Kept for everything but clients: the engine, other registries, checks, the log.
const RESERVED: usize = 256;

/// How many connections of these wishes there are files for, in the same proportion; and what to say where those are fewer.
///
/// The limit that is in force (often 1024) is first raised as far as this process may, as Go's programs do.
pub(super) fn within_reach<const N: usize>(wishes: [usize; N]) -> ([usize; N], Option<Notice>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    let shares = shares(files.map(|files| usize::try_from(files).unwrap_or(usize::MAX)), wishes);
    let fewer = (shares != wishes).then(|| Notice::FewerConnections {
        files: files.unwrap_or_default(),
        taken: shares.iter().sum(),
        allowed: wishes.iter().sum(),
    });
    (shares, fewer)
}

/// At least one for each wish; `None` is no limit.
fn shares<const N: usize>(files: Option<usize>, wishes: [usize; N]) -> [usize; N] {
    let wanted = wishes.iter().sum::<usize>().max(1);
    let room = files.map_or(usize::MAX, |files| files.saturating_sub(RESERVED));
    if room >= wanted { wishes } else { wishes.map(|wish| (wish * room / wanted).max(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        for (files, shares_of_768_and_256) in [
            (None, [768, 256]),
            (Some(1_048_576), [768, 256]),
            (Some(1280), [768, 256]),
            (Some(1024), [576, 192]),
            (Some(257), [1, 1]),
            (Some(10), [1, 1]),
        ] {
            assert_eq!(shares(files, [768, 256]), shares_of_768_and_256, "{files:?}");
        }
    }
}
