//! What we claim about speed and size, measured: prints the tables of docs/performance.md.
//!
//! `dev/bench` builds the static program and runs this. Every row runs the program itself, as a process of its own, against
//! an engine and a registry that are either real or doubles from the testkit; a peer with the same command line
//! (`-peer`) is run alternately with it, and a client that makes the same requests by hand (`floor`) beside
//! both, so that ratios hold on a machine that has other things to do.

// A bench that cannot be set up has failed, and a table is for a person to read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(unreachable_pub, reason = "a program of several modules")]

mod churn;
mod cold_start;
mod containers;
mod embedded;
mod fleet;
mod floor;
mod instructions;
mod latency;
mod one_event;
mod quiet;
mod recovery;
mod render;
mod report;
mod size;
mod status;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;
use subject::Subject;

/// What is measured, in the order of the tables.
const ROWS: &[(&str, &str)] = &[
    ("cold", "cold start against doubles: 100, 1,000 and 10,000 containers"),
    ("real", "cold start against real registries"),
    ("latency", "from the real engine's event to the entry"),
    ("churn", "100, 1,000 and 5,000 starts and as many dies a second"),
    ("quiet", "memory and CPU with nothing to do, and at each resync"),
    ("event", "one event among 10,000 standing containers"),
    ("instructions", "one event in instructions, by valgrind, which no other load changes"),
    ("recovery", "a registry that lost 10,000 containers' services"),
    ("status", "what it costs to be asked, with 10,000 containers"),
    ("size", "the binary, the image, and the time until it is ready"),
    ("embedded", "the embedded registry beside Consul"),
    ("render", "rendered files: from a start to the file, and to the reload"),
    ("fleet", "many hosts on one etcd cluster, which comes back empty"),
];

/// What the command line asks for.
pub struct Bench {
    /// Ours first, then the peer.
    pub subjects: Vec<Subject>,
    /// How often what is quick is measured; the median counts.
    pub repeat: usize,
    /// How many hosts a fleet has, one fleet after the other.
    pub hosts: Vec<usize>,
    /// The one registry that a fleet is measured on; all of them without it.
    pub store: Option<String>,
    /// What was measured so far.
    pub report: Report,
}

impl Bench {
    /// Our own program.
    pub fn ours(&self) -> Subject {
        self.subjects[0].clone()
    }
}

fn main() -> ExitCode {
    if let Some(order) = std::env::var_os("REGISTRATOR_BENCH_FLOOR") {
        floor::run(&order.to_string_lossy());
        return ExitCode::SUCCESS;
    }
    let mut arguments = std::env::args().skip(1);
    let mut bench = Bench {
        subjects: vec![Subject::new("registrator", env!("CARGO_BIN_EXE_registrator"))],
        repeat: 3,
        hosts: vec![50, 200, 500],
        store: None,
        report: Report::default(),
    };
    let (mut rows, mut json, mut is_bench) = (Vec::new(), None, false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match argument.as_str() {
            // Cargo says so; without it, this is a run of everything that can be tested.
            "--bench" => is_bench = true,
            "-peer" => bench.subjects.push(Subject::new("peer", &value())),
            "-program" => bench.subjects[0] = Subject::new("registrator", &value()),
            "-repeat" => bench.repeat = value().parse().expect("a number"),
            "-hosts" => {
                bench.hosts = value().split(',').map(|hosts| hosts.parse().expect("numbers, as 50,200,500")).collect();
            }
            "-store" => bench.store = Some(value()),
            "-json" => json = Some(PathBuf::from(value())),
            row if ROWS.iter().any(|(name, _)| *name == row) => rows.push(row.to_owned()),
            other => {
                eprintln!(
                    "{other:?} is no row; dev/bench [-peer PATH] [-repeat N] [-json FILE] [-hosts N,…] [-store NAME] \
                     [ROW…], with the rows:"
                );
                for (name, what) in ROWS {
                    eprintln!("  {name:14}{what}");
                }
                return ExitCode::from(2);
            }
        }
    }
    if !is_bench {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (name, _) in ROWS {
        if rows.is_empty() || rows.iter().any(|row| row == name) {
            runtime.block_on(measure(name, &mut bench));
        }
    }
    if let Some(path) = json {
        std::fs::write(&path, bench.report.json()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    ExitCode::SUCCESS
}

async fn measure(row: &str, bench: &mut Bench) {
    match row {
        "cold" => cold_start::doubles(bench).await,
        "real" => cold_start::real(bench).await,
        "latency" => latency::measure(bench).await,
        "churn" => churn::measure(bench).await,
        "quiet" => quiet::measure(bench).await,
        "event" => one_event::measure(bench).await,
        "instructions" => instructions::measure(bench).await,
        "recovery" => recovery::measure(bench).await,
        "status" => status::measure(bench).await,
        "size" => size::measure(bench).await,
        "embedded" => embedded::measure(bench).await,
        "render" => render::measure(bench).await,
        _ => fleet::measure(bench).await,
    }
}
