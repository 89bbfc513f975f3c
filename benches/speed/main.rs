//! What the parts of the exporter cost, each beside a baseline in the same run:
//! `cargo bench --bench speed [-- DEFINITIONS...]`. `benches/run.sh` adds peers and sockets.
//!
//! What is measured is the thread's time on the processor, and of scrapes that of all threads,
//! not time on the wall, and the least of several rounds counts: other work on the machine
//! disturbs both little. Ratios of one run can be compared; absolute figures cannot.

mod decode;
mod exposition;
mod fixture;
mod measure;
mod polling;

fn main() {
    let asked: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes = if asked.is_empty() {
        vec![1_000, 10_000, 100_000]
    } else {
        asked
    };
    println!("| what | definitions | time | baseline | time | ratio |");
    println!("| --- | --: | --: | --- | --: | --: |");
    for definitions in sizes {
        exposition::run(definitions);
        decode::run(definitions);
        polling::run(definitions);
    }
}
