//! Every fuzz target keeps its promises over its seeds, among them all that fuzzing ever found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(missing_docs, unreachable_pub, reason = "the targets' own crate is a program")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod targets;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &str) -> BTreeSet<String> {
    fs::read_dir(fuzz().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_target_is_built_and_has_seeds() {
    let known: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let built: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .map(str::to_owned)
        .collect();
    assert_eq!(known, built, "fuzz/Cargo.toml");
    assert_eq!(known, names("fuzz_targets"), "fuzz/fuzz_targets");
    assert_eq!(known, names("seeds"), "fuzz/seeds");
}

#[test]
fn every_target_keeps_its_promises_over_its_seeds_and_over_any_part_of_them() {
    for (name, run) in targets::TARGETS {
        let seeds = fs::read_dir(fuzz().join("seeds").join(name)).unwrap();
        let mut count = 0;
        for seed in seeds {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            run(&bytes);
            // A fuzzer's simplest tricks: what is cut off, and what is there twice.
            for end in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
                run(&bytes[..end]);
            }
            run(&bytes.repeat(2));
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
